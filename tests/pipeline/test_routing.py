"""A call goes on elsewhere while nothing of an answer has been shown; the user never notices."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import aiohttp
import pytest
from msgspec import structs

from gateway.sdk import Credential
from gateway.sdk.talk import Login, Token
from tests.fake_upstream import Exchange, chunk, head
from tests.harness import Gateway
from tests.money import charges, entries, until
from tests.pipeline.pool_stage import (
    Stage,
    delta,
    fails,
    header,
    says,
    staged,
    text_of,
)
from tests.rawclient import RawClient, ask, chat, request


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 529])
async def test_one_credential_of_three_fails(stage: Stage, status: int, stream: bool) -> None:
    """No user notices, and the credential is soon left alone."""
    seen: Counter[str] = Counter()

    async def handler(exchange: Exchange) -> None:
        key = (exchange.request.header("authorization") or "")[-1]
        seen[key] += 1
        await (fails(status) if key == "b" else says("one"))(exchange)

    stage.one.handler = handler
    answers = [await stage.call(stream=stream) for _ in range(40)]
    assert {text_of(answer) for answer in answers} == {"one"} or status in (500, 503, 529)
    assert all(text_of(answer) in ("one", "two") for answer in answers)
    # No call is more than one round trip longer than without the bad one.
    assert {header(answer, "x-gateway-attempts") for answer in answers} <= {None, "2"}
    assert seen["b"] <= 6
    assert seen["a"] + seen["c"] >= 30


async def test_a_refused_credential_is_told(stage: Stage) -> None:
    """The operator sees it in the metrics, the log and the status; no user is told a 401."""

    async def handler(exchange: Exchange) -> None:
        bad = (exchange.request.header("authorization") or "").endswith("b")
        await (fails(401) if bad else says("one"))(exchange)

    stage.one.handler = handler
    for _ in range(20):
        assert text_of(await stage.call()) == "one"
    port = stage.gateway.server.port
    page = (await ask(port, request(b"", None, path="/metrics", method="GET"))).body.decode()
    told = 'gateway_credentials_resting{provider="one",credential="b",why="refused"} 1'
    assert told in page
    await until(lambda: rests(stage.gateway))
    assert rests(stage.gateway) == [("one", "b", "refused")]
    status = (await ask(port, request(b"", None, path="/api/status", method="GET"))).json()
    assert status["upstreams"]["one"]["credentials_resting"] == 1
    assert "sk-bbbb" not in json.dumps(status)


def rests(gateway: Gateway) -> list[tuple[str, str, str]]:
    """What the log says of credentials that rest."""
    lines = [line for line in gateway.logged() if line["event"] == "rests"]
    return [(line["provider"], line["credential"], line["why"]) for line in lines]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_another_route_of_the_model(stage: Stage, stream: bool) -> None:
    """It is charged at the price of the route that served, and the receipt tells of the tries."""
    stage.one.handler = fails(500)
    answer = await stage.call(stream=stream, max_tokens=50)
    assert text_of(answer) == "two"
    assert header(answer, "x-gateway-route") == "big-two"
    assert int(header(answer, "x-gateway-attempts") or 0) == len(stage.one.requests) + 1
    assert await stage.charged() == [10 * 6_000 + 5 * 30_000]
    call = header(answer, "x-request-id")
    path = f"/v1/receipts/{call}"
    raw = request(b"", stage.gateway.key, path=path, method="GET")
    receipt = (await ask(stage.gateway.server.port, raw)).json()
    tried = receipt["note"]["failed_attempts"]
    assert {one["route"] for one in tried} == {"big-one"}
    assert {one["status"] for one in tried} == {500}
    assert {one["outcome"] for one in tried} == {"failed"}


async def test_what_users_are_saved_from_is_seen(stage: Stage) -> None:
    """Every call is answered, and the operator sees who fails all the same."""
    stage.one.handler = fails(500)
    for _ in range(6):
        assert text_of(await stage.call()) == "two"
    await stage.gateway.idle()
    port = stage.gateway.server.port
    status = (await ask(port, request(b"", None, path="/api/status", method="GET"))).json()
    assert status["upstreams"]["one"]["state"] == "down"
    assert status["upstreams"]["one"]["last_failure_cause"] == "status_500"
    assert status["upstreams"]["two"]["state"] == "up"
    page = (await ask(port, request(b"", None, path="/metrics", method="GET"))).body.decode()
    (line,) = [one for one in page.splitlines() if one.startswith("gateway_failed_attempts_total{")]
    assert 'provider="one",route="big-one",cause="status_500"' in line


async def test_a_request_at_fault_is_nobodys_failure(stage: Stage) -> None:
    stage.one.handler = fails(400)
    assert (await stage.call()).status == 400
    await stage.gateway.idle()
    raw = request(b"", None, path="/api/status", method="GET")
    status = (await ask(stage.gateway.server.port, raw)).json()
    assert status["upstreams"]["one"]["state"] == "unknown"


async def test_a_login_that_is_over_before_its_time(stage: Stage) -> None:
    """Once a provider refuses what a login gave, the credential logs in anew."""
    services = stage.gateway.server.site.services
    given = count()

    def step(credential: Credential, now: float, answers: tuple[bytes | None, ...]) -> Token:
        return Token({"api_key": f"token-{credential.name}-{next(given)}"})

    adapter = structs.replace(services.adapters["openai-compatible"], login=Login(step))
    services.adapters = {"openai-compatible": adapter}
    over: set[str] = set()
    used: list[str] = []

    async def handler(exchange: Exchange) -> None:
        token = exchange.request.header("authorization") or ""
        used.append(token)
        await (fails(401) if token in over else says("one"))(exchange)

    stage.one.handler = handler
    await stage.call()
    over.update(used)
    name = used[0].split("-")[1]
    start = services.clock.time()
    services.clock.time = lambda: start + 60  # type: ignore[method-assign]
    for _ in range(40):
        assert text_of(await stage.call()) == "one"
    assert used.count(used[0]) == 2
    assert services.routing.pools()["one"].restore(name)
    for _ in range(40):
        assert text_of(await stage.call()) == "one"
    assert used.count(used[0]) == 2
    assert [one for one in used if f"-{name}-" in one and one not in over]


async def test_another_model(stage: Stage) -> None:
    """The catalog's fallback comes after all routes of the model; the client's before it."""
    stage.one.handler = fails(500)

    async def handler(exchange: Exchange) -> None:
        small = exchange.request.json()["model"] == "small-2"
        await (says("small") if small else fails(500))(exchange)

    stage.two.handler = handler
    for _ in range(3):  # what has failed rests, so that later calls find the way at once
        answer = await stage.call()
        if answer.status == 200:
            break
    assert text_of(answer) == "small"
    asked = await stage.call(models=["small"])
    assert text_of(asked) == "small"
    assert b'"models"' not in stage.two.requests[-1].body


async def test_nothing_is_tried_after_the_first_byte(stage: Stage) -> None:
    """What a client has seen is never said twice."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        first = json.dumps(delta({"content": "half"})).encode()
        await exchange.send(chunk(b"data: " + first + b"\n\n"))
        exchange.close()

    stage.one.handler = handler
    answer = await stage.call(stream=True)
    assert b"half" in answer.body
    assert b'"error"' in answer.body
    assert len(stage.one.requests) == 1
    assert not stage.two.requests


async def test_an_overload_inside_an_opened_stream(stage: Stage) -> None:
    """A 200 whose first event is a failure is a failure like any other."""

    async def handler(exchange: Exchange) -> None:
        error = {"error": {"message": "Overloaded", "type": "overloaded_error"}}
        await exchange.sse([error], done=False)

    stage.one.handler = handler
    answer = await stage.call(stream=True)
    assert text_of(answer) == "two"


async def test_a_slow_start_is_not_waited_for(stage: Stage) -> None:
    """A route that does not begin in time is left for the next."""
    never = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.gate(never)

    stage.one.handler = handler
    answer = await stage.call(stream=True)
    assert text_of(answer) == "two"
    never.set()


async def test_who_leaves_between_two_tries_pays_nothing(stage: Stage) -> None:
    """The first has failed, and the second was never sent."""
    stage.one.handler = fails(503)
    server = stage.gateway.server
    waits = asyncio.Event()

    def never(*_: object) -> asyncio.Future[None]:
        waits.set()
        return asyncio.get_running_loop().create_future()

    server.site.services.ledger.extend = never  # type: ignore[method-assign]
    async with await RawClient.open(server.port) as client:
        client.send(request(chat(model="big-one"), stage.gateway.key))
        await asyncio.wait_for(waits.wait(), 10)
        client.abort()
        assert await stage.charged() == [0]
    assert (len(stage.one.requests), stage.two.requests) == (1, [])


async def test_a_connection_that_is_not_free_is_not_waited_for(tmp_path: Path) -> None:
    """Nor does a stream wait longer for its turn than for an answer, where another can serve it."""

    def one_at_a_time(text: str) -> str:
        wanted = "first_token: 0.3}"
        return text.replace(wanted, f"{wanted}\n    max_connections: 1")

    go = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.gate(go)
        await says("one")(exchange)

    async with staged(tmp_path, one_at_a_time) as stage:
        stage.one.handler = handler
        busy = [asyncio.create_task(stage.call("big-one")) for _ in range(9)]
        await until(lambda: len(stage.one.requests) == 3)
        answers = await asyncio.gather(*(stage.call("big-one", stream=True) for _ in range(9)))
        go.set()
        assert [text_of(answer) for answer in answers] == ["two"] * 9
        assert {answer.status for answer in await asyncio.gather(*busy)} == {200}


async def test_a_refused_request_is_not_tried_again(stage: Stage) -> None:
    """What is the client's own mistake is one everywhere."""
    stage.one.handler = fails(400)
    answer = await stage.call()
    assert answer.status == 400
    assert len(stage.one.requests) == 1
    assert not stage.two.requests


async def test_too_long_for_one(stage: Stage) -> None:
    """A route with room for more may take it."""
    stage.one.handler = fails(400, "context_length_exceeded")
    assert text_of(await stage.call()) == "two"
    assert [r.json()["model"] for r in stage.two.requests] == ["big-2"]


async def test_content_that_is_refused(stage: Stage) -> None:
    """It goes nowhere else, unless the client itself named another model."""
    stage.one.handler = fails(400, "content_policy_violation")
    assert (await stage.call()).status == 400
    assert not stage.two.requests
    assert text_of(await stage.call(models=["small"])) == "two"


@pytest.mark.parametrize("status", [500, 401, 429])
async def test_many_at_once_before_anybody_is_known(stage: Stage, status: int) -> None:
    """No call is lost to one bad credential of three, however many begin in the same moment."""

    async def handler(exchange: Exchange) -> None:
        bad = (exchange.request.header("authorization") or "").endswith("b")
        await (fails(status) if bad else says("one"))(exchange)

    stage.one.handler = handler
    alone = {"allow_fallbacks": False}
    answers = await asyncio.gather(*(stage.call(provider=alone) for _ in range(60)))
    assert [answer.status for answer in answers] == [200] * 60


@pytest.mark.parametrize("status", [500, 503, 429, 401])
async def test_an_outage_of_all_is_made_no_worse(stage: Stage, status: int) -> None:
    """After good days, with calls at once: at most 1.1 tries for each of them."""
    for _ in range(30):
        assert (await stage.call("big")).status == 200
    before = len(stage.one.requests) + len(stage.two.requests)
    stage.one.handler = stage.two.handler = fails(status)
    for _ in range(40):
        answers = await asyncio.gather(*(stage.call("big") for _ in range(10)))
        assert {answer.status for answer in answers} <= {429, 502, 503}
    asked = len(stage.one.requests) + len(stage.two.requests) - before
    assert asked <= 1.1 * 400


async def test_a_dearer_route_needs_its_money(stage: Stage) -> None:
    """Money that pays for the route asked for may not pay for the one that could serve."""
    store = stage.gateway.server.store
    from gateway.store.ledger import TOP_UP

    account = await store.accounts.create("poor", floor=0)
    await store.move(account.n, TOP_UP, 2_000_000, b"{}")
    key = str((await store.keys.create("k", account="poor")).secret)
    stage.one.handler = fails(500)
    raw = request(chat(model="big-one", max_tokens=100), key)
    answer = await ask(stage.gateway.server.port, raw)
    assert answer.status in (200, 402, 502)
    await stage.gateway.idle()
    await store.ledger.flush()
    assert all(charge <= 2_000_000 for charge in charges(entries(store.database.path, account.n)))


async def test_an_operator_benches_and_restores(stage: Stage) -> None:
    """A benched credential gets no call, whatever happens, until it is let back in."""
    admin = stage.gateway.server.first_admin_key
    seen: Counter[str] = Counter()

    async def handler(exchange: Exchange) -> None:
        seen[(exchange.request.header("authorization") or "")[-1]] += 1
        await says("one")(exchange)

    stage.one.handler = handler
    url = stage.gateway.root + "/admin/v1/credentials"
    lines = {"Authorization": f"Bearer {admin}"}
    async with aiohttp.ClientSession(headers=lines) as session:
        benched = await session.post(url + "/one/a/bench", json={})
        assert (await benched.json())["why"] == "admin"
        for _ in range(30):
            await stage.call()
        assert seen["a"] == 0
        rows = (await (await session.get(url)).json())["data"]
        (row,) = [r for r in rows if r["credential"] == "a" and not r["upstream"]]
        assert (row["phase"], row["seconds"]) == ("open", None)
        assert (await session.post(url + "/one/nobody/bench", json={})).status == 404
        await session.post(url + "/one/a/restore", json={})
        for _ in range(60):
            await stage.call()
    assert seen["a"] > 5


async def test_all_rest(stage: Stage) -> None:
    """When nobody can be asked the client is told so at once, and when to come back."""
    stage.one.handler = stage.two.handler = fails(500)
    answers = [await stage.call() for _ in range(40)]
    assert {answer.status for answer in answers} <= {502, 503}
    last = answers[-1]
    assert last.status == 503
    assert int(header(last, "Retry-After") or 0) >= 1
    asked = len(stage.one.requests) + len(stage.two.requests)
    assert asked <= 60


async def test_all_are_limited(stage: Stage) -> None:
    """Where every provider said to slow down the client is told that, and when: nobody failed."""
    stage.one.handler = stage.two.handler = fails(429, "oops", ("Retry-After", "40"))
    for _ in range(6):
        await stage.call()
    asked = len(stage.one.requests) + len(stage.two.requests)
    last = await stage.call()
    assert len(stage.one.requests) + len(stage.two.requests) == asked
    assert (last.status, last.error["code"]) == (429, "rate_limit_exceeded")
    assert 30 <= int(header(last, "Retry-After") or 0) <= 50
