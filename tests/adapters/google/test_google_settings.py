"""Settings, tools and thinking on this wire, and what is named as lost."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk.talk import Foreign, Format, Message, Text, Tool, ToolChoice
from tests.adapters.google.asking import sent, talk, written


def test_settings() -> None:
    """Each by its own name; false and zero are said too."""
    body, lost = written(
        talk(
            max_tokens=5,
            temperature=0.0,
            top_p=0.5,
            top_k=3,
            stop=["a", "b"],
            seed=0,
            n=1,
            presence_penalty=-1.0,
            frequency_penalty=0.0,
            format=Format("json"),
            service_tier="flex",
            logprobs=False,
        )
    )
    assert body["generationConfig"] == {
        "maxOutputTokens": 5,
        "temperature": 0.0,
        "topP": 0.5,
        "topK": 3,
        "stopSequences": ["a", "b"],
        "seed": 0,
        "presencePenalty": -1.0,
        "frequencyPenalty": 0.0,
        "responseMimeType": "application/json",
    }
    assert body["serviceTier"] == "flex"
    assert lost == ()


def test_what_has_no_word_here_is_named() -> None:
    """By the client's own names."""
    _, lost = written(
        talk(
            Message("user", [Text("x", cache="5m")], name="ann"),
            Message("assistant", [Foreign("messages", "server_tool_use", b"{}")]),
            n=2,
            logit_bias=b'{"1":2}',
            logprobs=True,
            top_logprobs=3,
            user="u",
            metadata=b'{"a":"b"}',
            verbosity="low",
            cache_key="k",
            parallel=False,
            service_tier="scale",
            tools=[
                Tool("f", cache="1h"),
                Tool("g", custom=True),
                Foreign("chat", "web_search", b'{"type":"web_search"}'),
            ],
            extra={"store": b"true", "contents": b"[]", "audio": b"null"},
        )
    )
    assert set(lost) == {
        "name", "cache_control", "server_tool_use", "n", "logit_bias", "logprobs", "top_logprobs",
        "user", "metadata", "verbosity", "prompt_cache_key", "parallel_tool_calls", "service_tier",
        "tools.custom", "tools.web_search", "store", "contents",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "strict", "config"),
    [
        (None, None, None),
        (None, True, {"mode": "VALIDATED"}),
        (ToolChoice("auto"), None, {"mode": "AUTO"}),
        (ToolChoice("none"), True, {"mode": "NONE"}),
        (ToolChoice("any"), None, {"mode": "ANY"}),
        (ToolChoice("tool", "f"), None, {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_choice_of_tools(choice: ToolChoice | None, strict: bool | None, config: Any) -> None:
    """Modes, and a forced one by its name."""
    body, _ = written(talk(tools=[Tool("f", "does", strict=strict)], choice=choice))
    assert body["tools"] == [{"functionDeclarations": [{"name": "f", "description": "does"}]}]
    assert body.get("toolConfig") == (config and {"functionCallingConfig": config})


def test_tools_of_the_providers_own() -> None:
    """In either spelling, with their settings as they came; a choice among none is lost."""
    body, lost = written(
        talk(
            tools=[
                Foreign("chat", "", b'{"googleSearch":{"timeRangeFilter":{}}}'),
                Foreign("chat", "url_context", b'{"type":"url_context"}'),
                Foreign("responses", "google_maps", b'{"type":"google_maps","enableWidget":true}'),
                Foreign("chat", "code_execution", b'{"type":"code_execution","code_execution":{}}'),
                Foreign("chat", "file_search", b'{"type":"file_search","vector_store_ids":[]}'),
                Foreign("chat", "", b'{"googleSearch":{},"evil":1}'),
                Foreign("chat", "", b"[]"),
                Foreign("chat", "x", b'{"type":[]}'),
            ],
            choice=ToolChoice("any"),
        )
    )
    assert body["tools"] == [
        {"googleSearch": {"timeRangeFilter": {}}},
        {"url_context": {}},
        {"google_maps": {"enableWidget": True}},
        {"code_execution": {}},
    ]
    assert set(lost) == {"tools.file_search", "tools", "tools.x", "tool_choice"}


@pytest.mark.parametrize(
    ("model", "asked", "config", "lost"),
    [
        ("gemini-2.5-flash", {}, None, ()),
        ("gemini-2.5-flash", {"effort": "none"}, {"thinkingBudget": 0}, ()),
        ("gemini-2.5-flash", {"thinking": "off"}, {"thinkingBudget": 0}, ()),
        ("gemini-2.5-pro", {"effort": "none"}, {"thinkingBudget": 128}, ("reasoning_effort",)),
        ("gemini-2.5-flash", {"effort": "low"}, (1024,), ()),
        ("gemini-2.5-flash", {"effort": "medium"}, (8192,), ()),
        ("gemini-2.5-flash", {"effort": "max"}, (24576,), ()),
        ("gemini-2.5-pro", {"effort": "xhigh"}, (32768,), ()),
        ("gemini-2.5-flash", {"thinking": "on", "budget": 2000}, (2000,), ()),
        ("gemini-2.5-flash", {"thinking": "on", "budget": 99999}, (24576,), ("budget_tokens",)),
        ("gemini-2.5-flash-lite", {"budget": 100}, (512,), ("budget_tokens",)),
        ("gemini-2.5-flash", {"thinking": "adaptive"}, (-1,), ()),
        ("gemini-2.5-flash", {"summary": "auto"}, {"includeThoughts": True}, ()),
        ("gemini-2.5-flash", {"summary": "omitted", "effort": "low"}, {"thinkingBudget": 1024}, ()),
        ("gemini-3-flash-preview", {"effort": "minimal"}, ("MINIMAL",), ()),
        ("gemini-3-pro-preview", {"effort": "minimal"}, ("LOW",), ()),
        ("gemini-3-pro-preview", {"effort": "medium"}, ("HIGH",), ()),
        ("gemini-3.1-pro-preview", {"effort": "medium"}, ("MEDIUM",), ()),
        ("gemini-3-flash", {"effort": "none"}, {"thinkingLevel": "MINIMAL"}, ("reasoning_effort",)),
        ("gemini-3-flash", {"thinking": "off"}, {"thinkingLevel": "MINIMAL"}, ("thinking",)),
        ("gemini-3-flash", {"thinking": "on", "budget": 9000}, ("MEDIUM",), ("budget_tokens",)),
        ("gemini-3-flash", {"thinking": "adaptive"}, {"includeThoughts": True}, ()),
        ("gemini-2.0-flash", {"effort": "high"}, None, ("reasoning_effort",)),
        ("gemini-2.0-flash", {"effort": "none"}, None, ()),
        ("gemini-2.5-flash-image", {"effort": "low"}, None, ("reasoning_effort",)),
    ],
)
def test_thinking(model: str, asked: dict[str, Any], config: Any, lost: tuple[str, ...]) -> None:
    """A budget for models of the second generation, a level for those after."""
    body, named = written(talk(model=model, **asked))
    if isinstance(config, tuple):
        name = "thinkingLevel" if isinstance(config[0], str) else "thinkingBudget"
        config = {"includeThoughts": True, name: config[0]}
    assert body.get("generationConfig", {}).get("thinkingConfig") == config
    assert named == lost


def test_members_that_go_through() -> None:
    """The provider's own members, in either spelling; inside ours, the client's word wins."""
    body, lost = written(
        talk(
            max_tokens=5,
            effort="low",
            tools=[Tool("f")],
            choice=ToolChoice("any"),
            extra={
                "safety_settings": b'[{"category":"c","threshold":"t"}]',
                "cachedContent": b'"cachedContents/x"',
                "labels": b'{"a":"b"}',
                "modalities": b'["text","image"]',
                "generationConfig": b'{"maxOutputTokens":9,"candidateCount":8,'
                b'"imageConfig":{"aspectRatio":"1:1"},'
                b'"thinkingConfig":{"thinkingBudget":7}}',
                "toolConfig": b'{"functionCallingConfig":{"streamFunctionCallArguments":true}}',
            },
        )
    )
    assert body["safetySettings"] == [{"category": "c", "threshold": "t"}]
    assert body["cachedContent"] == "cachedContents/x"
    assert body["labels"] == {"a": "b"}
    assert body["generationConfig"] == {
        "maxOutputTokens": 5,  # money is set aside for the client's own ceiling, and one answer
        "responseModalities": ["TEXT", "IMAGE"],
        "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 7},
        "imageConfig": {"aspectRatio": "1:1"},
    }
    assert body["toolConfig"] == {
        "functionCallingConfig": {"mode": "ANY", "streamFunctionCallArguments": True}
    }
    assert lost == ("generationConfig.maxOutputTokens", "generationConfig.candidateCount")


@pytest.mark.parametrize(
    "extra",
    [{"generationConfig": b"[]"}, {"toolConfig": b"7"}, {"modalities": b'"text"'}],
)
def test_members_of_the_wrong_type_are_refused(extra: dict[str, bytes]) -> None:
    """They would have to be added to."""
    with pytest.raises(Fault) as caught:
        sent(talk(extra=extra))
    assert caught.value.param == next(iter(extra))
