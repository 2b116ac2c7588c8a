"""Providers are asked beside the calls, where the catalog wants it and no call tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gateway.sdk import Call, Credential, UpstreamRequest
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import charges, entries, until
from tests.pipeline.pool_stage import completion, fails
from tests.rawclient import Answer, ask, chat, request

CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}}}
providers:
  one:
    adapter: openai-compatible
    base_url: "{one}/v1"
    credentials: [{credentials}]
    probe: {probe}
  quiet: {{adapter: openai-compatible, base_url: "{one}/quiet", needs_credential: false}}
  mute: {{adapter: bedrock, base_url: "{one}/mute", needs_credential: false, probe: {{}}}}
models:
  m:
    name: M
    vendor: Fake
    kind: chat
    routes:
      m-one: {{provider: one, upstream: m, price: {{input_per_mtok: "1", output_per_mtok: "1"}}}}
"""
THREE = ", ".join(f"{{name: {name}, api_key: sk-{name * 16}}}" for name in "abc")
EVERY = 30.0


class Asked:
    """A gateway whose time the test moves, before a provider that tells questions from calls."""

    def __init__(self, gateway: Gateway, fake: FakeUpstream) -> None:
        self.gateway, self.fake = gateway, fake
        self.now = 1000.0
        self.listing: Any = listed
        self.calling: Any = served
        self.asked: list[tuple[float, str, str]] = []
        self.called: list[str] = []
        clock = gateway.server.site.services.clock
        clock.monotonic = lambda: self.now  # type: ignore[method-assign]
        fake.handler = self._handle

    async def _handle(self, exchange: Exchange) -> None:
        key = (exchange.request.header("authorization") or "-")[-1]
        if exchange.request.method == "GET":
            self.asked.append((self.now, key, exchange.request.path))
            await self.listing(exchange)
        else:
            self.called.append(key)
            await self.calling(exchange)

    async def run(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, a step of the prober's for each second of it."""
        until = self.now + seconds
        while self.now < until:
            self.now += step
            self.gateway.server.prober.step()
            await self.gateway.server.prober.idle()

    async def call(self, **more: Any) -> Answer:
        turn = {"role": "user", "content": f"hello {len(self.called)}"}
        raw = request(chat(**{"model": "m", "messages": [turn], **more}), self.gateway.key)
        return await asyncio.wait_for(ask(self.gateway.server.port, raw), 10)

    async def page(self, path: str) -> Answer:
        raw = request(b"", None, path=path, method="GET")
        return await ask(self.gateway.server.port, raw)

    async def standing(self, provider: str = "one") -> dict[str, Any]:
        return dict((await self.page("/api/status")).json()["upstreams"][provider])


@asynccontextmanager
async def asking(
    tmp_path: Path, probe: str = "{every: 30}", credentials: str = THREE
) -> AsyncIterator[Asked]:
    async with FakeUpstream() as fake:
        text = CATALOG.format(one=fake.url, probe=probe, credentials=credentials)
        async with running(tmp_path, text=text) as gateway:
            yield Asked(gateway, fake)


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    async with asking(tmp_path) as made:
        yield made


async def listed(exchange: Exchange) -> None:
    await exchange.send_json(200, {"object": "list", "data": []})


async def served(exchange: Exchange) -> None:
    await exchange.send_json(200, completion("yes"))


async def test_the_silent_are_asked(asked: Asked) -> None:
    """Each in its own time, under its own login, at most one at once; for nothing."""
    await asked.run(10 * EVERY)
    counts = Counter(key for _, key, _ in asked.asked)
    assert set(counts) == {"a", "b", "c"}
    assert all(7 <= count <= 14 for count in counts.values())
    assert {path for _, _, path in asked.asked} == {"/v1/models"}
    moments = [moment for moment, _, _ in asked.asked]
    assert max(Counter(moments).values()) == 1
    assert (await asked.standing())["state"] == "up"
    await asked.gateway.server.store.ledger.flush()
    assert charges(entries(asked.gateway.server.settings.db)) == []


async def test_who_serves_calls_is_not_asked(asked: Asked) -> None:
    while set(asked.called) != {"a", "b", "c"}:
        assert (await asked.call()).status == 200
    for _ in range(100):
        assert (await asked.call()).status == 200
        await asked.run(1)
    assert asked.asked == []


async def test_without_a_probe_nobody_is_asked(tmp_path: Path) -> None:
    async with asking(tmp_path) as made:
        path = made.gateway.catalog_path
        path.write_text(path.read_text().replace("    probe: {every: 30}\n", ""))
        await made.gateway.server.reload()
        await made.run(5 * EVERY)
        assert made.asked == []
        assert "probes" not in await made.standing()


async def test_a_path_of_the_operators(tmp_path: Path) -> None:
    async with asking(tmp_path, '{path: "/ready?deep=1", every: 5}') as made:
        await made.run(20)
        assert {path for _, _, path in made.asked} == {"/v1/ready?deep=1"}


async def test_an_outage_ends_sooner(asked: Asked) -> None:
    """Kept out for minutes, it serves again as soon as it answers."""
    asked.calling = asked.listing = fails(500)
    while (await asked.call()).status != 503:
        pass
    for _ in range(6):  # each failure of the one call that tries doubles its time away
        await asked.run(200)
        assert (await asked.call()).status in (502, 503)
    assert (await asked.standing())["probes"]["last"] == "failed"
    asked.calling, asked.listing = served, listed
    assert (await asked.call()).status == 503
    await asked.run(2 * EVERY)
    assert (await asked.call()).status == 200
    assert (await asked.standing())["probes"]["last"] == "ok"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_login_is_told(asked: Asked, status: int) -> None:
    """Before any user meets it: in the metrics, the status and the log; without its secret."""

    async def some(exchange: Exchange) -> None:
        bad = (exchange.request.header("authorization") or "").endswith("b")
        await (fails(status) if bad else listed)(exchange)

    asked.listing = some
    await asked.run(1.5 * EVERY)
    page = (await asked.page("/metrics")).body.decode()
    assert 'gateway_credentials_resting{provider="one",credential="b",why="refused"} 1' in page
    assert 'gateway_probes{provider="one",credential="b",outcome="refused"}' in page
    standing = await asked.standing()
    assert standing["credentials_resting"] == 1
    assert standing["probes"]["refused"] >= 1
    answers = [await asked.call() for _ in range(20)]
    assert {answer.status for answer in answers} == {200}
    assert "b" not in asked.called

    def told() -> list[tuple[str, str]]:
        lines = [line for line in asked.gateway.logged() if line["event"] == "probed"]
        return [(line["credential"], line["outcome"]) for line in lines]

    await until(told)
    assert told() == [("b", "refused")]
    assert "sk-b" not in b"".join(asked.gateway.lines).decode()


async def test_a_key_that_may_not_be_asked_goes_on_serving(asked: Asked) -> None:
    while set(asked.called) != {"a", "b", "c"}:
        assert (await asked.call()).status == 200
    asked.listing = fails(403)
    await asked.run(4 * EVERY)
    assert {key for _, key, _ in asked.asked} == {"a", "b", "c"}
    assert (await asked.standing())["credentials_resting"] == 0
    assert (await asked.call()).status == 200


async def test_failures_bench_nobody(asked: Asked) -> None:
    """However many there are, and however they fail: calls alone say who is out of order."""
    ways = [fails(500), fails(404), fails(429)]

    async def some(exchange: Exchange) -> None:
        if len(asked.asked) % 4 == 3:
            exchange.cut()
            return
        await ways[len(asked.asked) % 4](exchange)

    asked.listing = some
    await asked.run(20 * EVERY)
    assert len(asked.asked) > 20
    standing = await asked.standing()
    assert (standing["credentials_resting"], standing["routes_resting"]) == (0, [])
    assert standing["state"] == "down"
    assert (await asked.call()).status == 200


async def test_one_that_does_not_answer_keeps_nobody(tmp_path: Path) -> None:
    """It has its own time, and a call needs not wait for it, unless there is room for one only."""
    alone = "{name: a, api_key: sk-aaaaaaaaaaaaaaaa}"
    async with asking(tmp_path, "{every: 5, timeout: 0.1}", alone) as made:
        never = asyncio.Event()

        async def some(exchange: Exchange) -> None:
            await exchange.gate(never)

        made.listing = some
        prober = made.gateway.server.prober
        while not made.asked:
            made.now += 1
            prober.step()
            await asyncio.sleep(0)
        assert (await made.call()).status == 200
        await asyncio.wait_for(prober.idle(), 5)
        assert (await made.standing())["probes"]["failed"] == 1
        never.set()


async def test_one_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    """A question that never left has failed like one that was never answered."""
    async with FakeUpstream(hold_accept=True) as fake:
        text = CATALOG.format(
            one=fake.url.replace("http:", "https:"),  # whose handshake goes on for ever
            probe="{every: 5, timeout: 0.1}",
            credentials="{name: a, api_key: sk-aaaaaaaaaaaaaaaa}",
        )
        async with running(tmp_path, text=text) as gateway:
            made = Asked(gateway, fake)
            for _ in range(20):
                await made.run(1)
            assert (await made.standing())["probes"]["failed"]


async def test_a_drain_waits_for_no_answer(asked: Asked) -> None:
    never = asyncio.Event()

    async def some(exchange: Exchange) -> None:
        await exchange.gate(never)

    asked.listing = some
    server = asked.gateway.server
    while not asked.asked:
        asked.now += 1
        server.prober.step()
        await asyncio.sleep(0)
    await asyncio.wait_for(server.drain(), 2)
    await asyncio.wait_for(server.prober.idle(), 1)
    count = len(asked.asked)
    asked.now += 1000
    server.prober.step()
    assert len(asked.asked) == count
    pool = server.site.services.routing.pools()["one"]
    assert all(one.limits.concurrency.count == 0 for one in pool.accounts.values())
    never.set()


async def test_an_adapter_whose_probe_raises(asked: Asked) -> None:
    """It is named as what it is, and asking goes on."""
    services = asked.gateway.server.site.services

    def probe(call: Call, credential: Credential) -> UpstreamRequest:
        raise ZeroDivisionError

    broken = structs.replace(services.adapters["openai-compatible"], probe=probe)
    services.adapters = {**services.adapters, "openai-compatible": broken}
    await asked.run(3 * EVERY)
    assert asked.asked == []
    assert (await asked.standing())["probes"]["failed"] >= 6
    assert services.mishaps.counts["openai-compatible", "ZeroDivisionError"] >= 6
    assert (await asked.call()).status == 200


async def test_an_adapter_that_knows_nothing_to_ask(asked: Asked) -> None:
    await asked.run(2 * EVERY)
    assert (await asked.standing("mute"))["probes"]["possible"] is False
    assert not any("mute" in path for _, _, path in asked.asked)
