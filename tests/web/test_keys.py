"""Keys at the door."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from gateway.settings import KEY_PREFIX, SystemClock
from gateway.store.control import run
from gateway.web.addresses import Proxies
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway
from tests.rawclient import RawClient, ask, chat, request

FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
LAST = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    "header", ["Authorization", "authorization", "x-api-key", "api-key", "x-goog-api-key"]
)
async def test_every_sdks_header(gateway: Gateway, header: str) -> None:
    """The key is found wherever an SDK puts it."""
    value = f"Bearer {gateway.key}" if header.lower() == "authorization" else gateway.key
    raw = request(chat(), None, headers={header: value})
    assert (await ask(gateway.server.port, raw)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic abc"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer no"},
        {"x-api-key": "no"},
        {"x-api-key": " "},
    ],
)
async def test_bad_keys(gateway: Gateway, fake: FakeUpstream, headers: dict[str, str]) -> None:
    """Without a good key there is a 401 and no call."""
    answer = await ask(gateway.server.port, request(chat(), None, headers=headers))
    assert (answer.status, answer.error["code"]) == (401, "authentication_error")
    assert not fake.requests


async def test_expired_keys(gateway: Gateway) -> None:
    """A key works until its time and not after; the log says whose time was over."""
    keys = gateway.server.site.services.keys
    old = await keys.create("old", expires_at=int(time.time()) - 1)
    new = await keys.create("new", expires_at=int(time.time()) + 3600)
    answer = await ask(gateway.server.port, request(chat(), str(old.secret)))
    assert (answer.status, answer.error["code"]) == (401, "authentication_error")
    assert (await ask(gateway.server.port, request(chat(), str(new.secret)))).status == 200
    await gateway.idle()
    gateway.server.log.close()
    refused, served = (line for line in gateway.logged() if line["event"] == "call")
    assert (refused["key"], refused["cause"]) == (old.key.id, "expired_key")
    assert served["key"] == new.key.id


@pytest.mark.parametrize("bound", [{"expires_at": int(time.time()) + 3600}, {"ips": ["127.0.0.1"]}])
async def test_a_key_known_to_be_good(
    gateway: Gateway, bound: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it has called, it is refused when its time is over or it comes from elsewhere."""
    site = gateway.server.site
    made = await site.services.keys.create("bound", **bound)
    async with await RawClient.open(gateway.server.port) as client:
        for _ in range(3):
            client.send(request(chat(), str(made.secret)))
            assert (await client.answer()).status == 200
        monkeypatch.setattr(site.services.clock, "time", lambda: time.time() + 4000)
        monkeypatch.setattr(Proxies, "client_of", lambda *_: "127.0.0.2")
        client.send(request(chat(), str(made.secret)))
        assert (await client.answer()).status in (401, 403)


@pytest.mark.parametrize(
    ("allow", "status"),
    [
        (["fake-slug"], 200),
        (["fake-model"], 200),
        (["fake-*"], 200),
        (["other"], 403),
        (["echo"], 403),
    ],
)
async def test_allow_lists(gateway: Gateway, allow: list[str], status: int) -> None:
    """Patterns match slugs and canonical models; the rest is a 403, and not in the lists."""
    made = await gateway.server.site.services.keys.create("narrow", allow=allow)
    answer = await ask(gateway.server.port, request(chat(), str(made.secret)))
    assert answer.status == status
    if status == 403:
        assert answer.error["code"] == "model_not_allowed"
    raw = request(b"", str(made.secret), path="/v1/models", method="GET")
    listed = [model["id"] for model in (await ask(gateway.server.port, raw)).json()["data"]]
    assert ("fake-slug" in listed) == (status == 200)


async def test_revocation_by_command(gateway: Gateway, fake: FakeUpstream) -> None:
    """A command revokes in the running server at once; a running stream is finished."""
    release = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(FIRST))
        await exchange.gate(release)
        await exchange.send(chunk(LAST) + b"0\r\n\r\n")

    fake.handler = handler
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        db = gateway.server.settings.db
        clock = SystemClock()
        await run(db, "keys.revoke", {"key": "test"}, prefix=KEY_PREFIX, clock=clock)
        refused = await ask(gateway.server.port, request(chat(), gateway.key))
        assert (refused.status, refused.error["code"]) == (401, "authentication_error")
        made = await run(db, "keys.create", {"name": "b"}, prefix=KEY_PREFIX, clock=clock)
        raw = request(b"", made["key"], path="/v1/models", method="GET")
        assert (await ask(gateway.server.port, raw)).status == 200
        release.set()
        assert await client.chunk() == FIRST
        assert await client.chunk() == LAST
