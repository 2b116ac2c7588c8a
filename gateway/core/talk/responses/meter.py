"""A stream whose client and provider both speak the Responses wire: read as it passes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Raw, Struct

from gateway.core import sse
from gateway.core.talk.responses.answer import Response, failure_of, fault_of
from gateway.core.talk.responses.items import NOTHING
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import Fault

_DELTA = b"event: response.output_text.delta\ndata: "


class _Head(Struct, gc=False):
    type: str | None = None
    delta: Raw = NOTHING
    response: Raw = NOTHING
    sequence_number: int = 0


_decode = msgspec.json.Decoder(_Head).decode
_response = msgspec.json.Decoder(Response).decode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ENDS = ("response.completed", "response.incomplete", "response.failed")


class ResponsesMeter:
    """A translator that changes nothing; a failure alone is kept back, for the gateway to tell
    in its own words. `final` is the whole response, once it is."""

    __slots__ = (
        "_number", "_read_usage", "_splitter", "_started", "_usage", "complete", "events", "fault",
        "final", "produced",
    )  # fmt: skip

    def __init__(self, read_usage: Callable[[bytes], Usage] = openai_usage) -> None:
        self._read_usage = read_usage
        self._splitter = sse.Splitter()
        self._started = b""
        self._number = 0
        self._usage = b""
        self.fault: Fault | None = None
        self.complete = False
        self.final = b""
        self.events = 0
        self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """What the provider counted; this wire tells it at the end."""
        return self._read_usage(self._usage) if self._usage else None

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
        whole = msgspec.json.decode(self._started or b"{}", type=dict[str, Raw])
        whole["status"] = Raw(b'"incomplete"')
        whole["incomplete_details"] = Raw(b'{"reason":"max_output_tokens"}')
        self.final = msgspec.json.encode(whole)
        told = {
            "type": "response.incomplete",
            "sequence_number": self._number + 1,
            "response": Raw(self.final),
        }
        return sse.event(msgspec.json.encode(told), "response.incomplete")

    def _passes(self, payload: bytes) -> bool:
        if self.fault is not None:
            return False
        self.events += 1
        try:
            head = _decode(payload)
            kind = head.type or ""
            self._number = head.sequence_number
            if kind.endswith(".delta"):
                self.produced += max(0, len(head.delta) - 2)
            elif kind == "response.created":
                self._started = bytes(head.response)
            elif kind in _ENDS:
                self._end(bytes(head.response))
            elif kind == "error":
                self.fault = fault_of(payload)
        except _BAD:
            return True
        return self.fault is None

    def _end(self, response: bytes) -> None:
        said = _response(response)
        usage = bytes(said.usage)
        if usage[:1] == b"{":
            self._usage = usage
        self.fault = failure_of(said)
        if self.fault is None:
            self.final = response
            self.complete = True
