"""Which route a call takes: what the client, the key and the name say, and where it is warm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange
from tests.pipeline.pool_stage import (
    Stage,
    fails,
    header,
    says,
    staged,
    text_of,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as made:
        yield made


async def test_what_a_client_prefers(stage: Stage) -> None:
    """`provider` orders and excludes, and no provider sees it."""

    async def routed(**provider: Any) -> str | None:
        return header(await stage.call("big", provider=provider), "x-gateway-route")

    assert await routed(order=["two"]) == "big-two"
    assert await routed(only=["two"]) == "big-two"
    assert await routed(ignore=["two"]) == "big-one"
    assert await routed(zdr=True) == "big-two"
    assert await routed(data_collection="deny") == "big-two"
    assert await routed(max_price={"prompt": 4}) == "big-one"
    assert all(b'"provider"' not in r.body for r in [*stage.one.requests, *stage.two.requests])
    refused = await stage.call("big", provider={"max_price": {"prompt": 0.5}})
    assert refused.status == 400
    assert refused.json()["error"]["param"] == "provider.max_price"
    stage.one.handler = fails(500)
    lost = await stage.call("big-one", provider={"allow_fallbacks": False})
    assert lost.status == 502


async def test_what_a_key_prefers(stage: Stage) -> None:
    """A key's own preferences hold where a request says nothing, and protect what it can't."""
    keys = stage.gateway.server.store.keys
    made = await keys.create("careful", provider='{"zdr": true, "max_price": {"prompt": 9}}')
    stage.gateway.key = str(made.secret)
    for asked in ({}, {"zdr": False}, {"order": ["one"]}):
        answer = await stage.call("big", provider=asked)
        assert header(answer, "x-gateway-route") == "big-two"
    by_slug = await stage.call("big-one")
    assert (by_slug.status, by_slug.json()["error"]["param"]) == (400, "provider.zdr")
    assert not stage.one.requests
    dear = await stage.call("big", provider={"max_price": {"prompt": 5}})
    assert (dear.status, dear.json()["error"]["param"]) == (400, "provider.max_price")


async def test_choices(stage: Stage) -> None:
    """Auto models, suffixes, what a request needs, and names that are over."""

    async def routed(model: str, **more: Any) -> str | None:
        return header(await stage.call(model, **more), "x-gateway-route")

    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert await routed("auto-cheap") == "small-two"
    assert await routed("auto-cheap", tools=tools) == "big-one"
    assert await routed("big:floor") == "big-one"
    gone = await stage.call("old")
    assert gone.status == 404
    assert "Use 'small' instead" in gone.json()["error"]["message"]


async def test_what_one_call_needs_narrows_no_other(stage: Stage) -> None:
    """What is remembered of a name is all that it stands for, whoever asked first."""
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    for _ in range(3):
        picky = await stage.call("auto-cheap", tools=tools)
        assert header(picky, "x-gateway-route") == "big-one"
        plain = await stage.call("auto-cheap")
        assert header(plain, "x-gateway-route") == "small-two"


async def test_what_a_key_may_use_is_its_own(stage: Stage) -> None:
    """Whoever else has called: what was found for one key is not found for a narrower one."""
    keys = stage.gateway.server.store.keys
    anybody = stage.gateway.key
    whole = str((await keys.create("whole", allow=["big*", "small*", "auto-*"])).secret)
    narrow = str((await keys.create("narrow", allow=["big-two"])).secret)
    seen: dict[str, set[str | None]] = {anybody: set(), whole: set(), narrow: set()}
    both = {"big-one", "big-two"}
    theirs = {anybody: both, whole: both, narrow: {"big-two"}}
    for turn in range(400):  # a route that a busy machine has made slow once is drawn more rarely
        for key, routes in seen.items():
            stage.gateway.key = key
            answer = await stage.call("big")
            assert answer.status == 200
            routes.add(header(answer, "x-gateway-route"))
        if turn >= 20 and seen == theirs:
            break
    assert seen == theirs
    assert (await stage.call("small")).status == 403
    assert header(await stage.call("auto-cheap"), "x-gateway-route") == "big-two"


async def test_an_end_is_seen_while_it_comes(stage: Stage) -> None:
    """A gateway that runs for years warns in time, and refuses on the day."""
    clock = stage.gateway.server.site.services.clock
    day = 86_400.0
    last = datetime(2090, 12, 31, tzinfo=UTC).timestamp()
    said = []
    for now in (last - 90 * day, last - 10 * day, last + 1.5 * day):
        clock.time = lambda now=now: now  # type: ignore[method-assign]
        for _ in range(2):
            answer = await stage.call("ending-two")
            said.append((answer.status, header(answer, "Warning") is not None))
    assert said == [(200, False)] * 2 + [(200, True)] * 2 + [(404, False)] * 2


async def test_a_conversation_stays_where_its_cache_is_warm(stage: Stage) -> None:
    """Every turn goes to the credential that served the last; when that one fails, elsewhere."""
    used: list[str] = []
    broken: set[str] = set()

    async def handler(exchange: Exchange) -> None:
        key = (exchange.request.header("authorization") or "")[-1]
        used.append(key)
        await (fails(429) if key in broken else says("one"))(exchange)

    stage.one.handler = handler
    turns = [{"role": "user", "content": "a long beginning " * 50}]
    for number in range(12):
        assert text_of(await stage.call(messages=turns)) == "one"
        turns += [
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": f"turn {number}"},
        ]
    assert len(set(used)) == 1
    broken.add(used[-1])
    before = len(used)
    assert text_of(await stage.call(messages=turns)) == "one"
    assert len(used) == before + 2  # the one that is broken, and the next
