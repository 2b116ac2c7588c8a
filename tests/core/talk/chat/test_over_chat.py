"""A chat operation as the wire of every dialect."""

from __future__ import annotations

import json
from typing import Any

from msgspec import structs

from gateway.core.body import JsonBody
from gateway.core.meter import StreamMeter
from gateway.core.talk.chat import Writer, read_request
from gateway.core.talk.chat.answer import write_answer
from gateway.core.talk.events import Broke, Ended, Event, Used
from gateway.core.talk.model import Losses, Message, Talk, Text
from gateway.core.usage import openai_usage
from gateway.domain import Credential, Usage
from gateway.errors import Fault, upstream_error
from gateway.sdk import Call, Quirks, Reply, compatible
from gateway.sdk.adapter import Operation
from gateway.sdk.over_chat import over_chat
from gateway.sdk.spoken import Dialect, translated

QUIRKS = Quirks(rename={"max_completion_tokens": "max_tokens"}, roles={"developer": "system"})
PLAIN = compatible("h", quirks=QUIRKS).operations["chat"]
KEY = Credential("k", {"api_key": "sk-0123456789"})
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWER = {
    "id": "x",
    "choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}],
    "usage": USAGE,
}
STREAM = (
    b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
    b"data: [DONE]\n\n"
)


def a_call(*, stream: bool = False) -> Call:
    body = JsonBody.parse(
        b'{"model":"theirs","max_tokens":9,"messages":[{"role":"user","content":"a"}]}'
    )
    return Call("messages", "upstream-name", "https://h.example/v1", body, stream)


def doubled(raw: bytes) -> Usage:
    usage = openai_usage(raw)
    return structs.replace(usage, output=2 * usage.output)


def moody(raw: bytes) -> Fault | None:
    return upstream_error("mood", "mood") if b'"hi"' in raw else None


def events(operation: Operation, stream: bytes = STREAM) -> list[Event]:
    reader = over_chat(operation).reader(a_call(stream=True))
    return [*reader.feed(stream), *reader.finish()]


def test_the_hosts_own_build_writes_the_request() -> None:
    talk = Talk(
        "messages", "upstream-name", [Message("user", [Text("a")])], max_tokens=9, stream=True
    )
    request = over_chat(PLAIN).build(a_call(stream=True), KEY, talk, Losses())
    assert request.url == "https://h.example/v1/chat/completions"
    assert json.loads(request.body) == {
        "model": "upstream-name",
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_hosts_own_reading_of_usage_and_faults() -> None:
    wire = over_chat(structs.replace(PLAIN, usage=doubled))
    answer = wire.read(a_call(), {}, json.dumps(ANSWER).encode())
    assert answer.usage is not None
    assert answer.usage.output == 4
    used = [
        e.usage.output for e in events(structs.replace(PLAIN, usage=doubled)) if isinstance(e, Used)
    ]
    assert set(used) == {4}
    found = events(structs.replace(PLAIN, fault_in=moody))
    assert isinstance(found[-1], Broke)
    assert found[-1].fault.cause == "mood"
    assert wire.fault is PLAIN.fault


def test_a_host_that_translates_itself() -> None:
    """Its own parse and stream come first, and its own count counts."""

    def parse(call: Call, status: int, headers: Any, body: bytes) -> Reply:
        return Reply(json.dumps(ANSWER).encode(), Usage(9, 9))

    def stream(call: Call) -> StreamMeter:
        return StreamMeter(hide_usage=False, read_usage=doubled)

    operation = structs.replace(PLAIN, parse=parse, stream=stream)
    answer = over_chat(operation).read(a_call(), {}, b"another wire")
    assert (answer.parts, answer.usage) == ([Text("hi")], Usage(9, 9))
    found = events(operation)
    assert isinstance(found[-1], Ended)
    assert {e.usage.output for e in found if isinstance(e, Used)} == {4}


def test_a_fault_of_the_hosts_translator_breaks() -> None:
    def stream(call: Call) -> StreamMeter:
        return StreamMeter(hide_usage=False, fault_in=moody)

    found = events(structs.replace(PLAIN, stream=stream))
    assert sum(isinstance(event, Broke) for event in found) == 1
    assert not any(isinstance(event, Ended) for event in found)


def test_in_every_dialect() -> None:
    """With a dialect, it is an operation that the gateway can run."""
    chat = Dialect("chat", read_request, write_answer, Writer)
    operation = translated(chat, over_chat(PLAIN))
    request = operation.build(a_call(), KEY)
    assert request.translated
    assert not request.adapted
    assert callable(operation.parse)
    reply = operation.parse(a_call(), 200, {}, json.dumps(ANSWER).encode())
    assert json.loads(reply.body)["choices"][0]["message"]["content"] == "hi"
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.output) == (3, 2)
    assert callable(operation.stream)
    translator = operation.stream(a_call(stream=True))
    assert translator.feed(STREAM).endswith(b"data: [DONE]\n\n")
    assert translator.complete


def test_answers_have_their_id() -> None:
    assert over_chat(PLAIN).read(a_call(), {}, json.dumps(ANSWER).encode()).id == "x"
