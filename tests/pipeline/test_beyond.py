"""What is no conversation goes the same way: bytes, further requests, units of money."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import structs

from gateway.domain import FLAGS
from gateway.sdk import UPSTREAM_ERROR, Call, Fault, Further, Reply, UpstreamRequest, Usage
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway
from tests.money import charges, entries, payer
from tests.pipeline.beyond_stage import ADAPTER, TURNED, fake, gateway, wav
from tests.rawclient import RawClient, ask, request

__all__ = ["fake", "gateway"]


async def test_pictures_of_several_requests(gateway: Gateway, fake: FakeUpstream) -> None:
    """What one answer lacks is asked for; each picture made is charged."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(200, {"picture": str(len(fake.requests))})

    fake.handler = handler
    body = b'{"model":"image-slug","prompt":"p","n":3}'
    answer = await ask(
        gateway.server.port, request(body, gateway.key, path="/v1/images/generations")
    )
    assert answer.status == 200
    assert len(answer.json()["data"]) == 3
    assert answer.header("x-gateway-cost") == "0.120000000"
    assert len(fake.requests) == 3
    assert len({sent.header("Authorization") for sent in fake.requests}) == 1


async def test_sound_is_relayed_as_it_comes(gateway: Gateway, fake: FakeUpstream) -> None:
    """Its first bytes are there before its last are made; charged by what was to be said."""
    go_on = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.send(head(200, [*TURNED.items(), ("Transfer-Encoding", "chunked")]))
        await exchange.send(chunk(b"\x00first\xff"))
        await go_on.wait()
        await exchange.send(chunk(b"last") + b"0\r\n\r\n")

    fake.handler = handler
    body = json.dumps({"model": "voice-slug", "input": "x" * 1_000, "voice": "v"}).encode()
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(body, gateway.key, path="/v1/audio/speech"))
        told = await client.head()
        assert (told.status, told.header("content-type")) == (200, "audio/mpeg")
        assert await client.chunk() == b"\x00first\xff"
        go_on.set()
        assert await client.chunk() == b"last"
        assert await client.chunk() == b""
    await gateway.idle()
    assert charges(entries(gateway.server.store.database.path))[-1] == 15_000_000


async def test_sound_with_a_price_for_time(gateway: Gateway, fake: FakeUpstream) -> None:
    """Where its provider counts nothing, what passed is measured."""
    sound = wav(90_000)
    kind = ("Content-Type", "audio/wav")
    fake.handler = lambda exchange: exchange.send(
        head(200, [kind, ("Content-Length", str(len(sound)))]) + sound
    )
    body = b'{"model":"minute-slug","input":"words","voice":"v"}'
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/audio/speech"))
    assert (answer.status, answer.body) == (200, sound)
    await gateway.idle()
    assert charges(entries(gateway.server.store.database.path))[-1] == 90_000_000


async def test_sound_that_breaks_off(gateway: Gateway, fake: FakeUpstream) -> None:
    """It does not end as if it were whole."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(head(200, [*TURNED.items(), ("Transfer-Encoding", "chunked")]))
        await exchange.send(chunk(b"half"))
        exchange.cut()

    fake.handler = handler
    body = b'{"model":"voice-slug","input":"words","voice":"v"}'
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/audio/speech"))
    assert not answer.clean
    assert answer.body == b"half"


async def test_what_it_costs_must_be_there(gateway: Gateway, fake: FakeUpstream) -> None:
    """Units are set aside before anything is sent, and given back when nothing came of it."""
    poor = await payer(gateway.server.store, 119_000_000)
    body = b'{"model":"image-slug","prompt":"p","n":3}'
    raw = request(body, poor.secret, path="/v1/images/generations")
    answer = await ask(gateway.server.port, raw)
    assert (answer.status, answer.error["code"]) == (402, "budget_exhausted")
    assert "$0.12" in answer.error["message"]
    assert not fake.requests
    fake.handler = lambda exchange: exchange.send_json(400, {"error": {"message": "no"}})
    raw = request(body.replace(b"3", b"2"), poor.secret, path="/v1/images/generations")
    assert (await ask(gateway.server.port, raw)).status == 400
    rows = entries(gateway.server.store.database.path, poor.account)
    assert sum(row["held"] for row in rows) == 0
    assert sum(row["revenue"] for row in rows) == 0


@pytest.mark.parametrize(
    ("path", "model", "right"),
    [
        ("chat/completions", "voice-slug", "audio/speech"),
        ("images/generations", "fake-slug", "chat/completions"),
        ("audio/speech", "image-slug", "images/generations"),
        ("embeddings", "ears-slug", "audio/transcriptions"),
    ],
)
async def test_the_wrong_endpoint_names_the_right_one(
    gateway: Gateway, path: str, model: str, right: str
) -> None:
    """Nobody has to guess."""
    asked = {"model": model, "input": "x", "prompt": "x"}
    asked["messages"] = [{"role": "user", "content": "x"}]  # type: ignore[assignment]
    raw = request(json.dumps(asked).encode(), gateway.key, path=f"/v1/{path}")
    answer = await ask(gateway.server.port, raw)
    assert (answer.status, answer.error["param"]) == (400, "model")
    assert f"/v1/{right}" in answer.error["message"]


@pytest.mark.parametrize(
    ("asked", "cost"),
    [
        ({"model": "image-slug", "prompt": "p", "n": 3}, "0.12"),
        ({"model": "voice-slug", "input": "x" * 100}, "0.0015"),
        ({"model": "ears-slug"}, None),
    ],
)
async def test_a_quote_counts_units(
    gateway: Gateway, fake: FakeUpstream, asked: dict[str, object], cost: str | None
) -> None:
    """What is not counted in tokens has a quote as well, where it is known beforehand."""
    answer = await ask(gateway.server.port, request(asked, gateway.key, path="/v1/quote"))
    if cost is None:
        assert (answer.status, answer.error["param"]) == (400, "model")
    else:
        assert answer.json()["routes"][0]["max_cost"] == cost
    assert not fake.requests


async def test_a_picture_elsewhere_is_on_the_public_network(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """A name that somebody else chose may mean a machine of ours: it is not asked."""
    elsewhere = fake.url.replace("127.0.0.1", "localhost") + "/secret"

    def points(call: Call, status: int, headers: object, body: bytes) -> Further:
        asked = json.loads(body)["picture"]
        return Further((UpstreamRequest("GET", asked, ()),), lambda brought: Reply(brought[0].body))

    images = structs.replace(ADAPTER.operations["images"], parse=points)
    adapter = structs.replace(ADAPTER, operations={**ADAPTER.operations, "images": images})
    gateway.server.site.services.adapters["openai-compatible"] = adapter  # type: ignore[index]
    for place, seen in ((fake.url + "/own", 2), (elsewhere, 1)):
        fake.requests.clear()
        fake.handler = lambda exchange, place=place: exchange.send_json(200, {"picture": place})
        body = {"model": "image-slug", "prompt": "p"}
        raw = request(json.dumps(body).encode(), gateway.key, path="/v1/images/generations")
        await ask(gateway.server.port, raw)
        assert len(fake.requests) == seen


BEGUN = [
    ("/v1/images/generations", b'{"model":"image-slug","prompt":"p","n":3}', 120_000_000),
    ("/v1/audio/speech", b'{"model":"voice-slug","input":"twelve chars","voice":"v"}', 180_000),
    ("/v1/audio/speech", b'{"model":"minute-slug","input":"words","voice":"v"}', 0),
]


@pytest.mark.parametrize(("path", "body", "cost"), BEGUN)
async def test_who_leaves_what_was_begun(
    gateway: Gateway, fake: FakeUpstream, path: str, body: bytes, cost: int
) -> None:
    """Pays for what was asked for: its provider makes it, and who comes again and again to leave
    would spend the operator's money and none of their own."""
    asked = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        asked.set()
        await exchange.client_closed()

    fake.handler = handler
    who = await payer(gateway.server.store, 10**12)
    client = await RawClient.open(gateway.server.port)
    client.send(request(body, who.secret, path=path))
    await asyncio.wait_for(asked.wait(), 5)
    client.abort()
    await gateway.idle()
    await gateway.server.store.ledger.flush()
    rows = entries(gateway.server.store.database.path, who.account)
    assert charges(rows) == [cost]
    assert rows[-1]["flag"] == FLAGS["abandoned"]


async def test_a_measure_that_fails(gateway: Gateway, fake: FakeUpstream) -> None:
    """An adapter that cannot say what a call will use fails its own route, however it says so."""

    def odd(call: Call) -> Usage:
        raise Fault(UPSTREAM_ERROR, 7)  # type: ignore[arg-type]

    speech = structs.replace(ADAPTER.operations["speech"], expects=odd)
    adapters: Any = gateway.server.site.services.adapters
    adapters["openai-compatible"] = structs.replace(ADAPTER, operations={"speech": speech})
    body = {"model": "voice-slug", "input": "words", "voice": "v"}
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/audio/speech"))
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert "adapter 'openai-compatible' failed" in answer.error["message"]
    assert not fake.requests


async def test_who_leaves_while_a_further_request_waits_for_a_connection(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """Pays: that one has not been sent, but the first has been answered, and cost the operator."""
    waits = asyncio.Event()

    async def never(*_: object, **__: object) -> object:
        waits.set()
        return await asyncio.get_running_loop().create_future()

    async def handler(exchange: Exchange) -> None:
        upstream: Any = gateway.server.site.services.upstream
        upstream._connector = SimpleNamespace(open=never, close=bool)
        body = b'{"picture":"1"}'
        closes = [("Content-Length", str(len(body))), ("Connection", "close")]
        await exchange.send(head(200, closes) + body)

    fake.handler = handler
    who = await payer(gateway.server.store, 10**12)
    client = await RawClient.open(gateway.server.port)
    body = b'{"model":"image-slug","prompt":"p","n":3}'
    client.send(request(body, who.secret, path="/v1/images/generations"))
    await asyncio.wait_for(waits.wait(), 5)
    client.abort()
    await gateway.idle()
    await gateway.server.store.ledger.flush()
    rows = entries(gateway.server.store.database.path, who.account)
    assert charges(rows) == [120_000_000]
