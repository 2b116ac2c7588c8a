"""Calls through the official Python SDK that end early: broken, closed, cancelled, timed out."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import running
from tests.sdk_clients.openai_scripts import ask, delta, event


async def test_an_error_in_mid_stream(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """What came is kept, then the SDK raises its APIError."""
    seen = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event(delta({"content": "half"}))))
        await exchange.gate(seen)
        exchange.cut()

    fake.handler = handler
    got = ""
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012 - the loop is what raises
        async for part in await ask(client, stream=True):
            got += part.choices[0].delta.content or ""
            seen.set()
    assert got == "half"
    assert caught.value.code == "upstream_error"


async def test_closing_a_stream(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A stream that the user closes is closed at the provider within a second."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event(delta({"content": "a"}))))
        await exchange.client_closed()

    fake.handler = handler
    stream = await ask(client, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)


async def test_the_clients_timeout(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A client that gives up gets its own timeout, and the provider's call is cut at once."""

    async def handler(exchange: Exchange) -> None:
        await exchange.client_closed()

    fake.handler = handler
    with pytest.raises(openai.APITimeoutError):
        await ask(client.with_options(timeout=0.2, max_retries=0))
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)


async def test_a_provider_that_is_too_slow(tmp_path: Any, fake: FakeUpstream) -> None:
    """The gateway's own deadline is a 504 of the SDK's server error class."""

    async def handler(exchange: Exchange) -> None:
        await exchange.client_closed()

    fake.handler = handler
    async with (
        running(tmp_path, fake.url + "/v1", first_byte=0.2) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key, max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(client)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


async def test_a_cancelled_task(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A task that is cancelled in mid-stream closes the provider's stream within a second."""
    seen = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event(delta({"content": "a"}))))
        await exchange.client_closed()

    async def read() -> None:
        async with await ask(client, stream=True) as stream:
            async for _ in stream:
                seen.set()

    fake.handler = handler
    task = asyncio.create_task(read())
    await asyncio.wait_for(seen.wait(), 5)
    task.cancel()
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await task
