"""A stream whose client and provider both speak the Messages wire: read as it passes."""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct

from gateway.core import sse
from gateway.core.talk.messages.blocks import NOTHING
from gateway.core.talk.messages.fault import fault_in_event
from gateway.core.talk.messages.usage import merged, messages_usage, shown_usage
from gateway.core.talk.messages.writer import event
from gateway.domain import Usage
from gateway.errors import Fault

_DELTA = b"event: content_block_delta\ndata: "
# What stands around the words of a delta: {"type":"text_delta","text":""}.
_FRAME = 31


class _Start(Struct, gc=False):
    usage: Raw = NOTHING


class _Head(Struct, gc=False):
    type: str | None = None
    index: int = 0
    delta: Raw = NOTHING
    usage: Raw = NOTHING
    message: _Start | None = None


_decode = msgspec.json.Decoder(_Head).decode


class MessagesMeter:
    """A translator that changes nothing; an error event alone is kept back, for the gateway to
    tell in its own words."""

    __slots__ = (
        "_begun", "_open", "_splitter", "_usage", "complete", "events", "fault", "produced",
    )  # fmt: skip

    def __init__(self) -> None:
        self._splitter = sse.Splitter()
        self._usage = b""
        self._begun = False
        self._open: int | None = None
        self.fault: Fault | None = None
        self.complete = False
        self.events = 0
        self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """What the provider has counted so far."""
        if not self._usage:
            return None
        return messages_usage(self._usage)

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        splitter = self._splitter
        if (
            not splitter.tail
            and data.startswith(_DELTA)
            and data.endswith(b"\n\n")
            and data.find(b"\n", len(_DELTA)) == len(data) - 2
            and len(data) <= sse.MAX_EVENT
            and b"\r" not in data
        ):
            return data if self._passes(data[len(_DELTA) : -2]) else b""
        passed: list[bytes] = []
        for each in splitter.feed(data):
            payload = None if splitter.oversize else sse.data_of(each)
            if payload is None or self._passes(payload):
                passed.append(each)
        return b"".join(passed)

    def finish(self) -> bytes:
        """The end of the bytes: a last event without its blank line still counts."""
        rest = self._splitter.rest()
        if not rest or self._splitter.oversize:
            return rest
        payload = sse.data_of(rest)
        if payload is None or not self._passes(payload) or not self.complete:
            return b""
        return rest

    def cut(self) -> bytes:
        """A proper end for an answer that the gateway stops here."""
        out = b""
        if self._open is not None:
            out = event("content_block_stop", index=self._open)
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        usage = shown_usage(self.usage or Usage())
        return out + event("message_delta", delta=delta, usage=usage) + event("message_stop")

    def _passes(self, payload: bytes) -> bool:
        if self.fault is not None:
            return False
        self.events += 1
        try:
            head = _decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return True
        kind = head.type
        if kind == "content_block_delta":
            self.produced += max(0, len(head.delta) - _FRAME)
        elif kind == "content_block_start":
            self._open = head.index
        elif kind == "content_block_stop":
            self._open = None
        elif kind == "message_start" and head.message is not None:
            self._count(bytes(head.message.usage))
        elif kind == "message_delta":
            self._count(bytes(head.usage))
        elif kind == "message_stop":
            self.complete = True
        elif kind == "error":
            self.fault = fault_in_event(payload)
            return False
        return True

    def _count(self, usage: bytes) -> None:
        if usage[:1] == b"{":
            self._usage = merged(self._usage, usage)
