"""No stream, answer or request of this dialect is hostile enough."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.talk.events import Cited, Closed, Grew, Opened, Signed, Stopped
from gateway.core.talk.model import Losses
from gateway.core.talk.responses import (
    Reader,
    ResponsesMeter,
    Writer,
    read_answer,
    read_request,
    write_request,
)
from gateway.errors import Fault
from tests.core.talk.responses.speaking import body, heard, payloads, stream

NAMES = st.sampled_from(
    [
        "response.created",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.reasoning_text.delta",
        "response.function_call_arguments.delta",
        "response.completed",
        "response.failed",
        "error",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "id",
                    "content",
                    "text",
                    "summary",
                    "arguments",
                    "output",
                    "usage",
                    "status",
                ]
            ),
            inner | st.sampled_from(["message", "reasoning", "function_call", "output_text"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)
HOSTILE = st.lists(
    st.fixed_dictionaries(
        {"type": NAMES},
        optional={
            "output_index": st.integers(-1, 2) | JSON,
            "content_index": st.integers(-1, 2) | JSON,
            "item": JSON,
            "part": JSON,
            "delta": JSON,
            "response": JSON,
            "annotation": JSON,
        },
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(HOSTILE, st.integers(1, 7))
def test_no_stream_is_hostile_enough(events: list[dict[str, Any]], step: int) -> None:
    """Nothing raises; the contract's order holds; what is written of it is well formed."""
    data = stream(*events)
    whole = heard(data)
    reader, meter, writer = Reader(), ResponsesMeter(), Writer(body())
    parts = [data[at : at + step] for at in range(0, len(data), step)]
    split = [event for part in parts for event in reader.feed(part)] + list(reader.finish())
    assert repr(split) == repr(whole)
    assert b"".join([*map(meter.feed, parts), meter.finish()]) == data
    payloads(b"".join(writer.write(event) for event in whole))
    payloads(meter.cut())
    opened: set[int] = set()
    for event in whole:
        if isinstance(event, Opened):
            opened.add(event.index)
        elif isinstance(event, Closed):
            opened.remove(event.index)
        elif isinstance(event, Grew | Signed | Cited):
            assert event.index in opened
        elif isinstance(event, Stopped):
            assert not opened


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_are_hostile_enough(data: bytes) -> None:
    heard(data)
    meter = ResponsesMeter()
    meter.feed(data)
    meter.finish()
    try:
        read_answer(data)
    except Fault:
        pass


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["input", "tools", "text", "reasoning", "include"]), JSON))
def test_no_request_is_hostile_enough(members: dict[str, Any]) -> None:
    """A request is read and written, or refused as the client's mistake."""
    losses = Losses()
    try:
        talk = read_request(JsonBody.parse(json.dumps(members).encode()), losses)
    except Fault as fault:
        refused = fault
    else:
        json.loads(write_request(talk, losses))
        return
    assert refused.kind.status == 400
