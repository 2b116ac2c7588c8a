"""Streams of the Responses wire: read, metered, failed and cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.sse import MAX_EVENT
from gateway.core.talk.events import Broke, Ended, Grew, Stopped, Used
from gateway.core.talk.model import Answer
from gateway.core.talk.responses import Reader, ResponsesMeter, write_answer
from gateway.core.talk.responses.reader import MAX_PARTS
from tests.core.talk.responses.speaking import (
    CREATED,
    DELTA,
    EVENTS,
    body,
    completed,
    heard,
    payloads,
    stream,
)


def test_an_answer_without_a_single_delta_is_told() -> None:
    """Some hosts stream nothing but the end."""
    item = {"type": "message", "content": [{"type": "output_text", "text": "all"}]}
    events = heard(stream(CREATED, completed(output=[item])))
    assert [event.text for event in events if isinstance(event, Grew)] == ["all"]
    assert isinstance(events[-1], Ended)


def test_the_last_of_the_arguments_is_told_at_the_end() -> None:
    item = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": ""}
    delta = {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a"'}
    done = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": item | {"arguments": '{"a":1}'},
    }
    added = {"type": "response.output_item.added", "output_index": 0, "item": item}
    events = heard(stream(CREATED, added, delta, done, completed()))
    assert "".join(event.text for event in events if isinstance(event, Grew)) == '{"a":1}'
    assert Stopped("tool") in events


def test_a_host_that_gives_ids_alone_is_understood() -> None:
    delta = {"type": "response.output_text.delta", "item_id": "m1", "delta": "a"}
    other = {"type": "response.output_text.delta", "item_id": "m2", "delta": "b"}
    events = heard(stream(CREATED, delta, other, delta, completed()))
    assert [(e.index, e.text) for e in events if isinstance(e, Grew)] == [
        (0, "a"),
        (1, "b"),
        (0, "a"),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "response.failed", "response": {"error": {"code": "x", "message": "why"}}},
        {"type": "error", "code": "x", "message": "why"},
        {"type": "error", "error": {"code": "x", "message": "why"}},
        {"error": {"code": "x", "message": "why"}},
        {"type": "response.failed"},
        {"type": "response.completed", "response": 5},
    ],
)
def test_a_failure_inside_the_stream_breaks_it(failure: dict[str, Any]) -> None:
    data = stream(CREATED, DELTA, failure, DELTA, completed())
    events = heard(data)
    assert isinstance(events[-1], Broke)
    assert not any(isinstance(event, Stopped | Ended) for event in events)
    meter = ResponsesMeter()
    assert meter.feed(data) + meter.finish() == data
    if failure["type" if "type" in failure else "error"] != "response.completed":
        assert meter.fault is not None


def test_an_end_too_large_to_read_is_still_an_end() -> None:
    """Pictures make the last event larger than any that is read; its usage is still billed."""
    big = completed(output=[{"type": "image_generation_call", "result": "A" * (MAX_EVENT + 99)}])
    data = stream(CREATED, DELTA, big)
    for size in (len(data), 65_536):
        chunks = [data[at : at + size] for at in range(0, len(data), size)]
        reader, meter = Reader(), ResponsesMeter()
        events = [event for chunk in chunks for event in reader.feed(chunk)]
        assert events[-3] == Stopped("stop")
        assert isinstance(events[-2], Used)
        assert (events[-2].usage.input, events[-2].usage.output) == (3, 2)
        assert events[-1] == Ended()
        assert b"".join(map(meter.feed, chunks)) == data
        assert meter.complete
        assert meter.usage is not None
        assert meter.usage.output == 2


def test_a_stream_that_opens_no_end_of_parts_is_bounded() -> None:
    reader = Reader()
    for place in range(MAX_PARTS + 50):
        list(reader.feed(stream(DELTA | {"output_index": place})))
    assert len(reader._slots) == MAX_PARTS


def test_the_meter_cuts_with_a_proper_end() -> None:
    """What was said so far is in it, and the official client takes it."""
    meter = ResponsesMeter()
    response = json.loads(write_answer(body(), Answer("resp_1", "m"))) | {"status": "in_progress"}
    created = {"type": "response.created", "response": response, "sequence_number": 0}
    meter.feed(stream(created, DELTA | {"sequence_number": 4}))
    (end,) = payloads(meter.cut())
    EVENTS["response.incomplete"].model_validate(end)
    assert end["sequence_number"] == 5
    assert end["response"]["output"][0]["content"][0]["text"] == "hi"
    assert end["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert json.loads(meter.final) == end["response"]


def test_a_cut_survives_what_the_provider_said_twice() -> None:
    meter = ResponsesMeter()
    meter.feed(b'data: {"type":"response.created","response":{"id":"a","id":"b","status":1}}\n\n')
    (end,) = payloads(meter.cut())
    assert (end["response"]["id"], end["response"]["status"]) == ("b", "incomplete")
