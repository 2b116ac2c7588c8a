"""Request bodies do not take the memory of all: what few bytes or few clients can make of them."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, catalog_text, running
from tests.money import payer, until
from tests.pipeline.test_money import ANSWER, GROUPS
from tests.rawclient import RawClient, ask, chat, request

MIB = 1 << 20


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """One that also serves who sends no key, with room for four MiB of bodies."""

    async def answer(exchange: Exchange) -> None:
        await exchange.send_json(200, ANSWER)

    async with FakeUpstream(answer) as fake:
        text = catalog_text(fake.url + "/v1") + GROUPS
        async with running(tmp_path, text=text) as served:
            served.server.site.bodies.room = 4 * MIB
            yield served


def long(size: int, model: str = "fake-slug") -> bytes:
    return json.dumps({**chat(model=model), "user": "a" * size}).encode()


async def half_sent(gateway: Gateway, key: str | None, size: int) -> RawClient:
    """A client whose body stops short of its end, once the gateway has what came."""
    before = gateway.server.site.bodies.taken
    raw = request(long(size), key)
    client = await RawClient.open(gateway.server.port)
    client.send(raw[:-10])
    await until(lambda: gateway.server.site.bodies.taken >= before + size)
    return client


@pytest.mark.parametrize("path", ["chat/completions", "quote"])
async def test_without_a_key_bodies_are_short(gateway: Gateway, path: str) -> None:
    """Packed or not: what is unpacked is weighed, and no more of it than is allowed."""
    body = long(MIB, "echo")
    packed = {"Content-Encoding": "gzip"}
    for raw in (
        request(body, None, path=f"/v1/{path}"),
        request(gzip.compress(body), None, path=f"/v1/{path}", headers=packed),
    ):
        assert (await ask(gateway.server.port, raw)).status == 413
    assert gateway.server.site.bodies.taken == 0


async def test_without_a_key_nothing_is_explained(gateway: Gateway) -> None:
    """The request to a provider names the operator's own hosts."""
    for key, status in ((None, 401), (gateway.key, 200)):
        raw = request(chat(model="echo"), key, path="/v1/explain")
        assert (await ask(gateway.server.port, raw)).status == status


async def test_bodies_that_never_end_leave_room_for_others(gateway: Gateway) -> None:
    """One key has half of the room, all have no more than all; short bodies always pass."""
    server = gateway.server
    second = (await payer(server.store, 10**10)).secret
    third = (await payer(server.store, 10**10, name="third")).secret
    clients = [await half_sent(gateway, gateway.key, 2 * MIB - 2_000)]
    same = await ask(server.port, request(long(MIB), gateway.key))
    assert (same.status, same.error["code"], same.header("retry-after")) == (
        503,
        "no_upstream",
        "1",
    )
    clients.append(await half_sent(gateway, second, 2 * MIB - 2_000))
    assert (await ask(server.port, request(long(MIB), third))).status == 503
    assert (await ask(server.port, request(chat(), gateway.key))).status == 200
    for client in clients:
        client.abort()
    await gateway.idle()
    assert (server.site.bodies.taken, server.site.bodies.lent) == (0, {})
    assert (await ask(server.port, request(long(MIB), third))).status == 200


async def test_who_sends_no_key_takes_no_room_from_who_does(gateway: Gateway) -> None:
    """All of them together have a small share."""
    client = await half_sent(gateway, None, 200_000)
    assert (await ask(gateway.server.port, request(long(100_000), None))).status == 503
    assert (await ask(gateway.server.port, request(long(MIB), gateway.key))).status == 200
    client.abort()


async def test_a_packed_body_counts_by_what_it_holds(gateway: Gateway) -> None:
    """And for as long as its call goes on."""
    packed = gzip.compress(long(3 * MIB))
    raw = request(packed, gateway.key, headers={"Content-Encoding": "gzip"})
    assert len(packed) < 10_000
    assert (await ask(gateway.server.port, raw)).status == 503
    gateway.server.site.bodies.room = 8 * MIB
    assert (await ask(gateway.server.port, raw)).status == 200
    assert gateway.server.site.bodies.taken == 0


async def test_many_calls_in_one_conversation_hold_nobody_up(tmp_path: Path) -> None:
    """Each result is found without a look at all others: twice as many are twice the work."""

    async def work(gateway: Gateway, count: int) -> int:
        """How often anything is called while the gateway explains so many."""
        calls = [
            {"id": f"c{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            for n in range(count)
        ]
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in calls]
        body = chat(messages=[{"role": "assistant", "tool_calls": calls}, *reversed(results)])
        raw = request(body, gateway.key, path="/v1/explain")
        steps = 0

        def note(*_: object) -> None:
            nonlocal steps
            steps += 1

        before = sys.getprofile()
        sys.setprofile(note)
        try:
            answer = await ask(gateway.server.port, raw)
        finally:
            sys.setprofile(before)
        sent = answer.json()["request"]["body"]["contents"]
        assert [len(turn["parts"]) for turn in sent] == [count, count]
        return steps

    async with running(tmp_path, adapter="google") as gateway:
        assert await work(gateway, 1_000) < 3 * await work(gateway, 500)
