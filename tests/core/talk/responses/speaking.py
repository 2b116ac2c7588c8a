"""Requests, events and streams of this dialect, and short ways to read and write them."""

from __future__ import annotations

import json
from typing import Any, get_args

from openai.types.responses import ResponseStreamEvent

from gateway.core.body import JsonBody
from gateway.core.talk.events import (
    Began,
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
from gateway.core.talk.model import Citation, Losses, Refusal, Talk, Text, Thinking, ToolUse
from gateway.core.talk.responses import Reader, read_request, write_request
from gateway.domain import Usage

EVENTS = {
    get_args(shape.model_fields["type"].annotation)[0]: shape
    for shape in get_args(get_args(ResponseStreamEvent)[0])
}
USAGE = Usage(input=9, output=5, cached=4, cache_write=2, reasoning=1)
TELLING: list[Event] = [
    Began("gen-1", "model-x", 7),
    Opened(0, Thinking(id="rs_given")),
    Grew(0, "hmm"),
    Signed(0, "sealed", "responses"),
    Closed(0),
    Opened(1, Text()),
    Grew(1, "Hello\n"),
    Opened(2, ToolUse("call_1", "look")),
    Grew(2, '{"a":'),
    Grew(1, "there"),
    Cited(1, Citation(url="https://a.example", title="A")),
    Grew(2, "1}"),
    Closed(1),
    Closed(2),
    Opened(3, ToolUse("call_2", "run", custom=True)),
    Grew(3, "ls"),
    Closed(3),
    Opened(4, Refusal()),
    Grew(4, "no"),
    Closed(4),
    Stopped("tool"),
    Used(USAGE),
    Ended(),
]

CREATED = {"type": "response.created", "response": {"id": "resp_1", "model": "m", "created_at": 1}}
DELTA = {
    "type": "response.output_text.delta",
    "output_index": 0,
    "content_index": 0,
    "item_id": "msg_1",
    "delta": "hi",
}


def body(**members: Any) -> JsonBody:
    return JsonBody.parse(json.dumps({"model": "m", "input": "hi"} | members).encode())


def asked(**members: Any) -> tuple[Talk, tuple[str, ...]]:
    losses = Losses()
    return read_request(body(**members), losses), losses.names


def sent(talk: Talk) -> tuple[dict[str, Any], tuple[str, ...]]:
    losses = Losses()
    return json.loads(write_request(talk, losses)), losses.names


def stream(*events: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def heard(data: bytes) -> list[Event]:
    reader = Reader()
    return [*reader.feed(data), *reader.finish()]


def payloads(out: bytes) -> list[dict[str, Any]]:
    """Every event; its name is its type, and its data stands on one line."""
    found = []
    for event in out.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def completed(**members: Any) -> dict[str, Any]:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    response = {"id": "resp_1", "status": "completed", "output": [], "usage": usage} | members
    return {"type": "response.completed", "response": response}
