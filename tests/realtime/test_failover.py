"""Providers that do not open: others are asked, and the client learns of it by a header alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange, FakeUpstream
from tests.money import charges
from tests.realtime.stage import IN, PATH, Provider, done, over, session, stage, usage
from tests.sockets import TEXT, Client, encode, upgrade


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


async def opens_and_refuses(exchange: Exchange) -> None:
    """As OpenAI does with a key that it doesn't know."""
    socket = await upgrade(exchange)
    error = {"type": "invalid_request_error", "code": "invalid_api_key", "message": "no sk-up"}
    await socket.send({"type": "error", "event_id": "event_1", "error": error})
    await socket.close(3000, "invalid_request_error.invalid_api_key")


async def opens_and_leaves(exchange: Exchange) -> None:
    socket = await upgrade(exchange)
    await socket.close(1013)


async def opens_and_hangs_up(exchange: Exchange) -> None:
    await upgrade(exchange)
    exchange.cut()


async def opens_and_is_silent(exchange: Exchange) -> None:
    await upgrade(exchange)
    await exchange.client_closed()


BAD = [refuses, is_busy, lies, answers_plainly, hangs_up, opens_and_refuses, opens_and_leaves,
    opens_and_hangs_up, opens_and_is_silent]  # fmt: skip


@pytest.mark.parametrize("handler", BAD)
async def test_failover_before_the_session_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Any
) -> None:
    """Another route of the model is tried, and the client never knows but by a header."""
    provider = Provider()
    async with (
        FakeUpstream(handler) as bad,
        FakeUpstream(provider) as good,
        stage(tmp_path, bad, good) as gateway,
    ):
        monkeypatch.setattr("gateway.pipeline.greeting._SECONDS", 0.2)
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


async def test_a_credential_that_is_refused_in_an_event(tmp_path: Path) -> None:
    """Is the operator's affair, and told over HTTP."""
    async with FakeUpstream(opens_and_refuses) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            answer = await client.refused(PATH, gateway.key)
            assert answer.status == 502
            assert answer.error["provider_error"]["code"] == "invalid_api_key"
        assert charges(await over(gateway)) == [0]


async def test_what_is_said_with_the_first_word_is_not_lost(tmp_path: Path) -> None:
    """Nor what comes while the client is let in, nor the end."""

    async def talks(exchange: Exchange) -> None:
        socket = await upgrade(exchange)
        await socket.raw(b"".join([encode(TEXT, b'{"type":"session.created"}')] * 3))
        await socket.send({"type": "last"})
        await socket.close(1000)

    async with (
        FakeUpstream(talks) as fake,
        stage(tmp_path, fake) as gateway,
        Client(gateway.server.port) as client,
    ):
        await session(gateway, client)
        for kind in ("session.created", "session.created", "last"):
            assert (await client.event())["type"] == kind
        assert (await client.ended())[0] == 1000
        await client.close()


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
