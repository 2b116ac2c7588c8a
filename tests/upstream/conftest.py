"""Every transport test runs on the standard loop and on uvloop."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from gateway.upstream import HttpUpstream


def pytest_asyncio_loop_factories(config, item):
    """Both kinds of loop."""
    return {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def http():
    """A client without proxies; afterwards nothing of it may be left."""
    client = HttpUpstream({})
    yield client
    await client.close()
    assert client.stats() == {}
