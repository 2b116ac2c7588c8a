"""What a key may spend holds for every call of it: those that run while it changes, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.pipeline import desk
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import IN, OUT, payer, tokens_in, until
from tests.rawclient import Answer, RawClient, ask, chat, request

BODY = json.dumps(chat(max_tokens=16)).encode()
HOLD = tokens_in(BODY) * IN + 16 * OUT
USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
CHARGE = 20 * IN + 10 * OUT
PLENTY = 10**12


class Provider:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.gate(self.open)
        message = {"role": "assistant", "content": "well"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await exchange.send_json(200, {"id": "c", "choices": [choice], "usage": USAGE})


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def fake(provider: Provider) -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(provider) as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, fake.url + "/v1") as served:
        yield served


def start(gateway: Gateway, secret: str) -> asyncio.Task[Answer]:
    return asyncio.create_task(ask(gateway.server.port, request(BODY, secret)))


@pytest.mark.parametrize("period", ["none", "day", "month"])
async def test_a_limit_set_while_calls_run(
    gateway: Gateway, fake: FakeUpstream, provider: Provider, period: str
) -> None:
    """It counts what they have set aside, and what they turn out to cost."""
    store = gateway.server.store
    who = await payer(store, PLENTY)
    provider.open.set()
    assert (await start(gateway, who.secret)).status == 200
    provider.open.clear()
    call = start(gateway, who.secret)
    await until(lambda: len(fake.requests) == 2)
    await store.accounts.change("payer", spend_limit=CHARGE + HOLD + HOLD - 1, period=period)
    refused = await start(gateway, who.secret)
    assert (refused.status, refused.error["code"]) == (402, "budget_exhausted")
    provider.open.set()
    assert (await call).status == 200
    await store.accounts.change("payer", spend_limit=2 * CHARGE + HOLD, period=period)
    assert (await start(gateway, who.secret)).status == 200
    assert (await start(gateway, who.secret)).status == 402


async def test_a_limit_that_comes_and_goes(gateway: Gateway, provider: Provider) -> None:
    """What was spent while there was none is spent."""
    store = gateway.server.store
    who = await payer(store, PLENTY, spend_limit=HOLD)
    provider.open.set()
    for limit in (HOLD, None, None):
        await store.accounts.change("payer", spend_limit=limit)
        assert (await start(gateway, who.secret)).status == 200
    await store.accounts.change("payer", spend_limit=3 * CHARGE + HOLD - 1)
    assert (await start(gateway, who.secret)).status == 402
    await store.accounts.change("payer", spend_limit=3 * CHARGE + HOLD)
    assert (await start(gateway, who.secret)).status == 200


async def test_a_call_whose_standing_was_let_go(
    gateway: Gateway, fake: FakeUpstream, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It still draws on the one purse, and counts for the one limit, that its key has."""
    monkeypatch.setattr(desk, "_MOST_STANDINGS", 3)
    monkeypatch.setattr(desk, "_LEFT_AT_ONCE", 3)
    store, standings = gateway.server.store, gateway.server.site.services.desk._standings
    who = await payer(store, HOLD + 1, budget=HOLD + 1)
    one = await payer(store, PLENTY, name="one", concurrency=1)
    raws = [request(BODY, secret) for secret in (who.secret, one.secret)]
    slow = [await RawClient.open(gateway.server.port) for _ in raws]
    for client, raw in zip(slow, raws, strict=True):
        client.send(raw[:-5])
    await until(lambda: len(standings) == 2)
    for n in range(4):
        other = await payer(store, name=f"other {n}")
        assert (await start(gateway, other.secret)).status == 402
    assert len(standings) <= 3
    calls = [start(gateway, who.secret), start(gateway, one.secret)]
    await until(lambda: len(fake.requests) == 2)
    for client, raw in zip(slow, raws, strict=True):
        client.send(raw[-5:])
    late = [await client.answer() for client in slow]
    assert [answer.status for answer in late] == [402, 429]
    provider.open.set()
    assert [(await call).status for call in calls] == [200, 200]
    for client in slow:
        client.close()


async def test_rates_outlive_a_standing(
    gateway: Gateway, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody gets a new minute by calling with many other keys in between."""
    monkeypatch.setattr(desk, "_MOST_STANDINGS", 3)
    monkeypatch.setattr(desk, "_LEFT_AT_ONCE", 3)
    provider.open.set()
    store = gateway.server.store
    who = await payer(store, PLENTY, rpm=1)
    assert (await start(gateway, who.secret)).status == 200
    for n in range(8):
        other = await payer(store, name=f"other {n}")
        assert (await start(gateway, other.secret)).status == 402
    assert (await start(gateway, who.secret)).status == 429


async def test_keys_that_a_key_makes_share_its_budget(gateway: Gateway, provider: Provider) -> None:
    """However many they are and at whatever remove, now and after a start with nothing in mind."""
    provider.open.set()
    keys = gateway.server.store.keys
    who = await payer(gateway.server.store, PLENTY, budget=3 * CHARGE + HOLD - 1)
    maker = await keys.find(who.secret.encode())
    assert maker is not None
    first = await keys.create("a", account="payer", parent=maker.n, budget=PLENTY)
    second = await keys.create("b", account="payer", parent=first.key.n, period="day")
    other = await keys.create("c", account="payer")
    made = [str(change.secret) for change in (first, second)]
    for secret in (who.secret, *made):
        assert (await start(gateway, secret)).status == 200
    assert (await start(gateway, str(other.secret))).status == 200
    standing = gateway.server.site.services.desk
    for _ in range(2):
        for secret in (who.secret, *made):
            assert (await start(gateway, secret)).status == 402
        standing._standings.clear()  # what is counted now comes from the ledger
        assert standing._purses.get(("key", maker.n)) is None
    assert (await start(gateway, str(other.secret))).status == 200
