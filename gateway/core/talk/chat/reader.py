"""A stream on the chat wire, read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import Raw, Struct

from gateway.core import sse
from gateway.core.faults import fault_in_body
from gateway.core.talk.chat.answer import content_of
from gateway.core.talk.chat.parts import (
    FAMILY,
    NOTHING,
    Annotation,
    CallPart,
    Detail,
    FunctionPart,
    citation_of,
    media_of,
    reason_of,
)
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
from gateway.core.talk.model import Part, Refusal, Text, Thinking, ToolUse
from gateway.core.usage import is_object, openai_usage
from gateway.domain import Usage
from gateway.errors import Fault


class _Image(Struct, gc=False):
    image_url: dict[str, str] | None = None


class _Delta(Struct, gc=False):
    content: Raw = NOTHING
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    refusal: str | None = None
    tool_calls: list[CallPart] | None = None
    function_call: FunctionPart | None = None
    annotations: list[Annotation] | None = None
    images: list[_Image] | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: str | None = None
    usage: Raw = NOTHING


class _Chunk(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    created: float | None = None
    choices: list[_Choice] | None = None
    usage: Raw = NOTHING
    error: Raw = NOTHING


_decode = msgspec.json.Decoder(_Chunk).decode
_string = msgspec.json.Decoder(str).decode
_EMPTY = (b"", b"null", b'""')
_MOST_PARTS = 4_096


class Reader:
    """Chunks into events, whatever the host's habits are."""

    def __init__(
        self,
        read_usage: Callable[[bytes], Usage] = openai_usage,
        fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    ) -> None:
        self._splitter = sse.Splitter()
        self._read_usage = read_usage
        self._fault_in = fault_in
        self._plain = fault_in is fault_in_body
        self._begun = self._stopped = self._ended = False
        self._parts = 0
        self._open: int | None = None  # the part that is said just now, unless it is a tool call
        self._kind: type[Part] | None = None
        self._thought = ""  # the id of the detail that is thought just now
        self._tools: dict[tuple[int, str], int] = {}
        self._last: dict[int, int] = {}  # a call's index -> its part

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete."""
        splitter = self._splitter
        for event in splitter.feed(data):
            payload = None if splitter.oversize else sse.data_of(event)
            if payload is not None:
                yield from self._read(payload)

    def finish(self) -> Iterator[Event]:
        """The end of the bytes: a last event without its blank line still counts."""
        rest = self._splitter.rest()
        if rest and not self._splitter.oversize:
            payload = sse.data_of(rest)
            if payload is not None:
                yield from self._read(payload)
        if self._stopped and not self._ended:
            self._ended = True
            yield Ended()

    def _read(self, payload: bytes) -> Iterator[Event]:
        if payload == b"[DONE]":
            if not self._ended:
                yield from self._stop("stop") if self._begun else ()
                self._ended = True
                yield Ended()
            return
        try:
            chunk = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        choices = chunk.choices
        if not choices or not self._plain or chunk.error is not NOTHING:
            fault = self._fault_in(payload)
            if fault is not None:
                yield Broke(fault)
                return
        if not self._begun and (choices or chunk.id):
            self._begun = True
            yield Began(chunk.id or "", chunk.model or "", int(chunk.created or 0))
        for choice in choices or ():
            if choice.index == 0:
                yield from self._choose(choice)
        used = chunk.usage
        if not is_object(used) and choices:
            used = choices[0].usage
        if is_object(used):
            yield Used(self._read_usage(bytes(used)))

    def _choose(self, choice: _Choice) -> Iterator[Event]:
        delta = choice.delta
        if delta is not None and not self._stopped:
            yield from self._grow(delta)
        if choice.finish_reason:
            yield from self._stop(choice.finish_reason)

    def _grow(self, delta: _Delta) -> Iterator[Event]:
        if delta.reasoning_details:
            for detail in delta.reasoning_details:
                yield from self._detail(detail)
        else:
            thought = delta.reasoning_content or delta.reasoning
            if thought:
                yield from self._say(Thinking, thought)
        content = delta.content
        if content is not NOTHING and bytes(content) not in _EMPTY:
            yield from self._content(content)
        if delta.refusal:
            yield from self._say(Refusal, delta.refusal)
        for annotation in delta.annotations or ():
            citation = citation_of(annotation)
            if citation is not None:
                yield from self._say(Text, "")
                yield Cited(self._open or 0, citation)
        for image in delta.images or ():
            yield from self._close()
            media = media_of("image", (image.image_url or {}).get("url", ""))
            yield Opened(self._parts, media)
            yield Closed(self._parts)
            self._parts += 1
        for call in delta.tool_calls or ():
            yield from self._call(call)
        old = delta.function_call
        if old is not None and (old.name or self._last):
            yield from self._call(CallPart(0, function=old))

    def _content(self, raw: Raw) -> Iterator[Event]:
        found = bytes(raw)
        if found[:1] == b'"':
            yield from self._say(Text, _string(found))
            return
        try:
            parts = content_of(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        for part in parts:
            if isinstance(part, Text | Thinking | Refusal):
                yield from self._say(type(part), part.text)

    def _say(self, kind: type[Text | Thinking | Refusal], text: str) -> Iterator[Event]:
        if self._kind is not kind or self._open is None:
            yield from self._close()
            part = Thinking(family=FAMILY) if kind is Thinking else kind()
            yield Opened(self._next(kind), part)
        if text and self._open is not None:
            yield Grew(self._open, text)

    def _detail(self, detail: Detail) -> Iterator[Event]:
        """A piece of what was thought: words, the proof of them, or something sealed."""
        family = detail.format or FAMILY
        if detail.data:
            yield from self._close()
            sealed = Thinking(data=detail.data, family=family, id=detail.id or "")
            yield Opened(self._parts, sealed)
            yield Closed(self._parts)
            self._parts += 1
            return
        text = detail.text or detail.summary or ""
        if text:
            yield from self._say(Thinking, text)
        if detail.signature:
            yield from self._say(Thinking, "")
            yield Signed(self._open or 0, detail.signature, family)
            yield from self._close()

    def _call(self, call: CallPart) -> Iterator[Event]:
        """A piece of a tool call. Some hosts leave out the index, or give all calls the same."""
        index = call.index
        if index is None:
            index = len(self._last) if call.id or not self._last else max(self._last)
        part = self._last.get(index)
        if part is None or (call.id and call.name and (index, call.id) not in self._tools):
            if self._parts >= _MOST_PARTS:
                return
            yield from self._close()
            part = self._parts
            self._parts += 1
            known = call.id or f"call_{part}"
            self._last[index] = self._tools[index, known] = part
            made = ToolUse(known, call.name, custom=call.custom is not None)
            yield Opened(part, made)
        if call.signature:
            yield Signed(part, call.signature, call.signature_family or "")
        try:
            arguments = call.arguments
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if arguments:
            yield Grew(part, arguments)

    def _next(self, kind: type[Part]) -> int:
        self._open, self._kind = self._parts, kind
        self._parts += 1
        return self._open

    def _close(self) -> Iterator[Event]:
        if self._open is not None:
            yield Closed(self._open)
        self._open = self._kind = None

    def _stop(self, finish: str) -> Iterator[Event]:
        if self._stopped:
            return
        self._stopped = True
        yield from self._close()
        for part in self._tools.values():
            yield Closed(part)
        reason = reason_of(finish)
        yield Stopped("tool" if reason == "stop" and self._tools else reason)
