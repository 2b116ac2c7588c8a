"""Recorded responses are read field by field as they say, written again, and passed untouched."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.core.body import JsonBody
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
from gateway.core.talk.model import Answer, Foreign, Losses, Refusal, Text, Thinking, ToolUse
from gateway.core.talk.responses import (
    Reader,
    ResponsesMeter,
    Writer,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from gateway.core.talk.responses.answers import answer_events
from gateway.domain import Usage
from gateway.errors import Fault
from tests import recorded

PROVIDERS = {
    "openai": ("responses", "responses_stream", "responses_retrieve"),
    "azure": ("responses", "responses_stream"),
    "xai": ("responses", "responses_stream"),
    "deepseek": ("responses", "responses_stream"),
    "openrouter": ("responses", "responses_stream"),
    "llamacpp": ("responses",),
    "bedrock_mantle": ("responses", "responses_stream"),
}
ALL = [case for name, operations in PROVIDERS.items() for case in recorded.cases(name, *operations)]
WHOLE = [case for case in ALL if recorded.response_file(case).suffix == ".json"]
STREAMED = [case for case in ALL if recorded.response_file(case).suffix != ".json"]
ASKED = [case for case in ALL if (case / "request.json").exists()]
BODY = JsonBody(b'{"model":"m","input":"hello"}')
# Recordings that hold no response object, with the reason.
NO_ANSWER = {"vercel-ai-openai-responses-openai-error.1-0": "an error body"}
# Recordings whose usage can't be: it must be seen, not billed.
IMPOSSIBLE = {"req_llm-openai-o4_mini_deep_research-usage-0": "-9 tokens of output"}
# Still queued when they were recorded: their written form is a failure.
QUEUED = {"queued", "in_progress", "cancelled"}
# Requests that this gateway can't translate: they lean on the provider's own store.
LEANING = ("previous_response_id", "conversation", "prompt")
DELTA = {"response.output_text.delta", "response.refusal.delta"}
SUMMARY = "response.reasoning_summary_text.delta"
THOUGHT = "response.reasoning_text.delta"

pytestmark = recorded.needs_corpus


@dataclass
class Said:
    """An answer's meaning, plainly."""

    text: str = ""
    refusal: str = ""
    thoughts: list[tuple[str, str]] = field(default_factory=list)
    tools: list[tuple[str, str, str]] = field(default_factory=list)
    sources: int = 0
    foreign: list[str] = field(default_factory=list)
    reason: str = ""
    usage: tuple[int, int, int, int] | None = None
    model: str = ""
    id: str = ""


def framed(case: Path) -> bytes:
    path = recorded.response_file(case)
    raw = path.read_bytes()
    if path.suffix == ".jsonl":
        return b"".join(b"data: " + line + b"\n\n" for line in raw.splitlines() if line.strip())
    return raw


def told(case: Path) -> list[dict[str, Any]]:
    """The recording's events, read by line: every recording keeps its data on one."""
    found = []
    for line in framed(case).decode().split("\n"):
        data = line.rstrip("\r").removeprefix("data:").strip()
        if line.startswith("data:") and data != "[DONE]":
            found.append(json.loads(data))
    return found


def plain_items(output: Iterable[dict[str, Any]], said: Said) -> None:
    for item in output:
        kind = item["type"]
        if kind == "message" and item.get("role", "assistant") == "assistant":
            for content in item["content"]:
                said.text += content.get("text", "")
                said.refusal += content.get("refusal", "")
                said.sources += len(content.get("annotations") or [])
        elif kind == "reasoning":
            texts = [one["text"] for one in item.get("summary") or [] if one["text"]]
            texts = texts or [one["text"] for one in item.get("content") or [] if one["text"]]
            sealed = item.get("encrypted_content") or ""
            if texts or sealed:
                said.thoughts.append(("\n\n".join(texts), sealed))
        elif kind in ("function_call", "custom_tool_call"):
            arguments = item["input" if kind == "custom_tool_call" else "arguments"]
            said.tools.append((item["call_id"], item["name"], arguments))
        else:
            said.foreign.append(kind)


def plain_end(response: dict[str, Any], said: Said) -> None:
    usage = response.get("usage")
    if usage is not None:
        given = usage.get("input_tokens_details") or {}
        made = usage.get("output_tokens_details") or {}
        said.usage = (
            usage["input_tokens"],
            usage["output_tokens"],
            given.get("cached_tokens") or 0,
            made.get("reasoning_tokens") or 0,
        )
    said.id, said.model = response["id"], response.get("model", "")
    why = (response.get("incomplete_details") or {}).get("reason")
    if response.get("status", "completed") == "completed":  # a compaction has none
        said.reason = "stop"
        if said.refusal and not said.text:
            said.reason = "refusal"
        if said.tools:
            said.reason = "tool"
    else:
        said.reason = {"max_output_tokens": "length", "content_filter": "filter"}.get(why, "error")


def plain_answer(response: dict[str, Any]) -> Said:
    said = Said()
    plain_items(response["output"], said)
    plain_end(response, said)
    return said


def plain_stream(events: list[dict[str, Any]]) -> Said:
    """Items as they were completed; their text from the deltas, which a redaction left alone."""
    items: dict[int, dict[str, Any]] = {}
    words: dict[int, str] = {}
    sections: dict[int, dict[int, str]] = {}
    end: dict[str, Any] = {}
    for event in events:
        kind = event["type"]
        if kind in DELTA:
            words[event["output_index"]] = words.get(event["output_index"], "") + event["delta"]
        elif kind in (SUMMARY, THOUGHT):
            place = event["summary_index" if kind == SUMMARY else "content_index"]
            known = sections.setdefault(event["output_index"], {})
            known[place] = known.get(place, "") + event["delta"]
        elif kind == "response.output_item.done":
            items[event["output_index"]] = event["item"]
        elif kind in ("response.completed", "response.incomplete"):
            end = event["response"]
    said = Said()
    for place in sorted(items):
        item = items[place]
        if place in sections:
            summary = [{"text": text} for _, text in sorted(sections[place].items())]
            item = item | {"summary": summary, "content": []}
        plain_items([item], said)
        if place in words and item["type"] == "message":
            whole = "".join(c.get("text", "") + c.get("refusal", "") for c in item["content"])
            assert words[place] == whole
    plain_end(end, said)
    return said


def meaning(answer: Answer) -> Said:
    said = Said(reason=answer.reason, model=answer.model, id=answer.id)
    for part in answer.parts:
        if isinstance(part, Text):
            said.text += part.text
            said.sources += len(part.citations)
        elif isinstance(part, Refusal):
            said.refusal += part.text
        elif isinstance(part, Thinking):
            assert part.family == ("responses" if part.signature else "")
            said.thoughts.append((part.text, part.signature))
        elif isinstance(part, ToolUse):
            said.tools.append((part.id, part.name, part.arguments))
        elif isinstance(part, Foreign):
            said.foreign.append(part.kind)
    said.usage = figures(answer.usage)
    return said


def figures(usage: Usage | None) -> tuple[int, int, int, int] | None:
    if usage is None:
        return None
    return usage.input, usage.output, usage.cached, usage.reasoning


def collected(events: list[Event]) -> Answer:
    """The answer that events tell of; their order is held to the contract."""
    answer = Answer()
    parts: dict[int, Any] = {}
    opened: set[int] = set()
    for number, event in enumerate(events):
        if isinstance(event, Began):
            assert number == 0
            answer.id, answer.model, answer.created = event.id, event.model, event.created
        elif isinstance(event, Opened):
            assert event.index == len(parts)
            parts[event.index] = event.part
            opened.add(event.index)
        elif isinstance(event, Grew):
            assert event.index in opened
            part = parts[event.index]
            if isinstance(part, ToolUse):
                part.arguments += event.text
            else:
                part.text += event.text
        elif isinstance(event, Signed):
            assert event.index in opened
            parts[event.index].signature = event.signature
            parts[event.index].family = event.family
        elif isinstance(event, Cited):
            assert event.index in opened
            parts[event.index].citations.append(event.citation)
        elif isinstance(event, Closed):
            opened.remove(event.index)
        elif isinstance(event, Stopped):
            assert not opened
            answer.reason = event.reason
        elif isinstance(event, Used):
            answer.usage = event.usage
        elif isinstance(event, Ended):
            assert event is events[-1]
    answer.parts = [parts[index] for index in sorted(parts)]
    return answer


def pieces(data: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(60))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def splits(data: bytes) -> list[list[bytes]]:
    ways = [[data], pieces(data, 1), pieces(data, 2)]
    if len(data) < 8_000:
        ways.append([data[i : i + 1] for i in range(len(data))])
    return ways


def heard(chunks: list[bytes]) -> list[Event]:
    reader = Reader()
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + list(reader.finish())


@recorded.parameters(WHOLE)
def test_answer(case: Path) -> None:
    """A whole answer is read as it says, and means the same once written and read again."""
    raw = recorded.response_file(case).read_bytes()
    if case.name in NO_ANSWER:
        with pytest.raises(Fault):
            read_answer(raw)
        return
    response = json.loads(raw)
    answer = read_answer(raw)
    expected = plain_answer(response)
    if case.name in IMPOSSIBLE:
        assert answer.usage is not None
        assert answer.usage.problem
        return
    assert meaning(answer) == expected
    assert answer.created == int(response["created_at"])
    assert answer.usage is None or answer.usage.problem == ""
    if response.get("status") in QUEUED:
        assert json.loads(write_answer(BODY, answer))["status"] == "failed"
        return
    again = meaning(read_answer(write_answer(BODY, answer)))
    assert again == replaced(expected, again)
    told_again = meaning(collected(heard([written(list(answer_events(answer)))[0]])))
    assert told_again == again


def replaced(expected: Said, again: Said) -> Said:
    """What was meant, under the id that the gateway gave it."""
    assert again.id.startswith("resp_")
    assert again.id.endswith(expected.id.removeprefix("resp_"))
    return Said(**{**vars(expected), "id": again.id, "model": expected.model or "m"})


def written(events: list[Event]) -> tuple[bytes, Writer]:
    writer = Writer(BODY)
    return b"".join(writer.write(event) for event in events), writer


@recorded.parameters(STREAMED)
def test_stream(case: Path) -> None:
    """A stream is read as it says, however it is split, and means the same once written."""
    data, plain = framed(case), told(case)
    ways = [heard(chunks) for chunks in splits(data)]
    assert all(repr(way) == repr(ways[0]) for way in ways)
    if plain[-1]["type"] == "response.failed":
        assert isinstance(ways[0][-1], Broke)
        assert not any(isinstance(event, Ended) for event in ways[0])
        return
    expected = plain_stream(plain)
    out, writer = written(heard([data]))
    assert meaning(collected(ways[0])) == expected
    assert isinstance(ways[0][-1], Ended)
    numbers = [json.loads(line[6:])["sequence_number"] for line in lines(out)]
    assert numbers == list(range(len(numbers)))
    again = meaning(collected(heard([out])))
    assert again == replaced(expected, again)
    assert meaning(read_answer(writer.final)) == again


def lines(out: bytes) -> list[bytes]:
    return [line for line in out.split(b"\n") if line.startswith(b"data: ")]


@recorded.parameters(STREAMED)
def test_truncation(case: Path) -> None:
    """A stream that is cut before its last event has no end."""
    data = framed(case)
    last = max(
        data.rfind(f"response.{end}".encode()) for end in ("completed", "incomplete", "fail")
    )
    cut = data[: data.rfind(b"data:", 0, last)] if b"data:" in data[:last] else b""
    assert not any(isinstance(event, Ended) for event in heard([cut]))
    meter = ResponsesMeter()
    meter.feed(cut)
    meter.finish()
    assert not meter.complete


@recorded.parameters(STREAMED)
def test_meter(case: Path) -> None:
    """Bytes pass as they are, and the meter knows the usage, the end and the failure."""
    data, plain = framed(case), told(case)
    for chunks in splits(data):
        meter = ResponsesMeter()
        assert b"".join([*map(meter.feed, chunks), meter.finish()]) == data
        failed = plain[-1]["type"] == "response.failed"
        assert (meter.fault is not None) == failed
        assert meter.complete != failed
        response = plain[-1]["response"]
        assert json.loads(meter.final) == response
        said = Said()
        plain_end(response, said)
        assert figures(meter.usage) == said.usage
        assert meter.produced > 0 or not any("delta" in event for event in plain)
        assert meter.sequence == plain[-1]["sequence_number"] + 1


@recorded.parameters(ASKED)
def test_request(case: Path) -> None:
    """What a client asked is asked again: the same turns, tools and limits, or a named loss."""
    raw = (case / "request.json").read_bytes()
    asked = json.loads(raw)
    losses = Losses()
    if any(asked.get(name) for name in LEANING):
        with pytest.raises(Fault):
            read_request(JsonBody.parse(raw), losses)
        return
    talk = read_request(JsonBody.parse(raw), losses)
    again = json.loads(write_request(talk, losses))
    assert again["model"] == asked["model"]
    assert spoken(again) == spoken(asked)
    ceiling = asked.get("max_output_tokens")
    assert again.get("max_output_tokens") == (None if ceiling is None else max(16, ceiling))
    for name in ("temperature", "top_p", "parallel_tool_calls"):
        assert again.get(name) == asked.get(name)
    assert [tool_of(tool) for tool in again.get("tools", [])] == [
        tool_of(tool) for tool in asked.get("tools") or []
    ]
    missing = {name for name, value in asked.items() if value is not None} - again.keys()
    lost = {name.partition("[")[0].partition(".")[0] for name in losses.names}
    assert missing <= lost | {"instructions", "stream", "truncation", "stream_options"}


def tool_of(tool: dict[str, Any]) -> tuple[Any, ...]:
    if tool["type"] != "function":
        return (json.dumps(tool),)
    tool = tool | tool.get("function", {})
    return tool["name"], tool.get("description"), json.dumps(tool["parameters"])


def spoken(asked: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every word, call and result of a request's turns, in order."""
    found: list[tuple[str, ...]] = []
    if asked.get("instructions"):
        found.append(("system", asked["instructions"]))
    given = asked["input"]
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    for item in given:
        found += spoken_item(item)
    return found


def spoken_item(item: dict[str, Any]) -> list[tuple[str, ...]]:
    kind = item.get("type", "message")
    if kind == "message":
        role = {"developer": "system"}.get(item["role"], item["role"])
        content = item["content"]
        if isinstance(content, str):
            return [(role, content)]
        return [(role, part.get("text") or json.dumps(part)[-200:]) for part in content]
    if kind == "function_call":
        return [(kind, item["call_id"], item["name"], item["arguments"])]
    if kind == "function_call_output":
        return [(kind, item["call_id"], item["output"])]
    if kind == "reasoning":
        sealed = item.get("encrypted_content")
        return [(kind, sealed)] if sealed else []
    return [(kind, json.dumps(item))]
