"""A stream on the Messages wire, read."""

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
from gateway.core.talk.messages.answer import part_of
from gateway.core.talk.messages.blocks import FAMILY, NOTHING, REASONS, citation_of
from gateway.core.talk.messages.fault import fault_in_event
from gateway.core.talk.messages.usage import merged, messages_usage
from gateway.core.talk.model import Foreign, Thinking, ToolUse


class _Start(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    usage: Raw = NOTHING


class Delta(Struct, gc=False):
    """What is new of a block, or of the message."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: Raw = NOTHING
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Event(Struct, gc=False):
    type: str | None = None
    index: int = 0
    delta: Delta | None = None
    content_block: Raw = NOTHING
    message: _Start | None = None
    usage: Raw = NOTHING


_decode = msgspec.json.Decoder(_Event).decode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MOST_PARTS = 4_096


class Reader:
    """Events of the wire into events of a talk."""

    def __init__(self) -> None:
        self._splitter = sse.Splitter()
        self._parts = 0
        self._open: dict[int, int] = {}  # a block's index -> its part
        self._inputs: dict[int, str] = {}  # tool calls without a fragment yet, and their input
        self._foreign: set[int] = set()
        self._usage = b""
        self._stopped = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete."""
        splitter = self._splitter
        for event in splitter.feed(data):
            payload = None if splitter.oversize else sse.data_of(event)
            if payload is not None:
                yield from self.read(payload)

    def finish(self) -> Iterator[Event]:
        """The end of the bytes: a last event without its blank line still counts."""
        rest = self._splitter.rest()
        payload = sse.data_of(rest) if rest and not self._splitter.oversize else None
        if payload is not None:
            yield from self.read(payload)

    def read(self, payload: bytes) -> Iterator[Event]:
        """One event's JSON."""
        try:
            event = _decode(payload)
            kind = event.type
            if kind == "content_block_delta":
                yield from self._grow(event)
            elif kind == "content_block_start":
                yield from self._start(event)
            elif kind == "content_block_stop":
                yield from self._close(event.index)
            elif kind == "message_start" and event.message is not None:
                yield from self._begin(event.message)
            elif kind == "message_delta":
                yield from self._stop(event)
            elif kind == "message_stop":
                yield from self._end()
            elif kind == "error":
                yield Broke(fault_in_event(payload))
        except _BAD:
            return

    def _begin(self, said: _Start) -> Iterator[Event]:
        usage = bytes(said.usage)
        if usage[:1] == b"{":
            self._usage = usage
        known = messages_usage(self._usage) if self._usage else None
        yield Began(said.id or "", said.model or "", usage=known)

    def _start(self, event: _Event) -> Iterator[Event]:
        if event.content_block is NOTHING or self._parts >= _MOST_PARTS:
            return
        part = part_of(bytes(event.content_block))
        number = self._open[event.index] = self._parts
        self._parts += 1
        if isinstance(part, ToolUse):
            self._inputs[event.index] = part.arguments
            part.arguments = ""
        elif isinstance(part, Foreign):
            self._foreign.add(event.index)
        elif isinstance(part, Thinking):
            part.family = FAMILY
        yield Opened(number, part)

    def _grow(self, event: _Event) -> Iterator[Event]:
        part, delta = self._open.get(event.index), event.delta
        if part is None or delta is None or event.index in self._foreign:
            return
        text = delta.text or delta.thinking
        if text:
            yield Grew(part, text)
        elif delta.partial_json:
            self._inputs.pop(event.index, None)
            yield Grew(part, delta.partial_json)
        elif delta.signature:
            yield Signed(part, delta.signature, FAMILY)
        elif delta.citation is not NOTHING:
            yield Cited(part, citation_of(bytes(delta.citation)))

    def _close(self, index: int) -> Iterator[Event]:
        part = self._open.pop(index, None)
        if part is None:
            return
        whole = self._inputs.pop(index, "")
        if whole:
            yield Grew(part, whole)  # a call without fragments had its input from the start
        yield Closed(part)

    def _stop(self, event: _Event) -> Iterator[Event]:
        for index in [*self._open]:
            yield from self._close(index)
        delta = event.delta
        if delta is not None and delta.stop_reason and not self._stopped:
            self._stopped = True
            reason = REASONS.get(delta.stop_reason, "stop")
            yield Stopped(reason, delta.stop_sequence or "")
        usage = bytes(event.usage)
        if usage[:1] == b"{":
            self._usage = merged(self._usage, usage)
            yield Used(messages_usage(self._usage))

    def _end(self) -> Iterator[Event]:
        if not self._stopped:
            for index in [*self._open]:
                yield from self._close(index)
            yield Stopped("stop")
        yield Ended()
