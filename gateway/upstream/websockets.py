"""Opening websockets to providers: where they go, what is asked, how many there are."""

from __future__ import annotations

import asyncio
import base64
import os
from collections import Counter
from collections.abc import Callable

from gateway.domain import Channel, UpstreamRequest
from gateway.errors import INTERNAL_ERROR, Fault
from gateway.ports import Declined
from gateway.upstream import faults
from gateway.upstream.connect import Connector
from gateway.upstream.target import HeadWriter, Origin, opening, split
from gateway.upstream.websocket import WebsocketConnection

_SCHEMES = {"ws:": "http:", "wss:": "https:"}
_OURS = frozenset({"sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions"})
_WANTS = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


class Websockets:
    """Opens websockets; each has a connection of its own, counted against its provider's."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._writer = HeadWriter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._connections: dict[object, WebsocketConnection] = {}
        self._closed = False

    async def connect(
        self, request: UpstreamRequest, channel: Channel
    ) -> WebsocketConnection | Declined:
        """An open websocket, or what the provider said instead."""
        origin, target = _split(request.url)
        where = f"{origin.host}:{origin.port}"
        if self._closed:
            raise faults.shut_down(where)
        place = (channel.provider, channel.credential)
        if self._counts[place] >= channel.max_connections:
            raise faults.exhausted(where, channel.max_connections)
        key = base64.b64encode(os.urandom(16)).decode()
        head = self._head(request, origin, target, key)
        seats = {object()}
        self._counts[place] += 1

        def leave() -> None:
            if seats:
                self._connections.pop(seats.pop(), None)
                self._counts[place] -= 1
                if not self._counts[place]:
                    del self._counts[place]

        def made() -> WebsocketConnection:
            connection = WebsocketConnection(where, asyncio.get_running_loop(), leave)
            self._connections[next(iter(seats))] = connection
            return connection

        try:
            connection = await self._dial(origin, where, channel, made)
        except BaseException:
            leave()
            raise
        return await connection.shake_hands(head, key, _offered(request), channel)

    def counts(self) -> dict[str, int]:
        """How many are open to each provider."""
        found: Counter[str] = Counter()
        for (provider, _), count in self._counts.items():
            found[provider] += count
        return dict(found)

    def close(self) -> None:
        """Cut every one."""
        self._closed = True
        for connection in list(self._connections.values()):
            connection.abort()

    async def _dial(
        self,
        origin: Origin,
        where: str,
        channel: Channel,
        made: Callable[[], WebsocketConnection],
    ) -> WebsocketConnection:
        seconds = channel.timeouts.connect
        try:
            async with asyncio.timeout(seconds):
                opened = await self._connector.open(origin, channel.ca_file, made, tunnel=True)
        except TimeoutError:
            raise faults.timeout(where, "connect", seconds) from None
        assert isinstance(opened, WebsocketConnection)
        return opened

    def _head(self, request: UpstreamRequest, origin: Origin, target: str, key: str) -> bytes:
        if request.method != "GET" or request.body or request.pieces:
            raise Fault(
                INTERNAL_ERROR, "a websocket is asked for with a GET alone", cause="bad_request"
            )
        for name, _ in request.headers:
            if name.lower() in _OURS:
                raise Fault(
                    INTERNAL_ERROR,
                    f"the adapter may not set the header {name}",
                    cause="bad_request",
                )
        start = f"{opening('GET', target, origin, None)}{_WANTS}Sec-WebSocket-Key: {key}\r\n"
        return self._writer.opened(start, request.headers) + b"\r\n"


def _split(url: str) -> tuple[Origin, str]:
    scheme, mark, rest = url.partition("//")
    return split(_SCHEMES.get(scheme, "not-a-websocket:") + mark + rest)


def _offered(request: UpstreamRequest) -> tuple[str, ...]:
    return tuple(
        one.strip()
        for name, value in request.headers
        if name.lower() == "sec-websocket-protocol"
        for one in value.split(",")
    )
