"""Providers that do not open: others are asked, and the client learns of it by a header alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange, FakeUpstream
from tests.money import charges
from tests.realtime.stage import IN, PATH, Provider, done, over, session, stage, usage
from tests.sockets import Client


async def refuses(exchange: Exchange) -> None:
    await exchange.send_json(500, {"error": {"message": "sorry", "code": "server_error"}})


async def is_busy(exchange: Exchange) -> None:
    await exchange.send_json(429, {"error": {"message": "wait", "code": "rate_limit_exceeded"}})


async def lies(exchange: Exchange) -> None:
    await exchange.send(
        b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAA\r\n\r\n"
    )


async def answers_plainly(exchange: Exchange) -> None:
    await exchange.send_json(200, {"hello": "world"})


async def hangs_up(exchange: Exchange) -> None:
    exchange.cut()


@pytest.mark.parametrize("handler", [refuses, is_busy, lies, answers_plainly, hangs_up])
async def test_failover_before_the_session_is_open(tmp_path: Path, handler: Any) -> None:
    """Another route of the model is tried, and the client never knows but by a header."""
    provider = Provider()
    async with (
        FakeUpstream(handler) as bad,
        FakeUpstream(provider) as good,
        stage(tmp_path, bad, good) as gateway,
    ):
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            assert client.answer is not None
            assert client.answer.header("x-gateway-route") == "talker-second"
            assert client.answer.header("x-gateway-attempts") == "2"
            await provider.socket.send(done(usage(text_in=10)))
            await client.event()
            await client.close()
            await client.ended()
        assert good.requests[0].path == "/v1/realtime?model=talker-2"
        assert charges(await over(gateway)) == [10 * IN]


async def test_nobody_opens(tmp_path: Path) -> None:
    """The refusal is plain HTTP, in the surface's envelope, and free."""
    async with FakeUpstream(refuses) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            answer = await client.refused("/api" + "/gateway" + PATH, gateway.key)
            assert answer.status == 502
            assert answer.json()["error_type"] == "upstream_error"
        assert charges(await over(gateway)) == [0]


async def test_a_client_that_leaves_before_it_is_open(tmp_path: Path) -> None:
    """Leaves nothing behind."""
    came = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        came.set()
        await exchange.client_closed()

    async with FakeUpstream(slow) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await client.ask(PATH, gateway.key)
            await came.wait()
            client.abort()
            await fake.connections[0].closed.wait()
        assert charges(await over(gateway)) == [0]
