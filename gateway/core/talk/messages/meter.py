"""Reads a stream on the Messages wire as it passes to a client that speaks it too."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from gateway.core import sse
from gateway.core.estimate import output_tokens
from gateway.core.talk.messages.fault import fault_in_answer, fault_in_event
from gateway.core.talk.messages.usage import merged, messages_usage, written_usage
from gateway.core.talk.messages.wire import UNREADABLE, is_object, members
from gateway.domain import Usage
from gateway.errors import Fault

# What stands around the text in a delta, with the quote behind it:
# {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"
_DELTA_FRAME: Final = 78
_DELTA: Final = b"event: content_block_delta\ndata: "
_SIGNATURE: Final = b'"signature_delta"'
_MAX_OPEN: Final = 1_000
_NOTHING: Final = msgspec.Raw()


class _Head(msgspec.Struct, gc=False):
    """What the meter reads of an event that is no delta."""

    type: str | None = None
    index: int | None = None
    message: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


_decode = msgspec.json.Decoder(_Head).decode


class MessagesMeter:
    """The `Translator` of operations that pass this wire through; every byte stays as it is."""

    passes_errors = True
    __slots__ = (
        "_final",
        "_most_used",
        "_open",
        "_splitter",
        "_started",
        "_usage_raw",
        "_went_down",
        "complete",
        "events",
        "fault",
        "produced",
    )

    def __init__(self) -> None:
        self._splitter = sse.Splitter()
        self._usage_raw = b""
        self._final = False
        self._most_used = 0
        self._went_down = False
        self._started = False
        self._open: dict[int, None] = {}
        self.fault: Fault | None = None
        self.complete = False
        self.events = 0
        self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """The provider's last count. One from the beginning knows the input alone."""
        if not self._usage_raw:
            return None
        usage = messages_usage(self._usage_raw)
        if not self._final:
            counted = output_tokens(self.events, self.produced)
            return structs.replace(usage, output=max(usage.output, counted))
        if self._went_down and not usage.problem:
            return structs.replace(usage, problem="usage went down within the stream")
        return usage

    def feed(self, data: bytes) -> bytes:
        """Return the events that `data` completes."""
        splitter = self._splitter
        # One whole event per read is what an unhurried stream looks like, and a delta most of it.
        if (
            not splitter.tail
            and data.startswith(_DELTA)
            and data.endswith(b"\n\n")
            and data.count(b"\n") == 3
            and sse.CR not in data
            and len(data) <= sse.MAX_EVENT
        ):
            self._measure(data[len(_DELTA) : -2])
            return data
        passed: list[bytes] = []
        for event in splitter.feed(data):
            payload = None if splitter.oversize else sse.data_of(event)
            if payload is not None:
                self._read(payload)
            passed.append(event)
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def finish(self) -> bytes:
        """The end of the stream: a last event without its blank line still counts."""
        rest = self._splitter.rest()
        if not rest or self._splitter.oversize:
            return rest
        payload = sse.data_of(rest)
        if payload is None or not is_object(payload):
            return b""
        self._read(payload)
        return rest if self.complete or self.fault is not None else b""

    def cut(self) -> bytes:
        """A proper end for an answer that the gateway stops here; once it has begun."""
        if not self._started or self.complete:
            return b""
        out = [_event({"type": "content_block_stop", "index": index}) for index in self._open]
        self._open.clear()
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        used = written_usage(self.usage)
        out.append(_event({"type": "message_delta", "delta": delta, "usage": used}))
        out.append(_event({"type": "message_stop"}))
        return b"".join(out)

    def _measure(self, payload: bytes) -> None:
        """Count a delta by its length: some providers fill events up with blanks at their end."""
        self.events += 1
        if _SIGNATURE not in payload:
            self.produced += max(0, len(payload.rstrip(b"} ")) - _DELTA_FRAME)

    def _read(self, payload: bytes) -> None:
        if payload.startswith(b'{"type":"content_block_delta"'):
            self._measure(payload)
            return
        try:
            head = _decode(payload)
        except UNREADABLE:
            return
        kind = head.type
        if kind == "content_block_delta":
            self._measure(payload)
        elif kind == "content_block_start" and head.index is not None:
            if len(self._open) < _MAX_OPEN:
                self._open[head.index] = None
        elif kind == "content_block_stop" and head.index is not None:
            self._open.pop(head.index, None)
        elif kind == "message_start" and not self._started:
            self._started = True
            usage = members(head.message).get("usage")
            self._usage_raw = bytes(usage) if usage is not None and is_object(usage) else b""
        elif kind == "message_delta":
            self._note_usage(bytes(head.usage))
        elif kind == "message_stop":
            self.complete = True
        elif kind == "error" and self.fault is None:
            self.fault = fault_in_event(payload)
        elif kind is None and self.fault is None:
            self.fault = fault_in_answer(payload)

    def _note_usage(self, raw: bytes) -> None:
        """Usage may be repeated and grow; what it said before can't become untrue."""
        if not raw or raw == b"null":
            return
        self._usage_raw = merged(self._usage_raw, raw)
        self._final = True
        output = messages_usage(self._usage_raw).output
        self._went_down |= output < self._most_used
        self._most_used = max(self._most_used, output)


def _event(said: dict[str, object]) -> bytes:
    return sse.event(msgspec.json.encode(said), str(said["type"]))
