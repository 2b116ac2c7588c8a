"""Cohere's wire: what is written, what is lost, and what hostile bytes come to."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.sdk import Call, Credential, JsonBody
from gateway.sdk.talk import (
    Broke,
    Cited,
    Ended,
    Event,
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Stopped,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Used,
)
from providers_plugins.cohere import ADAPTER, WIRE
from providers_plugins.cohere_answers import ChatReader, read_answer, usage_of

KEY = Credential("main", {"api_key": "sk-secret"})
PICTURE = Media("image", mime="image/png", data="QQ==", detail="low")
SCHEMA = b'{"b":1.0,"a":2e1}'


def call(stream: bool = False) -> Call:
    return Call("chat", "command-x", "https://c.example", JsonBody.parse(b"{}"), stream)


def wrote(talk: Talk, stream: bool = False) -> tuple[bytes, dict[str, Any], tuple[str, ...]]:
    losses = Losses()
    built = WIRE.build(call(stream), KEY, talk, losses)
    assert built.url == "https://c.example/v2/chat"
    assert ("Authorization", "Bearer sk-secret") in built.headers
    return built.body, json.loads(built.body), losses.names


def test_a_conversation() -> None:
    """Turns, calls and results in their order; arguments and schemas keep their bytes."""
    talk = Talk(
        "chat",
        messages=[
            Message("system", [Text("be brief")]),
            Message("user", [Text("look"), PICTURE]),
            Message("assistant", [Thinking("hm"), Text("ok"), ToolUse("c1", "f", '{"a": 1}')]),
            Message("user", [ToolResult("c1", [Text("42")]), Text("and?")]),
        ],
        tools=[Tool("f", "does", SCHEMA)],
        extra={"safety_mode": b'"OFF"'},
    )  # fmt: skip
    raw, told, lost = wrote(talk, stream=True)
    assert told["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "be brief"}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}],
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
        {"role": "user", "content": [{"type": "text", "text": "and?"}]},
    ]
    assert SCHEMA in raw
    assert (told["stream"], told["model"], told["safety_mode"]) == (True, "command-x", "OFF")
    assert lost == ()


@pytest.mark.parametrize(
    ("members", "expected", "lost"),
    [
        ({"temperature": 1.5}, {"temperature": 1.0}, ("temperature",)),
        ({"top_p": 1.0, "top_k": 5, "seed": 3}, {"p": 0.99, "k": 5, "seed": 3}, ()),
        ({"stop": list("abcdef")}, {"stop_sequences": list("abcde")}, ("stop[5]",)),
        ({"effort": "none"}, {"thinking": {"type": "disabled"}}, ()),
        ({"effort": "high"}, {"thinking": {"type": "enabled"}}, ("reasoning_effort",)),
        (
            {"thinking": "on", "budget": 9},
            {"thinking": {"type": "enabled", "token_budget": 9}},
            (),
        ),
        ({"format": Format("json")}, {"response_format": {"type": "json_object"}}, ()),
        (
            {"format": Format("schema", "n", SCHEMA)},
            {"response_format": {"type": "json_object", "json_schema": json.loads(SCHEMA)}},
            (),
        ),
        ({"n": 1}, {}, ()),
        ({"n": 2, "user": "u", "parallel": False}, {}, ("n", "parallel_tool_calls", "user")),
        ({"choice": ToolChoice("any")}, {}, ("tool_choice",)),
        ({"tools": [Foreign("x", "y", b"{}")]}, {}, ("tools[0]",)),
    ],
)
def test_members(members: Any, expected: Any, lost: tuple[str, ...]) -> None:
    """Each is said, brought into range, or named."""
    _, told, named = wrote(Talk("chat", **members))
    assert told == {"model": "command-x", "messages": [], **expected}
    assert named == lost


@pytest.mark.parametrize(
    ("mode", "expected", "lost"),
    [
        ("auto", None, ()),
        ("none", "NONE", ()),
        ("any", "REQUIRED", ()),
        ("tool", "REQUIRED", ("tool_choice.function",)),
    ],
)
def test_choices_of_tools(mode: Any, expected: str | None, lost: tuple[str, ...]) -> None:
    """One of several can't be forced by name."""
    talk = Talk("chat", tools=[Tool("f"), Tool("g")], choice=ToolChoice(mode, "f"))
    _, told, named = wrote(talk)
    assert (told.get("tool_choice"), named) == (expected, lost)


def test_what_belongs_to_others_is_named() -> None:
    """Sealed thoughts, recordings, and marks on messages."""
    talk = Talk(
        "chat",
        messages=[
            Message("assistant", [Thinking("hm", "sig", family="messages"), Text("x")]),
            Message("user", [Media("audio", data="QQ=="), Text("y")], name="bob"),
        ],
    )
    _, told, lost = wrote(talk)
    assert [m["content"] for m in told["messages"]] == [
        [{"type": "text", "text": "x"}],
        [{"type": "text", "text": "y"}],
    ]
    assert lost == ("messages[0].content[0]", "messages[1].content[0]", "messages[1].name")


def embed(**members: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    body = JsonBody.parse(json.dumps({"model": "m", **members}).encode())
    asked = Call("embeddings", "embed-x", "https://c.example", body)
    built = ADAPTER.operations["embeddings"].build(asked, KEY)
    assert built.url == "https://c.example/v2/embed"
    return json.loads(built.body), built.adapted


def test_embeddings_are_asked_for() -> None:
    """A text or a list of them; what no one knows goes through; tokens are refused."""
    asked, lost = embed(input="a", dimensions=256, user="u", truncate="END")
    assert asked == {
        "model": "embed-x",
        "texts": ["a"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 256,
        "truncate": "END",
    }
    assert lost == ("user",)
    assert embed(input=["a"], encoding_format="base64")[0]["embedding_types"] == ["base64"]
    assert embed(input=["a"], input_type="classification")[0]["input_type"] == "classification"
    assert embed(input=["a"] * 97)[0]["texts"] == ["a"] * 96  # one follows in another request
    for bad in ([1, 2], [[1]], None, ["a", 1] * 97):
        with pytest.raises(Fault) as caught:
            embed(input=bad)
        assert caught.value.kind.status == 400


def event(kind: str, **more: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())


END = event("message-end", delta={"finish_reason": "COMPLETE", "usage": {"tokens": {}}})


def played(raw: bytes) -> list[Event]:
    reader = ChatReader(call(True))
    return [*reader.feed(raw), *reader.finish()]


@pytest.mark.parametrize(
    "bad",
    [
        event("message-end", delta={"finish_reason": "ERROR", "error": "boom"}),
        event("message-end", delta={"finish_reason": "TIMEOUT"}),
        b'data: {"message":"internal server error"}\n\n',
        b"data: " + b"x" * (2 << 20) + b"\n\n",
    ],
)
def test_streams_that_break(bad: bytes) -> None:
    """A failure is the last event, and no end follows it."""
    events = played(event("message-start", id="i") + bad + END)
    assert isinstance(events[-1], Broke)
    assert not any(isinstance(one, Ended | Stopped | Used) for one in events)


def test_too_many_parts() -> None:
    """What a stream may open is bounded."""
    start = b"".join(event("tool-call-start", index=at, delta={}) for at in range(2000))
    events = played(start + END)
    assert isinstance(events[-1], Broke)
    assert len(events) < 1100


@pytest.mark.parametrize("figure", [-1, 1.5, "7", True, [], 1 << 60, 1e300])
def test_impossible_figures(figure: Any) -> None:
    """A figure that is no count is a problem, and never an error."""
    for where in ("billed_units", "tokens"):
        usage = usage_of(json.dumps({where: {"input_tokens": figure}}).encode())
        assert usage is not None
        assert usage.problem
        assert usage.input == 0


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b'{"message":"no"}', b'{"message":[]}']
)
def test_hostile_answers(body: bytes) -> None:
    """What is no answer is a fault."""
    with pytest.raises(Fault):
        read_answer(call(), {}, body)
    with pytest.raises(Fault):
        ADAPTER.operations["embeddings"].parse(call(), 200, {}, body)  # type: ignore[operator]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2)
    | st.dictionaries(
        st.sampled_from(["message", "content", "text", "thinking", "tool_calls", "function",
                         "citations", "sources", "document", "usage", "finish_reason", "tokens"]),
        inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KINDS = st.sampled_from([
    "message-start", "content-start", "content-delta", "content-end", "tool-plan-delta",
    "tool-call-start", "tool-call-delta", "tool-call-end", "citation-start", "message-end", "",
])  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(said=st.lists(st.tuples(KINDS, st.integers(0, 2), VALUES), max_size=10))
def test_hostile_streams(said: list[tuple[str, int, Any]]) -> None:
    """Nothing raises; splits do not matter; parts are closed before the end."""
    raw = b"".join(event(kind, index=at, delta=value) for kind, at, value in said)
    whole = played(raw)
    reader = ChatReader(call(True))
    pieces = [one for byte in raw for one in reader.feed(bytes([byte]))] + list(reader.finish())
    assert repr(pieces) == repr(whole)
    names = [type(one).__name__ for one in whole]
    if "Stopped" in names:
        before = names[: names.index("Stopped")]
        assert before.count("Opened") == before.count("Closed")


@settings(max_examples=200, deadline=None)
@given(message=VALUES, usage=VALUES, reason=st.sampled_from(["COMPLETE", "x", None]))
def test_hostile_whole_answers(message: Any, usage: Any, reason: str | None) -> None:
    """An answer or a fault, whatever it holds."""
    body = {"id": "i", "message": message, "usage": usage, "finish_reason": reason}
    with suppress(Fault):
        assert read_answer(call(), {}, json.dumps(body).encode()).id == "i"


def test_parts_follow_each_other() -> None:
    """A text is closed when a call opens; a source that comes after its text still finds it."""
    said = b"".join([
        event("message-start", id="i"),
        event("content-start", index=0, delta={"message": {"content": {"type": "text"}}}),
        event("content-delta", index=0, delta={"message": {"content": {"text": "Ruby"}}}),
        event("content-end", index=0),
        event("citation-start", index=0, delta={"message": {"citations": {
            "start": 0, "end": 4, "text": "Ruby",
            "sources": [{"id": "d", "document": {"title": "T", "url": "https://d"}}]}}}),
        event("tool-call-start", index=0, delta={"message": {"tool_calls": {
            "id": "c", "function": {"name": "f", "arguments": "{"}}}}),
        event("tool-call-delta", index=0, delta={"message": {"tool_calls": {
            "function": {"arguments": "}"}}}}),
        END,
    ])  # fmt: skip
    names = [type(one).__name__ for one in played(said)]
    assert names == [
        "Began", "Opened", "Grew", "Cited", "Closed", "Opened", "Grew", "Closed", "Stopped",
        "Used", "Ended",
    ]  # fmt: skip
    cited = next(one for one in played(said) if isinstance(one, Cited)).citation
    assert (cited.url, cited.title, cited.quote, cited.end) == ("https://d", "T", "Ruby", 4)
