"""One client connection, and the guards that the low-level server lacks.

aiohttp arms no timer before the first request, reads bodies for as long as a client cares to drip
them, and accepts every connection. One sweep over all connections, about once a second, keeps the
deadlines at no cost per call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import Any, cast
from weakref import WeakValueDictionary

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import ERROR
from msgspec import Struct

from gateway import errors
from gateway.errors import Fault
from gateway.web.heads import Framing, Heads, without_offer
from gateway.web.reading import Content, Request, Whole
from gateway.web.replying import Note, raw_reply, turn_away

_BAD_HTTP = [(ERROR, EMPTY_PAYLOAD)]


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
        "_body",
        "_body_bytes",
        "_body_reader",
        "_body_since",
        "_framing",
        "_go_on",
        "_head_since",
        "_hold",
        "_refused",
        "_room",
        "_served",
        "_waiting_since",
        "content",
    )

    def __init__(self, room: Room) -> None:
        super().__init__(
            room.server,
            loop=room.loop,
            access_log=cast("Logger", None),
            auto_decompress=False,
            keepalive_timeout=0.0,  # the room's sweep keeps the deadline
            lingering_time=2.0,
        )
        self._room = room
        self.content: Content = EMPTY_PAYLOAD  # the body, until it has been read
        self._framing = Framing(room.heads)
        self._body: StreamReader | None = None  # whose more is due, unless the parser sees to it
        self._refused = False
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
            turn_away(transport, room.note)
            return
        room.connections.add(self)
        self._waiting_since = room.loop.time()
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._refused:
            return
        self._room.connections.discard(self)
        self._framing.known = None
        self._body = None
        self._hold = self._go_on = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._body_since:
            self._body_bytes += len(data)
        if self._close or self._force_close or self._refused:
            return
        if self._upgraded or self._payload_parser is not None or self._parser is None:
            super().data_received(data)
            return
        if self._body is not None:
            data = self._fill(self._body, data)
            if not data:
                return
        body = None if self._messages or self._reading_paused else self._framing.repeated(data)
        if body is None:
            self._parse(data)
        else:
            self._take(body)
        waiter = self._waiter
        if waiter is not None and self._messages and not waiter.done():
            waiter.set_result(None)

    def _take(self, body: bytes) -> None:
        """A request whose head the parser has seen before; of its body more may be due."""
        known = self._framing.known
        assert known is not None
        content: Content
        if self._framing.due:
            self._body = content = StreamReader(self, self._read_bufsize, loop=self._loop)
            content.feed_data(body)
        else:
            content = Whole(body, known.secret, known.digest)
        messages: deque[Any] = self._messages
        messages.append((known.request, content))

    def _fill(self, body: StreamReader, data: bytes) -> bytes:
        """Read on in the body of such a request; what comes behind it."""
        due = self._framing.due
        body.feed_data(data[:due])
        self._framing.due = max(due - len(data), 0)
        if len(data) >= due:
            self._body = None
            body.feed_eof()
        return data[due:]

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        head = self._framing.follow(data)
        try:
            found, self._upgraded, tail = self._parser.feed_data(without_offer(head, data))
        except HttpProcessingError:
            found, tail = _BAD_HTTP, b""
        if tail:
            self._message_tail = tail
        if not found:  # a body that is due goes on, or a head begins
            if data and self.content is EMPTY_PAYLOAD and not self._head_since:
                self._head_since = self._loop.time()
            return
        if head and found is not _BAD_HTTP:
            self._framing.learn(head, *found[0])
        self._messages.extend(found)
        if len(self._messages) >= self._max_msg_queue_size and not self._buffer_paused:
            self._pause_reading_for_buffer()

    async def start(self) -> None:  # noqa: C901, PLR0912 - runs for every request
        """Serve one request after the other, all in the connection's own task.

        It stands in for aiohttp's loop, which makes a task, a request and a writer for each.
        """
        handle, loop, parser = self._room.handle, self._loop, self._parser
        messages = cast("deque[tuple[Request, Content]]", self._messages)
        assert parser is not None
        keep_alive = True
        while keep_alive and not self._close and not self._force_close:
            if not messages and self._framing.due < 0:
                self._parse(b"")  # of requests sent one behind the other it may hold some back
            if not messages:
                self._waiter = asyncio.Future()
                try:
                    await self._waiter
                finally:
                    self._waiter = None
            if self._paused and self.transport is not None:  # who reads nothing is told no more
                await self._drain_helper()
            request, self.content = messages.popleft()
            self._request_in_progress = True
            self._head_since = 0.0
            parser.message_consumed()
            if self._buffer_paused and len(messages) <= self._msg_queue_resume_size:
                self._resume_reading_if_drained()
            try:
                serving = self._malformed() if request is ERROR else handle(request, self)
                del request  # a long stream need not carry what only its start needed
                keep_alive = await serving
                del serving  # nor an idle connection what has served it
            except Exception:
                keep_alive = self._refuse(
                    Fault(errors.INTERNAL_ERROR, "The gateway failed on this request.")
                )
            except BaseException:
                self.force_close()
                raise
            finally:
                self._request_in_progress = False
                if self._handler_waiter is not None:  # the server shuts down, and waits for this
                    self._handler_waiter.set_result(None)
                self._hold = self._go_on = None
                self._served = True
                self._waiting_since = loop.time()
                if self._head_since:
                    self._head_since = self._waiting_since
            if messages or self.content is not EMPTY_PAYLOAD:
                await self._clear_away()
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

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
        if self._paused:
            hold()

    def reading_body(self, reader: Any) -> None:
        """A body is being waited for; `None` when it is complete."""
        self._body_reader = reader
        self._current_request = None if reader is None else cast("Any", _Reading(reader))
        self._body_bytes = 0
        self._body_since = self._room.loop.time() if reader is not None else 0.0

    def end(self) -> None:
        """Let no call go on, and tell the client of the one that does; its task closes."""
        if self._request_in_progress and self._task_handler is not None:
            self._task_handler.cancel()
        else:
            self.force_close()

    def check(self, now: float, guards: Guards) -> None:
        """Act on whatever has taken too long."""
        if self._blocked_since and now - self._blocked_since > guards.write_deadline:
            self._abort()
        elif self._body_since:
            self._check_body(now - self._body_since, guards)
        elif self._request_in_progress:
            return
        elif self._head_since and now - self._head_since > guards.header_deadline:
            message = "The request's headers were not complete in time."
            self._refuse(Fault(errors.REQUEST_TIMEOUT, message, cause="slow_head"))
            self.force_close()
        else:
            deadline = guards.idle_deadline if self._served else guards.header_deadline
            if now - self._waiting_since > deadline:
                self.force_close()

    def _refuse(self, fault: Fault) -> bool:
        """Answer what never came to be a call of ours, and close."""
        if self.transport is not None:
            self.transport.write(raw_reply(fault, self._room.note(fault)))
        return False

    async def _malformed(self) -> bool:
        message = "The HTTP request is malformed and was not processed."
        return self._refuse(Fault(errors.INVALID_REQUEST, message, cause="malformed_http"))

    async def _clear_away(self) -> None:
        """Deal with what a request has left unread."""
        content = self.content
        if isinstance(content, StreamReader) and not content.is_eof():
            await self._linger(content)
        self.content = EMPTY_PAYLOAD
        if self._messages:
            await asyncio.sleep(0)  # one who sends many at once leaves others their turn

    async def _linger(self, content: StreamReader) -> None:
        """Let a client finish what nobody wants to read, for a while, lest it miss the answer."""
        try:
            async with asyncio.timeout(self._lingering_time):
                while not content.is_eof() and not self._force_close:
                    await content.readany()
        except TimeoutError:
            self.close()
        except BaseException as error:
            self.force_close()
            if not isinstance(error, Exception):
                raise

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

    def _abort(self) -> None:
        """What waits to be sent to a client that does not read is thrown away with it."""
        if self.transport is not None:
            self.transport.abort()


Handle = Callable[[Request, Connection], Awaitable[bool]]


class _Reading:
    """What aiohttp cancels with a connection: the wait for a body."""

    __slots__ = ("_cancel",)

    def __init__(self, reader: StreamReader) -> None:
        self._cancel = reader.set_exception


class Room:
    """All client connections of one server."""

    def __init__(
        self, guards: Guards, loop: asyncio.AbstractEventLoop, handle: Handle, note: Note
    ) -> None:
        self.guards = guards
        self.loop = loop
        self.handle = handle
        self.note = note
        self.server = web.Server(cast("Any", handle), handler_cancellation=True)
        self.connections: set[Connection] = set()
        self.refused = 0
        self.heads: Heads = WeakValueDictionary()
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
