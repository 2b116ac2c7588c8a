"""The admin API: who may, what it does, what it refuses; and what users see of their own."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.domain import Account, Key
from gateway.errors import Fault
from gateway.web.admin import ROUTES
from gateway.web.admin.keys import NewKey, _check_narrower
from gateway.web.admin.openapi import OPERATIONS, describe
from gateway.web.app import ON_SURFACES
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, running
from tests.rawclient import Answer, ask, chat, request

ADMIN = ["inference", "usage:read", "keys:write", "admin"]


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, fake.url + "/v1") as served:
        yield served


@pytest.fixture
async def admin(gateway: Gateway) -> str:
    return str((await gateway.server.store.keys.create("admin", scopes=ADMIN)).secret)


async def do(
    gateway: Gateway, method: str, path: str, key: str | None, body: Any = None, **headers: str
) -> Answer:
    raw = b"" if body is None else json.dumps(body).encode()
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return await ask(gateway.server.port, request(raw, key, path=path, method=method, headers=more))


async def account(gateway: Gateway, admin: str, name: str = "acme", **more: Any) -> Any:
    made = await do(gateway, "POST", "/admin/v1/accounts", admin, {"name": name, **more})
    assert made.status == 201, made.body
    return made.json()


def every_operation() -> list[tuple[str, str]]:
    return [
        (path.replace("{id}", "x"), method.upper())
        for path, method in OPERATIONS
        if path.startswith("/admin/")
    ]


@pytest.mark.parametrize(("path", "method"), every_operation())
async def test_only_admins(gateway: Gateway, path: str, method: str) -> None:
    """Without a key, with a bad one, or with a user's, no admin endpoint does anything."""
    user = str((await gateway.server.store.keys.create("user")).secret)
    body = None if method in ("GET", "DELETE") else {}
    for key, status, code in (
        (None, 401, "authentication_error"),
        ("sk-maas-wrong", 401, "authentication_error"),
        (user, 403, "insufficient_scope"),
    ):
        answer = await do(gateway, method, path, key, body)
        assert (answer.status, answer.json()["error"]["code"]) == (status, code)


async def test_credentials_lie_where_the_document_says(gateway: Gateway, admin: str) -> None:
    """A provider and a name are two places of the path; letting one back in takes no body."""
    state = (await do(gateway, "GET", "/admin/v1/credentials", admin)).json()["data"][0]
    told = [path for path, _ in OPERATIONS if path.startswith("/admin/v1/credentials/")]
    bench, restore = (path.format(provider=state["provider"], name="main") for path in told)
    away = await do(gateway, "POST", bench, admin, {"seconds": 60})
    assert (away.status, away.json()["why"]) == (200, "admin")
    back = await do(gateway, "POST", restore, admin)
    assert (back.status, back.json()["phase"]) == (200, "closed")


def test_the_document_names_every_path() -> None:
    """What is served and what is described are the same; every reference resolves."""
    described = {path for path, _ in OPERATIONS}
    for path, (_, actions) in ROUTES.items():
        mine = {
            (p, m) for p, m in OPERATIONS if p == path or (p.startswith(path) and path[-1] == "/")
        }
        assert {m.upper() for _, m in mine} == set(actions), path
    for name in ("key", "usage", "balance", "receipts/", "quote"):
        assert f"/v1/{name}" + ("{id}" if name.endswith("/") else "") in described
        assert name in ON_SURFACES
    document = describe("1")
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    used = set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))
    assert used <= known
    ids = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(ids) == len(set(ids))
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


def fits(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    """A small checker of the few schema words that the document uses."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    types = schema.get("type", "object")
    names = {
        "object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
        "null": type(None), "number": (int, float),
    }  # fmt: skip
    if not any(isinstance(value, names[t]) for t in ([types] if isinstance(types, str) else types)):
        return False
    if isinstance(value, dict) and not set(schema.get("required", ())) <= value.keys():
        return False
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return all(fits(value[n], s, document) for n, s in fields.items() if n in value)
    if isinstance(value, list):
        return all(fits(item, schema["items"], document) for item in value)
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


async def test_answers_are_as_described(gateway: Gateway, admin: str) -> None:
    """Every list and object fits its schema in the document that is served."""
    mine = await account(gateway, admin)
    await do(gateway, "POST", f"/admin/v1/accounts/{mine['id']}/topups", admin, {"amount": "3"})
    await ask(gateway.server.port, request(chat(), gateway.key))
    document = (await do(gateway, "GET", "/admin/v1/openapi.json", admin)).json()
    for path, methods in document["paths"].items():
        if "get" not in methods or "{id}" in path or path.endswith("export"):
            continue
        answer = await do(gateway, "GET", path, admin)
        assert answer.status == 200, path
        schema = methods["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert fits(answer.json(), schema, document), (path, answer.json())


async def test_a_wallet(gateway: Gateway, admin: str, fake: FakeUpstream) -> None:
    """An account is opened, topped up, spent from by its key, and corrected."""
    mine = await account(gateway, admin, group=None, credit="0")
    made = await do(gateway, "POST", "/admin/v1/keys", admin, {"name": "k", "account": mine["id"]})
    key = made.json()["key"]
    poor = await ask(gateway.server.port, request(chat(), key))
    assert (poor.status, poor.json()["error"]["code"]) == (402, "budget_exhausted")
    assert not fake.requests
    at = f"/admin/v1/accounts/{mine['id']}"
    rich = await do(gateway, "POST", f"{at}/topups", admin, {"amount": "5.00", "memo": "cash"})
    assert rich.json()["balance"] == "5"
    served = await ask(gateway.server.port, request(chat(), key))
    assert served.status == 200
    cost = dict(served.headers)["x-gateway-cost"]
    left = (await do(gateway, "GET", at, admin)).json()
    assert float(left["balance"]) == pytest.approx(5 - float(cost), abs=1e-12)
    assert float(left["charged"]) == float(cost) > 0
    balance = (await do(gateway, "GET", "/v1/balance", key)).json()
    assert (balance["balance"], balance["held"]) == (left["balance"], "0")
    await do(gateway, "POST", f"{at}/adjustments", admin, {"amount": "-4.9", "memo": "oops"})
    again = (await do(gateway, "GET", at, admin)).json()
    assert float(again["balance"]) == pytest.approx(0.1 - float(cost), abs=1e-12)
    listed = (await do(gateway, "GET", "/admin/v1/calls?limit=5", admin)).json()["data"]
    assert [(c["status"], c["cost"], c["account"]) for c in listed] == [
        (200, cost.rstrip("0"), mine["id"])
    ]
    acts = [e["act"] for e in (await do(gateway, "GET", "/admin/v1/audit", admin)).json()["data"]]
    assert acts == ["account.create", "key.create", "account.topup", "account.adjust"]


async def test_receipts_are_the_owners(gateway: Gateway, admin: str) -> None:
    """A receipt is shown to its own account; to others it is as unknown as one that never was."""
    served = await ask(gateway.server.port, request(chat(), gateway.key))
    call = dict(served.headers)["x-request-id"]
    receipt = (await do(gateway, "GET", f"/v1/receipts/{call}", gateway.key)).json()
    assert receipt["verified"] is True
    assert float(receipt["charged"]) == float(dict(served.headers)["x-gateway-cost"])
    assert [line["name"] for line in receipt["lines"]] == ["input_per_mtok", "output_per_mtok"]
    assert receipt["usage"] == served.json().get("usage")
    mine = await account(gateway, admin, credit=None)
    stranger = (
        await do(gateway, "POST", "/admin/v1/keys", admin, {"name": "k", "account": mine["id"]})
    ).json()["key"]
    theirs = await do(gateway, "GET", f"/v1/receipts/{call}", stranger)
    never = await do(gateway, "GET", "/v1/receipts/req_0000000000000000000001", stranger)
    assert theirs.status == never.status == 404
    assert theirs.body == never.body
    for odd in ("x", "req_", call + "0" * 300, "%27%20OR%201", "req_" + "g" * 22):
        assert (await do(gateway, "GET", f"/v1/receipts/{odd}", gateway.key)).status == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("accounts", {}),
        ("accounts", {"name": "a", "surprise": 1}),
        ("accounts", {"name": ""}),
        ("accounts", {"name": "a", "credit": "-1"}),
        ("accounts", {"name": "a", "credit": "abc"}),
        ("accounts", {"name": "a", "credit": "1e30"}),
        ("accounts", {"name": "a", "credit": "0.0000000001"}),
        ("accounts", {"name": "a", "period": "year"}),
        ("accounts", {"name": "default"}),
        ("accounts/acc_default/topups", {"amount": "0"}),
        ("accounts/acc_default/topups", {"amount": "-1"}),
        ("accounts/acc_default/topups", {"amount": "NaN"}),
        ("accounts/acc_default/topups", {"amount": 5}),
        ("accounts/acc_default/adjustments", {"amount": "0"}),
        ("keys", {"name": "k", "scopes": ["root"]}),
        ("keys", {"name": "k", "scopes": []}),
        ("keys", {"name": "k", "rpm": 0}),
        ("keys", {"name": "k", "rpm": 1 << 70}),
        ("keys", {"name": "k", "ips": ["999.1.1.1"]}),
        ("keys", {"name": "k", "account": "nobody"}),
        ("keys", {"name": "k", "budget": "x"}),
        ("keys", {"name": "k", "period": "year"}),
    ],
)
async def test_nonsense_is_refused(gateway: Gateway, admin: str, path: str, body: Any) -> None:
    """A body that cannot be meant is a 400 with words, and changes nothing."""
    before = (await do(gateway, "GET", "/admin/v1/audit", admin)).json()["data"]
    answer = await do(gateway, "POST", f"/admin/v1/{path}", admin, body)
    assert (answer.status, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert len(answer.json()["error"]["message"]) > 10
    assert (await do(gateway, "GET", "/admin/v1/audit", admin)).json()["data"] == before


async def test_the_catalog_read_again(gateway: Gateway, admin: str) -> None:
    """At once and by word; a bad file is refused with its lines, and the old one serves on."""
    before = (await do(gateway, "GET", "/admin/v1/catalog", admin)).json()
    good = gateway.catalog_path.read_text()
    gateway.catalog_path.write_text(good.replace("name: Fake", "name: Other"))
    after = await do(gateway, "POST", "/admin/v1/catalog/reload", admin)
    told = describe("1")["paths"]["/admin/v1/catalog/reload"]["post"]["responses"]
    assert set(told) == {"200", "default"}
    assert (after.status, after.json()["object"]) == (200, "catalog")
    assert after.json()["revision"] != before["revision"]
    gateway.catalog_path.write_text("surprise: 1\n" + good)
    refused = await do(gateway, "POST", "/admin/v1/catalog/reload", admin)
    assert refused.status == 400
    assert "yaml:1: surprise: unknown key" in refused.json()["error"]["message"]
    now = (await do(gateway, "GET", "/admin/v1/catalog", admin)).json()
    assert (now["revision"], "surprise" in now["last_error"]) == (after.json()["revision"], True)
    audit = (await do(gateway, "GET", "/admin/v1/audit", admin)).json()["data"]
    assert [row["subject"] for row in audit if row["act"] == "catalog.reload"] == [now["revision"]]


@pytest.mark.parametrize("odd", ["'; DROP TABLE keys; --", "%", "_", "a\r\nx: y", '"', "\x00", "é"])
async def test_odd_words_are_only_words(gateway: Gateway, admin: str, odd: str) -> None:
    """No parameter of a search is anything but a value."""
    from urllib.parse import quote

    for path in ("calls", "flagged", "usage", "keys"):
        for name in ("account", "key", "model", "route", "provider", "flag", "after", "by"):
            answer = await do(gateway, "GET", f"/admin/v1/{path}?{name}={quote(odd)}", admin)
            assert answer.status in (200, 400), (path, name, answer.body)
            if answer.status == 200 and name in ("account", "key", "model", "route", "provider"):
                wanted = path != "keys" or name == "account"
                assert not wanted or answer.json()["data"] == []


async def test_repeated_posts_act_once(gateway: Gateway, admin: str) -> None:
    """One Idempotency-Key, one top-up: the answer is repeated; another body is refused."""
    mine = await account(gateway, admin)
    path = f"/admin/v1/accounts/{mine['id']}/topups"
    first = await do(gateway, "POST", path, admin, {"amount": "5"}, Idempotency_Key="one")
    again = await do(gateway, "POST", path, admin, {"amount": "5"}, Idempotency_Key="one")
    assert (first.status, first.body) == (again.status, again.body)
    assert dict(again.headers)["x-gateway-replayed"] == "true"
    other = await do(gateway, "POST", path, admin, {"amount": "6"}, Idempotency_Key="one")
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    refused = await do(gateway, "POST", path, admin, {"amount": "x"}, Idempotency_Key="two")
    assert refused.status == 400
    mended = await do(gateway, "POST", path, admin, {"amount": "1"}, Idempotency_Key="two")
    assert mended.json()["balance"] == "6"
    at_once = await asyncio.gather(
        *[
            do(gateway, "POST", path, admin, {"amount": "1"}, Idempotency_Key="three")
            for _ in range(8)
        ]
    )
    assert {answer.status for answer in at_once} <= {201, 409}
    shown = await do(gateway, "GET", f"/admin/v1/accounts/{mine['id']}", admin)
    assert shown.json()["balance"] == "7"


async def test_calls_are_made_once(gateway: Gateway, fake: FakeUpstream) -> None:
    """The same for calls, streamed or not: the provider is asked once, the money spent once."""
    for stream in (False, True):
        before = len(fake.requests)
        body = chat(stream=stream)
        key = f"call-{stream}"
        first = await do(
            gateway, "POST", "/v1/chat/completions", gateway.key, body, Idempotency_Key=key
        )
        again = await do(
            gateway, "POST", "/v1/chat/completions", gateway.key, body, Idempotency_Key=key
        )
        assert (first.status, first.body) == (again.status, again.body) == (200, first.body)
        assert len(fake.requests) == before + 1
        other = chat(stream=stream, user="other")
        answer = await do(
            gateway, "POST", "/v1/chat/completions", gateway.key, other, Idempotency_Key=key
        )
        assert answer.status == 422
    store = gateway.server.store
    await store.ledger.flush()
    rows = await store.database.read("SELECT count(*) FROM entries WHERE kind = 3")
    assert rows[0][0] == 2


async def test_export(gateway: Gateway, admin: str) -> None:
    """Every entry, in both forms; no cell can become a formula."""
    mine = await account(gateway, admin, name="=HYPERLINK(1)")
    topup = {"amount": "2", "memo": "=1+1"}
    await do(gateway, "POST", f"/admin/v1/accounts/{mine['id']}/topups", admin, topup)
    for _ in range(3):
        await ask(gateway.server.port, request(chat(), gateway.key))
    await gateway.server.store.ledger.flush()
    lines = (await do(gateway, "GET", "/admin/v1/ledger/export", admin)).body.splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["seq"] for row in rows] == list(range(1, 8))
    assert [row["kind"] for row in rows] == ["topup", *["hold", "settle"] * 3]
    table = (await do(gateway, "GET", "/admin/v1/ledger/export?format=csv", admin)).body.decode()
    assert len(table.splitlines()) == 8
    assert "'=1+1" in table
    assert "-2" in table


async def test_usage(gateway: Gateway, admin: str) -> None:
    """Sums by what was asked, before and after they were rolled up."""
    for _ in range(3):
        await ask(gateway.server.port, request(chat(), gateway.key))
    store = gateway.server.store
    await store.ledger.flush()
    seen = []
    for _ in range(2):
        answer = await do(gateway, "GET", "/admin/v1/usage?by=model,key", admin)
        seen.append(answer.json()["data"])
        await store.books.roll()
    assert seen[0] == seen[1]
    assert [(row["model"], row["calls"]) for row in seen[0]] == [("fake-model", 3)]
    mine = (await do(gateway, "GET", "/v1/usage?by=route", gateway.key)).json()["data"]
    assert [(row["route"], row["calls"], row["cost"]) for row in mine] == [
        ("fake-slug", 3, seen[0][0]["cost"])
    ]
    bad = await do(gateway, "GET", "/admin/v1/usage?by=weather", admin)
    assert bad.status == 400


async def test_revoking_takes_the_offspring_along(gateway: Gateway, admin: str) -> None:
    """Keys made with a key go with it, at once."""
    maker = await gateway.server.store.keys.create("m", scopes=["inference", "keys:write"])
    made = await do(
        gateway, "POST", "/admin/v1/keys", str(maker.secret), {"name": "c", "scopes": ["inference"]}
    )
    child = made.json()
    assert child["parent"] == maker.key.id
    assert (await ask(gateway.server.port, request(chat(), child["key"]))).status == 200
    assert (await do(gateway, "DELETE", f"/admin/v1/keys/{maker.key.id}", admin)).status == 200
    for key in (child["key"], str(maker.secret)):
        answer = await ask(gateway.server.port, request(chat(), key))
        assert (answer.status, answer.json()["error"]["code"]) == (401, "authentication_error")


async def test_a_manager_sees_its_own_account(gateway: Gateway, admin: str) -> None:
    """keys:write reaches no other account's keys."""
    mine = await account(gateway, admin)
    body = {"name": "m", "account": mine["id"], "scopes": ["keys:write"]}
    manager = (await do(gateway, "POST", "/admin/v1/keys", admin, body)).json()
    listed = (await do(gateway, "GET", "/admin/v1/keys?account=default", manager["key"])).json()
    assert [row["id"] for row in listed["data"]] == [manager["id"]]
    (other,) = [k.id for k in await gateway.server.store.keys.list() if k.name == "test"]
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/revoke")):
        answer = await do(gateway, method, f"/admin/v1/keys/{other}{path}", manager["key"])
        assert answer.status == 404
    wider = {"name": "x", "account": "default", "scopes": ["keys:write"]}
    assert (await do(gateway, "POST", "/admin/v1/keys", manager["key"], wider)).status == 403


PATTERNS = st.sampled_from(["*", "gpt-*", "gpt-4", "gpt-?", "claude", "[a-z]*", "gpt-4*"])
NAMES = ("gpt-4", "gpt-5", "claude", "gpt-4o", "x")


@settings(max_examples=300)
@given(
    mine=st.fixed_dictionaries(
        {
            "allow": st.lists(PATTERNS, max_size=2).map(tuple),
            "rpm": st.none() | st.integers(1, 5),
            "budget": st.none() | st.integers(0, 5_000_000_000),
            "expires_at": st.none() | st.integers(1, 5),
            "ips": st.sampled_from([(), ("10.0.0.0/8",), ("10.1.0.0/16",)]),
            "scopes": st.sampled_from([("keys:write",), ("keys:write", "inference")]),
        }
    ),
    theirs=st.fixed_dictionaries(
        {
            "allow": st.lists(PATTERNS, max_size=2),
            "rpm": st.none() | st.integers(1, 5),
            "budget": st.none() | st.sampled_from(["0", "1", "5"]),
            "expires_at": st.none() | st.integers(1, 5),
            "ips": st.sampled_from([[], ["10.0.0.0/8"], ["10.1.2.0/24"], ["::/0"]]),
            "scopes": st.sampled_from([["inference"], ["keys:write"], ["admin"]]),
        }
    ),
)
def test_no_key_is_wider_than_its_maker(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Whatever is not refused can do nothing that its maker cannot."""
    from fnmatch import fnmatchcase

    account = Account(n=1, id="a", name="a", created_at=0)
    me = Key(id="k", name="k", prefix="", created_at=0, account=account, **mine)
    wanted = NewKey(name="n", **theirs)
    try:
        _check_narrower(me, wanted)
    except Fault:
        return

    def may(patterns: Any, name: str) -> bool:
        return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)

    assert all(may(me.allow, name) for name in NAMES if may(wanted.allow, name))
    assert set(wanted.scopes) <= set(me.scopes)
    for limit in ("rpm", "expires_at"):
        most = getattr(me, limit)
        assert most is None or getattr(wanted, limit) <= most
    assert me.budget is None or int(wanted.budget or 99) * 10**9 <= me.budget
    assert not me.ips or wanted.ips == ["10.1.2.0/24"] or "10.0.0.0/8" in me.ips
