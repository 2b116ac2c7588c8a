"""Requests written for hosts of the chat wire: what arrives, and what is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.talk.chat import read_request, write_request
from gateway.core.talk.model import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)


def written(talk: Talk, **options: bool) -> tuple[Any, tuple[str, ...]]:
    losses = Losses()
    return json.loads(write_request(talk, losses, **options)), losses.names


def call(key: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_schemas_and_arguments_keep_their_bytes() -> None:
    schema = b'{"type":"object", "properties":{"b":{"type":"number","maximum":1e2},"a":{}}}'
    raw = b'{"messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":'
    raw += b'{"name":"f","arguments":"{\\"b\\": 1.0,\\"a\\":2}"}}]}],"tools":[{"type":"function",'
    raw += b'"function":{"name":"f","parameters":' + schema + b'}}],"response_format":{"type":'
    raw += b'"json_schema","json_schema":{"name":"n","schema":' + schema + b"}}}"
    talk = read_request(JsonBody.parse(raw), Losses())
    again = write_request(talk, Losses())
    assert again.count(schema) == 2
    (message,) = json.loads(again)["messages"]
    assert message["tool_calls"][0]["function"]["arguments"] == '{"b": 1.0,"a":2}'


def test_pictures_in_results_follow_in_a_user_message() -> None:
    picture = Media("image", mime="image/png", data="QUJD")
    result = ToolResult("1", [Text("see"), picture], error=True)
    talk = Talk("messages", messages=[Message("user", [result, Text("and?")])])
    told, lost = written(talk)
    assert [message["role"] for message in told["messages"]] == ["tool", "user"]
    assert told["messages"][0]["content"] == "see"
    kinds = [part["type"] for part in told["messages"][1]["content"]]
    assert kinds == ["text", "image_url", "text"]
    assert lost == ("tool_result.content", "tool_result.is_error")


@pytest.mark.parametrize(
    ("family", "kept"), [("", True), ("chat", True), ("messages", False), ("generate", False)]
)
def test_signatures_go_home_only(family: str, kept: bool) -> None:
    parts = [Thinking("t", "s" if family else "", family=family), Text("a")]
    talk = Talk("messages", messages=[Message("assistant", [*parts])])
    told, lost = written(talk)
    assert (told["messages"][0].get("reasoning_content") == "t") is kept
    signed = [item["signature"] for item in told["messages"][0].get("reasoning_details", ())]
    assert signed == (["s"] if kept and family else [])
    assert lost == (() if kept else ("thinking",))


@pytest.mark.parametrize(
    ("talk", "effort", "lost"),
    [
        (Talk("m"), None, ()),
        (Talk("m", thinking="on", budget=1024), "low", ()),
        (Talk("m", thinking="on", budget=10_000), "medium", ()),
        (Talk("m", thinking="on", budget=32_000), "high", ()),
        (Talk("m", thinking="on"), "medium", ()),
        (Talk("m", thinking="adaptive"), None, ()),
        (Talk("m", thinking="off"), None, ("thinking",)),
        (Talk("m", effort="max", budget=1), "max", ()),
        (Talk("m", top_k=5), None, ("top_k",)),
        (Talk("m", n=2, logprobs=True), None, ("n", "logprobs")),
        (Talk("m", stop=list("abcde")), None, ("stop_sequences",)),
    ],
)
def test_settings(talk: Talk, effort: str | None, lost: tuple[str, ...]) -> None:
    told, names = written(talk)
    assert told.get("reasoning_effort") == effort
    assert names == lost


def test_stream_asks_for_usage() -> None:
    assert written(Talk("m", stream=True))[0]["stream_options"] == {"include_usage": True}


def test_cache_marks_only_where_they_are_taken() -> None:
    talk = Talk("m", messages=[Message("user", [Text("a", cache="1h")])])
    talk.tools = [Tool("f", cache="5m")]
    told, lost = written(talk)
    assert lost == ("cache_control",)
    assert "cache_control" not in json.dumps(told)
    told, lost = written(talk, cache_marks=True)
    assert not lost
    assert told["tools"][0]["cache_control"] == {"type": "ephemeral"}
    assert told["messages"][0]["content"][0]["cache_control"]["ttl"] == "1h"


def test_an_assistants_message() -> None:
    """It holds no media, and what is called without arguments is called with `{}`."""
    parts = [Text("a"), Media("image", url="https://a.example/i"), ToolUse("1", "f")]
    told, lost = written(Talk("m", messages=[Message("assistant", [*parts])]))
    (message,) = told["messages"]
    assert message["content"] == "a"
    assert message["tool_calls"] == [call("1")]
    assert lost == ("content.image",)


def test_refusal_has_a_member_of_its_own() -> None:
    talk = Talk("m", messages=[Message("assistant", [Refusal("no")])])
    told, _ = written(talk)
    assert told["messages"] == [{"role": "assistant", "content": None, "refusal": "no"}]


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
USER_PARTS = st.lists(
    st.builds(Text, WORDS)
    | st.builds(Media, st.just("image"), mime=st.just("image/png"), data=st.just("QUJD"))
    | st.builds(Media, st.just("image"), url=st.just("https://a.example/i"), detail=st.just("low"))
    | st.builds(Media, st.just("document"), file_id=WORDS),
    min_size=1,
    max_size=4,
)
CALLS = st.lists(
    st.builds(ToolUse, WORDS, WORDS, WORDS, st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda part: part.id,
)


@st.composite
def talks(draw: st.DrawFn) -> Talk:
    """Conversations as readers of any dialect make them."""
    messages = [Message("system", [Text(draw(WORDS))])]
    for _ in range(draw(st.integers(0, 3))):
        calls = draw(CALLS)
        results = [ToolResult(c.id, [Text(draw(WORDS))], c.name, custom=c.custom) for c in calls]
        messages.append(Message("user", list(draw(USER_PARTS))))
        messages.append(Message("assistant", [Thinking(draw(WORDS)), Text(draw(WORDS)), *calls]))
        messages.append(Message("user", [*results, *draw(USER_PARTS)]))
        messages.append(Message("assistant", [Text(draw(WORDS))]))
    tools: list[Tool | Foreign] = [
        Tool(
            draw(WORDS), draw(st.none() | WORDS), b'{"b":1, "a":2}', draw(st.none() | st.booleans())
        )
        for _ in range(draw(st.integers(0, 2)))
    ]
    return Talk(
        "chat",
        model="m",
        messages=messages,
        tools=tools,
        choice=ToolChoice("any") if tools else None,
        max_tokens=draw(st.none() | st.integers(1, 9)),
        temperature=draw(st.none() | st.floats(0, 2)),
        stop=draw(st.lists(WORDS, max_size=4)),
        seed=draw(st.none() | st.integers(0, 9)),
        effort=draw(st.sampled_from(["", "none", "low", "max"])),
        format=draw(st.none() | st.builds(Format, st.just("schema"), WORDS, st.just(b'{"a" :1}'))),
        user=draw(st.just("") | WORDS),
        stream=draw(st.booleans()),
    )


@given(talks())
def test_round_trip(talk: Talk) -> None:
    """What is written is read again as it was, with the same bytes and no loss."""
    losses = Losses()
    first = write_request(talk, losses)
    again = read_request(JsonBody.parse(first), losses)
    assert again == talk
    assert write_request(again, losses) == first
    assert not losses.names
