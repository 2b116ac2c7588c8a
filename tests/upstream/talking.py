"""Websockets as a provider is asked for them, and what comes over one."""

from __future__ import annotations

from gateway.domain import UpstreamRequest
from gateway.upstream.websocket import WebsocketConnection
from tests.sockets import CLOSE, PING, PONG, upgrade
from tests.upstream.helpers import channel, turns


def wants(fake, *headers, path="/v1/secret?k=1"):
    """A request for a websocket as an adapter writes it."""
    url = "ws" + fake.url.removeprefix("http") + path
    return UpstreamRequest("GET", url, (("Authorization", "Bearer sk-canary"), *headers))


class Heard:
    """What came over a websocket."""

    def __init__(self, socket):
        self.messages = []
        self.closed = []
        self.socket = socket
        socket.listen(self.messages.append, self.closed.append)

    async def message(self):
        await turns(lambda: self.messages or self.closed)
        return self.messages.pop(0)

    async def end(self):
        await turns(lambda: self.closed)
        return self.closed[0]


async def opened(http, fake, *headers, **kind):
    """An open websocket."""
    socket = await http.connect(wants(fake, *headers), channel(**kind))
    assert isinstance(socket, WebsocketConnection)
    return Heard(socket)


async def echo(exchange):
    """Send every message back, until the client says goodbye."""
    socket = await upgrade(exchange)
    while True:
        opcode, payload = await socket.frames.next()
        if opcode == CLOSE:
            await socket.frame(CLOSE, payload[:2])
            exchange.close()
            return
        await socket.frame(PONG if opcode == PING else opcode, payload)
