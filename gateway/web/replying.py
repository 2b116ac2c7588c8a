"""Answers on the wire: faults in each surface's style, and the sink that calls write into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from gateway import errors
from gateway.errors import Fault
from gateway.pipeline.record import Record
from gateway.ports import Headers
from gateway.web.envelopes import Manner, error_body, error_event, error_headers

if TYPE_CHECKING:
    from gateway.web.connection import Connection
    from gateway.web.reading import Request

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_JSON = ("Content-Type", "application/json")
_EVENT_STREAM = "text/event-stream"
_CHUNK = b"%x\r\n%b\r\n"

Note = Callable[[Fault], str]  # of what is refused before it is a request; gives it its id


class HttpSink:
    """The `Sink` port over a client connection. Writes go straight to the transport."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_events",
        "_head_only",
        "_record",
        "_transport",
        "ended",
        "keep_alive",
        "started",
    )

    def __init__(self, request: Request, connection: Connection, record: Record) -> None:
        transport = connection.transport
        if transport is None:
            raise ConnectionResetError
        self._transport = transport
        self._connection = connection
        self._record = record
        modern = request.version >= (1, 1)
        self._chunked = modern
        self.keep_alive = modern and not request.should_close
        self._head_only = request.method == "HEAD"
        self._events = True
        self.started = False
        self.ended = False

    def on_congestion(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Whom to tell when the client falls behind, and when it has caught up."""
        self._connection.on_congestion(hold, go_on)

    def close_after(self) -> None:
        """Let this answer be the connection's last."""
        self.keep_alive = False

    def start(self, status: int, headers: Headers) -> None:
        """Open a streamed answer."""
        framing = [("Transfer-Encoding", "chunked")] if self._chunked else []
        caching = [("Cache-Control", "no-cache"), ("X-Accel-Buffering", "no")]
        if not self._chunked:
            self.keep_alive = False
        head = self._head(status, [*framing, *caching, *headers])
        self.started = True
        self._events = ("Content-Type", _EVENT_STREAM) in headers
        self._transport.write(head)

    def start_file(self, status: int, headers: Headers, length: int | None) -> None:
        """Open an answer of bytes, whose length is known as a rule; its head may be all of it."""
        if length is None and not self._head_only:
            self.start(status, headers)
            return
        head = self._head(status, headers, length)
        self._chunked = self._events = False
        self.started = True
        self.ended = self._head_only
        self._transport.write(head)

    def write(self, data: bytes) -> None:
        """A piece of a streamed answer."""
        size = len(data)
        self._record.bytes_out += size
        self._transport.write(_CHUNK % (size, data) if self._chunked else data)

    def straight(self) -> tuple[Callable[[bytes], object], bytes] | None:
        """What `write` does, for whoever is called so often that one call more counts."""
        return (self._transport.write, _CHUNK) if self._chunked else None

    def end(self) -> None:
        """The clean end of a streamed answer."""
        if self.ended:
            return
        self.ended = True
        if self._chunked:
            self._transport.write(b"0\r\n\r\n")

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer at once."""
        head = self._head(status, headers, len(body))  # what cannot be said must still be told
        self.started = self.ended = True
        self._record.bytes_out = len(body)
        self._transport.write(head if self._head_only else head + body)

    def switch(self, headers: Headers) -> None:
        """Agree to another protocol: whatever follows on this connection is not HTTP."""
        self.started = self.ended = self.keep_alive = True
        self._transport.write(self._head(101, headers))
        self.keep_alive = False

    def fail(self, fault: Fault, manner: Manner, headers: Headers = ()) -> None:
        """Tell the client what went wrong: an error answer, or an error event and the end."""
        if self.ended:
            return
        if not self.started:
            told = (_JSON, *error_headers(fault), *headers)
            self.reply(fault.kind.status, told, error_body(fault, manner, self._record.id))
            return
        self.keep_alive = False
        if not self._events:  # bytes have no place for words: that they are not all must show
            self.ended = True
            self._transport.close()
            return
        self.write(error_event(fault, manner, self._record.id, self._record.sequence))
        self.end()

    def _head(self, status: int, headers: Headers, length: int | None = None) -> bytes:
        record = self._record
        record.status = status
        told = [f"x-request-id: {record.id}", *map(": ".join, headers)]
        if length is not None and status not in (204, 304):
            told.insert(0, f"Content-Length: {length}")
        told.append("\r\n" if self.keep_alive else "Connection: close\r\n\r\n")
        if int(time.time()) != _OPENINGS.second:
            _OPENINGS.renew()
        opening = _OPENINGS.known.get(status) or _OPENINGS.add(status)
        return opening + "\r\n".join(told).encode("latin-1")


def raw_reply(fault: Fault, request: str) -> bytes:
    """A whole error answer for a connection that never came to a request."""
    body = error_body(fault)
    told = (("x-request-id", request), _JSON, *error_headers(fault))
    lines = "".join([f"{name}: {value}\r\n" for name, value in told])
    head = f"Content-Length: {len(body)}\r\n{lines}"
    return _status_line(fault.kind.status) + f"{head}Connection: close\r\n\r\n".encode() + body


def turn_away(transport: asyncio.BaseTransport, note: Note) -> None:
    """Tell one connection too many that there is no room for it."""
    writer = cast("asyncio.WriteTransport", transport)  # uvloop's transports are no subclasses
    message = "The gateway has no room for another connection. Retry shortly."
    fault = Fault(errors.NO_UPSTREAM, message, retry_after=1, cause="connection_cap")
    writer.write(raw_reply(fault, note(fault)))
    writer.close()


def _status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Error\r\n".encode()


class _Openings:
    """By status: its line and the Date header, which are the same for a second."""

    __slots__ = ("_date", "known", "second")

    def __init__(self) -> None:
        self.second = 0
        self.known: dict[int, bytes] = {}
        self._date = b""

    def renew(self) -> None:
        """Begin another second."""
        self.second = int(time.time())
        self._date = f"Date: {formatdate(self.second, usegmt=True)}\r\n".encode()
        self.known.clear()

    def add(self, status: int) -> bytes:
        """The opening of the second's first answer with this status."""
        opening = self.known[status] = _status_line(status) + self._date
        return opening


_OPENINGS = _Openings()
