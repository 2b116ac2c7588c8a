"""Short ways to write channels, requests and expected faults."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain import Channel, Timeouts, UpstreamRequest
from gateway.errors import Fault
from tests.fake_upstream import FakeUpstream


def channel(**changes):
    """A channel; times in seconds may be given by their names."""
    names = ("connect", "first_byte", "idle", "total")
    times = {name: changes.pop(name) for name in names if name in changes}
    base = {"provider": "p", "credential": "main", "timeouts": Timeouts(**times)}
    return Channel(**{**base, **changes})


def post(url, body=b"{}", headers=(("Authorization", "Bearer sk-canary"),)):
    """A POST request as an adapter writes it."""
    return UpstreamRequest("POST", url, tuple(headers), body)


async def turns(condition):
    """Let the loop run until the condition holds; bounded by the clock, not by luck."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition may be anything
            await asyncio.sleep(0)


async def fault_of(awaitable):
    """The fault that the call must end in; no secret, path or query may stand in it."""
    with pytest.raises(Fault) as caught:
        await awaitable
    for canary in ("sk-canary", "/v1/secret", "k=1"):
        assert canary not in caught.value.message
    return caught.value


def raw_fake(data, *, close=False):
    """A fake that answers every request with these bytes."""

    async def handler(exchange):
        await exchange.send(data)
        if close:
            exchange.close()

    return FakeUpstream(handler)


async def fetch(http, fake, limit=10_000_000, **kind):
    """One request, the whole answer."""
    reply = await http.send(post(f"{fake.url}/v1/secret?k=1"), channel(**kind))
    return await reply.read(limit)
