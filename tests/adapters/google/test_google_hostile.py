"""Nothing in an answer or a stream can hurt."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.sdk.talk import Answer, Broke, Closed, Ended, Event, Grew, Opened, Signed, Stopped, sse
from providers_plugins.google.reader import GenerateReader
from tests.adapters.google.answering import VALUES, read


def orderly(events: list[Event]) -> None:
    """Whatever came, the events are those of an answer."""
    open_parts: set[int] = set()
    count = 0
    for at, event in enumerate(events):
        if isinstance(event, Opened):
            assert event.index == count
            count += 1
            open_parts.add(event.index)
        elif isinstance(event, Closed):
            open_parts.remove(event.index)
        elif isinstance(event, Grew | Signed):
            assert event.index in open_parts
        elif isinstance(event, Stopped):
            assert not open_parts
        elif isinstance(event, Broke | Ended):
            assert at == len(events) - 1


def tried(data: bytes) -> None:
    reader = GenerateReader(0.0)
    events = [*reader.feed(data), *reader.finish()]
    orderly(events)
    single = GenerateReader(0.0)
    split = [it for i in range(len(data)) for it in single.feed(data[i : i + 1])]
    split += single.finish()
    assert list(map(plainly, split)) == list(map(plainly, events))


def plainly(event: Event) -> Any:
    if isinstance(event, Broke):
        return (event.fault.kind.code, event.fault.message)
    return msgspec.json.encode(event)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.builds(lambda it: {"candidates": [{"content": {"parts": it}}]}, st.lists(VALUES))
        | st.builds(lambda it: {"candidates": [it]}, VALUES)
        | VALUES,
        max_size=3,
    )
)
def test_any_json_is_read_in_order(values: list[Any]) -> None:
    """Nothing raises, parts open and close in turn, and no split makes a difference."""
    tried(b"".join(sse.event(json.dumps(value).encode()) for value in values))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda it: b"data: " + it + b"\n\n"))
def test_any_bytes_are_survived(data: bytes) -> None:
    """In a stream, and as a whole answer, which fails in one way."""
    tried(data)
    with pytest.raises(Fault):
        read(data)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_any_whole_answer_is_read_or_refused(value: Any) -> None:
    """Only faults are raised."""
    for body in (value, {"candidates": [value]}, {"candidates": [{"content": {"parts": [value]}}]}):
        try:
            assert isinstance(read(body), Answer)
        except Fault:
            continue


@pytest.mark.parametrize(
    "data",
    [
        b'{"candidates":' + b"[" * 100_000,
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":'
        + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}}]}}]}",
        b'{"candidates":[{"content":{"parts":[{"text":"\\ud800"}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\xff"}}}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}',
        b'{"usageMetadata":{"promptTokenCount":' + b"9" * 5000 + b"}}",
        b'{"usageMetadata":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"candidates":[{"groundingMetadata":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
        b'{"error":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"createTime":"9999-99-99","candidates":[{}]}',
        b'{"createTime":"0001-01-01T00:00:00+23:59","candidates":[{}]}',
    ],
    ids=range(11),
)  # fmt: skip
def test_hostile_json(data: bytes) -> None:
    """Depth, broken text, huge numbers and odd times do no harm."""
    reader = GenerateReader(0.0)
    orderly([*reader.feed(sse.event(data)), *reader.finish()])
    try:
        assert isinstance(read(data), Answer)
    except Fault:
        pass
