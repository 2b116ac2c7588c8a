"""A call is charged at the prices that it was let in with, whatever the catalog says later."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.store.calls import receipt
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import running
from tests.money import IN, OUT, charges, entries, payer, sound
from tests.pipeline.test_money import ANSWER, USAGE, delta
from tests.rawclient import ask, chat, request

COST = USAGE["prompt_tokens"] * IN + USAGE["completion_tokens"] * OUT


@pytest.mark.parametrize("stream", [False, True])
async def test_prices_that_change_while_a_call_runs(tmp_path: Path, stream: bool) -> None:
    """The one that runs keeps the old ones, its receipt holds, and the next pays the new ones."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        arrived.set()
        await go_on.wait()
        if stream:
            await exchange.sse([delta("hi"), delta("", choices=[], usage=USAGE)])
        else:
            await exchange.send_json(200, ANSWER)

    async with (
        FakeUpstream(slow) as fake,
        running(tmp_path, fake.url + "/v1") as gateway,
    ):
        server = gateway.server
        who = await payer(server.store, 10**10)
        asked = request(chat(stream=stream, max_tokens=200), who.secret)
        first = asyncio.create_task(ask(server.port, asked))
        await arrived.wait()
        text = gateway.catalog_path.read_text()
        dearer = text.replace('"3.00"', '"30.00"').replace('"15.00"', '"150.00"')
        gateway.catalog_path.write_text(dearer)
        assert await server.catalog.reload()
        go_on.set()
        answers = [await first, await ask(server.port, asked)]
        assert [answer.status for answer in answers] == [200, 200]
        await gateway.idle()
        await server.store.ledger.flush()
        rows = entries(server.settings.db, who.account)
        assert charges(rows) == [COST, 10 * COST]
        sound(rows)
        for answer in answers:
            shown = await receipt(server.store, str(answer.header("x-request-id")))
            assert shown is not None
            assert shown["problems"] == []
