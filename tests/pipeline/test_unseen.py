"""A short link may lead to a long document: what it costs is set aside before anybody reads it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.core.money.amounts import nanos_of
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, catalog_text, running
from tests.money import (
    EXTEND,
    HOLD,
    IN,
    OUT,
    charges,
    entries,
    open_calls,
    payer,
    sound,
    tokens_in,
    until,
)
from tests.pipeline.test_derived import child
from tests.pipeline.test_races import Barrier, delta, tail, wait_for_done
from tests.rawclient import ask, chat, request

WINDOW = 128_000  # of the test catalog's models
LONG = 120_000
SHORT = 16
CALLS = 100
WHOLE = WINDOW * IN + SHORT * OUT
USED = LONG * IN + SHORT * OUT
LINK = {"type": "file_url", "file_url": {"url": "https://a.test/a"}}
PACKED = {"type": "file", "file": {"filename": "a.pdf", "file_data": "AAAA"}}
PICTURE = {"type": "image_url", "image_url": {"url": "https://a.test/a.png"}}


def linked(part: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    turn = {"role": "user", "content": [part or LINK]}
    return chat(messages=[turn], max_tokens=SHORT, **more)


async def read_it_all(exchange: Exchange) -> None:
    """A provider that has read a long document to give a short answer."""
    usage = {"prompt_tokens": LONG, "completion_tokens": SHORT, "total_tokens": LONG + SHORT}
    if exchange.request.json().get("stream"):
        *_, last = tail()
        await exchange.sse([delta("one"), tail()[0], {**last, "usage": usage}])
        return
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "one"},
        "finish_reason": "stop",
    }
    await exchange.send_json(200, {"id": "c", "choices": [choice], "usage": usage})


class Slow(Barrier):
    """The same, to nobody until it is told to."""

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.gate(self.open)
        await read_it_all(exchange)


def held(rows: list[dict[str, Any]]) -> list[int]:
    """What was set aside before each call."""
    return [int(row["held"]) for row in rows if row["kind"] == HOLD]


async def attack(
    gateway: Gateway, fake: FakeUpstream, secret: str, body: Any, admitted: int
) -> None:
    """Many calls at once, answered when all others have their refusal."""
    slow = fake.handler = Slow()
    raw = request(body, secret)
    calls = [asyncio.create_task(ask(gateway.server.port, raw)) for _ in range(CALLS)]
    await asyncio.wait_for(wait_for_done(calls, CALLS - admitted), 30)
    slow.open.set()
    answers = await asyncio.gather(*calls)
    assert Counter(one.status for one in answers) == {200: admitted, 402: CALLS - admitted}
    assert len(fake.requests) == admitted
    await gateway.idle()
    await gateway.server.store.ledger.flush()


def purse_of(where: str, money: int) -> dict[str, int]:
    plenty = {"nanos": 10**15}
    return {
        "wallet": {"nanos": money},
        "key": {**plenty, "budget": money},
        "account": {**plenty, "spend_limit": money},
    }[where]


@pytest.mark.parametrize("part", [LINK, PACKED], ids=["linked", "packed"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("where", ["wallet", "key", "account"])
async def test_a_hundred_documents_on_money_for_two(
    tmp_path: Path, where: str, stream: bool, part: dict[str, Any]
) -> None:
    """Two are covered, one more has what is left, and it alone may cost more than that."""
    money = 2 * WHOLE + WHOLE // 2
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, **purse_of(where, money))
        await attack(gateway, fake, who.secret, linked(part, stream=stream), 3)
        rows = entries(gateway.server.settings.db, who.account)
        sound(rows, {who.account: 0})
        assert not open_calls(rows)
        assert sorted(held(rows)) == [
            money - 2 * WHOLE, WHOLE, WHOLE,
        ]  # fmt: skip
        assert 2 * USED <= sum(charges(rows)) <= money
        assert 3 * USED - sum(charges(rows)) < USED  # at most one call's, and not all of it


async def test_what_comes_free_is_for_whom_it_lacks(tmp_path: Path) -> None:
    """Who parks money on a call of their own and takes it back gets no second call on little."""
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, WHOLE)
        slow = fake.handler = Slow()
        parked = chat(max_tokens=WHOLE * 9 // 10 // OUT)
        port = gateway.server.port
        first = asyncio.create_task(ask(port, request(parked, who.secret)))
        await until(lambda: len(fake.requests) == 1)
        second = asyncio.create_task(ask(port, request(linked(), who.secret)))
        await until(lambda: len(fake.requests) == 2)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await until(lambda: charges(entries(gateway.server.settings.db, who.account)))
        for body in (linked(), parked):
            assert (await ask(port, request(body, who.secret))).status == 402
        slow.open.set()
        assert (await second).status == 200
        await gateway.idle()
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.settings.db, who.account)
        sound(rows, {who.account: 0})
        assert len(fake.requests) == 2
        # What was parked and came back has paid for it.
        assert charges(rows)[-1] == min(USED, WHOLE - charges(rows)[0])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bound_of_ones_own_must_be_enough(tmp_path: Path, stream: bool) -> None:
    """`max_cost` and budgets of keys that users make are many: each would lose the rest."""
    async with FakeUpstream(read_it_all) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12)
        port = gateway.server.port
        low, enough = WINDOW * IN / 1e9, (WHOLE + 1_000) / 1e9
        refused = await ask(port, request(linked(max_cost=low, stream=stream), who.secret))
        assert refused.status == 402
        error = refused.json()["error"]
        assert (error["param"], error["code"]) == ("max_cost", "budget_exhausted")
        assert f"${low:.3f}" in error["message"]
        got = await ask(port, request(linked(max_cost=enough, stream=stream), who.secret))
        assert got.status == 200
        pictured = linked(PICTURE, max_cost=0.02, stream=stream)
        assert (await ask(port, request(pictured, who.secret))).status == 200
        keys = gateway.server.store.keys
        root = await keys.create("root", account=who.name)
        for budget, status in (("0.1", 402), ("1", 200)):
            made = await keys.create(
                f"made {budget}", account=who.name, budget=nanos_of(budget), parent=root.key.n
            )
            for own in (child(root, budget=budget), str(made.secret)):
                answer = await ask(port, request(linked(stream=stream), own))
                assert answer.status == status
        await gateway.idle()
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.settings.db, who.account)
        assert held(rows)[0] == WHOLE
        assert not open_calls(rows)


async def test_a_longer_answer_has_its_own_money(tmp_path: Path) -> None:
    """What a stream takes on its way comes on top of what its document may need."""

    async def talk(exchange: Exchange) -> None:
        await exchange.sse([*[delta("word ") for _ in range(3_000)], *tail(LONG, 3_000)])

    async with FakeUpstream(talk) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12)
        body = {**linked(stream=True), "max_tokens": 10_000}
        assert (await ask(gateway.server.port, request(body, who.secret))).status == 200
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.settings.db, who.account)
        assert held(rows)[0] == WINDOW * IN + 1_024 * OUT
        assert (
            sum(row["held"] for row in rows if row["kind"] in (HOLD, EXTEND))
            >= WINDOW * IN + 3_000 * OUT
        )
        assert charges(rows) == [LONG * IN + 3_000 * OUT]


async def test_pictures_hold_what_they_held(tmp_path: Path) -> None:
    """Their size has a bound, whatever the link."""
    async with FakeUpstream(read_it_all) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12)
        raw = json.dumps(linked(PICTURE)).encode()
        assert (await ask(gateway.server.port, request(raw, who.secret))).status == 200
        rows = entries(gateway.server.settings.db, who.account)
        assert held(rows) == [(tokens_in(raw) + 2 * 2_000) * IN + SHORT * OUT]


@pytest.mark.parametrize("spelled", [False, True])
async def test_the_own_count_is_what_it_was(tmp_path: Path, spelled: bool) -> None:
    """Who gets no count from the provider pays for the estimate, whatever was set aside."""

    async def tell_nothing(exchange: Exchange) -> None:
        choice = {"index": 0, "message": {"role": "assistant", "content": "one"}}
        await exchange.send_json(200, {"id": "c", "choices": [choice]})

    async with FakeUpstream(tell_nothing) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12)
        part = {"type": "file", "file": {"file_id": "f1"}}
        raw = json.dumps(linked(part)).encode()
        if spelled:
            raw = raw.replace(b'"file', b'"f\\u0069le')
        assert (await ask(gateway.server.port, request(raw, who.secret))).status == 200
        _, hold, settled = entries(gateway.server.settings.db, who.account)
        assert (hold["held"], hold["estimate"]) == (WHOLE, tokens_in(raw) * IN)
        assert settled["input"] == tokens_in(raw)
        assert settled["revenue"] <= tokens_in(raw) * IN + SHORT * OUT


async def test_a_route_that_says_no_window(tmp_path: Path) -> None:
    """Each piece is taken for a long one."""
    text = "\n".join(
        line for line in catalog_text("http://127.0.0.1:9/v1").splitlines()
        if line.strip() != "context: 128000"
    )  # fmt: skip
    async with FakeUpstream(read_it_all) as fake:
        text = text.replace("http://127.0.0.1:9/v1", fake.url + "/v1")
        async with running(tmp_path, text=text) as gateway:
            who = await payer(gateway.server.store, 10**12)
            raw = json.dumps(linked()).encode()
            assert (await ask(gateway.server.port, request(raw, who.secret))).status == 200
            rows = entries(gateway.server.settings.db, who.account)
            assert held(rows) == [(tokens_in(raw) + 2 * 2_000 + 200_000) * IN + SHORT * OUT]
