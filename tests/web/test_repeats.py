"""Idempotency-Key: what was begun is not done twice, what was not begun keeps no key."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.store import replays as kept
from gateway.store.commands import Commands
from gateway.store.replays import Replays
from gateway.web import replays
from tests.fake_upstream import Exchange, FakeUpstream, chunk, event_bytes, head
from tests.harness import Gateway, running
from tests.money import entries, payer, until
from tests.rawclient import Answer, RawClient, ask, chat, request

USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}
ONCE = {"Idempotency-Key": "one"}


def event(text: str) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


async def answer_well(exchange: Exchange) -> None:
    message = {"role": "assistant", "content": "well " * 100}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    await exchange.send_json(200, {"id": "c", "choices": [choice], "usage": USAGE})


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(answer_well) as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, fake.url + "/v1") as served:
        yield served


async def call(gateway: Gateway, **more: Any) -> Answer:
    return await ask(gateway.server.port, request(chat(**more), gateway.key, headers=ONCE))


async def test_half_a_stream_is_not_repeated(gateway: Gateway, fake: FakeUpstream) -> None:
    """Who left in the middle is told that the outcome is lost, not handed a part as the whole."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event_bytes(event("half"))))
        await exchange.client_closed()

    fake.handler = handler
    client = await RawClient.open(gateway.server.port)
    client.send(request(chat(stream=True), gateway.key, headers=ONCE))
    await client.reader.readuntil(b"half")
    client.abort()
    await gateway.idle()
    again = await call(gateway, stream=True)
    assert (again.status, again.error["code"]) == (409, "idempotency_in_use")
    assert "broken off" in again.error["message"]
    assert len(fake.requests) == 1


async def test_a_long_answer_is_given_once(
    gateway: Gateway, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not kept, and the request is not run again."""
    monkeypatch.setattr(replays, "_MOST_KEPT", 400)
    first = await call(gateway)
    assert (first.status, "well well" in first.body.decode()) == (200, True)
    again = await call(gateway)
    assert (again.status, "too much" in again.error["message"]) == (409, True)
    assert len(fake.requests) == 1
    rows = await gateway.server.store.database.read("SELECT length(answer) AS n FROM replays")
    assert [row["n"] for row in rows] == [0]


async def test_kept_answers_do_not_fill_the_disk(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account's free calls take no more of it than so much a day, nor what the ledger needs."""
    monkeypatch.setattr(kept, "MOST_BYTES", 1_000)

    async def again(name: str) -> str | None:
        raw = request(chat(), gateway.key, headers={"Idempotency-Key": name})
        assert (await ask(gateway.server.port, raw)).status == 200
        return (await ask(gateway.server.port, raw)).header("x-gateway-replayed")

    assert [await again(name) for name in ("one", "two", "three")] == ["true", None, None]
    monkeypatch.setattr(kept, "MOST_BYTES", 10_000)

    def full(_: Path) -> None:
        raise OSError

    monkeypatch.setattr(kept, "check_spare", full)
    assert await again("four") is None


async def test_who_left_before_the_work_keeps_no_key(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was written though nobody waited for it: it goes again, and only that one."""
    taken = asyncio.Event()
    begin = Replays.begin

    async def slow(self: Replays, *given: Any) -> Any:
        stored = await begin(self, *given)
        taken.set()
        await asyncio.Event().wait()
        return stored

    monkeypatch.setattr(Replays, "begin", slow)
    client = await RawClient.open(gateway.server.port)
    client.send(request(chat(), gateway.key, headers=ONCE))
    await asyncio.wait_for(taken.wait(), 5)
    client.abort()
    await gateway.idle()
    monkeypatch.setattr(Replays, "begin", begin)
    assert (await call(gateway)).status == 200
    taken.clear()
    monkeypatch.setattr(Replays, "begin", slow)
    client = await RawClient.open(gateway.server.port)
    client.send(request(chat(), gateway.key, headers=ONCE))
    await asyncio.wait_for(taken.wait(), 5)
    client.abort()
    await gateway.idle()
    monkeypatch.setattr(Replays, "begin", begin)
    assert (await call(gateway)).header("x-gateway-replayed") == "true"


async def test_an_act_that_fails_afterwards_is_not_done_again(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Money that moved before the audit log failed does not move a second time."""
    store = gateway.server.store
    admin = str((await store.keys.create("a", scopes=["admin"])).secret)
    who = await payer(store)

    async def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    raw = request(
        {"amount": "5"}, admin, path="/admin/v1/accounts/payer/topups", headers=ONCE
    )  # fmt: skip
    with monkeypatch.context() as broken:
        broken.setattr(Commands, "_note", full)
        assert (await ask(gateway.server.port, raw)).status >= 500
    again = await ask(gateway.server.port, raw)
    assert (again.status >= 500, again.header("x-gateway-replayed")) == (True, "true")
    await until(lambda: len(entries(store.database.path, who.account)) == 1)


async def test_an_answer_is_shown_though_it_cannot_be_kept(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made, and paid for."""

    async def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Replays, "finish", full)
    answer = await call(gateway)
    assert (answer.status, "well" in answer.body.decode()) == (200, True)


async def test_the_file_does_not_hold_the_secret_of_a_new_key(gateway: Gateway) -> None:
    """An answer that is kept to be repeated shows a key, of which the database knows a digest."""
    store = gateway.server.store
    admin = str((await store.keys.create("a", scopes=["admin"])).secret)
    raw = request({"name": "new"}, admin, path="/admin/v1/keys", headers=ONCE)
    made = await ask(gateway.server.port, raw)
    again = await ask(gateway.server.port, raw)
    assert (made.status, again.header("x-gateway-replayed")) == (201, "true")
    assert again.json() == made.json()
    folder = store.database.path.parent
    held = b"".join(path.read_bytes() for path in folder.glob("gateway.sqlite*") if path.is_file())
    assert made.json()["id"].encode() in held
    assert made.json()["key"].encode() not in held


async def test_what_an_admin_did_is_not_repeated_to_a_lesser_key(gateway: Gateway) -> None:
    """The same words from a key of the same account are a request of its own, and refused."""
    store = gateway.server.store
    admin = str((await store.keys.create("a", scopes=["admin"])).secret)
    lesser = str((await store.keys.create("b", scopes=["keys:write"])).secret)
    body = {"name": "new", "scopes": ["admin"]}
    made, told = [
        await ask(gateway.server.port, request(body, key, path="/admin/v1/keys", headers=ONCE))
        for key in (admin, lesser)
    ]
    assert (made.status, told.status) == (201, 403)
    assert made.json()["key"].encode() not in told.body
