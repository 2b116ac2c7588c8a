"""How much a model is told to think, in each family's own words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sdk.talk import Talk, Text, Thinking, ToolChoice, ToolResult, ToolUse
from tests.adapters.bedrock.asking import GPT, LLAMA, NEWEST, NOVA2, OLDER, SIX, TOOL, said, turn

FIELDS = "additionalModelRequestFields"
SUMMARIZED = {"type": "adaptive", "display": "summarized"}


@pytest.mark.parametrize(
    ("talk", "upstream", "expected", "lost"),
    [
        (Talk("chat", effort="high"), NEWEST,
         {"thinking": SUMMARIZED, "output_config": {"effort": "high"}}, ()),
        (Talk("chat", effort="xhigh"), NEWEST,
         {"thinking": SUMMARIZED, "output_config": {"effort": "xhigh"}}, ()),
        (Talk("chat", effort="xhigh"), SIX,
         {"thinking": SUMMARIZED, "output_config": {"effort": "max"}}, ("reasoning_effort",)),
        (Talk("chat", effort="none"), SIX, {"thinking": {"type": "disabled"}}, ()),
        (Talk("chat", effort="low"), OLDER,
         {"thinking": {"type": "enabled", "budget_tokens": 6400}}, ()),
        (Talk("messages", effort="low"), SIX, {"output_config": {"effort": "low"}}, ()),
        (Talk("messages", effort="low"), OLDER, {}, ("output_config.effort",)),
        (Talk("messages", thinking="on", budget=2000, max_tokens=9000), OLDER,
         {"thinking": {"type": "enabled", "budget_tokens": 2000}}, ()),
        (Talk("messages", thinking="on", budget=2000), NEWEST,
         {"thinking": {"type": "adaptive"}}, ("thinking.budget_tokens",)),
        (Talk("messages", thinking="adaptive", summary="omitted"), NEWEST,
         {"thinking": {"type": "adaptive", "display": "omitted"}}, ()),
        (Talk("messages", thinking="adaptive", summary="omitted", max_tokens=10_000), OLDER,
         {"thinking": {"type": "enabled", "budget_tokens": 3000, "display": "omitted"}},
         ("thinking",)),
        (Talk("messages", thinking="on", summary="omitted"), GPT, {}, ("thinking.display",)),
        (Talk("messages", thinking="off"), OLDER, {"thinking": {"type": "disabled"}}, ()),
        (Talk("chat", effort="minimal"), GPT, {"reasoning_effort": "low"}, ("reasoning_effort",)),
        (Talk("chat", effort="medium"), GPT, {"reasoning_effort": "medium"}, ()),
        (Talk("chat", effort="none"), GPT, {}, ("reasoning_effort",)),
        (Talk("responses", effort="medium"), NOVA2,
         {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, ()),
        (Talk("responses", effort="low", summary="detailed"), SIX,
         {"thinking": SUMMARIZED, "output_config": {"effort": "low"}}, ("reasoning.summary",)),
        (Talk("responses", effort="low", summary="auto"), GPT, {"reasoning_effort": "low"}, ()),
        (Talk("chat", effort="none"), NOVA2, {"reasoningConfig": {"type": "disabled"}}, ()),
        (Talk("chat", effort="high"), LLAMA, {}, ("reasoning_effort",)),
        (Talk("chat", effort="none"), LLAMA, {}, ()),
        (Talk("chat", effort="high", choice=ToolChoice("any"), tools=[TOOL]), SIX, {},
         ("reasoning_effort",)),
    ],
)  # fmt: skip
def test_thinking(talk: Talk, upstream: str, expected: dict[str, Any], lost: Any) -> None:
    body, names = said(talk, upstream)
    assert body.get(FIELDS, {}) == expected
    assert names == lost


def test_thinking_takes_the_sampling_and_leaves_the_ceiling_as_it_is() -> None:
    talk = Talk("chat", effort="low", max_tokens=1025, temperature=0.1, top_k=3)
    body, lost = said(talk)
    assert body["inferenceConfig"] == {"maxTokens": 1025}
    assert body[FIELDS] == {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    assert set(lost) == {"temperature", "top_k"}
    body, lost = said(Talk("chat", effort="low", max_tokens=1024))
    assert body["inferenceConfig"] == {"maxTokens": 1024}
    assert FIELDS not in body
    assert lost == ("reasoning_effort",)
    body, lost = said(Talk("chat", effort="high", max_tokens=10, temperature=0.1), NOVA2)
    assert body["inferenceConfig"] == {"maxTokens": 10, "temperature": 0.1}
    assert body[FIELDS]["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert lost == ("reasoning_effort",)
    body, lost = said(Talk("chat", effort="high", temperature=0.1), NOVA2)
    assert "inferenceConfig" not in body
    assert lost == ("temperature",)


def test_the_ceiling_can_not_be_said_twice() -> None:
    """Money is set aside for the client's own; the model's own fields can't raise it."""
    extra = {
        "additionalModelRequestFields": b'{"max_tokens":9000,"k":1}',
        "inferenceConfig": b'{"maxTokens":9000,"topP":0.5}',
        "max_gen_len": b"9000",
    }
    body, lost = said(Talk("chat", max_tokens=5, extra=extra), NOVA2)
    assert body["inferenceConfig"] == {"maxTokens": 5}
    assert body[FIELDS] == {"k": 1, "inferenceConfig": {"topP": 0.5}}
    assert set(lost) == {"max_completion_tokens", "max_gen_len", "inferenceConfig.maxTokens"}


def test_an_open_tool_loop_without_its_thoughts_is_not_thought_about() -> None:
    messages = [
        turn(Text("q")),
        turn(ToolUse("i", "f", "{}"), role="assistant"),
        turn(ToolResult("i", [Text("r")])),
    ]
    body, lost = said(Talk("chat", messages=messages, tools=[TOOL], effort="high"))
    assert FIELDS not in body
    assert lost == ("reasoning_effort",)
    signed = Thinking("t", signature="s", family="messages")
    messages[1].parts.insert(0, signed)
    body, lost = said(Talk("chat", messages=messages, tools=[TOOL], effort="high"))
    assert FIELDS in body
    assert lost == ()
