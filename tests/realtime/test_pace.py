"""Much sound, and those who do not keep up with it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.money import until
from tests.realtime.stage import Provider, hurry, logged, opened, spoken
from tests.sockets import PING, TEXT, Client, encode


async def test_a_thousand_pieces_of_sound(tmp_path: Path) -> None:
    """In order, both ways."""
    provider = Provider()
    pieces = 1_000

    async def echo() -> None:
        for _ in range(pieces):
            await provider.socket.send(await provider.socket.text())

    async with opened(tmp_path, provider) as (_, client):
        echoing = asyncio.create_task(echo())

        async def speak() -> None:
            for number in range(pieces):
                audio = f"{number:04}" * 200
                event = {"type": "input_audio_buffer.append", "audio": audio}
                await client.send(event)

        speaking = asyncio.create_task(speak())
        for number in range(pieces):
            assert (await client.event())["audio"] == f"{number:04}" * 200
        await asyncio.gather(echoing, speaking)


async def stands_still(count: Any) -> None:
    """Wait until a count no longer changes while the loop turns."""
    before = -1
    while before != count():
        before = count()
        for _ in range(300):
            await asyncio.sleep(0)


async def test_a_client_that_does_not_keep_up_holds_the_provider(tmp_path: Path) -> None:
    """And nothing is lost when it reads on."""
    provider = Provider()
    pieces, sent = 1_500, 0

    async def speak() -> None:
        nonlocal sent
        for number in range(pieces):
            await provider.socket.send(spoken(500) | {"n": number})
            sent += 1

    async with opened(tmp_path, provider) as (_, client):
        client.read_no_more()
        speaking = asyncio.create_task(speak())
        await until(lambda: provider.socket.connection._writable.is_set() is False)
        await stands_still(lambda: sent)
        assert sent < pieces
        client.read_on()
        for number in range(pieces):
            assert (await client.event())["n"] == number
        await speaking


async def test_a_provider_that_does_not_keep_up_holds_the_client(tmp_path: Path) -> None:
    """The client's own writes wait, and the gateway keeps next to nothing."""
    provider = Provider()
    pieces, sent = 1_500, 0

    async with opened(tmp_path, provider) as (_, client):
        transport = provider.socket.connection.transport
        transport.pause_reading()

        async def speak() -> None:
            nonlocal sent
            for number in range(pieces):
                audio = f"{number:04}" * 8_000
                await client.send({"type": "input_audio_buffer.append", "audio": audio})
                sent += 1

        speaking = asyncio.create_task(speak())
        await until(lambda: sent > 5)
        await stands_still(lambda: sent)
        assert sent < pieces
        transport.resume_reading()
        for number in range(pieces):
            assert (await provider.socket.event())["audio"][:4] == f"{number:04}"
        await speaking


async def stuck(provider: Provider, client: Client) -> None:
    """The client does not read, and the provider has been stopped."""
    client.read_no_more()
    while provider.socket.connection._writable.is_set():
        provider.socket.connection.write(encode(TEXT, b'{"a":"%b"}' % (b"x" * 60_000)))
        await asyncio.sleep(0)
    await stands_still(provider.socket.connection.transport.get_write_buffer_size)


async def test_pings_of_a_client_that_does_not_read_pile_nothing_up(tmp_path: Path) -> None:
    """Its own answers would, or they would have to be read."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        await stuck(provider, client)
        (connection,) = gateway.server.room.connections
        before = connection.transport.get_write_buffer_size()
        for _ in range(100):
            await client.raw(encode(PING, b"p" * 125, mask=b"abcd") * 500)
        await client.send(b"{}")
        assert await provider.socket.text() == b"{}"
        assert connection.transport.get_write_buffer_size() == before
        client.abort()


async def test_answers_that_a_client_asks_for_and_does_not_read(tmp_path: Path) -> None:
    """Are not kept without end."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        await stuck(provider, client)
        twice = encode(TEXT, b'{"type":"session.update","session":1,"session":2}', mask=b"abcd")
        hurry(gateway, goodbye=0.01)
        for _ in range(100):
            client.raw_client.send(twice * 100)
        assert (await logged(gateway))["cause"] == "client_stuck"
