"""Whose tasks are whose: lists, pages, other accounts, ids that nobody was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.core.derived import derive
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, running
from tests.money import payer
from tests.rawclient import ask, request
from tests.tasks.studio import ADAPTERS, QUICK, Client, Studio, catalog, client_of

ANONYMOUS = """
groups:
  free: {rpm: 100, tpm: 100000, routes: {free: true}}
anonymous: {group: free, rpm: 100, per: ip}
"""


async def test_another_account(gateway: Gateway, client: Client, studio: Studio) -> None:
    """To others a task is as unknown as one that never was, whatever they try."""
    other = client_of(gateway.server.port, await payer(gateway.server.store, 10**9))
    done = await client.ended((await client.film())["id"])
    never = f"video_{'0' * 32}"
    for name in (done["id"], never):
        answers = [
            await other("GET", f"videos/generations/{name}"),
            await other("GET", f"videos/generations/{name}/content"),
            await other("POST", f"videos/generations/{name}/cancel", {}),
            await other("DELETE", f"videos/generations/{name}"),
            await other("GET", f"videos/{name}"),
            await other("GET", f"music/generations/{name}"),
        ]
        assert {answer.status for answer in answers} == {404}
        assert len({answer.body for answer in answers}) == 1
    assert (await other("GET", "videos/generations")).json()["data"] == []
    assert (await other("GET", f"videos/generations?after={done['id']}")).status == 400
    assert (await client.file(done)).status == 200
    assert (await client("GET", f"music/generations/{done['id']}")).status == 404
    raw = request(b"", None, path=done["video_url"], method="GET")
    assert (await ask(gateway.server.port, raw)).status == 401


async def test_derived_keys(gateway: Gateway, studio: Studio) -> None:
    """One sees its own tasks and those of keys derived from it, no others of its account; what it
    may cost is held of its budget.
    """
    made = await gateway.server.store.keys.create("root")

    def derived(secret: str, root: str | None, number: int) -> str:
        return derive(secret, "sk-maas-", root, bytes([number]) * 16, bytes([number]) * 32,
                      budget="5")  # fmt: skip

    first = derived(str(made.secret), made.key.id, 1)
    below, other = derived(first, None, 2), derived(str(made.secret), made.key.id, 3)
    clients = [Client(gateway.server.port, key) for key in (str(made.secret), first, below, other)]
    tasks = [(await client.film())["id"] for client in clients]
    seen = {0: {0, 1, 2, 3}, 1: {1, 2}, 2: {2}, 3: {3}}
    for number, client in enumerate(clients):
        listed = (await client("GET", "videos/generations")).json()["data"]
        assert {tasks.index(task["id"]) for task in listed} == seen[number]
        for place, task in enumerate(tasks):
            answer = await client("GET", f"videos/generations/{task}")
            assert answer.status == (200 if place in seen[number] else 404)
    for task in tasks:
        await clients[0].ended(task)
    refused = await clients[1]("POST", "videos/generations", {"model": "film", "seconds": 10})
    assert (refused.status, "derived key's budget" in refused.error["message"]) == (402, True)


async def test_ids_that_are_none(client: Client) -> None:
    """They are not found, and nothing else happens."""
    for name in (
        "x", "video_", "video_%00", "..%2f..", "video_" + "g" * 32, "video_" + "a" * 31,
        "video_" + "A" * 32, "';%20DROP%20TABLE%20tasks;%20--", "%F0%9F%8E%AC", "a" * 5_000,
        "video_" + "a" * 32 + "/x", "video_" + "a" * 32 + "/content/..", "generations",
    ):  # fmt: skip
        for method in ("GET", "DELETE"):
            answer = await client(method, f"videos/generations/{name}")
            assert (answer.status, answer.error["code"]) == (404, "not_found"), name


async def test_pages(client: Client, studio: Studio) -> None:
    """Newest first, or oldest; on from a cursor, and back."""
    ids = [(await client.film())["id"] for _ in range(5)]

    async def page(query: str) -> dict[str, Any]:
        answer = await client("GET", f"videos/generations?{query}")
        assert answer.status == 200, answer.body
        return answer.json()

    def names(found: dict[str, Any]) -> list[str]:
        return [task["id"] for task in found["data"]]

    newest = ids[::-1]
    assert names(await page("")) == newest
    first = await page("limit=2")
    assert (names(first), first["has_more"]) == (newest[:2], True)
    assert (first["first_id"], first["last_id"]) == (newest[0], newest[1])
    second = await page(f"limit=2&after={first['last_id']}")
    assert (names(second), second["has_more"]) == (newest[2:4], True)
    third = await page(f"limit=2&after={second['last_id']}")
    assert (names(third), third["has_more"]) == (newest[4:], False)
    assert names(await page(f"limit=2&before={third['first_id']}")) == newest[2:4]
    assert names(await page("order=asc&limit=2")) == ids[:2]
    assert names(await page(f"order=asc&limit=2&after={ids[1]}")) == ids[2:4]
    assert names(await page(f"order=asc&limit=9&before={ids[2]}")) == ids[:2]
    for query, param in (
        ("limit=0", "limit"), ("limit=x", "limit"), ("order=up", "order"), ("after=x", "after"),
        (f"after={ids[0]}&before={ids[1]}", "before"), (f"before={'0' * 40}", "before"),
    ):  # fmt: skip
        answer = await client("GET", f"videos/generations?{query}")
        assert (answer.status, answer.error["param"]) == (400, param), query


async def test_without_a_key(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Who sends no key sees what is its own by its id alone: no list shows it to another."""
    free = (
        catalog(fake, ANONYMOUS)
        .replace('per_second: "0.2"', 'per_second: "0"')
        .replace('per_second: "0.5"', 'per_second: "0"')
    )
    async with running(tmp_path, text=free, pace=QUICK, adapters=ADAPTERS) as gateway:

        async def nobody(method: str, path: str, body: bytes = b"") -> Any:
            raw = request(body, None, path=f"/v1/{path}", method=method)
            return await ask(gateway.server.port, raw)

        body = json.dumps({"model": "film", "prompt": "x"}).encode()
        begun = (await nobody("POST", "videos/generations", body)).json()
        shown = begun
        while shown["status"] in ("pending", "running"):
            shown = (await nobody("GET", f"videos/generations/{begun['id']}")).json()
        assert (shown["status"], shown["cost"]) == ("succeeded", "0")
        assert (await nobody("GET", shown["video_url"].removeprefix("/v1/"))).status == 200
        assert (await nobody("GET", "videos/generations")).json()["data"] == []
        client = Client(gateway.server.port, gateway.key)
        assert (await client("GET", f"videos/generations/{begun['id']}")).status == 404


async def test_every_surface(gateway: Gateway, client: Client, studio: Studio) -> None:
    """A file's address lies under the surface that it was asked on."""
    done = await client.ended((await client.film())["id"])
    for surface in ("/v1", "/api/gateway", "/api/gateway/v1"):
        path = f"{surface}/videos/generations/{done['id']}"
        shown = await ask(gateway.server.port, request(b"", client.key, path=path, method="GET"))
        url = shown.json()["video_url"]
        assert url == f"{path}/content"
        film = await ask(gateway.server.port, request(b"", client.key, path=url, method="GET"))
        assert film.status == 200


async def test_bodies_that_are_wrong(client: Client, studio: Studio) -> None:
    """The field at fault is named."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"prompt": "x"}, "model"),
        ({"model": "film", "prompt": 7}, "prompt"),
        ({"model": "film", "stream": True}, "stream"),
        ({"model": "film", "webhook": ""}, "webhook"),
    ]
    for body, param in wrong:
        answer = await client("POST", "videos/generations", body)
        assert (answer.status, answer.error["param"]) == (400, param)
    assert not studio.jobs


async def test_the_wrong_place(client: Client, studio: Studio) -> None:
    """A model is asked where its kind is."""
    answer = await client("POST", "videos/generations", {"model": "song", "prompt": "x"})
    assert (answer.status, "/v1/music/generations" in answer.error["message"]) == (400, True)
    done = await client.ended((await client.film())["id"])
    remix = await client("POST", f"videos/{done['id']}/remix", {"prompt": "x"})
    assert (remix.status, remix.error["code"]) == (501, "not_implemented")
    thumbnail = await client("GET", f"videos/{done['id']}/content?variant=thumbnail")
    assert (thumbnail.status, thumbnail.error["param"]) == (400, "variant")
    assert (await client("PUT", f"videos/{done['id']}")).status == 405
    quote = await client("POST", "quote", {"model": "film", "prompt": "x", "duration_seconds": 8})
    assert quote.json()["routes"][0]["max_cost"] == "1.6"
