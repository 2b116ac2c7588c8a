"""A websocket to a provider: the handshake within its deadline, and the connection afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Final, cast

import httptools

from gateway.core.websocket import Closed, Peer, accept_of
from gateway.domain import Channel
from gateway.errors import Fault
from gateway.ports import Declined
from gateway.upstream import faults
from gateway.upstream.parsing import ResponseParser

# How long a provider may take to agree, however patient one is with its answers.
HANDSHAKE_SECONDS = 30.0
GOODBYE_SECONDS = 2.0
_MAX_REFUSAL: Final = 64 * 1024


class HandshakeParser(ResponseParser):
    """The same parser for an answer that may be the last of HTTP on its connection."""

    __slots__ = ()

    def on_headers_complete(self) -> None:
        """A 101 ends the head; everything else is an answer like any other."""
        parser = self._parser
        if parser is not None and parser.get_status_code() == 101:
            self.status = 101
            self.head_done = True
            return
        super().on_headers_complete()


class WebsocketConnection(asyncio.Protocol):
    """Implements `ports.Socket` over a connection that the provider has agreed to upgrade."""

    __slots__ = (
        "_early", "_expected", "_full", "_go_on", "_gone", "_held", "_hold", "_loop", "_lost",
        "_offered", "_over", "_parser", "_peer", "_timer", "_transport", "_waiter", "heard",
        "where",
    )  # fmt: skip

    def __init__(
        self, where: str, loop: asyncio.AbstractEventLoop, gone: Callable[[], None]
    ) -> None:
        self.where = where
        self.heard = loop.time()
        self._loop = loop
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._parser: HandshakeParser | None = HandshakeParser()  # until the provider has agreed
        self._waiter: asyncio.Future[WebsocketConnection | Declined] | None = None
        self._expected = ""
        self._offered: tuple[str, ...] = ()
        self._peer = Peer(self._write, lambda: os.urandom(4))
        self._early: list[bytes] | None = []  # what came before anybody listened
        self._lost = self._held = self._full = False
        self._over: Closed | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._hold: Callable[[], None] | None = None
        self._go_on: Callable[[], None] | None = None

    async def shake_hands(
        self, head: bytes, key: str, offered: tuple[str, ...], channel: Channel
    ) -> WebsocketConnection | Declined:
        """Send the request and wait until the provider has said yes or no."""
        transport = self._transport
        if transport is None:
            raise faults.reset(self.where)
        seconds = min(channel.timeouts.first_byte, channel.timeouts.total, HANDSHAKE_SECONDS)
        self._expected, self._offered = accept_of(key), offered
        self._waiter = self._loop.create_future()
        transport.write(head)
        try:
            async with asyncio.timeout(seconds):
                return await self._waiter
        except TimeoutError:
            self.abort()
            raise faults.timeout(self.where, "first_byte", seconds) from None
        except BaseException:
            self.abort()
            raise

    # --- ports.Socket ---

    def listen(
        self, on_message: Callable[[bytes], None], on_close: Callable[[Closed], None]
    ) -> None:
        """Who takes the messages from now on; what came before is handed over first."""
        if self._over is not None:
            on_close(self._over)
            return

        def ended(closed: Closed) -> None:
            self._over = closed
            self._part()
            on_close(closed)

        self._peer.on_message, self._peer.on_close = on_message, ended
        early, self._early = self._early, None
        for data in early or ():
            self._peer.feed(data)
        if self._lost:
            self._peer.lost()
        elif early and not self._held and self._transport is not None:
            self._transport.resume_reading()

    def on_congestion(self, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        """Whom to tell when the provider falls behind, and when it has caught up."""
        self._hold, self._go_on = hold, go_on
        if self._full:
            hold()

    def send(self, message: bytes) -> None:
        """A text message."""
        self._peer.send(message)

    def ping(self) -> None:
        """Ask whether the provider is there."""
        self._peer.ping()

    def pause(self) -> None:
        """Read no more for now."""
        if not self._held:
            self._held = True
            if self._transport is not None:
                self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            self.heard = self._loop.time()
            if self._transport is not None:
                self._transport.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye, and wait a moment for the answer."""
        self._peer.close(code, reason)
        self.resume()
        if self._timer is None and self._transport is not None:
            self._timer = self._loop.call_later(GOODBYE_SECONDS, self.abort)

    def abort(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = cast("asyncio.Transport", transport)  # no subclass under uvloop
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """The answer to the handshake, and frames after it."""
        self.heard = self._loop.time()
        if self._parser is not None:
            if self._waiter is not None:
                self._judge(self._parser, data)
        elif self._early is None:
            self._peer.feed(data)
        else:
            self._keep(data)

    def pause_writing(self) -> None:
        """The provider reads more slowly than the client speaks."""
        self._full = True
        self._peer.hold()
        if self._hold is not None:
            self._hold()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._full = False
        self._peer.go_on()
        if self._go_on is not None:
            self._go_on()

    def eof_received(self) -> None:
        """The end of an answer without a length; the transport then closes by itself."""
        parser = self._parser
        if parser is not None and parser.head_done and not parser.delimited:
            self._declined(parser)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever still waits is told."""
        self._transport = None
        self._hold = self._go_on = None
        self._lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._fail(faults.reset(self.where))
        parser, self._parser = self._parser, None
        if parser is not None:
            parser.release()
        elif self._early is None:
            self._peer.lost()
        self._gone()

    # --- inside ---

    def _judge(self, parser: HandshakeParser, data: bytes) -> None:
        """Read on in the answer's head, and act on what it says."""
        rest = None
        try:
            parser.feed(data)
        except httptools.HttpParserUpgrade as error:
            rest = data[error.args[0] :]
        except httptools.HttpParserError as error:
            wrong = parser.refusal(error)
            if wrong is not None:
                self._fail(faults.bad_response(self.where, wrong))
                return
        if parser.status == 101:
            self._agreed(parser, rest)
            return
        overlong = None if parser.head_done else parser.overlong(len(data))
        if overlong is not None:
            self._fail(faults.bad_response(self.where, overlong))
        elif parser.complete or sum(map(len, parser.pieces)) > _MAX_REFUSAL:
            self._declined(parser)

    def _agreed(self, parser: HandshakeParser, rest: bytes | None) -> None:
        wrong = self._what_is_wrong(parser.headers)
        if wrong or rest is None:
            what = wrong or "it ends in the middle"
            self._fail(faults.bad_response(self.where, f"in the websocket handshake, {what}"))
            return
        parser.release()
        self._parser = None
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():  # cancelled a moment ago
            self.abort()
            return
        waiter.set_result(self)
        if rest:
            self._keep(rest)

    def _what_is_wrong(self, headers: dict[str, str]) -> str:
        if headers.get("upgrade", "").lower() != "websocket":
            return "it upgrades to something else"
        options = [one.strip() for one in headers.get("connection", "").lower().split(",")]
        if "upgrade" not in options:
            return "Connection does not say Upgrade"
        if headers.get("sec-websocket-accept", "").strip() != self._expected:
            return "Sec-WebSocket-Accept is wrong"
        if "sec-websocket-extensions" in headers:
            return "an extension is chosen that nobody offered"
        chosen = headers.get("sec-websocket-protocol")
        if chosen is not None and chosen.strip() not in self._offered:
            return "a subprotocol is chosen that nobody offered"
        return ""

    def _declined(self, parser: HandshakeParser) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            body = b"".join(parser.pieces)[:_MAX_REFUSAL]
            waiter.set_result(Declined(parser.status, parser.headers, body))
        self.abort()

    def _keep(self, data: bytes) -> None:
        """A provider may speak first; it is held until somebody listens."""
        assert self._early is not None
        self._early.append(data)
        if len(self._early) == 1 and self._transport is not None:
            self._transport.pause_reading()

    def _fail(self, fault: Fault) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(fault)
        if waiter is not None:
            self.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _part(self) -> None:
        """The protocol is over; what was said last still goes out, if it is taken soon."""
        if self._transport is not None:
            self._transport.close()
            if self._timer is None:
                self._timer = self._loop.call_later(GOODBYE_SECONDS, self.abort)
