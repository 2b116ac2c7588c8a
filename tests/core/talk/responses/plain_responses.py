"""A plain reading of recorded responses, and what an answer of the gateway's means beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from gateway.core.talk.model import Answer, Foreign, Refusal, Text, Thinking, ToolUse
from gateway.domain import Usage
from tests import recorded

DELTA = {"response.output_text.delta", "response.refusal.delta"}
SUMMARY = "response.reasoning_summary_text.delta"
THOUGHT = "response.reasoning_text.delta"


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
