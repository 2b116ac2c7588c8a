"""A stream on the Responses wire, read."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Raw, Struct

from gateway.core import sse
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
from gateway.core.talk.model import Foreign, Part, Refusal, Text, Thinking, ToolUse
from gateway.core.talk.responses.answer import (
    Response,
    failure_of,
    fault_of,
    parts_of,
    reason_of,
)
from gateway.core.talk.responses.items import (
    FAMILY,
    NOTHING,
    Content,
    citation_of,
    item,
)
from gateway.core.usage import openai_usage


class _Event(Struct, gc=False):
    type: str | None = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    item: Raw = NOTHING
    part: Content | None = None
    annotation: Raw = NOTHING
    response: Raw = NOTHING


_decode = msgspec.json.Decoder(_Event).decode
_response = msgspec.json.Decoder(Response).decode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MOST_PARTS = 4_096
_ITEM = -1  # the place of what an item is itself, beside its contents
_DELTAS = {
    "response.output_text.delta",
    "response.refusal.delta",
    "response.function_call_arguments.delta",
    "response.custom_tool_call_input.delta",
    "response.reasoning_summary_text.delta",
    "response.reasoning_text.delta",
}
_OF_ITEMS = ("function_call", "custom_tool_call", "reasoning")
Place = tuple[int, int]


class Reader:
    """Events of the wire into events of a talk."""

    def __init__(self) -> None:
        self._splitter = sse.Splitter()
        self._parts = 0
        self._open: dict[Place, int] = {}
        self._grown: set[Place] = set()
        self._summaries: dict[int, int] = {}
        self._calls = False
        self._begun = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete."""
        splitter = self._splitter
        for event in splitter.feed(data):
            payload = None if splitter.oversize else sse.data_of(event)
            if payload is not None and payload != b"[DONE]":
                yield from self._read(payload)

    def finish(self) -> Iterator[Event]:
        """The end of the bytes: a last event without its blank line still counts."""
        rest = self._splitter.rest()
        payload = sse.data_of(rest) if rest and not self._splitter.oversize else None
        if payload is not None and payload != b"[DONE]":
            yield from self._read(payload)

    def _read(self, payload: bytes) -> Iterator[Event]:
        try:
            event = _decode(payload)
            kind = event.type or ""
            if kind in _DELTAS:
                yield from self._grow(event)
            elif kind.startswith("response.output_item."):
                added = kind.endswith("added")
                yield from self._start(event) if added else self._end_item(event)
            elif kind == "response.output_text.annotation.added" and event.annotation:
                place = (event.output_index, event.content_index)
                if place in self._open:
                    yield Cited(self._open[place], citation_of(bytes(event.annotation)))
            elif kind == "response.content_part.added":
                yield from self._content(event)
            elif kind.endswith((".created", ".in_progress")) and not self._begun:
                yield from self._begin(event)
            elif kind in ("response.completed", "response.incomplete", "response.failed"):
                yield from self._finish(event)
            elif kind == "error":
                yield Broke(fault_of(payload))
            elif kind.endswith(".done"):
                yield from self._done(event)
        except _BAD:
            return

    def _begin(self, event: _Event) -> Iterator[Event]:
        said = _response(event.response)
        self._begun = True
        yield Began(said.id or "", said.model or "", int(said.created_at or 0))

    def _start(self, event: _Event) -> Iterator[Event]:
        said = item.decode(event.item)
        if said.type not in _OF_ITEMS or self._parts >= _MOST_PARTS:
            return
        (part,) = parts_of(bytes(event.item))
        if isinstance(part, ToolUse):
            self._calls = True
            part.arguments = ""
        elif isinstance(part, Thinking):
            part.text = part.signature = part.data = ""
            part.family = FAMILY
        yield self._opened((event.output_index, _ITEM), part)

    def _opened(self, place: Place, part: Part) -> Event:
        number = self._open[place] = self._parts
        self._parts += 1
        return Opened(number, part)

    def _content(self, event: _Event) -> Iterator[Event]:
        if event.part is None or (event.output_index, _ITEM) in self._open:
            return  # a part of what was thought
        place = (event.output_index, event.content_index)
        if place not in self._open and self._parts < _MOST_PARTS:
            yield self._opened(place, Refusal() if event.part.type == "refusal" else Text())

    def _grow(self, event: _Event) -> Iterator[Event]:
        place = (event.output_index, _ITEM)
        if place not in self._open:
            place = (event.output_index, event.content_index)
        number = self._open.get(place)
        if number is None:
            if self._parts >= _MOST_PARTS:
                return
            refuses = event.type == "response.refusal.delta"
            yield self._opened(place, Refusal() if refuses else Text())
            number = self._open[place]
        self._grown.add(place)
        if event.type == "response.reasoning_summary_text.delta":
            before = self._summaries.setdefault(event.output_index, event.summary_index)
            if before != event.summary_index:
                self._summaries[event.output_index] = event.summary_index
                yield Grew(number, "\n\n")
        if event.delta:
            yield Grew(number, event.delta)

    def _done(self, event: _Event) -> Iterator[Event]:
        """Some hosts send no pieces, but the whole at the end."""
        place = (event.output_index, _ITEM)
        if place not in self._open:
            place = (event.output_index, event.content_index)
        text = event.text or event.refusal or event.arguments or event.input
        if text and place in self._open and place not in self._grown:
            self._grown.add(place)
            yield Grew(self._open[place], text)

    def _end_item(self, event: _Event) -> Iterator[Event]:
        mine = [place for place in self._open if place[0] == event.output_index]
        parts = parts_of(bytes(event.item))
        if not mine:
            for part in parts:
                self._calls = self._calls or isinstance(part, ToolUse)
                number = self._parts
                self._parts += 1
                yield Opened(number, part)
                yield Closed(number)
            return
        for place, part in zip(mine, parts, strict=False):
            yield from self._complete(place, part)
        for place in mine:
            yield Closed(self._open.pop(place))

    def _complete(self, place: Place, part: Part) -> Iterator[Event]:
        """What the whole item says beyond its pieces."""
        number = self._open[place]
        if place not in self._grown and not isinstance(part, Foreign):
            text = getattr(part, "arguments", None) or getattr(part, "text", "")
            if text:
                yield Grew(number, text)
        if isinstance(part, Thinking) and (part.signature or part.data):
            yield Signed(number, part.signature or part.data, part.family)

    def _finish(self, event: _Event) -> Iterator[Event]:
        if not self._begun:
            yield from self._begin(event)
        said = _response(event.response)
        fault = failure_of(said)
        if fault is not None:
            yield Broke(fault)
            return
        for number in self._open.values():
            yield Closed(number)
        self._open.clear()
        yield Stopped(reason_of(said, self._calls))
        usage = bytes(said.usage)
        if usage[:1] == b"{":
            yield Used(openai_usage(usage))
        yield Ended()
