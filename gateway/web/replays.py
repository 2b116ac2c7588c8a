"""Idempotency-Key: the first answer is kept before its end is shown, and given to whoever repeats.

A sink that records holds the end of its answer back until the answer is durable. What an admin did
may show a new key: that is repeated to the key that did it alone, and kept sealed with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable

from msgspec import Struct

from gateway import errors
from gateway.domain import Key
from gateway.errors import Fault, invalid
from gateway.ports import Headers
from gateway.store.replays import NOT_KEPT, Replays, Stored
from gateway.store.sealing import seal, unseal
from gateway.web.replying import HttpSink

_LONGEST_KEY = 255
_MOST_KEPT = 8 << 20


class Ticket(Struct, frozen=True):
    """A key that this request has taken."""

    replays: Replays
    account: int
    key: str
    call: int
    secret: bytes | None = None  # what the answer is sealed with


class RecordingSink(HttpSink):
    """Keeps what it writes, when the request has taken a key; else it is like any other."""

    __slots__ = ("_headers", "_kept", "_over", "_pieces", "_status", "_whole", "ticket")

    ticket: Ticket | None
    _whole: bytes | None
    _pieces: list[bytes]
    _kept: int
    _over: bool
    _status: int
    _headers: Headers

    def take(self, ticket: Ticket) -> None:
        """Record from here on."""
        self.ticket = ticket
        self._whole = None
        self._pieces = []
        self._kept = self._status = 0
        self._headers = ()
        self._over = False

    def start(self, status: int, headers: Headers) -> None:
        """Open a streamed answer."""
        if getattr(self, "ticket", None) is not None:
            self._status, self._headers = status, headers
        super().start(status, headers)

    def write(self, data: bytes) -> None:
        """A piece of a streamed answer."""
        if getattr(self, "ticket", None) is not None:
            self._kept += len(data)
            if self._kept <= _MOST_KEPT:
                self._pieces.append(data)
        super().write(data)

    def straight(self) -> tuple[Callable[[bytes], object], bytes] | None:
        """Only where nothing is kept."""
        return super().straight() if getattr(self, "ticket", None) is None else None

    def end(self) -> None:
        """The end is held back until `complete`."""
        if getattr(self, "ticket", None) is None:
            super().end()
        else:
            self._over = True

    def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole answer is held back until `complete`."""
        if getattr(self, "ticket", None) is None:
            super().reply(status, headers, body)
            return
        self.started = self.ended = True
        self._status, self._headers, self._whole = status, headers, body
        self._kept, self._over = len(body), True

    async def complete(self, done: bool) -> None:
        """Keep the answer, then let the client see its end; or give the key back."""
        ticket = getattr(self, "ticket", None)
        if ticket is None:
            return
        self.ticket = None
        # What storage does now is no reason to keep from the client what was made and paid for.
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self._keep(ticket, done)
        if self._whole is not None:
            super().reply(self._status, self._headers, self._whole)
        elif self.started:
            super().end()

    async def _keep(self, ticket: Ticket, done: bool) -> None:
        mine = (ticket.account, ticket.key, ticket.call)
        if not done:
            await ticket.replays.forget(*mine)
        elif self._over and self._kept <= _MOST_KEPT:
            body = b"".join(self._pieces) if self._whole is None else self._whole
            if ticket.secret is not None:
                body = seal(ticket.secret, body)
            await ticket.replays.finish(*mine, self._status, list(self._headers), body)
        else:  # too long, or cut off: half an answer must not be repeated as a whole one
            await ticket.replays.finish(*mine, NOT_KEPT, [], b"")


async def once(
    sink: HttpSink,
    replays: Replays,
    key: Key,
    given: str | None,
    request: bytes,
    call: int,
    work: Callable[[], Awaitable[None]],
    secret: bytes | None = None,
) -> None:
    """Do the work, unless it was done before under the same key: then repeat its answer.

    With a `secret` it was done before only if by the same caller.
    """
    if given is None or not isinstance(sink, RecordingSink) or not key.n:
        await work()
        return
    if not 1 <= len(given) <= _LONGEST_KEY or not given.isprintable():
        raise invalid(f"An Idempotency-Key has 1 to {_LONGEST_KEY} characters.")
    assert key.account is not None
    if secret is not None or key.children:  # a derived key sees nothing but its own
        given = f"{key.id}\n{given}"  # which no header's value can be
    try:
        stored = await replays.begin(key.account.n, given, request, call)
    except asyncio.CancelledError:
        # The key is taken all the same, and nothing was done for it.
        await replays.forget(key.account.n, given, call)
        raise
    if stored is not None:
        _repeat(sink, stored, secret, of_this_start=stored.call >> 40 == call >> 40)
        return
    sink.take(Ticket(replays, key.account.n, given, call, secret))
    await work()


def _repeat(sink: HttpSink, stored: Stored, secret: bytes | None, of_this_start: bool) -> None:
    if not stored.same_request:
        raise Fault(
            errors.IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used for another request. Use a new key for a new request.",
        )
    if stored.status == NOT_KEPT:
        raise Fault(
            errors.IDEMPOTENCY_IN_USE,
            "The first request with this Idempotency-Key was begun, and its answer was broken off "
            "or too much to be kept. It is not run again; use a new key to do so.",
            cause="not_kept",
        )
    if stored.status == 0:
        raise Fault(
            errors.IDEMPOTENCY_IN_USE,
            "The first request with this Idempotency-Key is still running. Repeat it when that "
            "has ended."
            if of_this_start
            else "The first request with this Idempotency-Key was cut off, and its outcome is "
            "unknown. It is not run again; use a new key to do so.",
            cause="running" if of_this_start else "outcome_unknown",
        )
    body = stored.body if secret is None else unseal(secret, stored.body)
    sink.reply(stored.status, [*stored.headers, ("x-gateway-replayed", "true")], body)
