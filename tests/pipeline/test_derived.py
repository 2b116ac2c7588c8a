"""Derived keys in use: narrower, sharing limits and money with all they come from."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.core.derived import derive, ids_of, parse
from gateway.domain import KeyChange
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, running
from tests.rawclient import Answer, ask, chat, request


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as served:
        served.fake = fake  # type: ignore[attr-defined]
        yield served


def child(root: KeyChange | str, key_id: str | None = None, **caveats: Any) -> str:
    if isinstance(root, KeyChange):
        root, key_id = str(root.secret), root.key.id
    return derive(
        root, "sk-maas-", key_id, secrets.token_bytes(16), secrets.token_bytes(32), **caveats
    )


async def call(gateway: Gateway, key: str, **more: Any) -> Answer:
    headers = more.pop("headers", None)
    return await ask(gateway.server.port, request(chat(**more), key, headers=headers))


def code(answer: Answer) -> str:
    return str(answer.json()["error"]["code"])


async def test_it_calls_what_it_may(gateway: Gateway) -> None:
    """Models are the intersection of the root's and every block's."""
    root = await gateway.server.store.keys.create("r", allow=["fake-*", "same-*"])
    one = child(root, models=["fake-slug", "same-name"])
    two = child(one, models=["*"])
    for key in (one, two):
        assert (await call(gateway, key, model="fake-slug")).status == 200
        assert (await call(gateway, key, model="same-name")).status == 200
        assert code(await call(gateway, key, model="echo")) == "model_not_allowed"
    three = child(two, models=["same-name"])
    assert code(await call(gateway, three, model="fake-slug")) == "model_not_allowed"
    shown = await ask(gateway.server.port, request(b"", two, path="/v1/key", method="GET"))
    assert [len(shown.json()["derived"]), shown.json()["scopes"]] == [2, ["inference"]]
    for path in ("/v1/usage", "/v1/balance", "/admin/v1/keys"):
        answer = await ask(gateway.server.port, request(b"", two, path=path, method="GET"))
        assert code(answer) == "insufficient_scope"


async def test_its_spend_counts_against_all(gateway: Gateway, tmp_path: Path) -> None:
    """A budget holds for a derived key and all derived from it; also after a restart."""
    root = await gateway.server.store.keys.create("r")
    one = child(root, budget="0.01")
    two = child(one, budget="100", models=["fake-slug"])
    sibling = child(root, budget="0.01")
    body = {"model": "fake-slug", "max_tokens": 400}  # 400 tokens at $15 a million: $0.006
    assert (await call(gateway, one, **body)).status == 200
    assert (await call(gateway, two, **body)).status == 200
    store = gateway.server.store
    await store.ledger.flush()
    spent = [dict(row) for row in await store.database.read("SELECT * FROM children ORDER BY n")]
    ids = [ids_of(parse(key.encode(), "sk-maas-")) for key in (one, two)]
    assert [row["id"] for row in spent] == [ids[0][0], ids[1][1]]
    assert spent[1]["parent"] == spent[0]["n"]
    assert await store.books.spent_by_child(spent[0]["n"]) == 2 * await store.books.spent_by_child(
        spent[1]["n"]
    )
    while (last := await call(gateway, two, **body)).status == 200:
        pass
    assert code(last) == "budget_exhausted"
    assert "derived key's budget" in last.json()["error"]["message"]
    assert code(await call(gateway, one, **body)) == "budget_exhausted"
    assert (await call(gateway, sibling, **body)).status == 200
    gateway.server.site.services.desk._purses.clear()
    gateway.server.site.services.desk._standings.clear()
    assert code(await call(gateway, two, **body)) == "budget_exhausted"


async def test_a_grandchild_cannot_take_its_parents_place(gateway: Gateway) -> None:
    """A block that bears its parent's id is another block: it brings no budget of its own."""
    root = await gateway.server.store.keys.create("r")
    seed = secrets.token_bytes(32)
    one = derive(str(root.secret), "sk-maas-", root.key.id, b"x" * 16, seed, budget="0.00001")
    two = derive(one, "sk-maas-", None, b"x" * 16, seed, budget="1000")
    body = {"model": "fake-slug", "max_tokens": 400}
    assert code(await call(gateway, two, **body)) == "budget_exhausted"
    assert code(await call(gateway, one, **body)) == "budget_exhausted"


async def test_limits_are_shared(gateway: Gateway) -> None:
    """However many keys are derived, the root's limit is one."""
    root = await gateway.server.store.keys.create("r", rpm=3)
    keys = [child(root, session=f"s{n}") for n in range(4)]
    answers = [await call(gateway, key) for key in keys]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]


async def test_one_session(gateway: Gateway) -> None:
    """A key for one session is refused in another's name."""
    root = await gateway.server.store.keys.create("r")
    key = child(root, session="mine")
    assert (await call(gateway, key)).status == 200
    assert (await call(gateway, key, headers={"x-session-id": "mine"})).status == 200
    other = await call(gateway, key, headers={"x-session-id": "yours"})
    assert (other.status, code(other)) == (403, "insufficient_scope")


async def test_the_end_of_it(gateway: Gateway) -> None:
    """It ends at its own time, with its root, and by its id with all that came from it."""
    store = gateway.server.store
    root = await store.keys.create("r")
    assert code(await call(gateway, child(root, expires=1))) == "authentication_error"
    one, other = child(root, models=["fake-slug"]), child(root, models=["fake-*"])
    two = child(one, models=["*"])
    first = ids_of(parse(one.encode(), "sk-maas-"))[0]
    assert (await call(gateway, two)).status == 200
    await store.keys.revoke_derived(first)
    for key, status in ((one, 401), (two, 401), (other, 200)):
        assert (await call(gateway, key)).status == status
    await store.keys.revoke(root.key.id)
    assert (await call(gateway, other)).status == 401


async def test_none_from_nothing(gateway: Gateway) -> None:
    """A stranger's chain under somebody's key id is no key."""
    root = await gateway.server.store.keys.create("r")
    stolen = child("sk-maas-" + "z" * 40, root.key.id, models=["fake-slug"])
    assert (await call(gateway, stolen)).status == 401
    assert (await call(gateway, "sk-maas-d1.key_nobody.a.b.c")).status == 401


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """`gateway keys derive` works offline and prints the key alone."""
    secret = "sk-maas-" + "q" * 40
    monkeypatch.setitem(os.environ, "GATEWAY_KEY", secret)
    made = CliRunner().invoke(
        main, ["keys", "derive", "--id", "key_1", "--budget", "0.5", "--allow", "echo", "--json"]
    )
    assert made.exit_code == 0, made.output
    token = parse(json.loads(made.stdout)["key"].encode(), "sk-maas-")
    assert (token.blocks[0].budget, token.blocks[0].models) == ("0.5", ["echo"])
    for wrong in (["--id", "k"], ["--budget", "x", "--id", "k"], ["--budget", "1"]):
        refused = CliRunner().invoke(main, ["keys", "derive", *wrong])
        assert refused.exit_code == 1
        assert secret not in refused.output


async def test_it_sees_no_responses_but_its_own(gateway: Gateway) -> None:
    """Nor goes on from them; who stands above it sees what it began."""
    root = await gateway.server.store.keys.create("r")
    one, sibling = child(root), child(root)
    two = child(one)

    async def begun(key: str, **more: Any) -> Answer:
        body = {"model": "echo", "input": "hi", **more}
        return await ask(gateway.server.port, request(body, key, path="/v1/responses"))

    async def seen(key: str, name: str) -> int:
        raw = request(b"", key, path=f"/v1/responses/{name}", method="GET")
        return (await ask(gateway.server.port, raw)).status

    of_root = (await begun(str(root.secret))).json()["id"]
    for key in (one, two):
        assert await seen(key, of_root) == 404
        assert (await begun(key, previous_response_id=of_root)).status == 404
    of_two = (await begun(two)).json()["id"]
    found = [await seen(key, of_two) for key in (two, one, str(root.secret), sibling)]
    assert found == [200, 200, 200, 404]
    raw = request(b"", sibling, path=f"/v1/responses/{of_two}", method="DELETE")
    assert (await ask(gateway.server.port, raw)).status == 404
    assert (await begun(one, previous_response_id=of_two)).status == 200


async def test_it_is_not_given_what_its_root_was_answered(gateway: Gateway) -> None:
    """The same Idempotency-Key is another one with a key that may do less."""
    root = await gateway.server.store.keys.create("r")
    narrow = child(root, models=["fake-slug"])
    once = {"Idempotency-Key": "one"}
    assert (await call(gateway, str(root.secret), model="echo", headers=once)).status == 200
    assert code(await call(gateway, narrow, model="echo", headers=once)) == "model_not_allowed"
    mine = child(root)
    for key, told in ((child(root), None), (mine, None), (mine, "true")):
        answer = await call(gateway, key, model="echo", headers=once)
        assert (answer.status, answer.header("x-gateway-replayed")) == (200, told)
