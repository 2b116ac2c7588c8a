"""Answers read plainly with json alone: what translations are compared with."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Plain:
    """What an answer says."""

    text: str = ""
    thinking: str = ""
    refusal: str = ""
    tools: list[list[str]] = field(default_factory=list)  # id, name, arguments
    finish: str = ""
    usage: dict[str, Any] | None = None
    sources: list[str] = field(default_factory=list)
    error: bool = False


def pieces_of(data: bytes, chance: random.Random) -> list[bytes]:
    """The bytes, cut where chance will have it."""
    places = sorted(chance.sample(range(len(data) + 1), min(len(data), 40)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def _add(plain: Plain, said: dict[str, Any]) -> None:
    content = said.get("content") or ""
    if isinstance(content, list):
        for part in content:
            if part["type"] == "text":
                plain.text += part["text"]
            elif part["type"] == "thinking":
                plain.thinking += "".join(p.get("text", "") for p in part["thinking"])
    else:
        plain.text += content
    details = said.get("reasoning_details") or []
    words = "".join(d.get("text") or d.get("summary") or "" for d in details)
    plain.thinking += words or said.get("reasoning_content") or said.get("reasoning") or ""
    plain.refusal += said.get("refusal") or ""
    for note in said.get("annotations") or []:
        if "url_citation" in note:
            plain.sources.append(note["url_citation"].get("url", ""))


def _finish(reason: str | None, tools: bool) -> str:
    if reason in ("stop", "eos") and tools:
        return "tool_calls"
    return {"function_call": "tool_calls", "model_length": "length"}.get(reason or "", reason or "")


def read_chat_answer(body: dict[str, Any]) -> Plain:
    """A chat.completion."""
    plain = Plain()
    choice = body["choices"][0]
    message = choice.get("message", {})
    _add(plain, message)
    for call in message.get("tool_calls") or []:
        function = call["function"]
        plain.tools.append([call["id"], function["name"], function["arguments"] or "{}"])
    old = message.get("function_call") or {}
    if old.get("name"):
        plain.tools.append([f"call_{old['name']}", old["name"], old["arguments"]])
    plain.finish = _finish(choice.get("finish_reason"), bool(plain.tools))
    plain.usage = body.get("usage")
    return plain


def read_chat_events(data: bytes) -> Plain:
    """A stream of chat.completion.chunks."""
    plain = Plain()
    calls: dict[Any, list[str]] = {}
    for line in data.replace(b"\r\n", b"\n").split(b"\n"):
        payload = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or payload == b"[DONE]":
            continue
        chunk = json.loads(payload)
        if chunk.get("error"):
            plain.error = True
        plain.usage = chunk.get("usage") or plain.usage
        for choice in chunk.get("choices") or []:
            plain.usage = choice.get("usage") or plain.usage
            if choice.get("index", 0) != 0:
                continue
            if not plain.finish:
                delta = choice.get("delta") or {}
                _add_unproven(plain, delta)
                _add_calls(calls, delta)
            if choice.get("finish_reason") and not plain.finish:
                plain.finish = _finish(choice["finish_reason"], bool(calls))
    plain.tools = [*calls.values()]
    return plain


def _add_unproven(plain: Plain, delta: dict[str, Any]) -> None:
    """Our own writer repeats what is proven; the words of it came before."""
    proven = [d for d in delta.get("reasoning_details") or [] if d.get("signature")]
    if proven and not any(delta.get(name) for name in ("reasoning", "reasoning_content")):
        delta = {**delta, "reasoning_details": []}
    _add(plain, delta)


def _add_calls(calls: dict[Any, list[str]], delta: dict[str, Any]) -> None:
    for call in delta.get("tool_calls") or []:
        function = call.get("function") or {}
        place = call.get("index")
        if place is None:
            place = len(calls)
        if call.get("id") and place in calls and calls[place][0] != call["id"]:
            place = (place, call["id"])
        known = calls.setdefault(place, [call.get("id") or "", function.get("name") or "", ""])
        known[2] += function.get("arguments") or ""


def read_message(body: dict[str, Any]) -> Plain:
    """A message of the Messages dialect."""
    plain = Plain()
    for block in body["content"]:
        _add_block(plain, block)
    plain.finish = body.get("stop_reason") or ""
    plain.usage = body.get("usage")
    return plain


def _add_block(plain: Plain, block: dict[str, Any]) -> None:
    kind = block["type"]
    if kind == "text":
        plain.text += block["text"]
        plain.sources += [one.get("cited_text") or "" for one in block.get("citations") or []]
    elif kind == "thinking":
        plain.thinking += block["thinking"] + f"[{block.get('signature', '')}]"
    elif kind == "redacted_thinking":
        plain.thinking += f"[{block['data']}]"
    elif kind == "tool_use":
        plain.tools.append([block["id"], block["name"], json.dumps(block["input"])])
    else:
        plain.refusal += kind  # what only this dialect has: that it is there


def read_message_events(data: bytes) -> Plain:
    """A stream of the Messages dialect."""
    blocks: dict[int, dict[str, Any]] = {}
    fragments: dict[int, str] = {}
    plain = Plain()
    usage: dict[str, Any] = {}
    for event in _events(data):
        kind = event.get("type")
        if kind == "message_start":
            usage |= event["message"].get("usage") or {}
        elif kind == "content_block_start":
            blocks[event["index"]] = event["content_block"]
        elif kind == "content_block_delta":
            _grow_block(blocks[event["index"]], fragments, event)
        elif kind == "message_delta":
            plain.finish = event["delta"].get("stop_reason") or plain.finish
            usage |= {k: v for k, v in (event.get("usage") or {}).items() if v is not None}
        elif kind == "error":
            plain.error = True
    for index, block in blocks.items():
        if fragments.get(index) and block["type"] == "tool_use":
            block["input"] = json.loads(fragments[index])
        _add_block(plain, block)
    plain.usage = usage
    return plain


def _grow_block(block: dict[str, Any], fragments: dict[int, str], event: dict[str, Any]) -> None:
    delta = event["delta"]
    for name in ("text", "thinking", "signature"):
        if name in delta:
            block[name] = block.get(name, "") + delta[name]
    if "partial_json" in delta:
        known = fragments.get(event["index"], "")
        fragments[event["index"]] = known + delta["partial_json"]
    if "citation" in delta:
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]


def _events(data: bytes) -> list[dict[str, Any]]:
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    payloads = [line[5:].strip() for line in lines if line.startswith(b"data:")]
    return [json.loads(payload) for payload in payloads if payload != b"[DONE]"]


def read_response(body: dict[str, Any]) -> Plain:
    """A response object."""
    plain = Plain()
    for item in body["output"]:
        _add_item(plain, item)
    why = (body.get("incomplete_details") or {}).get("reason", "")
    plain.finish = body["status"] + why
    plain.usage = body.get("usage")
    plain.error = body["status"] == "failed"
    return plain


def _add_item(plain: Plain, item: dict[str, Any]) -> None:
    kind = item["type"]
    if kind == "message":
        for part in item["content"]:
            plain.text += part.get("text", "")
            plain.refusal += part.get("refusal", "")
            notes = part.get("annotations") or []
            plain.sources += [note["url"] for note in notes if note["type"] == "url_citation"]
    elif kind == "reasoning":
        words = item.get("summary") or item.get("content") or []
        plain.thinking += "".join(one["text"] for one in words)
        plain.thinking += f"[{item.get('encrypted_content') or ''}]"
    elif kind == "function_call":
        plain.tools.append([item["call_id"], item["name"], item["arguments"]])
    elif kind == "custom_tool_call":
        plain.tools.append([item["call_id"], item["name"], item["input"]])


def read_response_events(data: bytes) -> Plain:
    """A stream of the Responses dialect: what its deltas say, and what its end says."""
    plain = Plain()
    for event in _events(data):
        kind = event["type"]
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            plain = read_response(event["response"])
        elif kind == "error":
            plain.error = True
    return plain


def check_order(data: bytes) -> None:
    """Every event in its place: numbered without gaps, items and parts opened and closed."""
    events = _events(data)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    said: dict[Any, str] = {}
    items: set[int] = set()
    for event in events:
        kind, index = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert index not in items
            items.add(index)
        elif kind == "response.output_item.done":
            items.remove(index)
        elif index is not None:
            assert index in items, event
        name = (index, kind.removeprefix("response.").rpartition(".")[0])
        if kind.endswith(".delta"):
            said[name] = said.get(name, "") + event["delta"]
        elif kind.endswith(".done") and name in said:
            whole = [event.get(field) for field in ("text", "refusal", "arguments", "input")]
            assert said[name] in whole
    assert not items
