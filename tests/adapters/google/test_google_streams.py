"""Streams of our own making: arguments in bits, ends, cuts, errors, and events without end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UPSTREAM_ERROR
from gateway.sdk.talk import Broke, Closed, Ended, Event, Media, Stopped, Text, ToolUse, Used, sse
from providers_plugins.google.reader import MAX_EVENT, GenerateReader
from providers_plugins.google.whole import gathered
from tests.adapters.google.answering import call, piece, stream


def test_arguments_in_bits() -> None:
    """Put together by their places; the last bit is told, and strings that go on are joined."""
    bits = [
        [{"jsonPath": "$.a.b[0].c", "stringValue": "x", "willContinue": True}],
        [{"jsonPath": "$.a.b[0].c", "stringValue": "y"}, {"jsonPath": "$.n", "numberValue": 1.50}],
        [{"jsonPath": "$['odd.name']", "boolValue": True}, {"jsonPath": "$.z", "nullValue": None}],
        [{"jsonPath": "$.open", "stringValue": "cut", "willContinue": True}],
    ]
    events = stream(
        piece(call("f", willContinue=True)),
        *(piece(call(partialArgs=it, willContinue=True)) for it in bits),
        piece(call()),
        piece(call("g", args={})),
        piece(finish="STOP"),
    )
    first, second = gathered(events).parts
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    assert json.loads(first.arguments) == {
        "a": {"b": [{"c": "xy"}]}, "n": 1.5, "odd.name": True, "z": None, "open": "cut",
    }  # fmt: skip
    assert list(json.loads(first.arguments)) == ["a", "n", "odd.name", "z", "open"]
    assert second.name == "g"


@pytest.mark.parametrize(
    "bit",
    [
        {"jsonPath": "$.a[5]", "stringValue": "x"},
        {"jsonPath": "$.a[999999999]", "stringValue": "x"},
        {"jsonPath": "$[0]", "stringValue": "x"},
        {"jsonPath": "$", "stringValue": "x"},
        {"jsonPath": "", "stringValue": "x"},
        {"jsonPath": "$." + "a." * 100 + "b", "stringValue": "x"},
        {"jsonPath": "$..a", "stringValue": "x"},
        {"jsonPath": "$.a", "numberValue": "x"},
        {"jsonPath": "$.a", "numberValue": {}},
        {"jsonPath": 7},
        {"jsonPath": "$.a", "stringValue": "x" * (1 << 20)},
        7,
    ],
)
def test_hostile_bits(bit: Any) -> None:
    """What fits nowhere makes the arguments useless: the stream is broken."""
    events = stream(piece(call("f", willContinue=True)), piece(call(partialArgs=[bit])))
    assert isinstance(events[-1], Broke)
    assert not any(isinstance(it, Ended) for it in events)


def test_the_finish_reason_is_not_the_end() -> None:
    """Words and counts may follow it, and older models tell it in every piece."""
    events = stream(
        piece({"text": "a"}, finish="STOP"),
        piece({"text": "b"}, finish="STOP"),
        {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1}},
    )
    answer = gathered(events)
    assert answer.parts == [Text("ab")]
    assert answer.usage is not None
    assert answer.usage.output == 1
    assert [type(it) for it in events[-4:]] == [Closed, Stopped, Used, Ended]


def test_a_call_that_goes_on_may_have_arguments_already() -> None:
    """Empty ones give way to the bits; without bits they are all there is."""
    bit = {"jsonPath": "$.a", "numberValue": 1}
    for bits, whole in (([bit], '{"a":1}'), ([], '{"z": 2}')):
        events = stream(
            piece(call("f", args={} if bits else {"z": 2}, willContinue=True)),
            piece(call(partialArgs=bits, willContinue=True)),
            piece(call(), finish="FINISH_REASON_UNSPECIFIED"),
            piece(finish="STOP"),
        )
        (part,) = gathered(events).parts
        assert isinstance(part, ToolUse)
        assert part.arguments == whole
    assert not any(
        isinstance(it, Ended)
        for it in stream(piece({"text": "x"}, finish="FINISH_REASON_UNSPECIFIED"))
    )


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_cut_stream_has_no_end(cut: int) -> None:
    """Neither between events nor inside the last one."""
    reader = GenerateReader(0.0)
    head = sse.event(json.dumps(piece({"text": "a"}, finish="STOP")).encode())
    events = [*reader.feed(head[:-cut]), *reader.finish()]
    ended = any(isinstance(it, Ended) for it in events)
    assert ended == (cut <= 2)  # without its blank line it is whole all the same
    reader = GenerateReader(0.0)
    tail = sse.event(json.dumps(piece({"text": "b"}, finish="STOP")).encode())
    events = [*reader.feed(sse.event(json.dumps(piece({"text": "a"})).encode()) + tail[:-cut])]
    events += reader.finish()
    assert any(isinstance(it, Ended) for it in events) == (cut <= 2)


@pytest.mark.parametrize(
    "framed",
    [
        b'data: {"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n',
        b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}\n\n',
        b'{\n  "error": {\n    "code": 503,\n    "message": "overloaded"\n  }\n}\n',
        b'[{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}]',
    ],
)
def test_errors_inside_a_stream(framed: bytes) -> None:
    """In a frame or without one, they break it; what follows means nothing."""
    after = [piece({"text": "b"}, finish="STOP")] if framed.endswith(b"\n\n") else []
    events = stream(piece({"text": "a"}, finish="STOP"), framed, *after)
    broke = [it for it in events if isinstance(it, Broke)]
    assert len(broke) == 1
    assert broke[0].fault.kind is UPSTREAM_ERROR
    assert "overloaded" in broke[0].fault.message
    assert events[-1] is broke[0]


def test_a_picture_longer_than_the_parser_reads() -> None:
    """It is one event all the same, however it comes."""
    data = "aWNv" * (1 << 19)
    given = piece({"inlineData": {"mimeType": "image/png", "data": data}}, finish="STOP")
    framed = sse.event(json.dumps(given).encode())
    assert len(framed) > 2 * sse.MAX_EVENT
    after = sse.event(json.dumps(piece({"text": "done"}, finish="STOP")).encode())
    for size in (1 << 30, 1 << 16, 999_983):
        reader = GenerateReader(0.0)
        events: list[Event] = []
        whole = sse.event(json.dumps(piece({"text": "see"})).encode()) + framed + after
        for at in range(0, len(whole), size):
            events += reader.feed(whole[at : at + size])
        events += reader.finish()
        answer = gathered(events)
        assert answer.parts == [
            Text("see"), Media("image", mime="image/png", data=data), Text("done"),
        ]  # fmt: skip
        assert isinstance(events[-1], Ended)


def test_an_endless_event_is_bounded() -> None:
    """Beyond what any picture takes it is given up."""
    reader = GenerateReader(0.0)
    chunk = b"data: " + b"x" * (4 << 20)
    found: list[Event] = []
    for _ in range((MAX_EVENT >> 22) + 3):
        found += reader.feed(chunk)
        assert len(reader._long) <= MAX_EVENT + len(chunk)
    assert [type(it) for it in found] == [Broke]
