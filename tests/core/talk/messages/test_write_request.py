"""What clients of other dialects mean, said on the Messages wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.core.talk.messages import read_request, traits_of, write_request
from gateway.core.talk.model import (
    Citation,
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Part,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.errors import Fault

NEWEST, MIDDLE, OLDER, OLDEST = (
    "claude-opus-4-7",
    "claude-sonnet-4-6",
    "claude-haiku-4-5-20251001",
    "claude-3-haiku-20240307",
)
TOOL = Tool("f", schema=b'{"type":"object", "z":1, "a":2}')


def written(talk: Talk, **options: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    losses = Losses()
    return json.loads(write_request(talk, losses, **options)), losses.names


def said(*parts: Part, model: str = OLDER, **more: Any) -> Talk:
    return Talk("chat", model=model, messages=[Message("user", list(parts))], **more)


def test_the_plainest_request() -> None:
    body, lost = written(said(Text("hi")))
    assert body == {
        "model": OLDER,
        "max_tokens": 8_192,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    assert lost == ()


def test_the_ceiling_is_the_clients_else_the_callers_else_the_models() -> None:
    assert written(said(Text("hi"), max_tokens=5), max_tokens=77)[0]["max_tokens"] == 5
    assert written(said(Text("hi")), max_tokens=77)[0]["max_tokens"] == 77
    assert written(said(Text("hi"), model=OLDEST))[0]["max_tokens"] == 4_096


def test_turns_alternate_and_results_come_first() -> None:
    talk = Talk(
        "chat",
        model=OLDER,
        messages=[
            Message("system", [Text("one")]),
            Message("system", [Text("two", cache="1h")]),
            Message("user", [Text("q")]),
            Message("assistant", [ToolUse("a", "f", '{"x": 1}'), ToolUse("b", "f", "")]),
            Message("user", [ToolResult("a", [Text("ra")])]),
            Message("system", [Text("later")]),
            Message("user", [Text("and"), ToolResult("b", [Text("rb")], error=True)]),
        ],
    )
    body, lost = written(talk)
    assert body["system"] == [
        {"type": "text", "text": "one"},
        {"type": "text", "text": "two", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ]
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "user"]
    assert [b["input"] for b in body["messages"][1]["content"]] == [{"x": 1}, {}]
    assert body["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "ra"}]},
        {
            "type": "tool_result",
            "tool_use_id": "b",
            "content": [{"type": "text", "text": "rb"}],
            "is_error": True,
        },
        {"type": "text", "text": "later"},
        {"type": "text", "text": "and"},
    ]
    assert lost == ()


def test_json_that_travels_keeps_its_bytes() -> None:
    schema, arguments = b'{"type":"object", "z":1.0e2, "a":2}', '{"b": 1.50,  "a": "\\u00e9"}'
    talk = said(Text("q"), tools=[Tool("f", schema=schema)], format=Format("schema", schema=schema))
    talk.messages.append(Message("assistant", [ToolUse("a", "f", arguments)]))
    raw = write_request(talk, Losses())
    assert raw.count(schema) == 2
    assert arguments.encode() in raw


@pytest.mark.parametrize("arguments", ["[1]", "{", "null", "text", '{"a":1}x'])
def test_arguments_that_are_no_object_are_wrapped(arguments: str) -> None:
    talk = said(Text("q"))
    talk.messages.append(Message("assistant", [ToolUse("a", "f", arguments)]))
    body, lost = written(talk)
    assert body["messages"][1]["content"][0]["input"] == {"arguments": arguments}
    assert lost == ("messages.arguments",)


def test_media() -> None:
    body, lost = written(
        said(
            Media("image", mime="image/png", data="QQ=="),
            Media("image", url="https://x.example/a.png", detail="low"),
            Media("document", mime="application/pdf", data="QQ==", name="a.pdf"),
            Media("document", mime="text/plain", text="words"),
            Media("document", file_id="file_1"),
            Media("audio", mime="audio/wav", data="QQ=="),
            Media("image", mime="image/tiff", data="QQ=="),
        )
    )
    assert body["messages"][0]["content"] == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "QQ=="},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "QQ=="},
            "title": "a.pdf",
        },
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "words"},
        },
        {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
    ]
    assert lost == ("messages.detail", "messages.audio", "messages.image")


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        (NEWEST, "xhigh", {"type": "adaptive", "display": "summarized"}, {"effort": "xhigh"}),
        (MIDDLE, "xhigh", {"type": "adaptive", "display": "summarized"}, {"effort": "max"}),
        (MIDDLE, "minimal", {"type": "adaptive", "display": "summarized"}, {"effort": "low"}),
        (OLDER, "medium", {"type": "enabled", "budget_tokens": 19_200}, None),
        (OLDER, "none", {"type": "disabled"}, None),
        (OLDER, "", None, None),
        (OLDEST, "none", None, None),
    ],
)
def test_effort(model: str, effort: str, thinking: object, config: object) -> None:
    body, lost = written(said(Text("q"), model=model, effort=effort))
    assert body.get("thinking") == thinking
    assert body.get("output_config") == config
    assert lost == ()
    if isinstance(thinking, dict) and "budget_tokens" in thinking:
        assert body["max_tokens"] > thinking["budget_tokens"]


def test_a_model_that_never_thinks_loses_the_effort() -> None:
    body, lost = written(said(Text("q"), model=OLDEST, effort="high"))
    assert "thinking" not in body
    assert lost == ("reasoning_effort",)


@pytest.mark.parametrize(
    ("ceiling", "asked", "budget", "lost"),
    [
        (10_000, None, 6_000, ()),
        (1_025, None, 1_024, ()),
        (1_024, None, None, ("reasoning_effort",)),
        (1, 60_000, None, ("reasoning_effort",)),
        (10_000, 60_000, 9_000, ("thinking.budget_tokens",)),
    ],
)
def test_the_clients_ceiling_holds_what_is_thought_as_well(
    ceiling: int, asked: int | None, budget: int | None, lost: tuple[str, ...]
) -> None:
    """It is never raised: a client could think at the cost of whoever pays the provider."""
    body, names = written(said(Text("q"), effort="high", max_tokens=ceiling, budget=asked))
    assert body.get("thinking", {}).get("budget_tokens") == budget
    assert body["max_tokens"] == ceiling
    assert names == lost


def test_thinking_forbids_sampling_and_forced_tools() -> None:
    talk = said(
        Text("q"),
        effort="low",
        temperature=0.2,
        top_p=0.5,
        top_k=3,
        tools=[TOOL],
        choice=ToolChoice("any"),
        parallel=False,
    )
    body, lost = written(talk)
    assert not {"temperature", "top_p", "top_k"} & body.keys()
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert lost == ("temperature", "top_p", "top_k", "tool_choice")


@pytest.mark.parametrize("signed", [True, False])
def test_a_budget_needs_what_was_thought_while_tools_run(signed: bool) -> None:
    thought = Thinking("t", "sig", family="messages" if signed else "responses")
    talk = said(Text("q"), effort="low", tools=[TOOL])
    talk.messages += [
        Message("assistant", [thought, ToolUse("a", "f", "{}")]),
        Message("user", [ToolResult("a", [Text("r")])]),
    ]
    body, lost = written(talk)
    assert ("thinking" in body) is signed
    kept = [block["type"] for block in body["messages"][1]["content"]]
    assert kept == (["thinking", "tool_use"] if signed else ["tool_use"])
    assert lost == (() if signed else ("messages.reasoning", "reasoning_effort"))


def test_sampling() -> None:
    assert written(said(Text("q"), temperature=1.7, model=MIDDLE)) == (
        written(said(Text("q"), temperature=1, model=MIDDLE))[0],
        ("temperature",),
    )
    both, lost = written(said(Text("q"), temperature=0.5, top_p=0.9))
    assert both["temperature"] == 0.5
    assert lost == ("top_p",)
    newest, lost = written(said(Text("q"), temperature=0.5, model=NEWEST))
    assert "temperature" not in newest
    assert lost == ("temperature",)


def test_what_the_wire_has_no_word_for_is_named() -> None:
    talk = said(
        Text("q"),
        n=2,
        seed=1,
        presence_penalty=0.1,
        frequency_penalty=0.1,
        logit_bias=b'{"1":2}',
        logprobs=True,
        top_logprobs=2,
        metadata=b'{"a":"b"}',
        service_tier="flex",
        verbosity="low",
        cache_key="k",
        stop=["\n", "x"],
        format=Format("json"),
        user="u",
    )
    body, lost = written(talk)
    assert set(lost) == {
        "n", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs",
        "top_logprobs", "metadata", "service_tier", "verbosity", "prompt_cache_key", "stop",
        "response_format",
    }  # fmt: skip
    assert body["stop_sequences"] == ["x"]
    assert body["metadata"] == {"user_id": "u"}


def test_foreign_things_are_lost_by_name() -> None:
    talk = said(Foreign("responses", "computer_call", b"{}"), Text("q", citations=[Citation("u")]))
    talk.tools = [Foreign("responses", "web_search", b"{}"), Tool("g", custom=True)]
    body, lost = written(talk)
    assert lost == ("messages.computer_call", "messages.annotations", "tools[0]")
    assert body["tools"][0]["input_schema"]["required"] == ["input"]


def test_unknown_members_go_through() -> None:
    raw = b'{"model":"m","max_tokens":1,"messages":[],"context_management":{"b":1, "a":2}}'
    talk = read_request(JsonBody.parse(raw), Losses())
    assert b'"context_management":{"b":1, "a":2}' in write_request(talk, Losses())


def test_what_only_this_dialect_says_is_lost_elsewhere_and_kept_here() -> None:
    raw = json.dumps(
        {
            "model": "m",
            "max_tokens": 1,
            "tools": [{"name": "f", "input_schema": {}, "defer_loading": True}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a", "odd": 1, "citations": None}],
                }
            ],
        }
    ).encode()
    losses = Losses()
    talk = read_request(JsonBody.parse(raw), losses)
    assert losses.names == ("messages[0].content[0].odd", "tools[0].defer_loading")
    assert json.loads(write_request(talk, losses)) == json.loads(raw)
    assert losses.names == ()


@pytest.mark.parametrize(
    ("name", "thinks", "sampling"),
    [
        ("claude-opus-4-7", "adaptive", False),
        ("us.anthropic.claude-opus-4-8-v1:0", "adaptive", False),
        ("claude-opus-4-6", "adaptive", True),
        ("claude-sonnet-4-5-20250929", "budget", True),
        ("claude-sonnet-4-20250514", "budget", True),
        ("claude-opus-4@20250514", "budget", True),
        ("claude-3-7-sonnet-latest", "budget", True),
        ("claude-3-5-sonnet-20241022", "never", True),
        ("anthropic.claude-3-haiku-20240307-v1:0", "never", True),
        ("something-new", "adaptive", True),
    ],
)
def test_traits(name: str, thinks: str, sampling: bool) -> None:
    traits = traits_of(name)
    assert (traits.thinks, traits.sampling) == (thinks, sampling)


def test_schemas_lose_the_words_that_the_wire_refuses() -> None:
    schema = {
        "type": "object",
        "properties": {
            "pattern": {"type": "string", "pattern": "a", "format": "odd"},
            "when": {"type": "string", "format": "date"},
            "one": {"oneOf": [{"type": "integer", "minimum": 1}, {"enum": [{"minimum": 1}]}]},
        },
    }
    talk = said(Text("q"), format=Format("schema", schema=json.dumps(schema).encode()))
    body, lost = written(talk)
    assert body["output_config"]["format"]["schema"]["properties"] == {
        "pattern": {"type": "string"},
        "when": {"type": "string", "format": "date"},
        "one": {"anyOf": [{"type": "integer"}, {"enum": [{"minimum": 1}]}]},
    }
    words = ("pattern", "format", "oneOf", "minimum")
    assert lost == tuple(f"response_format.schema.{word}" for word in words)


@pytest.mark.parametrize(
    "more",
    [
        {"system": 5},
        {"tools": {}},
        {"messages": "x"},
        {"messages": [{"role": "tool", "content": ""}]},
        {"messages": [5]},
        {"messages": [{"role": "user", "content": {}}]},
        {"max_tokens": "5"},
        {"max_tokens": True},
        {"temperature": []},
        {"stop_sequences": "x"},
        {"stop_sequences": [1]},
    ],
)
def test_requests_that_cannot_be_read_are_refused(more: dict[str, Any]) -> None:
    raw = json.dumps({"model": "m", "messages": []} | more).encode()
    with pytest.raises(Fault) as caught:
        read_request(JsonBody.parse(raw), Losses())
    assert caught.value.kind.status == 400
    assert caught.value.param is not None


@pytest.mark.parametrize(
    ("more", "lost"),
    [
        ({"thinking": {"type": "auto"}}, ("thinking",)),
        ({"tool_choice": {"type": "some"}}, ("tool_choice",)),
        ({"output_config": {"effort": "low", "odd": 1}}, ("output_config.odd",)),
        ({"output_format": {"type": "grammar"}}, ("output_format",)),
    ],
)
def test_what_the_form_cannot_hold_is_named(more: dict[str, Any], lost: tuple[str, ...]) -> None:
    raw = json.dumps({"model": "m", "messages": []} | more).encode()
    losses = Losses()
    read_request(JsonBody.parse(raw), losses)
    assert losses.names == lost


def test_ids_of_calls_are_in_the_letters_that_the_wire_takes() -> None:
    talk = said(Text("q"))
    talk.messages += [
        Message("assistant", [ToolUse("functions.f:0", "f", "{}")]),
        Message("user", [ToolResult("functions.f:0", [Text("r")])]),
    ]
    body, lost = written(talk)
    assert body["messages"][1]["content"][0]["id"] == "functions_f_0"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "functions_f_0"
    assert lost == ()
