"""A plain reading of recorded traffic, which knows nothing of the code it judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.core.money.checks import problem_of
from gateway.domain import Usage
from gateway.sdk.talk import Answer, Foreign, Media, Text, Thinking, ToolUse
from tests import recorded

FILTERED = {"SAFETY", "MODEL_ARMOR", "RECITATION", "PROHIBITED_CONTENT"}
ERRORS = {"UNEXPECTED_TOOL_CALL", "MALFORMED_FUNCTION_CALL"}


def plain(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """What a recording says: text, thoughts, calls, files, other parts, the end and the usage."""
    seen: dict[str, Any] = {
        "text": "", "thoughts": "", "calls": [], "files": [], "others": [], "signatures": [],
        "finish": None, "usage": None, "id": None, "model": None,
    }  # fmt: skip
    partial: list[tuple[list[Any], str]] = []
    for piece in pieces:
        seen["id"] = seen["id"] or piece.get("responseId")
        seen["model"] = seen["model"] or piece.get("modelVersion")
        if "promptTokenCount" in piece.get("usageMetadata", {}):
            seen["usage"] = piece["usageMetadata"]
        if piece.get("promptFeedback", {}).get("blockReason"):
            seen["finish"] = "SAFETY"
        first = [it for it in piece.get("candidates", []) if it.get("index", 0) == 0][:1]
        for candidate in first:
            seen["finish"] = candidate.get("finishReason") or seen["finish"]
            for part in candidate.get("content", {}).get("parts", []):
                _plain_part(part, seen, partial)
    return seen


def _plain_part(part: dict[str, Any], seen: dict[str, Any], partial: list[Any]) -> None:
    if "thoughtSignature" in part and not {"toolCall", "toolResponse", "executableCode"} & set(
        part
    ):
        seen["signatures"].append(part["thoughtSignature"])
    if "functionCall" in part:
        told = part["functionCall"]
        if "name" in told:
            seen["calls"].append([told["name"], told.get("args", {})])
        for bit in told.get("partialArgs", []):
            _plain_bit(seen["calls"][-1][1], bit)
    elif "inlineData" in part:
        if not part.get("thought"):
            seen["files"].append((part["inlineData"]["mimeType"], part["inlineData"]["data"]))
    elif "text" in part:
        seen["thoughts" if part.get("thought") else "text"] += part["text"]
    elif set(part) - {"thought", "thoughtSignature"}:
        seen["others"].append(part)


def _plain_bit(arguments: Any, bit: dict[str, Any]) -> None:
    """Every recorded bit is of a string; its place is written with dots and brackets."""
    names = bit["jsonPath"].removeprefix("$.").replace("[", ".#").replace("]", "").split(".")
    holder = arguments
    for name, after in zip(names, [*names[1:], None], strict=True):
        key: Any = int(name[1:]) if name.startswith("#") else name
        empty: Any = "" if after is None else [] if after.startswith("#") else {}
        if isinstance(holder, list) and len(holder) == key:
            holder.append(empty)
        elif isinstance(holder, dict):
            holder.setdefault(key, empty)
        if after is None:
            holder[key] += bit["stringValue"]
        holder = holder[key]


def expected_reason(seen: dict[str, Any]) -> str:
    finish = seen["finish"]
    if finish in FILTERED:
        return "filter"
    if finish in ERRORS:
        return "error"
    if finish == "MAX_TOKENS":
        return "length"
    return "tool" if seen["calls"] else "stop"


def expected_usage(counts: dict[str, Any]) -> dict[str, int]:
    def tokens(name: str, modality: str) -> int:
        return sum(it["tokenCount"] for it in counts.get(name, []) if it["modality"] == modality)

    thoughts = counts.get("thoughtsTokenCount", 0)
    return {
        "input": counts["promptTokenCount"] + counts.get("toolUsePromptTokenCount", 0),
        "output": counts.get("candidatesTokenCount", 0) + thoughts,
        "reasoning": thoughts,
        "cached": counts.get("cachedContentTokenCount", 0),
        "audio_input": tokens("promptTokensDetails", "AUDIO"),
        "image_input": tokens("promptTokensDetails", "IMAGE"),
        "image_output": tokens("candidatesTokensDetails", "IMAGE"),
        "cached_audio": tokens("cacheTokensDetails", "AUDIO"),
    }


def check(answer: Answer, seen: dict[str, Any]) -> None:
    """Field by field."""
    parts = answer.parts
    assert "".join(p.text for p in parts if isinstance(p, Text)) == seen["text"]
    assert "".join(p.text for p in parts if isinstance(p, Thinking)) == seen["thoughts"]
    calls = [p for p in parts if isinstance(p, ToolUse)]
    assert [[p.name, json.loads(p.arguments)] for p in calls] == seen["calls"]
    assert all(p.id for p in calls)
    assert len({p.id for p in calls}) == len(calls)
    files = [(p.mime, p.data) for p in parts if isinstance(p, Media)]
    assert files == seen["files"]
    assert [json.loads(p.raw) for p in parts if isinstance(p, Foreign)] == seen["others"]
    signed = [p.signature for p in parts if isinstance(p, ToolUse | Thinking) and p.signature]
    assert signed == seen["signatures"]
    assert all(p.family == "generate" for p in parts if isinstance(p, Thinking))
    assert answer.reason == expected_reason(seen)
    assert answer.id == (seen["id"] or "")
    assert answer.model == (seen["model"] or "")
    check_usage(answer.usage, seen["usage"])


def check_usage(usage: Usage | None, counts: dict[str, Any] | None) -> None:
    if counts is None:
        assert usage is None
        return
    assert usage is not None
    wanted = expected_usage(counts)
    assert {name: getattr(usage, name) for name in wanted} == wanted
    assert json.loads(usage.raw) == counts
    assert problem_of(usage) == ""


def cited_places(answer: Answer) -> list[str]:
    """Where a source has a place, the place holds its words."""
    found = []
    for part in answer.parts:
        for citation in part.citations if isinstance(part, Text) else ():
            assert isinstance(part, Text)
            if citation.start is not None:
                assert part.text[citation.start : citation.end] == (
                    citation.quote or part.text[citation.start : citation.end]
                )
            found.append(citation.quote)
    return found


def pieces_of(case: Path) -> list[dict[str, Any]]:
    file = recorded.response_file(case)
    data = file.read_bytes()
    if file.suffix == ".json":
        found: list[dict[str, Any]] = json.loads(data)
        return found
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    return [json.loads(line[5:]) for line in data.splitlines() if line.startswith(b"data:")]
