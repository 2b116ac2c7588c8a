"""Requests on the chat wire: read into turns, written for hosts, and what is lost on the way."""

from __future__ import annotations

import contextlib
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
    Talk,
    Text,
    Thinking,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.errors import INVALID_REQUEST, Fault


def read(**members: Any) -> tuple[Talk, tuple[str, ...]]:
    losses = Losses()
    members = {"messages": []} | members
    talk = read_request(JsonBody.parse(json.dumps(members).encode()), losses)
    return talk, losses.names


def turns(*messages: Any) -> list[Message]:
    return read(messages=list(messages))[0].messages


def written(talk: Talk, **options: bool) -> tuple[Any, tuple[str, ...]]:
    losses = Losses()
    return json.loads(write_request(talk, losses, **options)), losses.names


def call(key: str, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    return {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_turns() -> None:
    """Roles are three, results come first in the user's turn, one role's neighbours are one."""
    assert turns(
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        {"role": "assistant", "content": None, "tool_calls": [call("1"), call("2", "g")]},
        {"role": "user", "content": "c"},
        {"role": "tool", "tool_call_id": "1", "content": "x"},
        {"role": "tool", "tool_call_id": "2", "content": [{"type": "text", "text": "y"}]},
        {"role": "user", "content": "d"},
    ) == [
        Message("system", [Text("a"), Text("b")]),
        Message("assistant", [ToolUse("1", "f", "{}"), ToolUse("2", "g", "{}")]),
        Message(
            "user",
            [
                ToolResult("1", [Text("x")], "f"),
                ToolResult("2", [Text("y")], "g"),
                Text("c"),
                Text("d"),
            ],
        ),
    ]


def test_deprecated_calls_get_ids() -> None:
    assert turns(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "x"},
    ) == [
        Message("assistant", [ToolUse("call_1", "f", "{}")]),
        Message("user", [ToolResult("call_1", [Text("x")], "f")]),
    ]


PARTS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "text", "text": "a"}, Text("a")),
    (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        Text("a", cache="5m"),
    ),
    (
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        Text("a", cache="1h"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
        Media("image", mime="image/png", data="QUJD", detail="low"),
    ),
    (
        {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
        Media("image", url="https://a.example/b.png"),
    ),
    (
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        Media("audio", mime="audio/mpeg", data="QUJD"),
    ),
    (
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
        },
        Media("document", mime="application/pdf", data="QUJD", name="a.pdf"),
    ),
    ({"type": "file", "file": {"file_id": "file-1"}}, Media("document", file_id="file-1")),
    (
        {"type": "video_url", "video_url": {"url": "https://a.example/v"}},
        Media("video", url="https://a.example/v"),
    ),
]


@pytest.mark.parametrize(("part", "expected"), PARTS)
def test_parts_both_ways(part: dict[str, Any], expected: Any) -> None:
    content = [{"type": "text", "text": "x"}, part]
    talk, lost = read(messages=[{"role": "user", "content": content}])
    assert talk.messages[0].parts == [Text("x"), expected]
    told, also_lost = written(talk, cache_marks=True)
    assert told["messages"][0]["content"] == content
    assert not lost
    assert not also_lost


def test_unknown_parts_and_tools_stay_verbatim() -> None:
    raw = b'{"messages":[{"role":"user","content":[{"type":"new","b":1,  "a":2}]}],'
    raw += b'"tools":[{"type":"special","b":1,  "a":2}],"provider":{"x":  1}}'
    talk = read_request(JsonBody.parse(raw), Losses())
    assert talk.messages[0].parts == [Foreign("chat", "new", b'{"type":"new","b":1,  "a":2}')]
    assert talk.tools == [Foreign("chat", "special", b'{"type":"special","b":1,  "a":2}')]
    assert talk.extra == {"provider": b'{"x":  1}'}
    again = write_request(talk, Losses())
    for kept in (
        b'{"type":"new","b":1,  "a":2}',
        b'{"type":"special","b":1,  "a":2}',
        b'{"x":  1}',
    ):
        assert kept in again


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning_content": "t"},
        {"reasoning": "t"},
        {"thinking": "t"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "t"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "t"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]},
    ],
)
def test_thoughts_in_every_spelling(said: dict[str, Any]) -> None:
    assert turns({"role": "assistant", **said})[0].parts == [Thinking("t")]


def test_signed_blocks_are_of_their_family() -> None:
    blocks = [{"type": "thinking", "thinking": "t", "signature": "s"}]
    (message,) = turns({"role": "assistant", "content": "a", "thinking_blocks": blocks})
    assert message.parts == [Thinking("t", "s", family="messages"), Text("a")]


@pytest.mark.parametrize(
    ("given", "choice", "lost"),
    [
        ("auto", ToolChoice("auto"), ()),
        ("none", ToolChoice("none"), ()),
        ("required", ToolChoice("any"), ()),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", "f"), ()),
        ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("tool", "f"), ()),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ToolChoice("tool", "f"),
            (),
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
            ToolChoice("auto"),
            ("tool_choice.allowed_tools",),
        ),
        ("sometimes", None, ("tool_choice",)),
    ],
)
def test_tool_choice(given: Any, choice: ToolChoice | None, lost: tuple[str, ...]) -> None:
    talk, names = read(tool_choice=given)
    assert (talk.choice, names) == (choice, lost)


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"reasoning_effort": "low"}, {"effort": "low"}),
        ({"reasoning": {"effort": "high"}}, {"effort": "high"}),
        ({"reasoning": {"max_tokens": 5}}, {"budget": 5, "thinking": "on"}),
        ({"reasoning": {"enabled": False}}, {"thinking": "off"}),
        ({"thinking": {"type": "disabled"}}, {"thinking": "off"}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": "adaptive"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            {"thinking": "on", "budget": 9},
        ),
        ({"max_tokens": 1, "max_completion_tokens": 2}, {"max_tokens": 2}),
        ({"max_completion_tokens": 2, "max_tokens": 1}, {"max_tokens": 2}),
        ({"max_tokens": 1, "max_completion_tokens": None}, {"max_tokens": 1}),
        ({"stop": "a"}, {"stop": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
        ({"user": "u"}, {"user": "u"}),
        ({"safety_identifier": "u"}, {"user": "u"}),
        ({"response_format": {"type": "json_object"}}, {"format": Format("json")}),
        ({"response_format": {"type": "text"}}, {"format": None}),
        ({"parallel_tool_calls": False}, {"parallel": False}),
        ({"modalities": ["text"]}, {}),
        ({"store": False, "prediction": None, "web_search_options": {}}, {}),
    ],
)
def test_members(members: dict[str, Any], expected: dict[str, Any]) -> None:
    talk, lost = read(**members)
    assert {name: getattr(talk, name) for name in expected} == expected
    assert not lost
    assert not talk.extra


@pytest.mark.parametrize(
    "members",
    [
        {"prediction": {"type": "content", "content": "a"}},
        {"web_search_options": {"search_context_size": "low"}},
        {"audio": {"voice": "v", "format": "wav"}},
        {"modalities": ["text", "audio"]},
        {"moderation": {"model": "m"}},
        {"store": True},
        {"prompt_cache_retention": "24h"},
        {"prompt_cache_options": {"mode": "explicit"}},
    ],
)
def test_losses_have_the_clients_names(members: dict[str, Any]) -> None:
    assert read(**members)[1] == tuple(members)


def test_deeper_losses() -> None:
    assert read(reasoning={"exclude": True})[1] == ("reasoning.exclude",)
    assert read(thinking={"type": "enabled", "keep": "all"})[1] == ("thinking.keep",)
    assert read(user="a", safety_identifier="b")[1] == ("user",)
    message = {"role": "assistant", "content": "a", "prefix": True}
    assert read(messages=[message])[1] == ("messages[0].prefix",)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"messages": "hi"}, "messages"),
        ({"messages": [5]}, "messages[0]"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "king", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages[0].content[0].text",
        ),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": [5]}]}, "messages[0].tool_calls"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": 5}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"response_format": "json"}, "response_format"),
        ({"reasoning": "low"}, "reasoning"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
        ({"user": 5}, "user"),
    ],
)
def test_refusals_name_the_field(members: dict[str, Any], param: str) -> None:
    with pytest.raises(Fault) as caught:
        read(**members)
    assert caught.value.kind is INVALID_REQUEST
    assert caught.value.param == param


def test_messages_are_required() -> None:
    with pytest.raises(Fault) as caught:
        read_request(JsonBody.parse(b"{}"), Losses())
    assert caught.value.param == "messages"


KEYS = (
    *("type", "text", "role", "content", "function", "name", "arguments", "id", "tool_calls"),
    *("thinking", "url", "image_url", "file", "file_data", "custom", "format", "reasoning_details"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MEMBERS = (
    *("messages", "tools", "functions", "tool_choice", "function_call", "stop", "user", "n"),
    *("response_format", "modalities", "reasoning", "thinking", "metadata", "stream_options"),
    *("max_tokens", "temperature", "logit_bias"),
)


@given(st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4), st.lists(JSON, max_size=3))
def test_hostile_requests(members: dict[str, Any], messages: list[Any]) -> None:
    """Any JSON is read or refused as the client's fault; what is read can be written."""
    raw = json.dumps({"messages": messages} | members).encode()
    talk = read_or_refused(JsonBody.parse(raw))
    if talk is not None:
        json.loads(write_request(talk, Losses()))


def read_or_refused(body: JsonBody) -> Talk | None:
    with contextlib.suppress(Fault):
        return read_request(body, Losses())
    with pytest.raises(Fault) as caught:
        read_request(body, Losses())
    assert caught.value.kind is INVALID_REQUEST
    return None
