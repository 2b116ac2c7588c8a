"""What a call costs, who is told, and how a call ends that its key cannot pay for."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.core.money.amounts import dollars
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import CATALOG, Gateway, catalog_text, running
from tests.money import EXTEND, IN, OUT, SETTLE, entries, open_calls, payer, sound
from tests.rawclient import Answer, ask, chat, request

USAGE = {"prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120}
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
}
GROUPS = """
groups:
  free: {rpm: 3, tpm: 40000, routes: {free: true}}
  dear: {rpm: 5, tpm: 5000, multiplier: "1.25", routes: [fake-slug, echo]}
anonymous: {group: free, rpm: 2, per: ip}
"""


def delta(text: str, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "s1", "object": "chat.completion.chunk", "created": 7, "model": "up",
            "choices": [choice], **more}  # fmt: skip


async def answer(exchange: Exchange) -> None:
    """A short answer, streamed where that was asked."""
    if not exchange.request.json().get("stream"):
        await exchange.send_json(200, ANSWER)
        return
    end = delta("")
    end["choices"][0] |= {"delta": {}, "finish_reason": "stop"}
    await exchange.sse([delta("hi"), end, delta("", choices=[], usage=USAGE)])


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(answer) as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    text = catalog_text(fake.url + "/v1") + GROUPS
    async with running(tmp_path, text=text) as served:
        yield served


async def call(gateway: Gateway, key: str | None, **more: Any) -> Answer:
    headers = more.pop("headers", None)
    return await ask(gateway.server.port, request(chat(**more), key, headers=headers))


def code(got: Answer) -> str:
    return str(got.json()["error"]["code"])


def events(got: Answer) -> list[Any]:
    lines = [line[6:] for line in got.body.decode().split("\n\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


COST = 20 * IN + 100 * OUT


async def test_the_cost_is_told(gateway: Gateway) -> None:
    """In a header; and in usage.cost for who asks, streamed or not; nothing of it goes upstream."""
    plain = await call(gateway, gateway.key)
    assert dict(plain.headers)["x-gateway-cost"] == "0.001560000"
    assert "cost" not in plain.json()["usage"]
    asked = await call(gateway, gateway.key, usage={"include": True})
    assert asked.json()["usage"] == {**USAGE, "cost": COST / 1e9}
    streamed = await call(gateway, gateway.key, stream=True, usage={"include": True})
    *_, last, done = events(streamed)
    assert (last["usage"], done) == ({**USAGE, "cost": COST / 1e9}, "[DONE]")
    hidden = await call(gateway, gateway.key, stream=True)
    assert not any("usage" in event for event in events(hidden)[:-1])


async def test_what_is_the_gateways_stays_here(gateway: Gateway, fake: FakeUpstream) -> None:
    """`usage` and `max_cost` are not passed on."""
    await call(gateway, gateway.key, usage={"include": True}, max_cost="1.5", user="u")
    sent = fake.requests[-1].json()
    assert ("usage" in sent, "max_cost" in sent, sent["user"]) == (False, False, "u")


@pytest.mark.parametrize("wrong", ["x", -1, "NaN", True, [], {}, "1e99"])
async def test_a_cost_that_is_none(gateway: Gateway, wrong: Any) -> None:
    """max_cost must be an amount; the refusal names it."""
    got = await call(gateway, gateway.key, max_cost=wrong)
    assert (got.status, got.json()["error"]["param"]) == (400, "max_cost")


async def test_max_cost_lowers_the_ceiling(gateway: Gateway, fake: FakeUpstream) -> None:
    """The ceiling sent upstream is what the money pays for; too little for an answer is 402."""
    got = await call(gateway, gateway.key, max_cost="0.01", max_tokens=5000)
    assert got.status == 200
    most = int(dict(got.headers)["x-gateway-max-tokens"])
    assert fake.requests[-1].json()["max_tokens"] == most < 5000
    rows = entries(gateway.server.store.database.path)
    assert most * OUT < rows[0]["held"] <= 10_000_000 < (most + 2) * OUT + rows[0]["estimate"]
    unsaid = await call(gateway, gateway.key, max_cost="0.01")
    assert fake.requests[-1].json()["max_completion_tokens"] == most or unsaid.status == 200
    before = len(fake.requests)
    for headers in ({"x-max-cost": "0.0001"}, {"x-max-cost": "0"}):
        refused = await call(gateway, gateway.key, headers=headers)
        assert (refused.status, code(refused)) == (402, "budget_exhausted")
        assert refused.json()["error"]["param"] == "max_cost"
        assert "$0.000" in refused.json()["error"]["message"]
    assert len(fake.requests) == before


@pytest.mark.parametrize("prompt", [["a"] * 50, [[1, 2]] * 50])
async def test_each_prompt_of_many_has_its_answer(
    gateway: Gateway, fake: FakeUpstream, prompt: list[Any]
) -> None:
    """Who has two cents is not answered fifty times as long as they pay for."""

    async def fifty(exchange: Exchange) -> None:
        out = 50 * int(exchange.request.json()["max_tokens"])
        choices = [{"index": n, "text": "a", "finish_reason": "length"} for n in range(50)]
        usage = {"prompt_tokens": 50, "completion_tokens": out, "total_tokens": 50 + out}
        await exchange.send_json(200, {"id": "c", "choices": choices, "usage": usage})

    fake.handler = fifty
    poor = await payer(gateway.server.store, 20_000_000)
    body = {"model": "fake-slug", "prompt": prompt, "max_tokens": 1_000}
    got = await ask(gateway.server.port, request(body, poor.secret, path="/v1/completions"))
    sent = fake.requests[-1].json()["max_tokens"]
    assert got.header("x-gateway-cost") == f"{50 * (IN + sent * OUT) / 1e9:.9f}"
    few = await payer(gateway.server.store, 1_000_000, name="few")  # less than a token for each
    refused = await ask(gateway.server.port, request(body, few.secret, path="/v1/completions"))
    assert (refused.status, code(refused), len(fake.requests)) == (402, "budget_exhausted", 1)


@pytest.mark.parametrize("prompt", ["a", '"[', "", [1, 2, 3], []])
async def test_one_prompt_has_one_answer(gateway: Gateway, prompt: Any) -> None:
    """Whether it is said as a text or as its tokens."""
    body = {"model": "fake-slug", "prompt": prompt, "max_tokens": 100}
    raw = request(body, gateway.key, path="/v1/quote")
    (route,) = (await ask(gateway.server.port, raw)).json()["routes"]
    assert route["max_output_tokens"] == 100


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("messages", {"type": "image", "source": {"type": "url", "url": "https://a.test/a.png"}}),
        ("chat/completions", {"type": "video_url", "video_url": {"url": "https://a.test/a.mp4"}}),
        ("chat/completions", {"type": "image_url", "image_url": {"url": "https://a.test/a.png"}}),
    ],
)
async def test_what_is_linked_is_set_aside_for(
    gateway: Gateway, path: str, part: dict[str, Any]
) -> None:
    """By the fixed allowance, in any dialect: an address is short, what it leads to is not."""
    body = chat(max_tokens=10, messages=[{"role": "user", "content": [part]}])
    got = await ask(gateway.server.port, request(body, gateway.key, path=f"/v1/{path}"))
    assert got.status == 200
    assert entries(gateway.server.store.database.path)[0]["held"] >= 2_000 * IN


async def test_a_stream_that_runs_out_of_money(gateway: Gateway, fake: FakeUpstream) -> None:
    """It ends properly, says why, and is charged what it produced, within what there was."""

    async def endless(exchange: Exchange) -> None:
        await exchange.sse([delta("word ") for _ in range(20_000)])

    fake.handler = endless
    poor = await payer(gateway.server.store, 50_000_000)  # five cents: 3,333 tokens at most
    got = await call(gateway, poor.secret, stream=True, max_tokens=50_000)
    *shown, last, done = events(got)
    assert done == "[DONE]"
    assert last["choices"] == [{"index": 0, "finish_reason": "length", "delta": {}}]
    assert (last["id"], last["model"], last["gateway"]["reason"]) == ("s1", "up", "no_money")
    # 3,333 tokens are 2,666 of these words, by their bytes; what is read at once comes on top.
    assert 2_500 < len(shown) <= 3_400
    await gateway.server.store.ledger.flush()
    rows = entries(gateway.server.store.database.path, poor.account)
    sound(rows, {poor.account: 0})
    settled = rows[-1]
    assert (settled["kind"], settled["flag"], settled["status"]) == (SETTLE, 7, 200)
    page = await ask(gateway.server.port, request(b"", None, path="/metrics", method="GET"))
    told = 'gateway_flagged_calls_total{route="fake-slug",flag="stopped"} 1'
    assert told in page.body.decode()
    charged = dollars(settled["revenue"])
    assert f'gateway_charged_dollars_total{{route="fake-slug"}} {charged}' in page.body.decode()
    assert 40_000_000 < settled["revenue"] <= 50_000_000
    assert sum(row["kind"] == EXTEND for row in rows) >= 2
    await gateway.idle()
    assert fake.open_connections <= 1  # the provider's stream was cut


async def test_a_stream_locks_no_more_than_it_needs(gateway: Gateway, fake: FakeUpstream) -> None:
    """One long ceiling does not lock a whole wallet: only a slice is set aside."""
    rich = await payer(gateway.server.store, 1_000_000_000)
    await call(gateway, rich.secret, stream=True, max_tokens=60_000)
    rows = entries(gateway.server.store.database.path, rich.account)
    held = [row["held"] for row in rows if row["kind"] == 1]
    assert held == [rows[1]["estimate"] + 1_024 * OUT]


async def test_quotes(gateway: Gateway, fake: FakeUpstream) -> None:
    """A body is priced on every route it may use, and nothing is called."""
    raw = request(chat(model="fake-model", max_tokens=100), gateway.key, path="/v1/quote")
    got = (await ask(gateway.server.port, raw)).json()
    assert [one["route"] for one in got["routes"]] == ["fake-slug"]
    first = got["routes"][0]
    assert first["input_cost"] == dollars(first["input_tokens"] * IN)
    assert first["max_cost"] == dollars(first["input_tokens"] * IN + 100 * OUT)
    raw = request(chat(model="keyless-slug"), gateway.key, path="/v1/quote")
    got = (await ask(gateway.server.port, raw)).json()
    assert [(one["route"], one["available"]) for one in got["routes"]] == [("keyless-slug", False)]
    assert first["available"] is True
    assert not fake.requests


async def test_groups(gateway: Gateway, fake: FakeUpstream) -> None:
    """A group's routes, limits and multiplier hold; the multiplier is a line of the receipt."""
    store = gateway.server.store
    await store.accounts.create("club", group="dear", floor=None)
    key = str((await store.keys.create("k", account="club")).secret)
    got = await call(gateway, key)
    told = dict(got.headers)
    assert told["x-gateway-cost"] == "0.001950000"
    assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == (
        "5",
        "4",
    )
    assert told["x-ratelimit-limit-tokens"] == "5000"
    other = await call(gateway, key, model="same-name")
    assert (other.status, code(other)) == (403, "model_not_allowed")
    listed = await ask(gateway.server.port, request(b"", key, path="/v1/models", method="GET"))
    assert [item["id"] for item in listed.json()["data"]] == ["fake-slug", "echo"]
    path = f"/v1/receipts/{told['x-request-id']}"
    receipt = (await ask(gateway.server.port, request(b"", key, path=path, method="GET"))).json()
    assert receipt["lines"][-1] == {
        "name": "group_multiplier", "quantity": 1, "unit": "", "price": "1.25",
        "amount": "0.00039",
    }  # fmt: skip
    assert {line["unit"] for line in receipt["lines"][:-1]} == {"tokens"}
    assert (receipt["charged"], receipt["verified"]) == ("0.00195", True)
    for _ in range(4):
        last = await call(gateway, key)
    assert last.status == 200
    slow = await call(gateway, key)
    assert (slow.status, code(slow)) == (429, "rate_limit_exceeded")
    assert slow.json()["error"]["message"] == "RPM exceeded - 5 requests in 60 seconds."
    assert 55 <= int(dict(slow.headers)["Retry-After"]) <= 60
    assert dict(slow.headers)["x-ratelimit-remaining-requests"] == "0"


async def test_callers_without_a_key(gateway: Gateway) -> None:
    """Free models alone, so many a minute from one address."""
    assert (await call(gateway, None, model="echo")).status == 200
    paid = await call(gateway, None)
    assert (paid.status, code(paid)) == (401, "paid_model_auth_required")
    keyless = await call(gateway, None, model="keyless-slug")  # nor does its provider have one
    assert (keyless.status, code(keyless)) == (401, "paid_model_auth_required")
    assert (await call(gateway, None, model="echo")).status == 200
    spent = await call(gateway, None, model="echo")
    assert (spent.status, code(spent)) == (401, "promotion_limit_reached")
    listed = await ask(gateway.server.port, request(b"", None, path="/v1/models", method="GET"))
    assert [item["id"] for item in listed.json()["data"]] == ["echo"]
    for path in ("/v1/key", "/v1/balance", "/v1/usage"):
        got = await ask(gateway.server.port, request(b"", None, path=path, method="GET"))
        assert code(got) == "authentication_error"
    forged = await call(gateway, None, model="echo", headers={"X-Forwarded-For": "9.9.9.9"})
    assert code(forged) == "promotion_limit_reached"


async def test_free_routes_cost_nothing(gateway: Gateway) -> None:
    """They work with nothing in the wallet, and are on the ledger all the same."""
    poor = await payer(gateway.server.store)
    assert (await call(gateway, poor.secret, model="echo")).status == 200
    got = await call(gateway, poor.secret)
    assert (got.status, code(got)) == (402, "budget_exhausted")
    rows = entries(gateway.server.store.database.path, poor.account)
    assert [(row["kind"], row["revenue"]) for row in rows] == [(1, 0), (SETTLE, 0)]


async def test_where_a_key_may_be_used(gateway: Gateway) -> None:
    """Networks, scopes and the account's state, each with its own refusal."""
    store = gateway.server.store
    keys = {
        "elsewhere": await store.keys.create("a", ips=["10.0.0.0/8"]),
        "reader": await store.keys.create("b", scopes=["usage:read"]),
        "here": await store.keys.create("c", ips=["127.0.0.0/8", "::1"]),
    }
    for name, made in keys.items():
        got = await call(gateway, str(made.secret))
        assert got.status == (200 if name == "here" else 403), name
    await store.accounts.create("gone", floor=None)
    late = str((await store.keys.create("d", account="gone")).secret)
    assert (await call(gateway, late)).status == 200
    await store.accounts.change("gone", status="suspended")
    got = await call(gateway, late)
    assert (got.status, "suspended" in got.json()["error"]["message"]) == (403, True)


async def test_a_provider_that_fails_is_not_paid(gateway: Gateway, fake: FakeUpstream) -> None:
    """A fault before any output costs nothing; what is set aside comes back."""

    async def broken(exchange: Exchange) -> None:
        await exchange.send_json(500, {"error": {"message": "no"}})

    fake.handler = broken
    rich = await payer(gateway.server.store, 1_000_000_000)
    for stream in (False, True):
        assert (await call(gateway, rich.secret, stream=stream)).status == 502
    rows = entries(gateway.server.store.database.path, rich.account)
    assert [row["revenue"] for row in rows if row["kind"] == SETTLE] == [0, 0]
    assert not open_calls(rows)


def test_the_test_catalog_has_no_groups() -> None:
    """The text added here is what makes groups."""
    assert "groups" not in CATALOG


async def test_two_names_for_one_ceiling(gateway: Gateway, fake: FakeUpstream) -> None:
    """Some hosts know the one, some the other: money is set aside for whichever is larger."""
    store = gateway.server.store
    rich = await payer(store, 10**12)
    both = {"max_completion_tokens": 16, "max_tokens": 5_000}
    assert (await call(gateway, rich.secret, **both)).status == 200
    assert entries(store.database.path, rich.account)[1]["held"] > 5_000 * OUT
    poor = await payer(store, 1_000 * OUT, name="poor")
    got = await call(gateway, poor.secret, **both)
    most = int(dict(got.headers)["x-gateway-max-tokens"])
    sent = fake.requests[-1].json()
    assert 900 < most < 1_000
    assert (sent["max_completion_tokens"], sent["max_tokens"]) == (16, most)
