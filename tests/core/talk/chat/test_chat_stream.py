"""Streams on the chat wire: every spelling, every split, and nothing hostile gets through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk.chat import Reader, Writer
from gateway.core.talk.events import (
    Began,
    Broke,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.model import Text, Thinking, ToolUse

ASKED = JsonBody.parse(b'{"model":"m","messages":[],"stream_options":{"include_usage":true}}')
SILENT = JsonBody.parse(b'{"model":"m","messages":[]}')
DONE = b"data: [DONE]\n\n"


def framed(*values: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(value).encode() + b"\n\n" for value in values)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> Any:
    choice: dict[str, Any] = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "x", "model": "m", "created": 7, "choices": [choice], **more}


def read(*pieces: bytes) -> list[Event]:
    reader = Reader()
    found = [event for piece in pieces for event in reader.feed(piece)]
    return found + list(reader.finish())


def calls(*deltas: Any) -> dict[str, tuple[str, str]]:
    """Id -> name and arguments of the calls of a stream."""
    events = read(framed(*(chunk(delta) for delta in deltas), chunk(finish="tool_calls")) + DONE)
    opened = {e.index: e.part for e in events if isinstance(e, Opened)}
    grown = dict.fromkeys(opened, "")
    for event in events:
        if isinstance(event, Grew):
            grown[event.index] += event.text
    return {p.id: (p.name, grown[i]) for i, p in opened.items() if isinstance(p, ToolUse)}


def call(
    index: int | None = None,
    key: str | None = None,
    name: str | None = None,
    arguments: Any = "",
) -> dict[str, Any]:
    found = {"index": index, "id": key, "function": {"name": name, "arguments": arguments}}
    return {"tool_calls": [{key: value for key, value in found.items() if value is not None}]}


def test_text_in_order() -> None:
    events = read(framed(chunk({"role": "assistant", "content": ""}), chunk({"content": "hi"})))
    assert events == [Began("x", "m", 7), Opened(0, Text()), Grew(0, "hi")]


def test_the_end() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    events = read(
        framed(chunk({"content": "a"}), chunk(finish="length"), {"choices": [], "usage": usage})
        + DONE
    )
    kinds = [type(event) for event in events]
    assert kinds[3:6] == [Used, Closed, Stopped]
    assert kinds[-1] is Ended
    assert Stopped("length") in events
    assert [e.usage.input for e in events if isinstance(e, Used)][-1] == 3


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "t"},
        {"reasoning": "t"},
        {
            "reasoning": "t",
            "reasoning_details": [{"type": "reasoning.text", "text": "t", "index": 0}],
        },
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "t", "index": 0}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}]},
    ],
)
def test_thoughts_in_every_spelling(delta: dict[str, Any]) -> None:
    events = read(framed(chunk(delta), chunk({"content": "a"})))
    assert events[1:3] == [Opened(0, Thinking()), Grew(0, "t")]
    assert events[3:5] == [Closed(0), Opened(1, Text())]


def test_interleaved_calls() -> None:
    found = calls(
        call(0, "a", "f", ""),
        call(1, "b", "g", "{"),
        call(0, None, None, "{}"),
        call(1, None, None, "}"),
    )
    assert found == {"a": ("f", "{}"), "b": ("g", "{}")}


def test_calls_are_closed_before_the_reason() -> None:
    deltas = [{"content": "a"}, call(0, "a", "f", "{}"), call(1, "b", "g", "{}")]
    events = read(framed(*(chunk(delta) for delta in deltas), chunk(finish="tool_calls")) + DONE)
    assert events[-5:] == [Grew(2, "{}"), Closed(1), Closed(2), Stopped("tool"), Ended()]


def test_whole_calls_that_share_an_index() -> None:
    assert calls(call(0, "a", "f", "{}"), call(0, "b", "g", "[]")) == {
        "a": ("f", "{}"),
        "b": ("g", "[]"),
    }


def test_id_repeated_in_every_piece() -> None:
    assert calls(call(0, "a", "f", "{"), call(0, "a", "f", "}")) == {"a": ("f", "{}")}


def test_neither_index_nor_id() -> None:
    found = calls(
        call(None, None, "f", "{"), call(None, None, None, "}"), call(None, None, "f", "[]")
    )
    assert list(found.values()) == [("f", "{}"), ("f", "[]")]
    assert len(found) == 2


def test_arguments_as_an_object() -> None:
    assert calls(call(0, "a", "f", {"b": 1})) == {"a": ("f", '{"b": 1}')}


def test_deprecated_call() -> None:
    found = calls(
        {"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}}
    )
    assert list(found.values()) == [("f", "{}")]


def test_forced_call_is_a_call() -> None:
    events = read(framed(chunk(call(0, "a", "f", "{}")), chunk(finish="stop")) + DONE)
    assert Stopped("tool") in events


def test_no_end_mark_no_end() -> None:
    assert not any(isinstance(e, Ended | Stopped) for e in read(framed(chunk({"content": "a"}))))


def test_finish_without_done_is_an_end() -> None:
    assert isinstance(read(framed(chunk({"content": "a"}, "stop")))[-1], Ended)


def test_last_event_without_blank_line() -> None:
    assert isinstance(read(framed(chunk({"content": "a"}, "stop"))[:-2])[-1], Ended)
    assert isinstance(read(framed(chunk({"content": "a"})) + b"data: [DONE]")[-1], Ended)


def test_words_after_the_finish_reason_count() -> None:
    events = read(framed(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "stop")) + DONE)
    assert [e.text for e in events if isinstance(e, Grew)] == ["a", "b"]
    assert sum(isinstance(e, Stopped) for e in events) == 1


@pytest.mark.parametrize(
    "bad",
    [
        framed({"error": {"message": "no"}}),
        framed(chunk({"content": "x"}, error={"message": "no"})),
        b'data: {"choices":\n\n',
        b'data: {"choices":5}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ud800"}}]}\n\n',
        b"data: {" + b"a" * sse.MAX_EVENT + b"\n\n",
        framed(chunk(call(0, "i" * 5000, "f"))),
        framed(chunk(call(0, "a", "f"))).replace(b'"arguments": ""', b'"arguments": "\xff"'),
        framed(chunk({"function_call": {"name": "f", "arguments": ""}})).replace(
            b'"arguments": ""', b'"arguments": "\xff"'
        ),
        framed(
            chunk({"tool_calls": [call(i, f"c{i}", "f")["tool_calls"][0] for i in range(2000)]})
        ),
    ],
)
def test_broken_streams_break(bad: bytes) -> None:
    """What makes the answer unusable is a failure, and nothing comes after it."""
    events = read(
        framed(chunk({"content": "a"})) + bad + framed(chunk({"content": "b"}, "stop")) + DONE
    )
    assert isinstance(events[-1], Broke)
    assert Grew(0, "b") not in events


@pytest.mark.parametrize(
    "noise", [b": ping\n\n", b"data: \n\n", b"data: ping\n\n", b"event: x\n\n"]
)
def test_noise_is_skipped(noise: bytes) -> None:
    assert isinstance(
        read(noise + framed(chunk({"content": "a"}, "stop")) + noise + DONE)[-1], Ended
    )


@pytest.mark.parametrize("figure", [-1, 1 << 80, "3", 1.5, True, [], {}])
def test_impossible_usage_is_a_problem(figure: Any) -> None:
    usage = {"prompt_tokens": figure, "completion_tokens": 1}
    events = read(framed(chunk({"content": "a"}, "stop", usage=usage)) + DONE)
    assert [e.usage.problem for e in events if isinstance(e, Used)][-1]
    assert isinstance(events[-1], Ended)


def test_usage_alone_at_the_beginning_ends_nothing() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}}
    assert not any(isinstance(event, Ended) for event in read(framed(usage)))
    events = read(framed(usage, chunk({"content": "a"})) + DONE)
    assert Grew(0, "a") in events


def test_nothing_comes_after_the_end() -> None:
    tail = framed(chunk({"content": "b"})) + b"data: {" + b"a" * sse.MAX_EVENT + b"\n\n"
    events = read(framed(chunk({"content": "a"}, "stop")) + DONE + tail, tail)
    assert isinstance(events[-1], Ended)


def test_other_choices_are_not_ours() -> None:
    value = chunk({"content": "a"})
    value["choices"].append({"index": 1, "delta": {"content": "b"}, "finish_reason": None})
    assert [e.text for e in read(framed(value)) if isinstance(e, Grew)] == ["a"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "type",
                    "text",
                    "index",
                    "id",
                    "function",
                    "name",
                    "arguments",
                    "thinking",
                    "data",
                    "format",
                    "signature",
                    "url",
                    "image_url",
                    "url_citation",
                    "custom",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
MEMBERS = (
    "content",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "refusal",
    "tool_calls",
    "function_call",
    "annotations",
    "images",
    "audio",
)
DELTAS = st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=5)


@given(st.lists(DELTAS, max_size=4), JSON, JSON)
def test_hostile_deltas(deltas: list[dict[str, Any]], finish: Any, index: Any) -> None:
    """Nothing raises; parts are opened once, closed once, and grown only in between."""
    stream = framed(
        *(chunk(delta, id=finish, created=index) for delta in deltas), chunk(finish=finish)
    )
    events = read(stream + DONE)
    assert isinstance(events[-1], Ended | Broke)
    open_parts: set[int] = set()
    begun = 0
    writer = Writer(ASKED)
    for event in events:
        writer.write(event)
        if isinstance(event, Opened):
            assert event.index == begun
            begun += 1
            open_parts.add(event.index)
        elif isinstance(event, Grew | Signed | Cited | Closed):
            assert event.index in open_parts
            if isinstance(event, Closed):
                open_parts.remove(event.index)
        elif isinstance(event, Stopped):
            assert not open_parts


@given(st.binary(max_size=300), st.data())
def test_hostile_bytes(data: bytes, chance: st.DataObject) -> None:
    raw = b"data: " + data + b"\n\n"
    at = chance.draw(st.integers(0, len(raw)))
    assert [str(e) for e in read(raw[:at], raw[at:])] == [str(e) for e in read(raw)]
