"""POST realtime/client_secrets: what a browser is given instead of a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway
from tests.money import charges, payer
from tests.rawclient import Answer, ask, chat, request
from tests.realtime.stage import (
    IN,
    PATH,
    Provider,
    done,
    hurry,
    over,
    session,
    stage,
    usage,
)
from tests.sockets import Client

SECRETS = "/v1/realtime/client_secrets"


async def make(gateway: Gateway, key: str | None = None, **body: Any) -> Answer:
    """Ask for one."""
    return await ask(gateway.server.port, request(body, key or gateway.key, path=SECRETS))


async def test_they_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cost nothing and are kept, so a key may have so many; another's are its own."""
    monkeypatch.setattr("gateway.store.client_secrets.MOST_BYTES", 3_000)
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        wishes = {"model": "talker", "instructions": "x" * 1_000}
        answers = [await make(gateway, session=wishes) for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 200, 429, 429]
        assert 0 < int(answers[-1].header("retry-after") or 0) <= 7_200
        mine = await payer(gateway.server.store, 10**12)
        assert (await make(gateway, mine.secret, session=wishes)).status == 200


async def test_a_browser_opens_a_session_with_one(tmp_path: Path) -> None:
    """Its model and its wishes are those of the secret, its money is the key's."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        mine = await payer(gateway.server.store, 10**12)
        wishes = {"instructions": "Be brief.", "audio": {"output": {"voice": "ash"}}}
        answer = await make(
            gateway, mine.secret,
            expires_after={"anchor": "created_at", "seconds": 60},
            session={"type": "realtime", "model": "talker", **wishes},
        )  # fmt: skip
        assert answer.status == 200
        made = answer.json()
        assert made["value"].startswith("ek_")
        assert 55 < made["expires_at"] - gateway.server.store.clock.time() <= 60
        assert made["session"] == {"type": "realtime", "model": "talker", **wishes}
        offered = f"realtime, openai-insecure-api-key.{made['value']}"
        async with Client(gateway.server.port) as client:
            headers = {"Sec-WebSocket-Protocol": offered}
            await session(gateway, client, "/v1/realtime", key=None, headers=headers)
            assert await provider.socket.event() == {
                "type": "session.update",
                "session": {"type": "realtime", **wishes},
            }
            await provider.socket.send(done(usage(text_in=5)))
            await client.event()
            await client.close()
            await client.ended()
        rows = await over(gateway)
        assert charges(rows) == [5 * IN]
        assert rows[-1]["account"] == mine.account
        assert made["value"] not in json.dumps(gateway.logged())


async def test_one_serves_many_sessions_and_survives_a_restart(tmp_path: Path) -> None:
    """Until it ends."""
    provider = Provider()
    async with FakeUpstream(provider) as fake:
        async with stage(tmp_path, fake) as gateway:
            value = (await make(gateway)).json()["value"]
        async with stage(tmp_path, fake) as gateway:
            for _ in range(2):
                async with Client(gateway.server.port) as client:
                    await session(gateway, client, key=value)
                    await client.close()
                    await client.ended()
            await over(gateway)


async def test_it_opens_sessions_and_nothing_else(tmp_path: Path) -> None:
    """Neither calls nor lists nor more secrets."""
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        value = (await make(gateway)).json()["value"]
        for raw in (
            request(chat(model="chatter"), value),
            request({}, value, path=SECRETS),
            request(b"", value, path="/v1/usage", method="GET"),
        ):
            answer = await ask(gateway.server.port, raw)
            assert answer.status == 403, answer.body
            assert "realtime sessions" in answer.error["message"]
        assert not fake.connections


async def test_it_ends(tmp_path: Path) -> None:
    """By itself: a session that it has begun goes on."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, tick=0.01)
        store = gateway.server.store
        value = (await make(gateway)).json()["value"]
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=value)
            await store.database.write("UPDATE client_secrets SET ends = 1", ())
            store.keys.forget()
            async with Client(gateway.server.port) as late:
                answer = await late.refused(PATH, value)
                assert answer.status == 401
                assert "client secret has expired" in answer.error["message"]
            await client.send(b"{}")
            assert await provider.socket.text() == b"{}"
        await store.client_secrets.forget_old()
        assert not await store.database.read("SELECT * FROM client_secrets")


async def test_it_is_revoked_with_its_key(tmp_path: Path) -> None:
    """And so are its sessions."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, tick=0.01)
        mine = await payer(gateway.server.store, 10**12)
        value = (await make(gateway, mine.secret)).json()["value"]
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=value)
            await gateway.server.store.keys.revoke("payer's key")
            assert (await client.until("error"))["error"]["code"] == "authentication_error"
            assert (await client.ended())[0] == 1008
            await client.close()
        async with Client(gateway.server.port) as client:
            assert (await client.refused(PATH, value)).status == 401


async def test_its_limits_are_its_keys(tmp_path: Path) -> None:
    """One place among those open at once is one place."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        made = await gateway.server.store.keys.create("one", concurrency=1)
        value = (await make(gateway, str(made.secret))).json()["value"]
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=str(made.secret))
            async with Client(gateway.server.port) as other:
                assert (await other.refused(PATH, value)).status == 429


WRONG: dict[str, tuple[dict[str, Any], int, str | None]] = {
    "too short": ({"expires_after": {"seconds": 9}}, 400, "expires_after.seconds"),
    "too long": ({"expires_after": {"seconds": 7201}}, 400, "expires_after.seconds"),
    "other anchor": ({"expires_after": {"anchor": "now"}}, 400, "expires_after.anchor"),
    "transcription": ({"session": {"type": "transcription"}}, 400, "session.type"),
    "no object": ({"session": "talker"}, 400, "session"),
    "unknown model": ({"session": {"model": "nobody"}}, 404, "session.model"),
    "other kind": ({"session": {"model": "chatter"}}, 400, "session.model"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_cannot_be_made(tmp_path: Path, case: str) -> None:
    """Is refused by its field."""
    body, status, param = WRONG[case]
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        answer = await make(gateway, **body)
        assert (answer.status, answer.error["param"]) == (status, param), answer.body


async def test_who_may_not_make_one(tmp_path: Path) -> None:
    """Nobody, a derived key, and a key that may not use the model."""
    from gateway.core.derived import derive

    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        store = gateway.server.store
        made = await store.keys.create("narrow", allow=["chatter"])
        answer = await make(gateway, str(made.secret), session={"model": "talker"})
        assert (answer.status, answer.error["code"]) == (403, "model_not_allowed")
        child = derive(str(made.secret), store.keys.prefix, made.key.id, bytes(16), bytes(32))
        answer = await make(gateway, child)
        assert (answer.status, "derived key" in answer.error["message"]) == (403, True)
        nobody = await ask(gateway.server.port, request({}, None, path=SECRETS))
        assert nobody.status == 401


async def test_a_secret_is_for_its_model(tmp_path: Path) -> None:
    """Another is refused."""
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        value = (await make(gateway, session={"model": "token-talker"})).json()["value"]
        async with Client(gateway.server.port) as client:
            answer = await client.refused(PATH, value)
            assert (answer.status, answer.error["param"]) == (400, "model")
        async with Client(gateway.server.port) as client:
            answer = await client.refused("/v1/realtime", "ek_" + "0" * 48)
            assert answer.status in (400, 401)
