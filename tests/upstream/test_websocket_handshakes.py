"""Answers to who asks for a websocket: agreements, those that are none, refusals."""

from __future__ import annotations

import pytest

from gateway.ports import Declined
from tests.fake_upstream import FakeUpstream
from tests.sockets import accept, upgrade
from tests.upstream.helpers import channel, fault_of, turns
from tests.upstream.talking import opened, wants

UPGRADE = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
LIES = {
    "wrong accept": UPGRADE + "Sec-WebSocket-Accept: AAAA\r\n\r\n",
    "no accept": UPGRADE + "\r\n",
    "other protocol": "HTTP/1.1 101 Yes\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n\r\n",
    "no upgrade at all": "HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: {accept}\r\n\r\n",
    "not hop by hop": "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: close\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n\r\n",
    "an extension": UPGRADE
    + "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "a subprotocol": UPGRADE
    + "Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
    "nonsense": "hello\r\n\r\n",
    "an endless head": UPGRADE + "A: " + "x" * 100_000,
    "many headers": UPGRADE + "A: b\r\n" * 300 + "\r\n",
}


@pytest.mark.parametrize("case", LIES)
async def test_agreements_that_are_none(http, case):
    async def handler(exchange):
        right = accept(exchange.request.header("sec-websocket-key"))
        await exchange.send(LIES[case].replace("{accept}", right).encode())
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        fault = await fault_of(http.connect(wants(fake), channel()))
        assert (fault.cause, fault.kind.status) == ("bad_response", 502)
        await turns(lambda: not fake.open_connections)
        assert "p" not in http.stats()


async def test_an_offered_subprotocol_may_be_chosen(http):
    async def handler(exchange):
        await upgrade(exchange, ("Sec-WebSocket-Protocol", "realtime"))

    async with FakeUpstream(handler) as fake:
        offered = ("Sec-WebSocket-Protocol", "realtime, other")
        heard = await opened(http, fake, offered)
        heard.socket.abort()


REFUSALS = {
    "with a length": b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}",
    "in chunks": b"HTTP/1.1 401 No\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\n{}\r\n0\r\n\r\n",
    "to the end": b"HTTP/1.1 401 No\r\nX-A: b\r\n\r\n{}",
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_refusal_is_an_answer(http, case):
    async def handler(exchange):
        await exchange.send(REFUSALS[case])
        if case == "to the end":
            exchange.close()

    async with FakeUpstream(handler) as fake:
        declined = await http.connect(wants(fake), channel())
        assert isinstance(declined, Declined)
        assert (declined.status, declined.headers["x-a"], declined.body) == (401, "b", b"{}")
        await turns(lambda: not fake.open_connections)


async def test_an_endless_refusal_is_cut(http):
    async def handler(exchange):
        await exchange.send(b"HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n")
        while not exchange.connection.closed.is_set():
            await exchange.send(b"x" * 65_536)

    async with FakeUpstream(handler) as fake:
        declined = await http.connect(wants(fake), channel())
        assert len(declined.body) == 65_536
