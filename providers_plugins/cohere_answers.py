"""Answers on Cohere's v2 wire, whole and streamed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.sdk import UPSTREAM_ERROR, Call, Fault, ProviderError, Usage, read_error
from gateway.sdk.talk import (
    Answer,
    Began,
    Broke,
    Citation,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Part,
    Reason,
    Stopped,
    Text,
    Thinking,
    ToolUse,
    Used,
    sse,
)
from providers_plugins.causes import FAILED, TIMEOUT, caused

_REASONS: Final[Mapping[str, Reason]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool",
    "ERROR_LIMIT": "context",
    "ERROR_TOXIC": "filter",
}
_BROKEN = {"ERROR": FAILED, "TIMEOUT": TIMEOUT}
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_LIMIT = 1 << 53
_MOST_PARTS = 1024


class _Said(msgspec.Struct):
    """An answer, or what its head knows."""

    id: str = ""
    message: dict[str, Any] | str | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _Delta(msgspec.Struct):
    message: dict[str, Any] | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = msgspec.Raw()
    error: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    id: str = ""
    index: int = 0
    delta: _Delta | None = None
    message: str | None = None


_decode_event = msgspec.json.Decoder(_Event).decode


def bad_answer() -> Fault:
    """For an answer that can't be read."""
    message = "The provider's answer is not the JSON object it should be."
    return Fault(UPSTREAM_ERROR, message, cause="bad_answer")


def read_answer(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
    """A whole answer."""
    del headers
    try:
        said = msgspec.json.decode(body, type=_Said)
    except _BAD:
        raise bad_answer() from None
    if not isinstance(said.message, dict):
        told = read_error(body)
        raise caused(FAILED, told.message, ProviderError(status=200, code=told.code))
    failure = _BROKEN.get(said.finish_reason or "")
    if failure is not None:
        raise caused(failure, said.finish_reason or "", ProviderError(status=200))
    return Answer(
        id=said.id,
        model=call.upstream,
        parts=_parts(said.message),
        reason=_REASONS.get(said.finish_reason or "", "stop"),
        usage=usage_of(bytes(said.usage)),
        created=int(call.now),
    )


def _parts(message: dict[str, Any]) -> list[Part]:
    parts: list[Part] = []
    plan = message.get("tool_plan")
    content = message.get("content")
    if isinstance(content, str):
        content = [{"text": content}]
    for part in _objects(content):
        if isinstance(part.get("thinking"), str):
            parts.append(Thinking(text=part["thinking"]))
        elif isinstance(part.get("text"), str):
            parts.append(Text(text=part["text"]))
    if isinstance(plan, str) and plan:
        parts.append(Text(text=plan))
    _cite(parts, _objects(message.get("citations")))
    parts += [_tool_use(call) for call in _objects(message.get("tool_calls"))]
    return parts


def _cite(parts: list[Part], citations: list[dict[str, Any]]) -> None:
    """Each to the content it points at; without a pointer, to the first text."""
    texts = [part for part in parts if isinstance(part, Text)]
    for found in citations:
        at = found.get("content_index")
        part = parts[at] if isinstance(at, int) and 0 <= at < len(parts) else None
        target = part if isinstance(part, Text) else texts[0] if texts else None
        if target is not None:
            target.citations.append(_citation(found))


def _citation(found: dict[str, Any]) -> Citation:
    sources = _objects(found.get("sources"))
    document = sources[0].get("document") if sources else None
    told = document if isinstance(document, dict) else {}
    return Citation(
        url=_text(told.get("url")),
        title=_text(told.get("title")) or (_text(sources[0].get("id")) if sources else ""),
        quote=_text(found.get("text")),
        start=_place(found.get("start")),
        end=_place(found.get("end")),
    )


def _tool_use(call: dict[str, Any]) -> ToolUse:
    function = call.get("function")
    told = function if isinstance(function, dict) else {}
    return ToolUse(
        id=_text(call.get("id")),
        name=_text(told.get("name")),
        arguments=_text(told.get("arguments")),
    )


class ChatReader:
    """Reads a stream of v2 events; `message-end` is its end."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._splitter = sse.Splitter()
        self._numbers: dict[str, int] = {}  # open parts, by kind and their own index
        self._next = 0
        self._begun = False
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that these bytes complete."""
        for event in self._splitter.feed(data):
            if self._splitter.oversize:
                yield from self._break("an event of it is too large to be read")
            elif not self._over:
                yield from self._event(sse.data_of(event))

    def finish(self) -> Iterator[Event]:
        """A last event without its blank line still counts."""
        rest = self._splitter.rest()
        if rest and not self._splitter.oversize and not self._over:
            yield from self._event(sse.data_of(rest))

    def _event(self, payload: bytes | None) -> Iterator[Event]:
        if payload is None or payload == b"[DONE]":
            return
        try:
            said = _decode_event(payload)
        except _BAD:
            return  # none of the events that count; if one of them, the end will be missing
        if not said.type and said.message:
            yield from self._break(said.message)
            return
        if not self._begun and said.type:
            self._begun = True
            yield Began(said.id, self._call.upstream, int(self._call.now))
        message = {} if said.delta is None else said.delta.message or {}
        if said.type == "message-end":
            yield from self._end(said.delta or _Delta())
        elif said.type in ("content-start", "content-delta"):
            yield from self._content(said.index, _object(message.get("content")))
        elif said.type == "tool-plan-delta":
            yield from self._text("plan", _text(message.get("tool_plan")))
        elif said.type in ("tool-call-start", "tool-call-delta"):
            yield from self._tool(said, _object(message.get("tool_calls")))
        elif said.type == "tool-call-end":
            yield from self._close(f"tool {said.index}")
        elif said.type == "citation-start":
            yield from self._cited(_object(message.get("citations")))

    def _content(self, index: int, content: dict[str, Any]) -> Iterator[Event]:
        thinking = content.get("thinking")
        if isinstance(thinking, str):
            yield from self._text(f"thinking {index}", thinking)
        else:
            yield from self._text(f"text {index}", _text(content.get("text")))

    def _text(self, key: str, text: str) -> Iterator[Event]:
        """Texts stay open until something else begins: what cites them may come after them."""
        if key not in self._numbers:
            yield from self._close_all()
            yield from self._open(key, Thinking() if key.startswith("thinking") else Text())
        if text and key in self._numbers:
            yield Grew(self._numbers[key], text)

    def _tool(self, said: _Event, call: dict[str, Any]) -> Iterator[Event]:
        key = f"tool {said.index}"
        told = _tool_use(call)
        if said.type == "tool-call-start" or key not in self._numbers:
            yield from self._close_texts()
            yield from self._close(key)
            yield from self._open(key, told)
        elif told.arguments:
            yield Grew(self._numbers[key], told.arguments)

    def _cited(self, found: dict[str, Any]) -> Iterator[Event]:
        for key, number in self._numbers.items():
            if key.startswith("text"):
                yield Cited(number, _citation(found))
                return

    def _open(self, key: str, part: Part) -> Iterator[Event]:
        if self._next >= _MOST_PARTS:
            yield from self._break("it has too many parts")
            return
        self._numbers[key] = self._next
        yield Opened(self._next, part)
        self._next += 1

    def _close(self, key: str) -> Iterator[Event]:
        number = self._numbers.pop(key, None)
        if number is not None:
            yield Closed(number)

    def _close_texts(self) -> Iterator[Event]:
        for key in [key for key in self._numbers if not key.startswith("tool")]:
            yield from self._close(key)

    def _close_all(self) -> Iterator[Event]:
        for key in list(self._numbers):
            yield from self._close(key)

    def _end(self, delta: _Delta) -> Iterator[Event]:
        failure = _BROKEN.get(delta.finish_reason or "")
        if failure is not None or delta.error:
            words = delta.error or delta.finish_reason or ""
            self._over = True
            yield Broke(caused(failure or FAILED, words, ProviderError(status=200)))
            return
        yield from self._close_all()
        yield Stopped(_REASONS.get(delta.finish_reason or "", "stop"))
        usage = usage_of(bytes(delta.usage))
        if usage is not None:
            yield Used(usage)
        self._over = True
        yield Ended()

    def _break(self, words: str) -> Iterator[Event]:
        if not self._over:
            self._over = True
            yield Broke(caused(FAILED, words, ProviderError(status=200)))


def usage_of(raw: bytes) -> Usage | None:
    """What is billed: the host counts its own preamble among `tokens`, and does not charge it.

    Cached tokens are of that preamble for the most part, and have no price of their own.
    """
    if raw[:1] != b"{":
        return None
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
    except _BAD:
        return Usage(raw=raw, problem="it cannot be read")
    tokens = _object(found.get("tokens"))
    billed = _object(found.get("billed_units")) or tokens
    figures = [billed.get("input_tokens", 0), billed.get("output_tokens", 0)]
    figures.append(tokens.get("reasoning_tokens", 0))
    counts = [_count(figure) for figure in figures]
    problem = "" if billed else "it has no count of tokens"
    if None in counts:
        problem = "a figure of it is not a count"
    given, made, thought = (count or 0 for count in counts)
    return Usage(input=given, output=made, reasoning=min(thought, made), raw=raw, problem=problem)


def embedding_usage(raw: bytes) -> Usage | None:
    """Texts and pictures are billed in tokens apart."""
    if raw[:1] != b"{":
        return None
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any])
    except _BAD:
        return Usage(raw=raw, problem="it cannot be read")
    given = _count(found.get("input_tokens", 0))
    shown = _count(found.get("image_tokens", 0))
    pictures = _count(found.get("images", 0))
    problem = "a figure of it is not a count" if None in (given, shown, pictures) else ""
    return Usage(
        input=(given or 0) + (shown or 0),
        image_input=shown or 0,
        images=pictures or 0,
        raw=raw,
        problem=problem,
    )


def _count(value: Any) -> int | None:
    """A count; hosts that write 84.0 mean 84."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LIMIT:
        return None
    return int(value) if value == int(value) else None


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _place(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
