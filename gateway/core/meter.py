"""Reads a stream on OpenAI's wire as it passes, and changes nothing but one thing.

The gateway asks every provider for usage. A client that did not ask for it must not see the extra
chunk, so that chunk alone is taken out. Events are passed on whole: a client can use nothing less,
and an upstream cut in mid-event then leaves no half line in front of the error event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.core import sse
from gateway.core.faults import fault_in_body
from gateway.core.usage import NOTHING, ChoiceHead, decode_head, is_object, openai_usage, usage_of
from gateway.domain import Usage
from gateway.errors import Fault

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# What stands around the text in a delta: {"content":""}.
DELTA_FRAME = 14
LARGE = 1_000
_SOURCES = b'"annotations"'


class Translator(Protocol):
    """What stands between the provider's bytes and the client's; exact for any split."""

    @property
    def usage(self) -> Usage | None: ...

    @property
    def fault(self) -> Fault | None:
        """An error that the provider sent inside a stream it had opened with 200."""
        ...

    @property
    def complete(self) -> bool:
        """True once the provider's own end mark has passed: anything less is a truncation."""
        ...

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class StreamMeter:
    """The translator of adapters whose provider already speaks OpenAI's wire."""

    __slots__ = (
        "_fault_in",
        "_finished",
        "_hide_usage",
        "_most_used",
        "_read_usage",
        "_splitter",
        "_usage_raw",
        "_went_down",
        "done",
        "events",
        "fault",
        "plain",
        "produced",
        "tail",
    )

    def __init__(
        self,
        *,
        hide_usage: bool,
        read_usage: Callable[[bytes], Usage] = openai_usage,
        fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    ) -> None:
        self._splitter: sse.Splitter | None = None  # until a piece is not whole events
        self.tail: bytes | bytearray = b""  # what came of the event that is not complete yet
        self._hide_usage = hide_usage
        self._read_usage = read_usage
        self._fault_in = fault_in
        # An error object never stands beside choices; what an adapter looks for may.
        self.plain = fault_in is fault_in_body
        self._usage_raw: bytes | None = None
        self._finished = False
        self.done = False
        self.fault: Fault | None = None
        self.events = 0
        self.produced = 0  # bytes of answer, less what frames them in every chunk
        self._most_used = 0
        self._went_down = False

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported."""
        if self._usage_raw is None:
            return None
        usage = self._read_usage(self._usage_raw)
        if self._went_down and not usage.problem:
            return msgspec.structs.replace(usage, problem="usage went down within the stream")
        return usage

    @property
    def complete(self) -> bool:
        """`[DONE]`, or a finish reason or a chunk of usage alone: they only come at the end."""
        return self.done or self._finished

    def feed(self, data: bytes) -> bytes:
        """Return the events that `data` completes, less the usage chunk nobody asked for."""
        # Whole events of one line of data are what one read brings, as a rule.
        if (
            not self.tail
            and data.startswith(b"data: ")
            and data.endswith(b"\n\n")
            and len(data) <= sse.MAX_EVENT
            and sse.CR not in data
        ):
            payloads = data[6:-2].split(b"\n\ndata: ")
            if data.count(b"\n") == 2 * len(payloads):
                kept = [payload for payload in payloads if self._passes(payload)]
                if len(kept) == len(payloads):
                    return data
                return b"".join([b"data: %b\n\n" % payload for payload in kept])
        splitter = self._splitter or self._split()
        passed: list[bytes] = []
        for event in splitter.feed(data):
            payload = None if splitter.oversize else sse.data_of(event)
            if payload is None or self._passes(payload):
                passed.append(event)
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def finish(self) -> bytes:
        """The end of the stream: a last event without its blank line still counts."""
        splitter = self._splitter
        if splitter is None:
            return b""
        rest = splitter.rest()
        if not rest or splitter.oversize:
            return rest
        payload = sse.data_of(rest)
        if payload is None or not self._passes(payload) or not self.complete:
            return b""
        return rest

    def _split(self) -> sse.Splitter:
        self._splitter = splitter = sse.Splitter()
        self.tail = splitter.tail
        return splitter

    def _passes(self, payload: bytes) -> bool:
        self.events += 1
        if payload == b"[DONE]":
            self.done = True
            return True
        try:
            head = decode_head(payload)
        except _UNREADABLE:
            return True
        choices = head.choices
        if choices:
            first = choices[0]
            if first.finish_reason:
                self._finished = True
            if len(choices) == 1 and len(first.delta) < LARGE:
                size = len(first.delta) or len(first.text)
                if size > DELTA_FRAME:
                    self.produced += size - DELTA_FRAME
            else:
                self._measure(choices, payload)
            if self.plain and head.usage is NOTHING and first.usage is NOTHING:
                return True  # what nearly every chunk is
        if self.fault is None and (not choices or not self.plain):
            self.fault = self._fault_in(payload)
        raw = usage_of(head)
        if raw is None:
            return True
        self._note_usage(raw)
        if choices:
            return True  # some hosts repeat their usage in every chunk: that is not an end
        self._finished = True
        return not self._hide_usage or not is_object(head.usage)

    def _measure(self, choices: list[ChoiceHead], payload: bytes) -> None:
        if _SOURCES in payload:
            return  # where an answer comes from is said at length, and is no answer
        for choice in choices:
            size = len(choice.delta) or len(choice.text)
            self.produced += max(0, size - DELTA_FRAME)

    def _note_usage(self, raw: bytes) -> None:
        """Usage may be repeated and grow; what it said before can't become untrue."""
        if self._usage_raw is not None:
            self._went_down |= self._read_usage(raw).output < self._most_used
        self._usage_raw = raw
        self._most_used = max(self._most_used, self._read_usage(raw).output)
