"""Recorded traffic of the Messages wire: read, written again, passed through."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.money.checks import plausible, problem_of
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
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.messages import (
    MessagesMeter,
    Reader,
    Writer,
    messages_fault,
    messages_usage,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from gateway.core.talk.messages.wire import READ_REASON
from gateway.core.talk.model import Answer, Foreign, Losses, Text, Thinking, ToolUse
from gateway.domain import Usage
from tests import recorded

pytestmark = recorded.needs_corpus
BODY = JsonBody(b"{}")
WHOLE = recorded.cases("anthropic", "chat")
STREAMED = recorded.cases("anthropic", "chat_stream")
# Of these the answer alone was recorded: there is no request to read.
WITHOUT_REQUEST = {
    "vercel-ai-anthropic-anthropic-json-tool.1-0",
    "vercel-ai-anthropic-anthropic-tool-search-deferred-bm25.2-0",
    "vercel-ai-anthropic-anthropic-clear-thinking.1-0",
    "vercel-ai-anthropic-anthropic-web-fetch-tool-20260209.1-0",
    "rig-anthropic-list_models_rejected_key_reports_api_error_with_context-0",
}
ASKED = [
    case
    for case in recorded.cases("anthropic", "chat", "chat_stream", "count_tokens", "error")
    if case.name not in WITHOUT_REQUEST
]


def plain_answer(case: Path) -> dict[str, Any]:
    """The answer as its recording says, put together here and by nothing of the gateway's."""
    file = recorded.response_file(case)
    if file.suffix == ".json":
        return json.loads(file.read_bytes())
    return accumulated(events_of(case))


def events_of(case: Path) -> list[dict[str, Any]]:
    file = recorded.response_file(case)
    lines = file.read_text().splitlines()
    if file.suffix == ".sse":
        lines = [line[5:] for line in lines if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.strip() not in ("", "[DONE]")]


def accumulated(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What an SDK makes of a stream."""
    answer: dict[str, Any] = {}
    typed: dict[int, str] = {}
    for event in events:
        kind = event["type"]
        if kind == "message_start":
            answer = json.loads(json.dumps(event["message"]))
        elif kind == "content_block_start":
            assert event["index"] == len(answer["content"])
            answer["content"].append(json.loads(json.dumps(event["content_block"])))
        elif kind == "content_block_delta":
            grow(answer["content"][event["index"]], event["delta"], typed, event["index"])
        elif kind == "message_delta":
            answer |= {k: v for k, v in event["delta"].items() if k.startswith("stop_")}
            answer["usage"] |= {k: v for k, v in event["usage"].items() if v is not None}
    for index, text in typed.items():
        if text:
            answer["content"][index]["input"] = json.loads(text)
    return answer


def grow(block: dict[str, Any], delta: dict[str, Any], typed: dict[int, str], at: int) -> None:
    if delta["type"] == "text_delta":
        block["text"] += delta["text"]
    elif delta["type"] == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif delta["type"] == "signature_delta":
        block["signature"] = delta["signature"]
    elif delta["type"] == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    else:
        assert delta["type"] == "input_json_delta"
        typed[at] = typed.get(at, "") + delta["partial_json"]


def plain_usage(found: dict[str, Any]) -> dict[str, int]:
    """The figures of a recording, by plain arithmetic."""
    split = found.get("cache_creation") or {}
    read = found.get("cache_read_input_tokens") or 0
    written = found.get("cache_creation_input_tokens") or 0
    hour = split.get("ephemeral_1h_input_tokens") or 0
    return {
        "input": found["input_tokens"] + read + written,
        "output": found["output_tokens"],
        "cached": read,
        "cache_write": written - hour,
        "cache_write_1h": hour,
        "reasoning": (found.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
        "problem": "",
    }


def same_usage(usage: Usage | None, found: dict[str, Any]) -> None:
    assert usage is not None
    wanted = plain_usage(found)
    assert {name: getattr(usage, name) for name in wanted} == wanted
    assert problem_of(usage) == ""


def same_part(part: object, block: dict[str, Any]) -> None:
    kind = block["type"]
    if kind == "text":
        assert isinstance(part, Text)
        assert part.text == block["text"]
        assert [json.loads(c.raw) for c in part.citations] == (block.get("citations") or [])
        assert [c.quote for c in part.citations] == [
            c.get("cited_text") or "" for c in block.get("citations") or []
        ]
    elif kind == "thinking":
        assert part == Thinking(block["thinking"], block["signature"], family="messages")
    elif kind == "redacted_thinking":
        assert part == Thinking(data=block["data"], family="messages")
    elif kind == "tool_use":
        assert isinstance(part, ToolUse)
        assert (part.id, part.name) == (block["id"], block["name"])
        assert json.loads(part.arguments) == block["input"]
    else:
        assert isinstance(part, Foreign)
        assert (part.dialect, part.kind) == ("messages", kind)
        assert json.loads(part.raw) == block


def same_answer(answer: Answer, found: dict[str, Any]) -> None:
    assert answer.id == found["id"]
    assert answer.model == found["model"]
    assert len(answer.parts) == len(found["content"])
    for part, block in zip(answer.parts, found["content"], strict=True):
        same_part(part, block)
    assert answer.reason == READ_REASON[found["stop_reason"]]
    assert answer.sequence == (found.get("stop_sequence") or "")
    same_usage(answer.usage, found["usage"])


def gathered(events: list[Event]) -> Answer:
    """A streamed answer, whole; the order of its events is asserted on the way."""
    answer = Answer()
    opened: set[int] = set()
    stopped = ended = False
    for event in events:
        assert not ended
        if isinstance(event, Began):
            answer.id, answer.model = event.id, event.model
        elif isinstance(event, Opened):
            assert not stopped
            assert event.index == len(answer.parts)
            opened.add(event.index)
            answer.parts.append(event.part)
        elif isinstance(event, (Grew, Signed, Cited)):
            assert event.index in opened
            add(answer.parts[event.index], event)
        elif isinstance(event, Closed):
            opened.remove(event.index)
        elif isinstance(event, Stopped):
            assert not opened
            stopped = True
            answer.reason, answer.sequence = event.reason, event.sequence
        elif isinstance(event, Used):
            answer.usage = event.usage
        elif isinstance(event, Ended):
            assert stopped
            ended = True
        else:
            raise AssertionError(event)
    assert ended
    return answer


def add(part: Any, event: Grew | Signed | Cited) -> None:
    if isinstance(event, Cited):
        part.citations.append(event.citation)
    elif isinstance(event, Signed):
        part.signature, part.family = event.signature, event.family
    elif isinstance(part, ToolUse):
        part.arguments += event.text
    else:
        part.text += event.text


def stream_bytes(case: Path) -> bytes:
    """The stream as it was sent; framed here where the recording lost its frames."""
    file = recorded.response_file(case)
    if file.suffix == ".sse":
        return file.read_bytes()
    framed = (
        sse.event(line.encode(), json.loads(line)["type"]) for line in file.read_text().splitlines()
    )
    return b"".join(framed)


def splits(data: bytes, seed: str) -> list[list[bytes]]:
    """Whole, byte by byte when short, and at random."""
    ways = [[data]]
    if len(data) < 8_000:
        ways.append([data[i : i + 1] for i in range(len(data))])
    chance = random.Random(seed)
    for _ in range(3):
        cuts = sorted(chance.sample(range(1, len(data)), 40))
        ways.append([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)])
    return ways


def read_stream(pieces: list[bytes]) -> Answer:
    reader = Reader()
    events = [event for piece in pieces for event in reader.feed(piece)]
    return gathered([*events, *reader.finish()])


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


def normal_content(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An absent list of citations is an empty one."""
    return [{k: v for k, v in block.items() if k != "citations" or v} for block in content]


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


@recorded.parameters(ASKED)
def test_a_request_is_read_and_written_again(case: Path) -> None:
    raw = (case / "request.json").read_bytes()
    losses = Losses()
    talk = read_request(JsonBody.parse(raw), losses)
    written = json.loads(write_request(talk, losses))
    asked = json.loads(raw)
    if "max_tokens" not in asked:
        assert written.pop("max_tokens") == 8_192
    assert normal_request(written) == normal_request(asked)
    assert losses.names == ()


def normal_request(request: dict[str, Any]) -> dict[str, Any]:
    """What may differ and means the same: strings for blocks, and what is said by silence."""
    request = {k: v for k, v in request.items() if v is not None and (k, v) != ("stream", False)}
    request["messages"] = [
        message | {"content": normal_blocks(message["content"])} for message in request["messages"]
    ]
    if "system" in request:
        request["system"] = normal_blocks(request["system"])
    return {name: value for name, value in request.items() if value not in ([], {})}


def normal_blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [normal_block(block) for block in content]


def normal_block(block: dict[str, Any]) -> dict[str, Any]:
    block = {k: v for k, v in block.items() if v is not None}
    if block["type"] == "tool_result":
        block["content"] = normal_blocks(block.get("content", []))
        block.setdefault("is_error", False)
    if block["type"] == "document" and block.get("citations") == {"enabled": False}:
        del block["citations"]
    if block.get("citations") == []:
        del block["citations"]
    if block.get("caller") == {"type": "direct"} and block["type"] == "tool_use":
        del block["caller"]
    if "cache_control" in block:
        block["cache_control"].setdefault("ttl", "5m")
    return block


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
