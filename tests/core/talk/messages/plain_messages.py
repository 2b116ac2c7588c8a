"""A plain reading of recorded Messages traffic, and answers of the gateway's held against it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.money.checks import problem_of
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
from gateway.core.talk.messages import Reader
from gateway.core.talk.messages.wire import READ_REASON
from gateway.core.talk.model import Answer, Foreign, Text, Thinking, ToolUse
from gateway.domain import Usage
from tests import recorded


def events_of(case: Path) -> list[dict[str, Any]]:
    file = recorded.response_file(case)
    lines = file.read_text().splitlines()
    if file.suffix == ".sse":
        lines = [line[5:] for line in lines if line.startswith("data:")]
    return [json.loads(line) for line in lines if line.strip() not in ("", "[DONE]")]


def plain_answer(case: Path) -> dict[str, Any]:
    """The answer as its recording says, put together here and by nothing of the gateway's."""
    file = recorded.response_file(case)
    if file.suffix == ".json":
        return json.loads(file.read_bytes())
    return accumulated(events_of(case))


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


def normal_content(content: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An absent list of citations is an empty one."""
    return [{k: v for k, v in block.items() if k != "citations" or v} for block in content]
