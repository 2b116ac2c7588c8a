"""One client connection, and the guards that the low-level server lacks.

aiohttp arms no timer before the first request, reads bodies for as long as a client cares to drip
them, and accepts every connection. One sweep over all connections, about once a second, keeps the
deadlines at no cost per call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web
from msgspec import Struct

from gateway import errors
from gateway.errors import Fault
from gateway.web.envelopes import error_body
from gateway.web.replying import raw_reply


class Guards(Struct, frozen=True):
    """Limits on what a client may take its time with. Seconds and bytes."""

    header_deadline: float = 10.0
    idle_deadline: float = 75.0
    body_grace: float = 10.0
    body_min_rate: float = 1024.0
    write_deadline: float = 60.0
    max_connections: int = 10_000
    sweep_every: float = 1.0


class Connection(web.RequestHandler):
    """A connection that knows how long it has been waiting, and for what."""

    __slots__ = (
        "_blocked_since",
        "_body_bytes",
        "_body_reader",
        "_body_since",
        "_busy",
        "_go_on",
        "_head_since",
        "_hold",
        "_refused",
        "_room",
        "_served",
        "_waiting_since",
    )

    def __init__(self, server: web.Server, room: Room, **options: Any) -> None:
        super().__init__(server, loop=room.loop, **options)
        self._room = room
        self._refused = False
        self._busy = False
        self._served = False
        self._head_since = 0.0
        self._waiting_since = 0.0
        self._body_since = 0.0
        self._body_bytes = 0
        self._body_reader: Any = None
        self._blocked_since = 0.0
        self._hold: Callable[[], None] | None = None
        self._go_on: Callable[[], None] | None = None

    def now(self) -> float:
        """The time by the loop's clock."""
        return self._room.loop.time()

    @property
    def peer(self) -> str | None:
        """The address at the connection's other end."""
        name = None if self.transport is None else self.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        room = self._room
        if len(room.connections) >= room.guards.max_connections:
            self._refused = True
            room.refused += 1
            _refuse(transport)
            return
        room.connections.add(self)
        self._waiting_since = room.loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._refused:
            return
        self._room.connections.discard(self)
        self._hold = self._go_on = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._body_since:
            self._body_bytes += len(data)
        elif not self._head_since:
            self._head_since = self._room.loop.time()
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Every body read asks for this; parsing nothing anew is only of use after a pause."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._blocked_since = self._room.loop.time()
        if self._hold is not None:
            self._hold()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._blocked_since = 0.0
        if self._go_on is not None:
            self._go_on()

    def on_congestion(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Whom to tell, during this answer, that the client is behind or has caught up."""
        self._hold, self._go_on = hold, go_on
        if self.writing_paused:
            hold()

    def begin(self) -> None:
        """A request's head is complete."""
        self._busy = self._served = True
        self._head_since = 0.0

    def finish(self) -> None:
        """The answer is out; the wait for the next request begins."""
        self._busy = False
        self._hold = self._go_on = None
        self._waiting_since = now = self._room.loop.time()
        if self._head_since:
            self._head_since = now

    def reading_body(self, reader: Any) -> None:
        """A body is being waited for; `None` when it is complete."""
        self._body_reader = reader
        self._body_bytes = 0
        self._body_since = self._room.loop.time() if reader is not None else 0.0

    def check(self, now: float, guards: Guards) -> None:
        """Act on whatever has taken too long."""
        if self._blocked_since and now - self._blocked_since > guards.write_deadline:
            self._abort()
        elif self._body_since:
            self._check_body(now - self._body_since, guards)
        elif self._busy:
            return
        elif self._head_since and now - self._head_since > guards.header_deadline:
            self._time_out("The request's headers were not complete in time.")
        elif now - self._waiting_since > (
            guards.idle_deadline if self._served else guards.header_deadline
        ):
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp's own refusals (bad HTTP) in our envelope, without its traceback."""
        if status == 400:
            fault = errors.invalid("The HTTP request is malformed and was not processed.")
        else:
            fault = Fault(errors.INTERNAL_ERROR, "The gateway failed on this request.")
        response = web.Response(
            status=status, body=error_body(fault), content_type="application/json"
        )
        response.force_close()
        return response

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Bad HTTP is the client's affair; a traceback here would be a way to fill the log."""

    def _check_body(self, elapsed: float, guards: Guards) -> None:
        if elapsed <= guards.body_grace or self._body_bytes >= elapsed * guards.body_min_rate:
            return
        self._body_since = 0.0
        self._body_reader.set_exception(
            Fault(
                errors.REQUEST_TIMEOUT,
                "The request body arrives too slowly; send at least "
                f"{guards.body_min_rate:.0f} bytes a second.",
                cause="slow_body",
            )
        )

    def _time_out(self, message: str) -> None:
        if self.transport is not None:
            self.transport.write(raw_reply(Fault(errors.REQUEST_TIMEOUT, message)))
        self.force_close()

    def _abort(self) -> None:
        """What waits to be sent to a client that does not read is thrown away with it."""
        if self.transport is not None:
            self.transport.abort()


class Room:
    """All client connections of one server."""

    def __init__(self, guards: Guards, loop: asyncio.AbstractEventLoop) -> None:
        self.guards = guards
        self.loop = loop
        self.connections: set[Connection] = set()
        self.refused = 0
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Start sweeping."""
        self._timer = self.loop.call_later(self.guards.sweep_every, self._tick)

    def close(self) -> None:
        """Stop sweeping."""
        if self._timer is not None:
            self._timer.cancel()

    def sweep(self, now: float) -> None:
        """Check every connection against the clock."""
        for connection in tuple(self.connections):
            connection.check(now, self.guards)

    def _tick(self) -> None:
        self.sweep(self.loop.time())
        self.open()


def _refuse(transport: asyncio.BaseTransport) -> None:
    writer = cast("asyncio.WriteTransport", transport)  # uvloop's transports are no subclasses
    message = "The gateway has no room for another connection. Retry shortly."
    writer.write(raw_reply(Fault(errors.NO_UPSTREAM, message, retry_after=1)))
    writer.close()
