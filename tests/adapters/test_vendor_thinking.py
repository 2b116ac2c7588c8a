"""How each vendor is asked to think, and shown its thoughts again, where no recording shows it.

MiniMax and Moonshot were never recorded: their bodies here are fakes written after the fact sheet.
"""

from __future__ import annotations

from typing import Any

import pytest

from providers_plugins import alibaba, deepseek, groq, minimax, mistral, moonshot, openrouter, zhipu
from tests.adapters.vendors import wrote

ASKED = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]

EFFORTS = [
    # adapter, model, asked, sent, lost
    (deepseek, "v4", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (
        deepseek,
        "v4",
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        (),
    ),
    (
        deepseek,
        "v4",
        {"reasoning_effort": "high", "tool_choice": "required"},
        {"reasoning_effort": "high", "thinking": {"type": "enabled"}},
        ("tool_choice",),
    ),
    (deepseek, "v4", {"tool_choice": "required"}, {"tool_choice": "required"}, ()),
    (zhipu, "glm", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (
        zhipu,
        "glm",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "low", "thinking": {"type": "enabled"}},
        (),
    ),
    (
        zhipu,
        "glm",
        {"thinking": {"type": "enabled", "budget_tokens": 9}},
        {"thinking": {"type": "enabled"}},
        ("thinking.budget_tokens",),
    ),
    (alibaba, "qwen", {"reasoning_effort": "none"}, {"enable_thinking": False}, ()),
    (
        alibaba,
        "qwen",
        {"reasoning_effort": "low"},
        {"enable_thinking": True, "thinking_budget": 4096},
        (),
    ),
    (alibaba, "qwen", {"reasoning_effort": "high"}, {"enable_thinking": True}, ()),
    (
        alibaba,
        "qwen",
        {"thinking": {"type": "enabled", "budget_tokens": 77}},
        {"enable_thinking": True, "thinking_budget": 77},
        (),
    ),
    (
        alibaba,
        "qwen",
        {"enable_thinking": False, "reasoning_effort": "low"},
        {"enable_thinking": False, "thinking_budget": 4096},
        ("reasoning_effort",),
    ),
    (
        moonshot,
        "kimi-k2.5",
        {"reasoning_effort": "high"},
        {"thinking": {"type": "enabled"}},
        ("reasoning_effort",),
    ),
    (moonshot, "kimi-k2.5", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (moonshot, "kimi-k3", {"reasoning_effort": "medium"}, {"reasoning_effort": "high"}, ()),
    (moonshot, "kimi-k3", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (minimax, "MiniMax-M2.5", {"reasoning_effort": "low"}, {}, ("reasoning_effort",)),
    (minimax, "MiniMax-M3", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
    (
        minimax,
        "MiniMax-M3",
        {"reasoning_effort": "low"},
        {"thinking": {"type": "adaptive"}},
        ("reasoning_effort",),
    ),
    (mistral, "mistral-small", {"reasoning_effort": "high"}, {"reasoning_effort": "high"}, ()),
    (
        mistral,
        "mistral-small",
        {"reasoning_effort": "low"},
        {"reasoning_effort": "high"},
        ("reasoning_effort",),
    ),
    (mistral, "magistral-small", {"reasoning_effort": "high"}, {"prompt_mode": "reasoning"}, ()),
    (mistral, "magistral-small", {"reasoning_effort": "none"}, {"prompt_mode": None}, ()),
    (groq, "openai/gpt-oss-20b", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}, ()),
    (
        groq,
        "openai/gpt-oss-20b",
        {"reasoning_effort": "max"},
        {"reasoning_effort": "high"},
        ("reasoning_effort",),
    ),
    (
        groq,
        "qwen/qwen3-32b",
        {"thinking": {"type": "enabled"}},
        {"reasoning_effort": "default", "reasoning_format": "parsed"},
        (),
    ),
    (groq, "qwen/qwen3-32b", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}, ()),
    (openrouter, "x", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}, ()),
    (
        openrouter,
        "x",
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
        {"reasoning": {"max_tokens": 5}},
        (),
    ),
    (openrouter, "x", {"reasoning": {"effort": "high"}}, {"reasoning": {"effort": "high"}}, ()),
]


@pytest.mark.parametrize(("module", "upstream", "asked", "expected", "lost"), EFFORTS)
def test_thinking(
    module: Any, upstream: str, asked: Any, expected: Any, lost: tuple[str, ...]
) -> None:
    """A wish to think reaches each vendor in its own words, or is named."""
    assert wrote(module.ADAPTER, upstream, **asked) == (expected, lost)


def test_thoughts_are_shown_again() -> None:
    """Each vendor gets the thoughts of earlier turns under its own name; a blank where it must."""
    bare = {"role": "assistant", "content": "x", "tool_calls": ASKED}
    thought = {**bare, "reasoning_content": "hm"}
    for module, upstream in ((deepseek, "deepseek-v4-pro"), (moonshot, "kimi-k2.6")):
        sent, _ = wrote(module.ADAPTER, upstream, messages=[bare, thought])
        assert [m["reasoning_content"] for m in sent["messages"]] == [" ", "hm"]
    sent, _ = wrote(deepseek.ADAPTER, "deepseek-chat", messages=[bare])
    assert sent["messages"] == [bare]
    for module in (groq, openrouter):
        sent, _ = wrote(module.ADAPTER, messages=[thought])
        assert sent["messages"] == [{**bare, "reasoning": "hm"}]
    sent, _ = wrote(mistral.ADAPTER, messages=[thought])
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "x"},
    ]
    assert sent["messages"] == [{**bare, "content": parts}]
