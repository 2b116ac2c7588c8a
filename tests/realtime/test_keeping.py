"""What ends a session that neither side ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange, FakeUpstream
from tests.money import charges, entries, payer, until
from tests.rawclient import ask, request
from tests.realtime.stage import (
    IN,
    PATH,
    Provider,
    done,
    hurry,
    logged,
    opened,
    over,
    session,
    stage,
    usage,
)
from tests.sockets import PING, Client, upgrade


async def ends_with(client: Client, code: int, error: str) -> dict[str, Any]:
    """The error event and the close frame that say why."""
    event = await client.until("error")
    assert event["error"]["code"] == error
    assert await client.ended() == (code, error)
    await client.close()
    found: dict[str, Any] = event["error"]
    return found


async def narrow(gateway: Any, key: str) -> None:
    """Take the model off the key's list."""
    await gateway.server.store.database.write(
        "UPDATE keys SET allow = '[\"chatter\"]' WHERE name = ?", (key,)
    )
    gateway.server.store.keys.forget()


@pytest.mark.parametrize("how", ["revoked", "suspended", "narrowed", "expired"])
async def test_a_key_that_may_no_longer_takes_its_sessions_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Within a moment; what was used is charged."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, tick=0.01)
        store = gateway.server.store
        ends = int(store.clock.time()) + 3_600 if how == "expired" else None
        mine = await payer(store, 10**12, expires_at=ends)
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=mine.secret)
            await provider.socket.send(done(usage(text_in=7)))
            await client.until("response.done")
            if how == "revoked":
                await store.keys.revoke("payer's key")
            elif how == "suspended":
                await store.accounts.change("payer", status="suspended")
            elif how == "narrowed":
                await narrow(gateway, "payer's key")
            else:
                monkeypatch.setattr(store.clock, "time", lambda: float(ends or 0))
            code = {"revoked": "authentication_error", "expired": "authentication_error",
                "suspended": "insufficient_scope", "narrowed": "model_not_allowed"}  # fmt: skip
            await ends_with(client, 1008, code[how])
            assert await provider.socket.ended() == (1000, "")
        assert charges(await over(gateway)) == [7 * IN]


async def test_other_changes_of_keys_do_no_harm(tmp_path: Path) -> None:
    """A session whose key is still good goes on."""
    provider = Provider()
    async with (
        FakeUpstream(provider) as fake,
        stage(tmp_path, fake) as gateway,
        Client(gateway.server.port) as client,
    ):
        hurry(gateway, tick=0.01, ping_every=0.01)
        await session(gateway, client)
        await gateway.server.store.keys.create("another")
        for _ in range(3):  # the key has been looked at since
            assert await client.frames.next() == (PING, b"")
        await client.send(b"{}")
        assert await provider.socket.text() == b"{}"


async def test_draining_is_polite(tmp_path: Path) -> None:
    """Sessions are told, and the gateway waits for no more than that."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        draining = asyncio.create_task(gateway.server.drain())
        error = await ends_with(client, 1001, "draining")
        assert "shutting down" in error["message"]
        await asyncio.wait_for(draining, 5)
        assert charges(await over(gateway)) == [0]
        async with Client(gateway.server.port) as late:
            answer = await late.refused(PATH, gateway.key)
            assert answer.status == 503
        assert (await logged(gateway))["cause"] == "draining"


@pytest.mark.parametrize(
    ("guard", "code"), [("longest", "session_expired"), ("idle", "session_idle")]
)
async def test_sessions_have_an_end(tmp_path: Path, guard: str, code: str) -> None:
    """By their length, and by their silence."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, tick=0.01, **{guard: 0.05})
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            await ends_with(client, 1001, code)
        assert charges(await over(gateway)) == [0]


async def test_a_client_that_gives_no_sign_of_life(tmp_path: Path) -> None:
    """Is given up; one that answers pings is not."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, tick=0.01, ping_every=0.02, silence=0.2, goodbye=0.01)
        async with Client(gateway.server.port) as dead, Client(gateway.server.port) as alive:
            await session(gateway, dead)
            await session(gateway, alive)
            listening = [asyncio.create_task(one.text()) for one in (alive, provider.socket)]
            others = asyncio.create_task(provider.sockets[0].text())
            assert (await dead.ended())[0] == 1001
            await provider.socket.send(b"{}")
            assert await listening[0] == b"{}"
            listening[1].cancel()
            others.cancel()
        await gateway.idle()


async def test_a_provider_that_gives_no_sign_of_life(tmp_path: Path) -> None:
    """Is to blame."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, tick=0.01, ping_every=0.02, silence=0.1)
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            await ends_with(client, 1011, "upstream_timeout")
        assert (await logged(gateway))["cause"] == "provider_silent"


async def test_a_provider_that_takes_nothing(tmp_path: Path) -> None:
    """Is not waited for without end."""

    async def deaf(exchange: Exchange) -> None:
        socket = await upgrade(exchange)
        await socket.send({"type": "session.created"})
        exchange.connection.transport.pause_reading()
        await exchange.client_closed()

    async with FakeUpstream(deaf) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            speaking = asyncio.create_task(_shout(client))
            hurry(gateway, silence=0.2)
            assert (await client.until("error"))["error"]["code"] == "upstream_timeout"
            speaking.cancel()
            client.abort()
        assert (await logged(gateway))["cause"] in ("provider_stuck", "provider_silent")


async def _shout(client: Client) -> None:
    while True:
        await client.send(b'{"a":"' + b"x" * 60_000 + b'"}')


async def test_a_failure_of_the_gateways_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is told as such, logged with its place, and what was used is charged."""

    async def broken(_: object) -> None:
        raise RuntimeError("a secret of the gateway's")

    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        await provider.socket.send(done(usage(text_in=3)))
        await client.until("response.done")
        monkeypatch.setattr("gateway.pipeline.keeping.Keeper.look", broken)
        assert await client.ended() == (1011, "internal_error")
        assert await provider.socket.ended() == (1000, "")
        assert charges(await over(gateway)) == [3 * IN]
        await logged(gateway)
        (event,) = [one for one in gateway.logged() if one["event"] == "unexpected"]
        assert event["error"] == "RuntimeError"
        assert "a secret" not in str(gateway.logged())


async def test_strangers_do_not_talk(tmp_path: Path) -> None:
    """Sessions cost money."""
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            assert (await client.refused(PATH, None)).status == 401
        assert not fake.connections


async def test_closing_the_gateway_cuts_what_is_left(tmp_path: Path) -> None:
    """And charges it."""
    provider = Provider()
    async with opened(tmp_path, provider, drain=0.0) as (gateway, client):
        await provider.socket.send(done(usage(text_in=3)))
        await client.until("response.done")
        gateway.server.hard_stop = True
        await gateway.server.drain()
        await gateway.server.close()
        await until(provider.socket.connection.closed.is_set)
        assert charges(entries(tmp_path / "gateway.sqlite")) == [3 * IN]


async def test_plain_requests_are_answered_beside_sessions(tmp_path: Path) -> None:
    """Of course."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        del client
        answer = await ask(gateway.server.port, request(b"", gateway.key, path="/v1/models",
            method="GET"))  # fmt: skip
        assert {"talker", "talker-second"} <= {one["id"] for one in answer.json()["data"]}
