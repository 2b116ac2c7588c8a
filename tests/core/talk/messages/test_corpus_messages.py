"""Recorded traffic of the Messages wire: read, written again, passed through."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.money.checks import plausible
from gateway.core.talk.events import Ended
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.messages import (
    MessagesMeter,
    Reader,
    Writer,
    messages_fault,
    messages_usage,
    read_answer,
    write_answer,
)
from gateway.domain import Usage
from tests import recorded
from tests.core.talk.messages.plain_messages import (
    accumulated,
    events_of,
    normal_content,
    plain_answer,
    plain_usage,
    read_stream,
    same_answer,
    same_usage,
    splits,
    stream_bytes,
)

pytestmark = recorded.needs_corpus

BODY = JsonBody(b"{}")
WHOLE = recorded.cases("anthropic", "chat")
STREAMED = recorded.cases("anthropic", "chat_stream")


@recorded.parameters(WHOLE)
def test_a_whole_answer_is_read(case: Path) -> None:
    same_answer(read_answer(recorded.response_file(case).read_bytes()), plain_answer(case))


@recorded.parameters(STREAMED)
def test_a_streamed_answer_is_read(case: Path) -> None:
    found = plain_answer(case)
    for pieces in splits(stream_bytes(case), case.name):
        same_answer(read_stream(pieces), found)


@recorded.parameters(WHOLE)
def test_a_whole_answer_is_written_and_read_again(case: Path) -> None:
    answer = read_answer(recorded.response_file(case).read_bytes())
    written = write_answer(BODY, answer)
    found = plain_answer(case)
    same_answer(read_answer(written), found)
    for block in found["content"]:
        block.pop("caller", None) if block["type"] == "tool_use" else None
    assert normal_content(json.loads(written)["content"]) == normal_content(found["content"])


@recorded.parameters([*WHOLE, *STREAMED])
def test_an_answer_is_streamed_and_read_again(case: Path) -> None:
    """Through the writer of this dialect: its clients put together what the provider said."""
    file = recorded.response_file(case)
    data = streamed(plain_answer(case)) if file.suffix == ".json" else stream_bytes(case)
    found = plain_answer(case)
    for pieces in splits(data, case.name)[-2:]:
        told = Interpreter(Reader(), Writer(BODY))
        written = b"".join(map(told.feed, pieces)) + told.finish()
        assert told.complete
        assert told.fault is None
        same_answer(read_stream([written]), found)
        same_answer_by_sdk(written, found)


def streamed(answer: dict[str, Any]) -> bytes:
    """A whole answer as its provider would have streamed it, block by block."""
    out = [{"type": "message_start", "message": answer | {"content": [], "stop_reason": None}}]
    for index, block in enumerate(answer["content"]):
        out.append({"type": "content_block_start", "index": index, "content_block": block})
        out.append({"type": "content_block_stop", "index": index})
    delta = {name: answer.get(name) for name in ("stop_reason", "stop_sequence")}
    out.append({"type": "message_delta", "delta": delta, "usage": answer["usage"]})
    out.append({"type": "message_stop"})
    return b"".join(sse.event(json.dumps(e).encode(), str(e["type"])) for e in out)


def same_answer_by_sdk(written: bytes, found: dict[str, Any]) -> None:
    """The written stream, put together as an SDK does it: by the `event:` names, block by block."""
    events = []
    for block in written.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    again = accumulated(events)
    for block in found["content"]:
        if block["type"] == "tool_use":
            block.pop("caller", None)
    assert normal_content(again["content"]) == normal_content(found["content"])
    assert plain_usage(again["usage"]) == plain_usage(found["usage"])
    assert again["stop_reason"] == found["stop_reason"]


@recorded.parameters(STREAMED)
def test_a_stream_passes_untouched(case: Path) -> None:
    data = stream_bytes(case)
    found = plain_answer(case)
    for pieces in splits(data, case.name):
        meter = MessagesMeter()
        assert b"".join(map(meter.feed, pieces)) + meter.finish() == data
        assert meter.complete
        assert meter.fault is None
        same_usage(meter.usage, found["usage"])
        assert plausible(meter.usage or Usage(), meter.produced, meter.events) == ""
        assert meter.events == sum(e["type"] == "content_block_delta" for e in events_of(case))


@recorded.parameters(STREAMED)
def test_a_stream_cut_short_has_no_end(case: Path) -> None:
    data = stream_bytes(case)
    cut = data[: data.rindex(b"message_stop") - 12]
    reader, meter = Reader(), MessagesMeter()
    events = [*reader.feed(cut), *reader.finish()]
    assert not any(isinstance(event, Ended) for event in events)
    meter.feed(cut)
    meter.finish()
    assert not meter.complete


@recorded.parameters(STREAMED)
def test_a_stream_that_the_gateway_ends_is_whole(case: Path) -> None:
    """Wherever the money runs out, the client gets an answer that its SDK can put together."""
    data = stream_bytes(case)
    chance = random.Random(case.name)
    for _ in range(10):
        meter = MessagesMeter()
        passed = meter.feed(data[: chance.randrange(len(data))])
        ending = meter.cut()
        if b"message_start" not in passed or meter.complete:
            assert ending == b""
            continue
        answer = read_stream([passed + ending])
        if b"event: message_delta" not in passed:
            assert answer.reason == "length"
        assert answer.usage is not None
        assert answer.usage.input == (meter.usage or Usage()).input


@recorded.parameters(WHOLE)
def test_usage_of_a_whole_answer(case: Path) -> None:
    found = plain_answer(case)["usage"]
    raw = json.dumps(found).encode()
    same_usage(messages_usage(raw), found)
    assert messages_usage(raw).raw == raw


@recorded.parameters(recorded.cases("anthropic", "error"))
def test_an_error_is_understood(case: Path) -> None:
    body = recorded.response_file(case).read_bytes()
    said = json.loads(body)["error"]
    status = recorded.meta(case)["status"]
    fault = messages_fault(status, {}, body)
    assert fault.provider is not None
    assert (fault.provider.status, fault.provider.type) == (status, said["type"])
    wanted = {400: "invalid_request", 401: "upstream_error", 404: "upstream_error"}
    assert fault.kind.code == wanted[status]
    if status == 400:
        assert fault.message == said["message"]
        long = "prompt is too long" in said["message"]
        assert (fault.cause == "context_length") is long
    if status == 401:
        assert fault.cause == "credential_refused"
        assert said["message"] not in fault.message


@recorded.parameters(recorded.cases("anthropic", "count_tokens"))
def test_a_count_has_no_usage(case: Path) -> None:
    assert list(json.loads(recorded.response_file(case).read_bytes())) == ["input_tokens"]
