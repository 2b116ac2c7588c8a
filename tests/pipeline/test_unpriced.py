"""What providers bill beside tokens, and who may ask for it: over sockets, at every wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.everyone import Everyone, everyone
from tests.matrix.families import FAMILIES
from tests.money import entries, payer
from tests.pipeline.pool_stage import Stage, fails, header, staged
from tests.rawclient import Answer, ask, request

PATHS = {"chat": "chat/completions", "messages": "messages", "responses": "responses"}
TURN = {"messages": [{"role": "user", "content": "hi"}]}
PLAIN: dict[str, dict[str, Any]] = {
    "chat": TURN,
    "messages": {**TURN, "max_tokens": 100},
    "responses": {"input": "hi"},
}
FUNCTIONS: dict[str, dict[str, Any]] = {
    "chat": {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
    "messages": {"name": "f", "input_schema": {"type": "object"}},
    "responses": {"type": "function", "name": "f", "parameters": {"type": "object"}},
}


def tool(kind: str, **more: Any) -> dict[str, Any]:
    return {"tools": [{"type": kind, **more}]}


# Dialect, what is asked, the member that is named, the extras that it takes.
ASKED: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("chat", {"service_tier": "priority"}, "service_tier", ["service_tier"]),
    ("chat", {"web_search_options": {}}, "web_search_options", ["web_search"]),
    ("messages", {"service_tier": "priority"}, "service_tier", ["service_tier"]),
    ("messages", {"speed": "fast"}, "speed", ["speed"]),
    ("messages", {"inference_geo": "us"}, "inference_geo", ["inference_geo"]),
    ("messages", {"container": "container_1"}, "container", ["stored"]),
    (
        "messages",
        tool("web_search_20250305", name="web_search", max_uses=30),
        "tools[0]",
        ["web_search"],
    ),
    (
        "messages",
        tool("code_execution_20250825", name="code_execution"),
        "tools[0]",
        ["code_interpreter"],
    ),
    ("responses", {"service_tier": "priority"}, "service_tier", ["service_tier"]),
    ("responses", {"prompt": {"id": "pmpt_1"}}, "prompt", ["stored"]),
    ("responses", tool("web_search"), "tools[0]", ["web_search"]),
    ("responses", tool("web_search_preview_2025_03_11"), "tools[0]", ["web_search"]),
    (
        "responses",
        tool("file_search", vector_store_ids=["vs_1"]),
        "tools[0]",
        ["file_search", "stored"],
    ),
    (
        "responses",
        tool("code_interpreter", container={"type": "auto"}),
        "tools[0]",
        ["code_interpreter"],
    ),
    (
        "responses",
        tool("code_interpreter", container="cntr_1"),
        "tools[0]",
        ["code_interpreter", "stored"],
    ),
    ("responses", tool("image_generation"), "tools[0]", ["image_generation"]),
]
IDS = [f"{dialect}-{'+'.join(extras)}" for dialect, _, _, extras in ASKED]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with everyone(tmp_path) as made:
        yield made


def giving(extras: object) -> Any:
    """The catalog with these extras on every route."""
    price = "        price: {"
    return lambda text: text.replace(price, f"        extras: {json.dumps(extras)}\n{price}")


async def call(stage: Everyone, who: str | None, dialect: str, to: str, **asked: Any) -> Answer:
    body = {"model": to, **PLAIN[dialect], **asked}
    headers = {"anthropic-beta": "fast-mode-2026-02-01"}
    raw = request(body, who, path=f"/v1/{PATHS[dialect]}", headers=headers)
    return await ask(stage.gateway.server.port, raw)


@pytest.mark.parametrize(("dialect", "asked", "place", "extras"), ASKED, ids=IDS)
async def test_limited_money_buys_no_extras(
    stage: Everyone, dialect: str, asked: dict[str, Any], place: str, extras: list[str]
) -> None:
    """A wallet, a spend limit or a budget: nothing reaches any provider, nothing is set aside."""
    store = stage.gateway.server.store
    limited = [
        await payer(store, 10**9, name="prepaid"),
        await payer(store, name="credit", floor=-(10**9)),
        await payer(store, name="capped", floor=None, spend_limit=10**9),
        await payer(store, name="budgeted", floor=None, budget=10**9),
    ]
    for family in FAMILIES:
        for one in limited:
            refused = await call(stage, one.secret, dialect, family, **asked)
            assert refused.status == 400, (family, refused.body)
            error = refused.error
            assert f"'{place}'" in error["message"]
            assert f"(extras: [{extras[0]}])" in error["message"]
            if dialect != "messages":
                assert (error["code"], error["param"]) == ("invalid_request", place)
    assert not any(fake.requests for fake in stage.fakes.values())
    await stage.gateway.idle()
    assert all(row["revenue"] == row["held"] == 0 for row in entries(store.database.path))
    plain = await call(stage, limited[0].secret, dialect, dialect, tools=[FUNCTIONS[dialect]])
    assert plain.status == 200


@pytest.mark.parametrize(("dialect", "asked", "place", "extras"), ASKED, ids=IDS)
async def test_who_has_no_limit_asks_for_everything(
    stage: Everyone, dialect: str, asked: dict[str, Any], place: str, extras: list[str]
) -> None:
    """It reaches the provider of the same wire as it came."""
    del place, extras
    answer = await call(stage, stage.gateway.key, dialect, dialect, **asked)
    assert answer.status == 200, answer.body
    sent = stage.fakes[dialect].requests[-1].json()
    assert {name: sent[name] for name in asked} == asked


@pytest.mark.parametrize(("dialect", "asked", "place", "extras"), ASKED, ids=IDS)
async def test_the_operator_may_give_them(
    tmp_path: Path, dialect: str, asked: dict[str, Any], place: str, extras: list[str]
) -> None:
    """By their names; and any one that lacks is refused by its name."""
    async with everyone(tmp_path, giving(extras)) as stage:
        one = await payer(stage.gateway.server.store, 10**9)
        answer = await call(stage, one.secret, dialect, dialect, **asked)
        assert answer.status == 200, answer.body
        sent = stage.fakes[dialect].requests[-1].json()
        assert {name: sent[name] for name in asked} == asked
        other = {"speed": "fast"} if extras != ["speed"] else {"service_tier": "priority"}
        refused = await call(stage, one.secret, dialect, dialect, **{**asked, **other})
        assert refused.status == 400
        assert next(iter(other)) in refused.error["message"]
        assert len(stage.fakes[dialect].requests) == 1
    del place


async def test_everything_is_all_but_what_lies_there(tmp_path: Path) -> None:
    """`extras: true` gives away money, not what others have put into the provider's account."""
    async with everyone(tmp_path, giving(extras=True)) as stage:
        one = await payer(stage.gateway.server.store, 10**9)
        for dialect, asked, _, extras in ASKED:
            answer = await call(stage, one.secret, dialect, dialect, **asked)
            assert answer.status == (400 if "stored" in extras else 200), (asked, answer.body)


async def test_no_spelling_evades_it(stage: Everyone) -> None:
    """Escapes in names and values, blanks, and a word of another dialect."""
    one = await payer(stage.gateway.server.store, 10**9)
    for text in (
        r'"\u0073ervice_tier":"priority"',
        r'"service_tier" : "\u0070riority"',
        r'"tools":[ { "\u0074ype" : "\u0077eb_search" } ]',
        r'"tools":[{"type":"\u0077eb_search_20250305","name":"web_search"}]',
        r'"speed":"fast"',
        r'"serviceTier":{"type":"priority"}',
        r'"tools":[{"googleSearch":{}}]',
    ):
        for family in FAMILIES:
            body = f'{{"model":"{family}","messages":[{{"role":"user","content":"hi"}}],{text}}}'
            raw = request(body.encode(), one.secret)
            refused = await ask(stage.gateway.server.port, raw)
            assert (refused.status, refused.error["code"]) == (400, "invalid_request"), text
    assert not any(fake.requests for fake in stage.fakes.values())


async def test_what_is_usual_is_not_asked_about(stage: Everyone) -> None:
    one = await payer(stage.gateway.server.store, 10**10)
    for tier in ("auto", "default", "standard_only", "flex", None):
        for dialect in PATHS:
            answer = await call(stage, one.secret, dialect, dialect, service_tier=tier)
            assert answer.status == 200, (tier, dialect, answer.body)


async def test_explained_as_it_would_go(stage: Everyone) -> None:
    """What the call would be refused for is told without one."""
    one = await payer(stage.gateway.server.store, 10**9)
    body = {"model": "chat", **TURN, "web_search_options": {}}
    told = await ask(stage.gateway.server.port, request(body, one.secret, path="/v1/explain"))
    assert (told.status, told.error["param"]) == (400, "web_search_options")


FREE = """
groups:
  free: {rpm: 100, tpm: 100000, routes: {free: true}}
anonymous: {group: free, rpm: 100, per: ip}
"""


def free(text: str) -> str:
    text = text.replace('"3"', '"0"').replace('"15"', '"0"').replace('"0.3"', '"0"')
    return str(giving(extras=True)(text)) + FREE


async def test_nobody_is_given_anything(tmp_path: Path) -> None:
    """Without a key, a route that is free and gives it makes no difference."""
    async with everyone(tmp_path, free) as stage:
        assert (await call(stage, None, "chat", "chat")).status == 200
        refused = await call(stage, None, "chat", "chat", service_tier="priority")
        assert (refused.status, refused.error["param"]) == (400, "service_tier")
        assert "API key" in refused.error["message"]
        assert len(stage.fakes["chat"].requests) == 1


def two_gives(text: str) -> str:
    """The catalog of the stage, where the second route of `big` alone gives anything."""
    return text.replace("upstream: big-2\n", "upstream: big-2\n        extras: [service_tier]\n")


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, two_gives) as made:
        made.gateway.key = (await payer(made.gateway.server.store, 10**12)).secret
        yield made


async def test_routes_that_do_not_give_it_are_passed_over(pair: Stage) -> None:
    """Where the model has one that does; and what comes without is served by both, as before."""
    for _ in range(5):
        answer = await pair.call("big", service_tier="priority")
        assert header(answer, "x-gateway-route") == "big-two"
    assert not pair.one.requests
    assert (await pair.call("big-one", service_tier="priority")).status == 400
    assert header(await pair.call("big-one"), "x-gateway-route") == "big-one"


async def test_no_fallback_takes_it_without_leave(pair: Stage) -> None:
    """Neither a sibling route nor another model, when the one that gives it has failed."""
    pair.two.handler = fails(500)
    for model in ("big", "big-two"):
        assert (await pair.call(model, service_tier="priority")).status == 502
    assert not pair.one.requests
    assert all(request.json()["model"] == "big-2" for request in pair.two.requests)
    assert header(await pair.call("big-two"), "x-gateway-route") == "big-one"
