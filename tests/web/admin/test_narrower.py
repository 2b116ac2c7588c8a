"""What a key with keys:write may not do, and what amounts an operator may not write."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.store.calls import harmless
from gateway.web.addresses import Proxies
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, catalog_text, running
from tests.money import entries, payer
from tests.rawclient import Answer, ask, chat, request

MANAGER = ["inference", "keys:write"]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with FakeUpstream() as fake, running(tmp_path, fake.url + "/v1") as served:
        yield served


@pytest.fixture
async def admin(gateway: Gateway) -> str:
    scopes = ["inference", "usage:read", "keys:write", "admin"]
    return str((await gateway.server.store.keys.create("boss", scopes=scopes)).secret)


async def do(gateway: Gateway, method: str, path: str, key: str | None, body: Any = None) -> Answer:
    raw = b"" if body is None else json.dumps(body).encode()
    return await ask(
        gateway.server.port, request(raw, key, path=f"/admin/v1/{path}", method=method)
    )


async def test_a_strict_key_makes_strict_keys(gateway: Gateway) -> None:
    """Else its holder would get from another key what this one refuses."""
    made = await gateway.server.store.keys.create("m", scopes=MANAGER, strict=True)
    lax = await do(gateway, "POST", "keys", str(made.secret), {"name": "c"})
    assert (lax.status, lax.error["param"]) == (403, "scopes")  # usage:read is more, too
    body = {"name": "c", "scopes": ["inference"]}
    lax = await do(gateway, "POST", "keys", str(made.secret), body)
    assert (lax.status, lax.error["param"]) == (403, "fidelity")
    body["fidelity"] = "strict"
    assert (await do(gateway, "POST", "keys", str(made.secret), body)).status == 201


async def test_a_group_that_is_not_there_is_no_accounts(tmp_path: Path) -> None:
    """All calls of the account would be refused; what there is, is told."""
    groups = "groups:\n  paid: {rpm: 1, tpm: 1}\n"
    async with running(tmp_path, text=catalog_text("http://127.0.0.1:9/v1") + groups) as gateway:
        boss = str((await gateway.server.store.keys.create("boss", scopes=["admin"])).secret)
        made = await do(gateway, "POST", "accounts", boss, {"name": "a", "group": "payed"})
        assert (made.status, made.error["param"]) == (400, "group")
        assert made.error["message"].endswith("which has: paid.")
        made = await do(gateway, "POST", "accounts", boss, {"name": "a", "group": "paid"})
        assert made.status == 201
        path = f"accounts/{made.json()['id']}"
        changed = await do(gateway, "PATCH", path, boss, {"group": "payed"})
        assert (changed.status, changed.error["param"]) == (400, "group")
        assert (await do(gateway, "PATCH", path, boss, {"group": None})).status == 200


@pytest.mark.parametrize(
    ("path", "param", "told"),
    [
        ("calls?acount=a", "acount", "account, key, model"),
        ("accounts?account=a", "account", "after, limit"),
        ("credentials?x=1", "x", "none here"),
        ("usage?since=7d", "since", "seconds since 1970"),
    ],
)
async def test_a_query_that_would_not_be_heeded(
    gateway: Gateway, admin: str, path: str, param: str, told: str
) -> None:
    """Nobody is given all for the part that they asked for."""
    answer = await do(gateway, "GET", path, admin)
    assert (answer.status, answer.error["param"]) == (400, param)
    assert told in answer.error["message"]
    stranger = await do(gateway, "GET", path, None)
    assert (stranger.status, told in stranger.error["message"]) == (401, False)


async def test_preferences_are_handed_on(gateway: Gateway, admin: str) -> None:
    """What protects data at the maker protects it at every key it makes."""
    wanted = {"name": "m", "scopes": MANAGER, "provider": {"zdr": True}}
    made = await do(gateway, "POST", "keys", admin, wanted)
    assert (made.status, made.json()["provider"]) == (201, {"zdr": True})
    mine = made.json()["key"]
    body: dict[str, Any] = {"name": "c", "scopes": ["inference"]}
    child = await do(gateway, "POST", "keys", mine, body)
    assert (child.status, child.json()["provider"]) == (201, {"zdr": True})
    for other in ({}, {"zdr": False}, {"zdr": True, "sort": "price"}):
        lax = await do(gateway, "POST", "keys", mine, {**body, "provider": other})
        assert (lax.status, lax.error["param"]) == (403, "provider")
    bad = await do(gateway, "POST", "keys", admin, {"name": "m", "provider": {"zdr": 1}})
    assert bad.status == 400
    assert "provider.zdr" in bad.error["message"]


async def test_the_own_account_is_the_own_account(gateway: Gateway) -> None:
    """Even where it is named like another one's id."""
    store = gateway.server.store
    victim = await store.accounts.create("victim")
    await store.accounts.create(victim.id, floor=None)
    rows = await store.database.read("SELECT n FROM accounts WHERE name = ?", (victim.id,))
    maker = await store.keys.create("m", scopes=MANAGER)
    await store.database.write(
        "UPDATE keys SET account = ? WHERE id = ?", (rows[0]["n"], maker.key.id)
    )
    store.keys.forget()
    body = {"name": "c", "scopes": ["inference"], "account": victim.id}
    made = await do(gateway, "POST", "keys", str(maker.secret), body)
    assert made.status == 201
    assert made.json()["account_id"] != victim.id


async def test_nobody_but_an_admin_revokes_an_admin(gateway: Gateway, admin: str) -> None:
    """A manager of the same account cannot lock the operator out."""
    (boss,) = [key for key in await gateway.server.store.keys.list() if key.name == "boss"]
    manager = str((await gateway.server.store.keys.create("m", scopes=MANAGER)).secret)
    refused = await do(gateway, "DELETE", f"keys/{boss.id}", manager)
    assert (refused.status, refused.error["code"]) == (403, "insufficient_scope")
    odd = await do(gateway, "DELETE", f"keys/{boss.id}.x", admin)
    assert odd.status == 404
    assert (await do(gateway, "GET", "keys", admin)).status == 200


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("accounts", {"name": ""}, "name"),
        ("accounts", {"name": "payer"}, "name"),
        ("accounts", {"name": "a", "credit": "-5"}, "credit"),
        ("accounts", {"name": "a", "credit": "much"}, "credit"),
        ("accounts", {"name": "a", "spend_limit": "-1"}, "spend_limit"),
        ("accounts", {"name": "a", "colour": "red"}, "colour"),
        ("accounts/payer/topups", {"amount": "-5"}, "amount"),
        ("accounts/payer/topups", {"amount": "5000000000"}, "amount"),
        ("accounts/payer/topups", {"amount": "5", "memo": "m" * 2_000}, "memo"),
        ("accounts/payer/adjustments", {"amount": "0"}, "amount"),
        ("keys", {"name": ""}, "name"),
        ("keys", {"name": "k", "account": "nobody"}, "account"),
        ("keys", {"name": "k", "rpm": 0}, "rpm"),
        ("keys", {"name": "k", "budget": "-1"}, "budget"),
        ("keys", {"name": "k", "ips": ["300.1.1.1"]}, "ips"),
        ("keys", {"name": "k", "scopes": []}, "scopes"),
        ("keys", {"name": "k", "expires_at": 5}, "expires_at"),
        ("keys", {"name": "k", "provider": {"sort": "x"}}, "provider.sort"),
    ],
)
async def test_what_is_refused_is_named(
    gateway: Gateway, admin: str, path: str, body: dict[str, Any], param: str
) -> None:
    """Every refusal of a body names the member at fault, also where the words are the store's."""
    await payer(gateway.server.store)
    answer = await do(gateway, "POST", path, admin, body)
    assert (answer.status, answer.error["param"]) == (400, param)


@pytest.mark.parametrize("moment", [-1, 1 << 62, 1 << 63, 1 << 80])
async def test_ends_that_are_none(gateway: Gateway, admin: str, moment: int) -> None:
    """A moment that no clock reaches is refused in words."""
    answer = await do(gateway, "POST", "keys", admin, {"name": "c", "expires_at": moment})
    assert answer.status == 400


async def test_no_account_holds_more_than_can_be_counted(gateway: Gateway, admin: str) -> None:
    """A sum that leaves 64 bits would stop the books for ever."""
    await payer(gateway.server.store)
    first = await do(
        gateway, "POST", "accounts/payer/topups", admin, {"amount": "999999999", "memo": "typo"}
    )
    assert first.status == 201
    for amount in ("999999999", "1000000000", "2"):
        more = await do(gateway, "POST", "accounts/payer/topups", admin, {"amount": amount})
        assert (more.status, "billion" in more.error["message"]) == (400, True)
    down = await do(gateway, "POST", "accounts/payer/adjustments", admin, {"amount": "-999999999"})
    assert down.json()["balance"] == "0"
    await gateway.server.store.books.roll()


@pytest.mark.parametrize("amount", ["\u0661\u0662", "1_000", " 5", "5\n", "1e-999999999", "0x1"])
async def test_amounts_that_only_look_like_some(gateway: Gateway, admin: str, amount: str) -> None:
    """Only plain decimals move money."""
    who = await payer(gateway.server.store)
    answer = await do(gateway, "POST", "accounts/payer/topups", admin, {"amount": amount})
    assert answer.status == 400
    assert entries(gateway.server.store.database.path, who.account) == []


@pytest.mark.parametrize(
    ("given", "status"),
    [(0.1 + 0.2, 200), (1e-07, 402), ("1E+1", 200), ("\u0661", 400), ("1e-99999999", 400)],
)
async def test_bounds_of_a_call(gateway: Gateway, given: Any, status: int) -> None:
    """A bound may be what arithmetic made of it; what is below a nanodollar is left out."""
    answer = await ask(gateway.server.port, request(chat(max_cost=given), gateway.key))
    assert answer.status == status


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@x", "\t=1", "\n=1", "\uff1d1"])
def test_no_formulas(text: str) -> None:
    """A cell begins with an apostrophe where a spreadsheet would compute it."""
    assert harmless(text) == "'" + text
    assert harmless("-1.5") == "-1.5"


class Lines(dict[str, str]):
    """Headers as they come, the first line of each name first."""

    def __init__(self, *lines: str) -> None:
        super().__init__({"X-Forwarded-For": lines[0]})
        self.lines = list(lines)

    def getall(self, name: str, default: list[str]) -> list[str]:
        return self.lines if name == "X-Forwarded-For" else default


def test_a_line_of_the_clients_own_is_not_believed() -> None:
    """Some proxies add their line below the client's, rather than to it."""
    proxies = Proxies(["10.0.0.0/8"])
    assert proxies.client_of("10.0.0.1", Lines("6.6.6.6", "1.2.3.4")) == "1.2.3.4"
    assert proxies.client_of("10.0.0.1", Lines("6.6.6.6", "1.2.3.4, 10.0.0.2")) == "1.2.3.4"
    assert proxies.client_of("10.0.0.1", Lines("1.2.3.4")) == "1.2.3.4"


async def test_keys_are_made_by_keys_at_few_removes(gateway: Gateway, admin: str) -> None:
    """All that stand above a key are asked with each read of it: thousands would hold up everyone."""
    body = {"name": "m", "scopes": ["keys:write"]}
    made = await do(gateway, "POST", "keys", admin, body)
    for _ in range(8):
        made = await do(gateway, "POST", "keys", made.json()["key"], body)
        assert made.status == 201
    refused = await do(gateway, "POST", "keys", made.json()["key"], body)
    assert (refused.status, "removes" in refused.error["message"]) == (400, True)
