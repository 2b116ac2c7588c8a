"""The body side of an answer: buffering until somebody attaches, then a synchronous push."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct

from gateway.upstream import faults
from gateway.upstream.decoding import Decoder, DecodingError
from gateway.upstream.parsing import NO_HEADERS

# What may wait for a consumer before the provider is held back.
HIGH_WATER = 64 * 1024
_TAKEN = "the body of this answer was taken or closed before"


class Source(Protocol):
    """What delivers a reply's body: a connection or the simulator's player."""

    where: str

    def hold(self) -> None:
        """Stop reading; the idle clock stands still."""

    def go_on(self) -> None:
        """Read again; the idle clock starts anew."""

    def cut(self) -> None:
        """Drop the connection at once."""


class Whole(Struct, eq=False):
    """Implements `ports.UpstreamReply` for a success that came in one piece, as short answers do.

    Its connection has been given back: there is nothing to wait for, to hold up or to cut.
    """

    headers: Mapping[str, str]
    _body: bytes
    where: str
    status: int = 200
    delimited: bool = True
    _taken: bool = False

    def at_hand(self, limit: int) -> bytes | None:
        """The whole body."""
        if self._taken:
            return None
        self._taken = True
        if len(self._body) > limit:
            raise faults.oversize(self.where, limit)
        return self._body

    async def read(self, limit: int) -> bytes:
        """The same."""
        whole = self.at_hand(limit)
        if whole is None:
            raise RuntimeError(_TAKEN)
        return whole

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        """Push the whole body into `receive`."""
        if self._taken:
            raise RuntimeError(_TAKEN)
        self._taken = True
        receive(self._body)

    def forget_headers(self) -> None:
        """A long stream need not hold what only its start needed."""
        self.headers = NO_HEADERS

    def pause(self) -> None:
        """All has been read."""

    def resume(self) -> None:
        """All has been read."""

    def close(self) -> None:
        """What was not taken will not be."""
        self._taken = True


class Reply(Struct, eq=False):
    """Implements `ports.UpstreamReply` for any source, of which `where` tells."""

    status: int
    headers: Mapping[str, str]
    source: Source | None
    where: str
    loop: asyncio.AbstractEventLoop
    delimited: bool = True
    decoder: Decoder | None = None
    held: list[bytes] | None = None
    done: bool = False  # the wire has reached its end
    # Who takes the body straight off the wire; None while nobody does and pieces are kept.
    deliver: Callable[[bytes], None] | None = None
    _waiter: asyncio.Future[None] | None = None
    _held_bytes: int = 0
    _brimming: bool = False
    _paused: bool = False
    _taken: bool = False
    _error: Exception | None = None

    # --- the consumer's side: ports.UpstreamReply ---

    def at_hand(self, limit: int) -> bytes | None:
        """The whole body where it came with its head, as short answers do."""
        if not self.done or self._taken or self._error is not None or self.decoder is not None:
            return None
        self._taken = True
        held, self.held = self.held or (), None
        whole = held[0] if len(held) == 1 else b"".join(held)
        if len(whole) > limit:
            raise faults.oversize(self.where, limit)
        return whole

    async def read(self, limit: int) -> bytes:
        """The whole body; more than `limit` bytes is a fault."""
        whole = self.at_hand(limit)
        return await self._gathered(limit) if whole is None else whole

    async def _gathered(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        room = limit

        def collect(data: bytes) -> None:
            nonlocal room
            room -= len(data)
            if room < 0:
                raise faults.oversize(self.where, limit)
            pieces.append(data)

        if self._announced() > limit:
            self.close()
            raise faults.oversize(self.where, limit)
        await self.pump(collect)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pump(self, receive: Callable[[bytes], None]) -> None:
        """Push every piece into `receive`; return at a clean end only, raise at any other."""
        if self._taken:
            raise RuntimeError(_TAKEN)
        self._taken = True
        try:
            self._attach(receive)
            if not self.done:
                self._waiter = self.loop.create_future()
                await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self.deliver = None
        if self._error is not None:
            raise self._error
        if self.decoder is not None and not self.decoder.whole:
            raise faults.truncated(self.where)

    def pause(self) -> None:
        """Read no more from the provider; bytes already read are still pushed."""
        if not self._paused:
            self._paused = True
            if self.source is not None:
                self.source.hold()

    def resume(self) -> None:
        """The client has caught up: read on."""
        if self._paused:
            self._paused = False
            if self.source is not None:
                self.source.go_on()

    def forget_headers(self) -> None:
        """A long stream need not hold what only its start needed."""
        self.headers = NO_HEADERS

    def close(self) -> None:
        """Cut an unfinished answer; a finished one has gone back to the pool by itself."""
        if self.done and self._taken:
            return
        self._taken = True
        self.held = None
        if not self.done:
            self.give_up(faults.closed(self.where))

    # --- the source's side ---

    def finish(self, last: bytes = b"") -> None:
        """The wire reached its end, a clean one unless an error was set before."""
        if last:
            self.held = [last] if self.held is None else [*self.held, last]
        self.done = True
        self.source = None
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """The wire died or broke; what arrived before is still handed over first."""
        if not self.done:
            self._error = error
            self.finish()

    # --- inside ---

    def _attach(self, receive: Callable[[bytes], None]) -> None:
        """Hand over what came before the consumer did, then push directly."""
        push = receive if self.decoder is None else self._decoding(self.decoder, receive)
        held, self.held = self.held or (), None
        for data in held:
            push(data)
        self.deliver = push
        if self._brimming and not self._paused and self.source is not None:
            self.source.go_on()

    def _decoding(
        self, decoder: Decoder, receive: Callable[[bytes], None]
    ) -> Callable[[bytes], None]:
        def push(data: bytes) -> None:
            try:
                for piece in decoder.feed(data):
                    receive(piece)
            except DecodingError as error:
                raise faults.bad_response(self.where, str(error)) from error

        return push

    def keep(self, data: bytes) -> None:
        """A piece of the body that nobody takes yet."""
        if self.held is None:
            self.held = []
        self.held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > HIGH_WATER and self.source is not None:
            self._brimming = True
            self.source.hold()

    def _announced(self) -> int:
        if self.decoder is not None:
            return 0
        length = self.headers.get("content-length", "")
        return int(length) if length.isdecimal() else 0

    def give_up(self, error: Exception) -> None:
        """End the answer from our side and cut whatever still feeds it."""
        source = self.source
        self.fail(error)
        if source is not None:
            source.cut()
