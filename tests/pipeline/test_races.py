"""Calls that race for the same money or the same limit never get more of it than there is."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.fake_upstream import LAST_CHUNK, Exchange, FakeUpstream, chunk, event_bytes, head
from tests.harness import Gateway, catalog_text, running
from tests.money import (
    IN,
    OUT,
    SETTLE,
    Payer,
    charges,
    entries,
    open_calls,
    payer,
    sound,
    tokens_in,
    until,
)
from tests.rawclient import Answer, RawClient, ask, chat, request

CALLERS = 1_000
AFFORDABLE = 37
MAX_TOKENS = 16  # the shortest answer that is worth making: no call can be made to fit by less
USED_IN, USED_OUT = 21, 5
CHARGE = USED_IN * IN + USED_OUT * OUT


def usage(prompt: int = USED_IN, completion: int = USED_OUT) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def delta(text: str) -> dict[str, object]:
    return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [
        {"index": 0, "delta": {"content": text}, "finish_reason": None}]}  # fmt: skip


def tail(prompt: int = USED_IN, completion: int = USED_OUT) -> list[dict[str, object]]:
    end = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return [end, {"id": "c", "choices": [], "usage": usage(prompt, completion)}]


async def answer_well(exchange: Exchange) -> None:
    """A short answer, streamed if that was asked."""
    if exchange.request.json().get("stream"):
        await exchange.sse([delta("one"), *tail()])
        return
    message = {"role": "assistant", "content": "one two three"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await exchange.send_json(200, {"id": "c", "choices": [choice], "usage": usage()})


class Barrier:
    """A provider that answers nobody until it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.gate(self.open)
        await answer_well(exchange)


async def race(
    gateway: Gateway, fake: FakeUpstream, who: Payer, body: bytes, expected: int
) -> list[Answer]:
    """All callers at once; the provider answers when everybody else has their refusal."""
    barrier = Barrier()
    fake.handler = barrier
    raw = request(body, who.secret)
    calls = [asyncio.create_task(ask(gateway.server.port, raw)) for _ in range(CALLERS)]
    refused = asyncio.create_task(wait_for_done(calls, CALLERS - expected))
    await asyncio.wait_for(refused, 30)
    await until(lambda: len(fake.requests) >= expected)  # the last of them are on their way
    assert len(fake.requests) == expected
    barrier.open.set()
    answers = await asyncio.gather(*calls)
    fake.handler = answer_well
    return answers


async def wait_for_done(calls: list[asyncio.Task[Answer]], count: int) -> None:
    done: set[asyncio.Task[Answer]] = set()
    waiting = set(calls)
    while len(done) < count:
        finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        done |= finished


async def spend_the_rest(gateway: Gateway, who: Payer, body: bytes, left: int, hold: int) -> int:
    """One call after the other until the refusal; what is left must be what the sums say."""
    while left >= hold:
        answer = await ask(gateway.server.port, request(body, who.secret))
        assert answer.status == 200, answer.body
        left -= CHARGE
    refused = await ask(gateway.server.port, request(body, who.secret))
    assert refused.status == 402
    return left


def purse_of(where: str, money: int) -> dict[str, object]:
    plenty = 10**15
    if where == "wallet":
        return {"nanos": money}
    if where == "key":
        return {"nanos": plenty, "budget": money}
    return {"nanos": plenty, "spend_limit": money}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("where", ["wallet", "key", "account"])
async def test_a_thousand_calls_on_money_for_thirty_seven(
    tmp_path: Path, where: str, stream: bool
) -> None:
    """Exactly 37 are made, the rest are refused before dispatch, and all that is left is usable."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS, stream=stream)).encode()
    hold = tokens_in(body) * IN + MAX_TOKENS * OUT
    money = AFFORDABLE * hold + hold - 1
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, **purse_of(where, money))
        answers = await race(gateway, fake, who, body, AFFORDABLE)
        assert Counter(a.status for a in answers) == {200: AFFORDABLE, 402: CALLERS - AFFORDABLE}
        await gateway.idle()
        left = await spend_the_rest(gateway, who, body, money - AFFORDABLE * CHARGE, hold)
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.settings.db, who.account)
        sound(rows, {who.account: 0})
        assert not open_calls(rows)
        assert set(charges(rows)) == {CHARGE}
        assert money - sum(charges(rows)) == left
        assert len(fake.requests) == len(charges(rows))


async def test_both_kinds_at_once_on_three_purses(tmp_path: Path) -> None:
    """The tightest of several purses decides, whoever else draws on the wider ones."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    hold = tokens_in(body) * IN + MAX_TOKENS * OUT
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        store = gateway.server.store
        barrier = Barrier()
        fake.handler = barrier
        first = await payer(store, 30 * hold, spend_limit=25 * hold, budget=10 * hold)
        second = str((await store.keys.create("b", account="payer", budget=20 * hold)).secret)
        raws = [request(body, first.secret), request(body, second)] * 100
        calls = [asyncio.create_task(ask(gateway.server.port, raw)) for raw in raws]
        await asyncio.wait_for(wait_for_done(calls, 200 - 25), 20)
        barrier.open.set()
        answers = await asyncio.gather(*calls)
        assert sum(a.status == 200 for a in answers) == 25
        assert sum(a.status == 200 for a in answers[::2]) <= 10
        assert sum(a.status == 200 for a in answers[1::2]) <= 20
        await store.ledger.flush()
        sound(entries(gateway.server.settings.db, first.account), {first.account: 0})


async def long_answers(exchange: Exchange) -> None:
    """1,500 tokens of one event each, the usage at the end; or until the gateway cuts it."""
    await exchange.send(head(200, [("Content-Type", "text/event-stream"),
                                   ("Transfer-Encoding", "chunked")]))  # fmt: skip
    for _ in range(60):
        if exchange.connection.closed.is_set():
            return
        await exchange.send(b"".join(chunk(event_bytes(delta("word"))) for _ in range(25)))
        await asyncio.sleep(0)
    events = b"".join(event_bytes(event) for event in tail(USED_IN, 1_500))
    await exchange.send(chunk(events + b"data: [DONE]\n\n") + LAST_CHUNK)


async def test_streams_that_extend_share_what_there_is(tmp_path: Path) -> None:
    """Long streams draw slice after slice from one wallet and end, in order, when it is empty."""
    body = json.dumps(chat(stream=True, max_tokens=4_000)).encode()
    money = 20 * 900 * OUT
    async with FakeUpstream(long_answers) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, money)
        raw = request(body, who.secret)
        answers = await asyncio.gather(*(ask(gateway.server.port, raw) for _ in range(40)))
        await gateway.idle()
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.settings.db, who.account)
        sound(rows, {who.account: 0})
        assert not open_calls(rows)
        served = [a for a in answers if a.status == 200]
        assert {a.status for a in answers} == {200, 402}
        assert all(a.clean and a.body.endswith(b"data: [DONE]\n\n") for a in served)
        settled = [row for row in rows if row["kind"] == SETTLE]
        assert len(settled) == len(served) == len(fake.requests)
        assert any(row["kind"] == 2 for row in rows), "no stream drew a second slice"
        for row in settled:
            assert 0 < row["revenue"] <= 1_500 * OUT + tokens_in(body) * IN
        left = money - sum(charges(rows))
        assert left >= 0
        fake.handler = answer_well
        if left > tokens_in(body) * IN + 16 * OUT:
            assert (await ask(gateway.server.port, raw)).status == 200


async def test_who_leaves_while_the_hold_is_written_leaves_nothing_set_aside(
    tmp_path: Path,
) -> None:
    """A client that is gone before the hold is durable costs nothing and blocks nothing."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    hold = tokens_in(body) * IN + MAX_TOKENS * OUT
    async with FakeUpstream(answer_well) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        store = gateway.server.store
        who = await payer(store, 3 * hold + CHARGE)
        assert (await ask(gateway.server.port, request(body, who.secret))).status == 200
        written, go = store.ledger._insert, asyncio.Event()
        started = asyncio.Event()

        async def slowly(rows):
            started.set()
            await go.wait()
            await written(rows)

        store.ledger._insert = slowly
        store.database.write_at_once = lambda *_: False  # as in company
        async with await RawClient.open(gateway.server.port) as client:
            client.send(request(body, who.secret))
            await asyncio.wait_for(started.wait(), 5)
            client.abort()
            for _ in range(20):
                await asyncio.sleep(0)
            go.set()
        store.ledger._insert = written
        await gateway.idle()
        await store.ledger.flush()
        assert len(fake.requests) == 1
        rows = entries(gateway.server.settings.db, who.account)
        assert not open_calls(rows), "the hold of a call that never was stays for ever"
        assert sorted(charges(rows))[0] == 0
        barrier = Barrier()
        fake.handler = barrier
        calls = [
            asyncio.create_task(ask(gateway.server.port, request(body, who.secret)))
            for _ in range(4)
        ]
        await asyncio.wait_for(wait_for_done(calls, 1), 5)
        barrier.open.set()
        assert Counter(a.status for a in await asyncio.gather(*calls)) == {200: 3, 402: 1}


async def test_who_leaves_before_the_provider_was_reached_pays_nothing(tmp_path: Path) -> None:
    """Waiting for a free connection is not a call: who leaves there is charged nothing."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    barrier = Barrier()
    async with FakeUpstream(barrier) as fake:
        text = catalog_text(fake.url + "/v1", max_connections=1)
        async with running(tmp_path, text=text) as gateway:
            await leave_the_queue(gateway, fake, barrier, body)


async def leave_the_queue(
    gateway: Gateway, fake: FakeUpstream, barrier: Barrier, body: bytes
) -> None:
    store = gateway.server.store
    who = await payer(store, 10**9)
    first = asyncio.create_task(ask(gateway.server.port, request(body, who.secret)))
    await until(lambda: fake.requests)
    upstream = gateway.server.site.services.upstream
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(body, who.secret))
        await until(lambda: any(counts.waiting for counts in upstream.stats().values()))
        client.abort()
        await until(lambda: gateway.server.site.open_calls == 1)
    barrier.open.set()
    assert (await first).status == 200
    await gateway.idle()
    await store.ledger.flush()
    assert len(fake.requests) == 1
    assert sorted(charges(entries(gateway.server.settings.db, who.account))) == [0, CHARGE]


async def test_a_top_up_in_the_middle_of_the_first_call_counts_once(tmp_path: Path) -> None:
    """Money that comes while an account's balance is being read is there afterwards, once."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    hold = tokens_in(body) * IN + MAX_TOKENS * OUT
    async with FakeUpstream(answer_well) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        store = gateway.server.store
        who = await payer(store, hold)
        read, reading, go = store.books.free_money, asyncio.Event(), asyncio.Event()

        async def slowly(account: int) -> int:
            funds = await read(account)
            reading.set()
            await go.wait()
            return funds

        store.books.free_money = slowly
        first = asyncio.create_task(ask(gateway.server.port, request(body, who.secret)))
        await asyncio.wait_for(reading.wait(), 5)
        await store.move(who.account, 4, 2 * hold, b"{}")
        go.set()
        assert (await first).status == 200
        left = await spend_the_rest(gateway, who, body, 3 * hold - CHARGE, hold)
        await store.ledger.flush()
        assert 3 * hold - sum(charges(entries(store.database.path, who.account))) == left


class Window:
    """The naive checker: every admission by its moment, every sixty seconds summed anew."""

    def __init__(self) -> None:
        self.admitted: list[tuple[float, int]] = []

    def most(self) -> int:
        moments = [moment for moment, _ in self.admitted]
        return max(
            sum(amount for at, amount in self.admitted if moment - 60 < at <= moment)
            for moment in moments
        )


class Hands:
    """A monotonic clock that stands until it is moved."""

    def __init__(self, gateway: Gateway) -> None:
        self.clock = gateway.server.site.services.clock
        self.now = self.clock.monotonic()
        self.clock.monotonic = lambda: self.now


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_requests_a_minute_under_parallel_load(tmp_path: Path, stream: bool) -> None:
    """No sixty seconds hold more than the limit, wherever they begin; all of it is usable."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS, stream=stream)).encode()
    async with FakeUpstream(answer_well) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12, rpm=50)
        raw, window, hands = request(body, who.secret), Window(), Hands(gateway)
        served = []
        for step in (0.0, 30.0, 29.9, 0.2, 30.0, 60.0):
            hands.now += step
            answers = await asyncio.gather(*(ask(gateway.server.port, raw) for _ in range(120)))
            good = sum(a.status == 200 for a in answers)
            assert {a.status for a in answers} <= {200, 429}
            window.admitted += [(hands.now, 1)] * good
            served.append(good)
        assert window.most() == 50
        assert served == [50, 0, 0, 50, 0, 50]
        assert len(fake.requests) == sum(served)
        await gateway.server.store.ledger.flush()
        assert len(charges(entries(gateway.server.settings.db, who.account))) == sum(served)


async def test_tokens_a_minute_count_what_was_used(tmp_path: Path) -> None:
    """In flight a call counts as its estimate, afterwards as what it used, from when it began."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    estimate = tokens_in(body) + MAX_TOKENS
    used = USED_IN + USED_OUT
    limit = 10 * estimate + 5
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12, tpm=limit)
        raw, window, hands = request(body, who.secret), Window(), Hands(gateway)
        fake.handler = barrier = Barrier()
        calls = [asyncio.create_task(ask(gateway.server.port, raw)) for _ in range(100)]
        await asyncio.wait_for(wait_for_done(calls, 90), 10)
        barrier.open.set()
        answers = await asyncio.gather(*calls)
        assert Counter(a.status for a in answers) == {200: 10, 429: 90}
        await gateway.idle()
        window.admitted += [(hands.now, used)] * 10
        hands.now += 59.0
        more = 0
        while (await ask(gateway.server.port, raw)).status == 200:
            await gateway.idle()
            more += 1
            window.admitted.append((hands.now, used))
        assert more == (limit - 10 * used - estimate) // used + 1
        assert window.most() <= limit
        hands.now += 1.0
        assert (await ask(gateway.server.port, raw)).status == 200


async def test_calls_at_once(tmp_path: Path) -> None:
    """Never more open than allowed; who ends, fails or leaves makes room for one other."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12, concurrency=7)
        raw = request(body, who.secret)
        for number in range(1, 4):
            fake.handler = barrier = Barrier()
            calls = [asyncio.create_task(ask(gateway.server.port, raw)) for _ in range(200)]
            await asyncio.wait_for(wait_for_done(calls, 193), 10)
            open_now = [call for call in calls if not call.done()]
            assert len(open_now) == 7
            await until(lambda count=7 * number: len(fake.requests) >= count)
            open_now[0].cancel()
            barrier.open.set()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            statuses = Counter(a.status for a in answers if isinstance(a, Answer))
            assert statuses == {200: 6, 429: 193}
            await gateway.idle()
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.settings.db, who.account)
        assert not open_calls(rows)
        assert len(charges(rows)) == 21


async def test_a_new_account_is_served_while_others_keep_the_ledger_busy(tmp_path: Path) -> None:
    """A first call waits for what was written before it, not for a moment when nothing is."""
    body = json.dumps(chat(max_tokens=MAX_TOKENS)).encode()
    async with FakeUpstream(answer_well) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        store = gateway.server.store
        who = await payer(store, 10**9)
        ledger = store.ledger
        busy = True

        async def write_without_end() -> None:
            while busy:
                if len(ledger._open.waiting) < 64:  # there is always something to be written
                    ledger.move(0, 1, 5, 1, b"{}")
                await asyncio.sleep(0)

        noise = asyncio.create_task(write_without_end())
        await asyncio.sleep(0.05)
        answer = await ask(gateway.server.port, request(body, who.secret))
        busy = False
        await noise
        assert answer.status == 200


async def test_no_call_sets_more_aside_than_its_model_could_use(tmp_path: Path) -> None:
    """A ceiling beyond the model's context is no ceiling."""
    body = json.dumps(chat(max_tokens=1 << 31, n=128)).encode()
    async with FakeUpstream(answer_well) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, floor=None)
        assert (await ask(gateway.server.port, request(body, who.secret))).status == 200
        rows = entries(gateway.server.settings.db, who.account)
        assert rows[0]["held"] <= tokens_in(body) * IN + 128 * 128_000 * OUT
