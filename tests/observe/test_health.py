"""What calls say of providers, and what they do not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fake_upstream import Exchange
from tests.pipeline.pool_stage import fails, staged
from tests.rawclient import RawClient, chat, request


async def test_who_leaves_a_provider_that_hangs_says_nothing_of_it(tmp_path: Path) -> None:
    """It has not answered: it was shown as up, were all its clients to lose patience."""
    asked = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        asked.set()
        await exchange.client_closed()

    async with staged(tmp_path) as stage:
        stage.one.handler = handler
        server = stage.gateway.server
        async with await RawClient.open(server.port) as client:
            client.send(request(chat(model="big-one"), stage.gateway.key))
            await asyncio.wait_for(asked.wait(), 10)
            client.abort()
            await stage.gateway.idle()
        assert server.site.health.of("one") == {"state": "unknown"}


async def test_what_had_failed_before_its_client_left_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing was under way any more."""
    waits = asyncio.Event()

    def never(*_: object) -> asyncio.Future[None]:
        waits.set()
        return asyncio.get_running_loop().create_future()

    async with staged(tmp_path) as stage:
        stage.one.handler = fails(503)
        server = stage.gateway.server
        monkeypatch.setattr(server.site.services.ledger, "extend", never)
        async with await RawClient.open(server.port) as client:
            client.send(request(chat(model="big-one"), stage.gateway.key))
            await asyncio.wait_for(waits.wait(), 10)
            client.abort()
            await stage.gateway.idle()
        told = server.site.health.of("one")
    assert (told["recent_calls"], told["recent_failures"]) == (1, 1)
    assert told["last_failure_cause"] == "status_503"
