"""One connection to a provider: one request at a time, its deadlines, its answer."""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Callable, Iterable
from typing import Final, cast

from gateway.domain import Timeouts
from gateway.errors import Fault
from gateway.ports import UpstreamReply
from gateway.upstream import faults
from gateway.upstream.decoding import DecodingError, decoder_for
from gateway.upstream.parsing import NO_HEADERS, REFUSALS, ResponseParser, whole_answer
from gateway.upstream.reply import Reply, Whole

Poll = Callable[[int], list[tuple[int, int]]]
NEVER: Final = math.inf
_USUAL = b"HTTP/1.1 2"  # how nearly every answer begins; with another status more may come before
IDLE_SECONDS = 60.0


class Connection(asyncio.Protocol):
    """An open connection. `on_free` is told when an exchange is over, `on_lost` when it is dead."""

    __slots__ = (
        "_drained",
        "_half_sent",
        "_hint",
        "_loop",
        "_now",
        "_on_free",
        "_parser",
        "_reply",
        "_step",
        "_timeouts",
        "_transport",
        "_waiter",
        "allowed",
        "answered",
        "dead",
        "expires",
        "poll",
        "since",
        "total",
        "used",
        "where",
    )

    def __init__(
        self,
        where: str,
        loop: asyncio.AbstractEventLoop,
        on_free: Callable[[Connection, bool], None],
    ) -> None:
        self.where = where
        self.dead = False
        self.answered = False
        self.used = False
        self.expires = NEVER
        self._loop = loop
        self._now = loop.time
        self._on_free = on_free
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        # What an idle connection has in the kernel's buffer; None until it is asked for.
        self.poll: Poll | None = None
        self._waiter: asyncio.Future[UpstreamReply] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._half_sent = False
        self._hint: str | None = None
        self._reply: Reply | None = None
        self._timeouts = Timeouts()
        # The step at hand has this long from that moment on; all steps have until `total`.
        self.allowed = self.total = NEVER
        self.since = 0.0
        self._step = "first_byte"

    # --- one exchange ---

    def begin(
        self, request: bytes, timeouts: Timeouts, total: float, now: float
    ) -> asyncio.Future[UpstreamReply]:
        """Send the request; what is returned is done once the answer's head is here.

        Whoever is cancelled while waiting for it must say so by `forsake`.
        """
        self.answered = False
        transport = self._transport
        if transport is None:
            raise faults.reset(self.where)
        self._timeouts = timeouts
        self.total = total
        self._step = "first_byte"
        self.since = now
        self.allowed = timeouts.first_byte
        self._waiter = waiter = self._loop.create_future()
        transport.write(request)
        return waiter

    def forsake(self, waiter: asyncio.Future[UpstreamReply]) -> None:
        """Nobody waits any more for what `begin` returned."""
        # Only what is still ours: an answer that ended meanwhile has given this connection
        # back, and it may already carry somebody else's request.
        if self._waiter is waiter:
            self.cut()
        elif not waiter.cancelled() and waiter.exception() is None:
            waiter.result().close()

    async def exchange(
        self, request: bytes, timeouts: Timeouts, total: float, more: Iterable[bytes] = ()
    ) -> UpstreamReply:
        """Send the request, and `more` of its body at the provider's pace; wait for the answer's
        head, which may come before all is sent.
        """
        waiter = self.begin(request, timeouts, total, self._now())
        try:
            await self._upload(more, waiter)
            return await waiter
        except asyncio.CancelledError:
            self.forsake(waiter)
            raise
        except OSError:  # of the file that was to be sent
            self.cut()
            raise

    async def _upload(self, chunks: Iterable[bytes], waiter: asyncio.Future[UpstreamReply]) -> None:
        """Send a long body; whoever answers before its end wants no more of it."""
        self._half_sent = True
        self._step = "idle"
        for chunk in chunks:
            transport = self._transport
            if waiter.done() or transport is None:
                return
            transport.write(chunk)
            self.since = self._now()
            self.allowed = self._timeouts.idle
            if self._drained is not None:
                await asyncio.wait((self._drained, waiter), return_when="FIRST_COMPLETED")
        self._half_sent = False
        if not waiter.done():
            self._step = "first_byte"
            self.since = self._now()
            self.allowed = self._timeouts.first_byte

    def pause_writing(self) -> None:
        """The provider does not keep up with what is sent."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has caught up."""
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def overdue(self, now: float) -> None:
        """Fail the exchange if one of its deadlines has passed."""
        if now >= self.total:
            self._fail(faults.timeout(self.where, "total", self._timeouts.total))
        elif now >= self.since + self.allowed:
            seconds = getattr(self._timeouts, self._step)
            self._fail(faults.timeout(self.where, self._step, seconds))

    def abandon(self, fault: Fault) -> None:
        """End whatever runs on this connection with the given fault."""
        self._fail(fault)

    # --- reply.Source ---

    def hold(self) -> None:
        """Stop reading; the idle clock stands still."""
        self.allowed = NEVER
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read on; the idle clock starts anew."""
        self.since = self._now()
        self.allowed = self._timeouts.idle
        if self._transport is not None:
            self._transport.resume_reading()

    def cut(self) -> None:
        """Close at once, without a goodbye; frees the slot."""
        self._waiter = None
        self._reply = None
        self._bury()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport; both event loops have told its socket not to wait for more."""
        self._transport = cast("asyncio.Transport", transport)  # no subclass under uvloop

    def look(self) -> Poll:
        """How to look into the socket's buffer: made for a connection that is used once more."""
        transport = self._transport
        sock = None if transport is None else transport.get_extra_info("socket")
        if sock is None or not hasattr(select, "poll"):
            self.poll = _see_nothing
        else:
            poller = select.poll()
            poller.register(sock.fileno(), select.POLLIN)
            self.poll = poller.poll
        return self.poll

    def data_received(self, data: bytes) -> None:
        """Parse first, then hand over: no consumer runs inside the parser.

        In one piece: every chunk passes here, and one call more shows in the bench.
        """
        parser, reply = self._parser, self._reply
        if reply is None and not self._unread(data):
            return
        wrong = None
        feed = parser.feed  # a call of what lies in a slot is quicker from a name of one's own
        try:
            feed(data)
        except REFUSALS as error:
            wrong = parser.refusal(error)
        if reply is None:
            wrong = self._begin_reply(wrong, len(data))
            reply = self._reply
        last, pieces = b"", parser.pieces
        if pieces:
            body = pieces.pop() if len(pieces) == 1 else parser.joined()
            if reply is not None:
                now, deliver = self._now, reply.deliver
                self.since = now()
                if deliver is None:
                    if parser.complete and wrong is None:
                        last = body
                    else:
                        reply.keep(body)
                else:
                    try:
                        deliver(body)
                    except Exception as error:  # what the consumer raised ends its pump
                        reply.give_up(error)
        if wrong is not None:
            self._fail(faults.bad_response(self.where, wrong))
        elif parser.complete:
            self._finish(last)

    def eof_received(self) -> None:
        """The end of a body without length; the transport then closes by itself."""
        if self._reply is not None:
            if not self._parser.delimited:
                self._finish()
        elif self._waiter is None:
            self._bury()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever still runs here ends now."""
        if self._reply is None:
            self._fail(faults.reset(self.where))
        elif exc is None and not self._parser.delimited:
            self._finish()
        else:
            self._fail(faults.truncated(self.where))

    # --- inside ---

    def _unread(self, data: bytes) -> bool:
        """Whether what comes before a reply has begun is left for the parser to read."""
        waiter = self._waiter
        if waiter is None:
            self.cut()  # bytes that nobody asked for: never the next caller's answer
            return False
        if self.answered:
            return True
        self.answered = True
        whole = whole_answer(data)
        if whole is None or waiter.done():
            parser = self._parser
            parser.begin()
            parser.modern = data.startswith(_USUAL)
            return True
        headers, body = whole
        self._waiter = None
        self._hint = headers.get("keep-alive")
        waiter.set_result(Whole(headers, body, self.where))
        self._give_back()
        return False

    def _begin_reply(self, wrong: str | None, size: int) -> str | None:
        """Whoever waits is given the answer once its head is complete; what is wrong with it."""
        parser, waiter = self._parser, self._waiter
        assert waiter is not None
        if not parser.head_done:
            return parser.overlong(size) if wrong is None else wrong
        if waiter.done():  # cancelled a moment ago
            self.cut()
            return wrong
        headers, decoder = parser.headers, None
        parser.headers = NO_HEADERS
        self._hint = headers.get("keep-alive")
        if "content-encoding" in headers:
            try:
                decoder = decoder_for(headers["content-encoding"])
            except DecodingError as error:
                self._fail(faults.bad_response(self.where, str(error)))
                return wrong
        self._waiter = None
        self._step = "idle"
        now = self._now
        self.since = now()
        self.allowed = self._timeouts.idle
        self._reply = reply = Reply(
            parser.status, headers, self, self.where, self._loop, parser.delimited, decoder
        )
        waiter.set_result(reply)
        return wrong

    def _finish(self, last: bytes = b"") -> None:
        """A clean end: tell the consumer, give the connection back if it is still good."""
        reply, self._reply = self._reply, None
        if reply is None:
            return
        reply.finish(last)
        parser = self._parser
        if parser.reusable and not parser.surplus:
            self._give_back()
        else:
            self._bury()

    def _give_back(self) -> None:
        """What was asked is answered: the next may have the connection if it is still good."""
        held = self.allowed == NEVER
        self.allowed = self.total = NEVER
        transport = self._transport
        if (
            transport is None
            or transport.is_closing()
            or transport.get_write_buffer_size()
            or self._half_sent
        ):
            self._bury()
            return
        if held:
            transport.resume_reading()
        now, hint, on_free = self._now, self._hint, self._on_free
        self.expires = now() + (IDLE_SECONDS if hint is None else _keep_alive(hint))
        self.used = True
        on_free(self, True)

    def _fail(self, fault: Fault) -> None:
        waiter, self._waiter = self._waiter, None
        reply, self._reply = self._reply, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(fault)
        if reply is not None:
            reply.fail(fault)
        self._bury()

    def _bury(self) -> None:
        """Close for good, once."""
        if self.dead:
            return
        self.dead = True
        self.allowed = self.total = NEVER
        self.poll = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        self._parser.release()
        self._on_free(self, False)


def _see_nothing(_timeout: int) -> list[tuple[int, int]]:
    """Where no one can look into a buffer, nothing is seen there."""
    return []


def _keep_alive(header: str) -> float:
    """Seconds to keep an idle connection: ours, or the provider's hint less one."""
    for part in header.split(","):
        name, _, value = part.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isdecimal():
            return min(IDLE_SECONDS, float(value[:9]) - 1.0)
    return IDLE_SECONDS
