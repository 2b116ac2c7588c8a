"""The HTTP client behind `ports.Upstream`: finds the pool, sends, retries a stale socket once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from gateway.domain import Channel, UpstreamRequest
from gateway.errors import NOT_SENT, Fault
from gateway.ports import Declined, UpstreamReply
from gateway.upstream import faults
from gateway.upstream.connect import Connector
from gateway.upstream.connection import Connection
from gateway.upstream.pool import Pool
from gateway.upstream.proxies import Proxies
from gateway.upstream.sim import SimUpstream
from gateway.upstream.target import HeadWriter, Origin, opening, split
from gateway.upstream.uploading import chunks_of, size_of
from gateway.upstream.websocket import WebsocketConnection
from gateway.upstream.websockets import Websockets

_WAYS = 1024

# Provider and credential are part of it: two tenants of one host never share a connection.
PoolKey = tuple[Origin, str, str, str | None, bool]


class Way(NamedTuple):
    """What one method, URL and channel come to: how requests begin, and their connections."""

    start: str
    pool: Pool


class Counts(NamedTuple):
    """The connections of one provider."""

    active: int = 0
    idle: int = 0
    waiting: int = 0


class HttpUpstream:
    """Sends requests over pooled HTTP/1.1 connections; never follows a redirect."""

    def __init__(self, environ: Mapping[str, str], sim: SimUpstream | None = None) -> None:
        self._proxies = Proxies(environ)
        self._connector = Connector(self._proxies)
        self._websockets = Websockets(self._connector)
        self._writer = HeadWriter()
        self._sim = sim
        self._ways: dict[tuple[str, str, str, str, str | None, bool], Way] = {}
        self._pools: dict[PoolKey, Pool] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def send(self, request: UpstreamRequest, channel: Channel) -> UpstreamReply:
        """Send and return once the head of the answer is here."""
        method, url, pieces = request.method, request.url, request.pieces
        way = self._ways.get(
            (method, url, channel.provider, channel.credential, channel.ca_file, channel.public)
        )
        if way is None:
            if self._sim is not None and url.startswith("sim:"):
                return await self._sim.send(request, channel)
            way = self._way(method, url, channel)
        start, pool = way
        body = request.body
        size = size_of(pieces) if pieces else len(body)
        data = self._writer.write(start, method, request.headers, size, body)
        timeouts, now = channel.timeouts, pool.now()
        total = now + timeouts.total
        connection = pool.take(now)
        if connection is None:
            connection = await _acquired(pool, channel, total)
            now = pool.now()
        reused = connection.used
        try:
            if pieces:
                return await connection.exchange(data, timeouts, total, chunks_of(pieces))
            waiter = connection.begin(data, timeouts, total, now)
            try:
                return await waiter
            except asyncio.CancelledError:
                connection.forsake(waiter)
                raise
        except Fault as fault:
            # The provider closed the idle connection as we took it: it cannot have worked on this.
            if not reused or connection.answered or fault.cause != "reset":
                raise
        connection = await _acquired(pool, channel, total, fresh=True)
        return await connection.exchange(data, timeouts, total, chunks_of(pieces))

    def connect(
        self, request: UpstreamRequest, channel: Channel
    ) -> Awaitable[WebsocketConnection | Declined]:
        """Open a websocket, or return what the provider said instead."""
        return self._websockets.connect(request, channel)

    async def close(self) -> None:
        """Cut every connection; whoever still waits gets a fault."""
        self._closed = True
        self._websockets.close()
        for pool in list(self._pools.values()):
            pool.close()
        self._pools.clear()
        self._ways.clear()
        self._connector.close()
        await asyncio.sleep(0)  # lets the aborted transports let go of their sockets

    def stats(self) -> dict[str, Counts]:
        """Connections in use, idle, and callers waiting, per provider."""
        totals: dict[str, Counts] = {}
        for pool in self._pools.values():
            old = totals.get(pool.provider, Counts())
            totals[pool.provider] = Counts(*map(sum, zip(old, pool.counts, strict=True)))
        for provider, count in self._websockets.counts().items():
            active, idle, waiting = totals.get(provider, Counts())
            totals[provider] = Counts(active + count, idle, waiting)
        return totals

    def sweep(self, now: float) -> None:
        """Fail whatever is overdue at `now`; the pools' own timers do this by themselves."""
        for pool in list(self._pools.values()):
            pool.sweep(now)

    # --- cold paths ---

    def _way(self, method: str, url: str, channel: Channel) -> Way:
        origin, target = split(url)
        proxy = self._proxies.for_origin(origin)
        login = None
        if proxy is not None and origin.scheme == "http":
            target, login = f"http://{origin.authority}{target}", proxy.login
        start = opening(method, target, origin, login)
        key = (channel.provider, channel.credential, channel.ca_file, channel.public)
        pool = self._pools.get((origin, *key)) or self._pool(origin, channel)
        if len(self._ways) >= _WAYS:
            self._ways.clear()
        way = self._ways[method, url, *key] = Way(start, pool)
        return way

    def _pool(self, origin: Origin, channel: Channel) -> Pool:
        where = f"{origin.host}:{origin.port}"
        if self._closed:
            raise faults.shut_down(where)
        key = (origin, channel.provider, channel.credential, channel.ca_file, channel.public)

        def opener(factory: Callable[[], Connection]) -> Awaitable[object]:
            return self._connector.open(origin, channel.ca_file, factory, public=channel.public)

        def forget(pool: Pool) -> None:
            if self._pools.get(key) is pool:
                del self._pools[key]
                self._ways = {to: way for to, way in self._ways.items() if way.pool is not pool}

        pool = Pool(channel, where, asyncio.get_running_loop(), opener, forget)
        self._pools[key] = pool
        return pool


async def _acquired(pool: Pool, channel: Channel, total: float, fresh: bool = False) -> Connection:
    """A connection; whoever gives up waiting for one has sent nothing, and that is told."""
    try:
        return await pool.acquire(channel, total, fresh=fresh)
    except asyncio.CancelledError:
        raise asyncio.CancelledError(NOT_SENT) from None
