"""The connections to one origin under one credential: taking, giving back, waiting, sweeping."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from gateway.domain import Channel
from gateway.errors import Fault
from gateway.upstream import faults
from gateway.upstream.connection import NEVER, Connection

TICK = 0.2

Opener = Callable[[Callable[[], Connection]], Awaitable[object]]


class Waiter:
    """One caller in the queue: receives a connection, or None as leave to open one."""

    __slots__ = ("deadline", "fresh", "turn")

    def __init__(
        self, turn: asyncio.Future[Connection | None], deadline: float, fresh: bool
    ) -> None:
        self.turn = turn
        self.deadline = deadline
        self.fresh = fresh


class Pool:
    """LIFO over idle connections, a bound on those in use, FIFO over those who wait."""

    def __init__(
        self,
        channel: Channel,
        where: str,
        loop: asyncio.AbstractEventLoop,
        opener: Opener,
        on_empty: Callable[[Pool], None],
    ) -> None:
        self.provider = channel.provider
        self.where = where
        self.now = loop.time
        self._loop = loop
        self._opener = opener
        self._on_empty = on_empty
        self._limit = channel.max_connections
        self._active: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[Waiter] = deque()
        self._opening = 0
        self._timer: asyncio.TimerHandle | None = None
        self._fast = False

    @property
    def counts(self) -> tuple[int, int, int]:
        """Connections in use (being opened as well), idle ones, and callers who wait."""
        waiting = sum(not waiter.turn.done() for waiter in self._waiting)
        return len(self._active) + self._opening, len(self._idle), waiting

    def take(self, now: float) -> Connection | None:
        """The idle connection used last that is still good; None when there is none.

        It is open and silent, in the kernel's buffer as well.
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            if (
                not connection.dead
                and connection.expires > now
                and not (connection.poll or connection.look())(0)
            ):
                self._active.add(connection)
                if not self._fast:
                    self._arm()
                return connection
            connection.cut()
        return None

    async def acquire(self, channel: Channel, total: float, *, fresh: bool = False) -> Connection:
        """A new connection; if all places are taken, the next one given back unless `fresh`."""
        self._limit = channel.max_connections
        if len(self._active) + self._opening < self._limit:
            self._opening += 1
        else:
            connection = await self._queue(channel, fresh=fresh)
            if connection is not None:
                return connection
        return await self._open(channel, total)

    def sweep(self, now: float) -> None:
        """Fail whatever is overdue at `now`: exchanges, callers in the queue, idle connections."""
        for connection in list(self._active):
            if now >= connection.total or now >= connection.since + connection.allowed:
                connection.overdue(now)
        for waiter in self._waiting:
            if now >= waiter.deadline and not waiter.turn.done():
                waiter.turn.set_exception(faults.exhausted(self.where, self._limit))
        while self._waiting and self._waiting[0].turn.done():
            self._waiting.popleft()
        for connection in [idle for idle in self._idle if idle.expires <= now]:
            connection.cut()

    def close(self) -> None:
        """End everything at once."""
        for waiter in self._waiting:
            if not waiter.turn.done():
                waiter.turn.set_exception(faults.shut_down(self.where))
        self._waiting.clear()
        for connection in [*self._active, *self._idle]:
            connection.abandon(faults.shut_down(self.where))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- inside ---

    async def _queue(self, channel: Channel, *, fresh: bool) -> Connection | None:
        turn: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append(Waiter(turn, self.now() + channel.timeouts.connect, fresh))
        self._arm()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._refuse_turn(turn.result())
            raise

    def _refuse_turn(self, given: Connection | None) -> None:
        """A caller was cancelled just as its turn came: the place goes to the next."""
        if given is not None:
            self._free(given, True)
        else:
            self._opening -= 1
            self._pass_on()

    async def _open(self, channel: Channel, total: float) -> Connection:
        """Open a connection; the caller has counted itself into `_opening`."""
        if self._idle and len(self._active) + self._opening + len(self._idle) > self._limit:
            self._idle[0].cut()
        by = min(self.now() + channel.timeouts.connect, total)
        try:
            async with asyncio.timeout_at(by):
                connection = await self._opener(self._make)
        except TimeoutError:
            self._closed_one()
            raise self._too_slow(channel, by == total) from None
        except BaseException:
            self._closed_one()
            raise
        assert isinstance(connection, Connection)
        self._opening -= 1
        self._active.add(connection)
        if connection.dead:
            self._free(connection, False)
            raise faults.reset(self.where)
        self._arm()
        return connection

    def _too_slow(self, channel: Channel, total: bool) -> Fault:
        if total:
            return faults.timeout(self.where, "total", channel.timeouts.total)
        return faults.timeout(self.where, "connect", channel.timeouts.connect)

    def _make(self) -> Connection:
        return Connection(self.where, self._loop, self._free)

    def _closed_one(self) -> None:
        self._opening -= 1
        self._pass_on()

    def _free(self, connection: Connection, good: bool) -> None:
        """A connection's exchange is over, or the connection is."""
        if connection in self._active:
            self._active.remove(connection)
        elif not good:
            if connection in self._idle:
                self._idle.remove(connection)
            return
        if good and not connection.dead:
            self._idle.append(connection)
        if self._waiting:
            self._pass_on()

    def _pass_on(self) -> None:
        """Give free places to those who wait, first come first served."""
        waiting = self._waiting
        while waiting and len(self._active) + self._opening < self._limit:
            waiter = waiting.popleft()
            if waiter.turn.done():
                continue
            connection = None if waiter.fresh else self.take(self.now())
            if connection is None:
                self._opening += 1
            waiter.turn.set_result(connection)

    def _arm(self) -> None:
        """Tick while something is in use; while all is idle, wake for the next expiry only."""
        if self._fast:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._fast = True
        self._timer = self._loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._fast = False
        now = self.now()
        self.sweep(now)
        if self._active or self._opening or self._waiting:
            self._arm()
        elif self._idle:
            nearest = min((idle.expires for idle in self._idle), default=NEVER)
            self._timer = self._loop.call_later(max(nearest - now, TICK), self._tick)
        else:
            self._on_empty(self)
