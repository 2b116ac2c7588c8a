"""Reads a stream of the Responses wire as it passes to a client of the same dialect.

The bytes are untouched. Events are passed on whole, so that an upstream cut in mid-event leaves no
half line in front of what the gateway says then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core import sse
from gateway.core.faults import fault_in_body
from gateway.core.talk.responses.envelope import usage_object
from gateway.core.talk.responses.errors import event_of
from gateway.core.talk.responses.large import Large
from gateway.core.talk.responses.parts import failure
from gateway.core.talk.responses.wire import NONE, changed, is_object, read_head, worded
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import Fault

_ENDS = ("response.completed", "response.incomplete")
_FAILS = ("response.failed", "response.cancelled")
_TEXT = "response.output_text.delta"
_DONE = "response.output_item.done"
_MAX_KEPT = 8 << 20  # of what a cut would repeat; more is not kept


class _Passing(Struct, gc=False):
    type: str = ""
    delta: Raw = NONE
    item: Raw = NONE
    output_index: int | None = None
    item_id: str | None = None
    sequence_number: int | None = None
    response: Raw = NONE


_decode = msgspec.json.Decoder(_Passing).decode


def responses_usage(raw: bytes) -> Usage:
    """Usage in this wire's spelling."""
    return openai_usage(raw)


class ResponsesMeter:
    """The translator where client and provider both speak this dialect.

    `final` is the response object that the stream ended with, empty until then.
    """

    passes_errors = True

    def __init__(self, read_usage: Callable[[bytes], Usage] = responses_usage) -> None:
        self._splitter = sse.Splitter()
        self._read_usage = read_usage
        self._large: Large | None = None
        self._usage_raw: bytes | None = None
        self._response = b""
        self._items: list[bytes] = []
        self._text: list[bytes] = []
        self._text_id = ""
        self._kept = 0
        self._sequence = 0
        self.fault: Fault | None = None
        self.complete = False
        self.events = 0
        self.produced = 0
        self.final = b""

    @property
    def usage(self) -> Usage | None:
        """What the end of the stream said that it used."""
        return None if self._usage_raw is None else self._read_usage(self._usage_raw)

    @property
    def sequence(self) -> int:
        """The number that a further event would have."""
        return self._sequence

    def feed(self, data: bytes) -> bytes:
        """The events that these bytes complete."""
        passed: list[bytes] = []
        for event in self._splitter.feed(data):
            passed.append(event)
            if self._splitter.oversize:
                self._large = self._large or Large()
                self._large.put(event)
                continue
            self._large_over()
            payload = sse.data_of(event)
            if payload is not None:
                self._read(payload)
        if not self._splitter.oversize:
            self._large_over()
        return b"".join(passed)

    def finish(self) -> bytes:
        """A last event without its blank line still counts, if it ends the stream."""
        rest = self._splitter.rest()
        if not rest or self._splitter.oversize:
            return rest
        payload = sse.data_of(rest)
        if payload is not None:
            self._read(payload)
        return rest if self.complete else b""

    def cut(self) -> bytes:
        """A proper end for an answer that the gateway stops here."""
        usage = self.usage
        items = [*self._items, *self._unfinished()]
        changes: dict[str, bytes | None] = {
            "status": b'"incomplete"',
            "incomplete_details": b'{"reason":"max_output_tokens"}',
            "output": b"[" + b",".join(items) + b"]",
        }
        if usage is not None:
            changes["usage"] = msgspec.json.encode(usage_object(usage))
        self.final = changed(self._response or b'{"object":"response"}', changes)
        said: dict[str, Any] = {
            "type": "response.incomplete",
            "response": Raw(self.final),
            "sequence_number": self._sequence,
        }
        self._sequence += 1
        return event_of(said)

    def _unfinished(self) -> list[bytes]:
        if not self._text:
            return []
        text = "".join(worded(one) for one in self._text)
        content = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        item = {
            "id": self._text_id,
            "type": "message",
            "status": "incomplete",
            "content": [content],
            "role": "assistant",
        }
        return [msgspec.json.encode(item)]

    def _large_over(self) -> None:
        large, self._large = self._large, None
        if large is None:
            return
        self.events += 1
        if large.type:
            self._usage_raw = large.usage or self._usage_raw
            self._end(large.type, NONE)

    def _read(self, payload: bytes) -> None:
        self.events += 1
        try:
            event = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if isinstance(event.sequence_number, int):
            self._sequence = max(self._sequence, min(event.sequence_number, 1 << 53) + 1)
        kind = event.type
        if event.delta is not NONE:
            delta = bytes(event.delta)
            self.produced += max(0, len(delta) - 2)
            if kind == _TEXT and self._fits(delta):
                self._text.append(delta)
                self._text_id = event.item_id or ""
        elif kind == _DONE:
            item = bytes(event.item)
            if is_object(item) and self._fits(item):
                self._items.append(item)
            self._text = []
        elif kind in _ENDS or kind in _FAILS:
            head = read_head(event.response)
            if head is not None and is_object(head.usage):
                self._usage_raw = bytes(head.usage)
            self._end(kind, event.response)
        elif kind == "error" or not kind:
            self._note_error(payload, kind == "error")
        elif is_object(event.response) and not self._response:
            self._response = bytes(event.response)

    def _fits(self, piece: bytes) -> bool:
        self._kept += len(piece) + 64
        return self._kept <= _MAX_KEPT

    def _note_error(self, payload: bytes, surely: bool) -> None:
        found = fault_in_body(payload)
        if self.fault is None and (found is not None or surely):
            self.fault = found or failure(b"")

    def _end(self, kind: str, response: Raw) -> None:
        """The wire's own end. A failure is one too, but no answer."""
        self.final = bytes(response) if is_object(response) else b""
        self._items, self._text = [], []
        if kind in _ENDS:
            self.complete = True
        elif self.fault is None:
            head = read_head(self.final)
            self.fault = failure(bytes(head.error) if head is not None else b"")
