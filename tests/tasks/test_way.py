"""The way of a task: begun, asked for, charged, shown; and everything that can end it otherwise."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from msgspec import structs

from gateway.store.verify import verify
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import SETTLE, entries, open_calls, payer, sound, until
from tests.rawclient import RawClient, request
from tests.tasks.studio import (
    ADAPTER,
    ADAPTERS,
    FILM,
    JOB,
    QUICK,
    SLOW,
    Client,
    Studio,
    catalog,
    client_of,
)


def settled(gateway: Gateway) -> list[tuple[int, int]]:
    """Status and charge of each settlement."""
    rows = entries(gateway.server.store.database.path)
    sound(rows)
    return [(row["status"], row["revenue"]) for row in rows if row["kind"] == SETTLE]


async def test_a_film(gateway: Gateway, client: Client, studio: Studio) -> None:
    """Pending, running, succeeded; its price is set aside at once, and charged when it is done."""
    begun = await client.film()
    assert begun["id"].startswith("video_")
    assert (begun["status"], begun["cost"], begun["duration_seconds"]) == ("pending", None, 8.0)
    assert "video_url" not in begun
    (hold,) = entries(gateway.server.store.database.path)
    assert (hold["held"], hold["estimate"]) == (1_600_000_000, 0)
    done = await client.ended(begun["id"])
    assert (done["status"], done["progress"], done["cost"]) == ("succeeded", 100, "1.6")
    assert done["video_url"] == f"/v1/videos/generations/{begun['id']}/content"
    assert (await client.file(done)).body == FILM
    assert settled(gateway) == [(200, 1_600_000_000)]
    assert len(studio.keys["j0"]) == 1
    assert studio.jobs["j0"] == {"model": "film", "prompt": "rain", "duration_seconds": 8}
    assert verify(gateway.server.store.database.path).problems == []


async def test_what_it_costs(gateway: Gateway, client: Client, studio: Studio) -> None:
    """By what the provider says it made, or else by what was asked for."""
    cases: list[tuple[dict[str, Any], dict[str, Any], int]] = [
        ({}, {"ms": 5_000}, 1_000_000_000),  # as the provider counts
        ({"resolution": "1080p"}, {}, 4_000_000_000),  # by its size
        ({}, {"ms": 10_000}, 2_000_000_000),  # longer than asked for
        ({}, {"ms": -1}, 1_600_000_000),  # nonsense
        ({}, {"ms": 3_600_000}, 1_600_000_000),  # an hour, of eight seconds
        ({"resolution": "1080P"}, {}, 4_000_000_000),  # which its host takes as well
    ]
    for asked, told, _ in cases:
        studio.tell = lambda name, _, told=told: studio.done(name, **told)
        assert (await client.ended((await client.film(**asked))["id"]))["status"] == "succeeded"
    assert settled(gateway) == [(200, charge) for _, _, charge in cases]
    assert verify(gateway.server.store.database.path).problems == []


async def test_no_more_than_there_is(gateway: Gateway, studio: Studio) -> None:
    """Who has less than it turned out to cost is charged what was there."""
    poor = client_of(gateway.server.port, await payer(gateway.server.store, 1_700_000_000))
    studio.tell = lambda name, _: studio.done(name, ms=20_000)
    assert (await poor.ended((await poor.film())["id"]))["cost"] == "1.7"
    refused = await poor("POST", "videos/generations", {"model": "film", "prompt": "x"})
    assert (refused.status, refused.error["code"]) == (402, "budget_exhausted")
    assert len(studio.jobs) == 1
    assert verify(gateway.server.store.database.path).problems == []


async def test_failure_is_free(gateway: Gateway, client: Client, studio: Studio) -> None:
    """What the provider could not do is told in its words, and costs nothing."""
    studio.tell = lambda _name, _times: {
        "state": "failed", "code": "unsafe",
        "message": "no rain, sk-abcdefghijklmnop0123456789 sk-upstream-secret-0001 sk-two-0002",
    }  # fmt: skip
    done = await client.ended((await client.film())["id"])
    assert (done["status"], done["cost"]) == ("failed", "0")
    assert done["error"]["code"] == "unsafe"
    assert "no rain" in done["error"]["message"]
    for secret in ("sk-abc", *(str(key).split()[1] for key in studio.keys["j0"])):
        assert secret not in done["error"]["message"]
    assert "video_url" not in done
    assert settled(gateway) == [(502, 0)]
    content = await client("GET", f"videos/generations/{done['id']}/content")
    assert (content.status, "has failed" in content.error["message"]) == (400, True)


async def test_a_lost_film(gateway: Gateway, client: Client, studio: Studio) -> None:
    """A provider that knows nothing of it any more has failed."""
    begun = await client.film()
    studio.jobs.clear()
    done = await client.ended(begun["id"])
    assert (done["status"], done["error"]["code"]) == ("failed", "task_lost")
    assert settled(gateway) == [(502, 0)]


async def test_questions_may_fail(gateway: Gateway, client: Client, studio: Studio) -> None:
    """A provider that is out of order for a while loses nothing."""
    odd = [
        {"status": 404}, {"status": 500}, {"status": 429}, {"state": "dancing"}, {"status": 401},
        {"state": "running", "percent": "x"}, {"state": "running", "percent": 700}, {"nothing": 1},
    ]  # fmt: skip
    studio.tell = lambda name, times: (
        dict(odd[times - 1]) if times <= len(odd) else studio.done(name)
    )
    done = await client.ended((await client.film())["id"])
    assert done["status"] == "succeeded"
    assert studio.asked["j0"] == len(odd) + 1
    assert settled(gateway) == [(200, 1_600_000_000)]


async def test_a_deadline(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """What takes too long is given up, at the provider as well; nothing is charged."""
    studio.tell = lambda _name, _times: {"state": "running"}
    pace = structs.replace(QUICK, deadline=0.1)
    async with running(tmp_path, text=catalog(fake), pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        done = await client.ended((await client.film())["id"])
        assert (done["status"], done["error"]["code"]) == ("failed", "task_deadline")
        assert settled(gateway) == [(504, 0)]
        await until(lambda: studio.stopped == ["j0"])


async def test_cancelled(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Whoever changes their mind pays nothing; what is over cannot be cancelled."""
    async with running(tmp_path, text=catalog(fake), pace=SLOW, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = await client.film()
        answer = await client("POST", f"videos/generations/{begun['id']}/cancel", {})
        assert (answer.status, answer.json()["status"]) == (200, "failed")
        assert answer.json()["error"]["code"] == "cancelled"
        await until(lambda: studio.stopped == ["j0"])
        assert settled(gateway) == [(499, 0)]
        again = await client("POST", f"videos/generations/{begun['id']}/cancel", {})
        assert (again.status, "is over" in again.error["message"]) == (400, True)


async def test_what_cannot_be_stopped(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Work that its provider does whatever is said is not given up, or it would be had for nothing;
    once it has ended it is charged, and can be deleted.
    """
    films = ADAPTER.operations["videos"]
    job = structs.replace(JOB, cancel=None)
    deaf = structs.replace(ADAPTER, operations={"videos": structs.replace(films, job=job)})
    adapters = {"openai-compatible": deaf}
    go_on = asyncio.Event()
    studio.tell = lambda name, _: studio.done(name) if go_on.is_set() else {"state": "running"}
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=adapters) as gateway:
        client = Client(gateway.server.port, gateway.key)
        path = f"videos/generations/{(await client.film())['id']}"
        for answer in (await client("POST", f"{path}/cancel", {}), await client("DELETE", path)):
            assert (answer.status, "cannot be told to stop" in answer.error["message"]) == (
                400,
                True,
            )
        go_on.set()
        done = await client.ended(path.rpartition("/")[2])
        assert done["status"] == "succeeded"
        assert settled(gateway) == [(200, 1_600_000_000)]
        assert (await client("DELETE", path)).json()["deleted"] is True


async def test_deleted(gateway: Gateway, client: Client, studio: Studio) -> None:
    """A deleted one is as unknown as one that never was, and its file is gone."""
    done = await client.ended((await client.film())["id"])
    folder = gateway.server.store.database.path.with_name("gateway.sqlite.media")
    assert [path.name for path in folder.iterdir()] == [done["id"]]
    answer = await client("DELETE", f"videos/generations/{done['id']}")
    assert answer.json()["deleted"] is True
    assert list(folder.iterdir()) == []
    for path in ("", "/content"):
        assert (await client("GET", f"videos/generations/{done['id']}{path}")).status == 404
    assert (await client("GET", "videos/generations")).json()["data"] == []
    studio.tell = lambda _name, _times: {"state": "running"}
    begun = await client.film()
    assert (await client("DELETE", f"videos/generations/{begun['id']}")).status == 200
    await until(lambda: studio.stopped == ["j1"])
    assert settled(gateway) == [(200, 1_600_000_000), (499, 0)]
    assert not open_calls(entries(gateway.server.store.database.path))


async def test_who_leaves_has_a_task(gateway: Gateway, client: Client, studio: Studio) -> None:
    """What was handed over when its client left is found in the list."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        if exchange.request.method == "POST":
            arrived.set()
            await go_on.wait()
        await studio(exchange)

    studio.fake.handler = handler
    body = b'{"model":"film","prompt":"rain"}'
    async with await RawClient.open(gateway.server.port) as leaving:
        leaving.send(request(body, gateway.key, path="/v1/videos/generations"))
        await arrived.wait()
        leaving.abort()
    await gateway.idle()
    go_on.set()
    found: list[dict[str, Any]] = []
    while not found:
        found = (await client("GET", "videos/generations")).json()["data"]
    assert (await client.ended(found[0]["id"]))["status"] == "succeeded"
    assert settled(gateway) == [(200, 800_000_000)]


async def test_never_handed_over_twice(gateway: Gateway, client: Client, studio: Studio) -> None:
    """Where the work may have been begun, nobody else is asked for it, and nothing is charged."""

    async def handler(exchange: Exchange) -> None:
        exchange.cut()

    studio.fake.handler = handler
    answer = await client("POST", "videos/generations", {"model": "film", "prompt": "x"})
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert len(studio.fake.requests) == 1
    assert settled(gateway) == [(502, 0)]


async def test_handed_to_another(gateway: Gateway, client: Client, studio: Studio) -> None:
    """A refusal lets another credential try; whoever took the work is asked for it ever after."""
    refused: list[str | None] = []

    async def handler(exchange: Exchange) -> None:
        if exchange.request.method == "POST" and not refused:
            refused.append(exchange.request.header("authorization"))
            await exchange.send_json(429, {"error": {"message": "slow down"}})
            return
        await studio(exchange)

    studio.fake.handler = handler
    done = await client.ended((await client.film())["id"])
    assert done["status"] == "succeeded"
    (taken,) = studio.keys["j0"]
    assert taken not in refused


async def test_storage_that_fails(gateway: Gateway, client: Client, studio: Studio) -> None:
    """What cannot be written down is given up at the provider, and not charged."""
    book = gateway.server.tasks.book

    async def full(task: object) -> None:
        raise OSError("disk full")

    book.add, add = full, book.add  # type: ignore[method-assign]
    answer = await client("POST", "videos/generations", {"model": "film", "prompt": "x"})
    assert (answer.status, answer.error["code"]) == (503, "no_upstream")
    await until(lambda: studio.stopped == ["j0"])
    assert settled(gateway) == [(503, 0)]
    book.add = add  # type: ignore[method-assign]
    assert (await client.ended((await client.film())["id"]))["status"] == "succeeded"


async def test_an_end_is_written_when_it_can_be(
    gateway: Gateway, client: Client, studio: Studio
) -> None:
    """Storage that comes back finds the end that it could not take, once."""
    book = gateway.server.tasks.book
    finish, failures = book.finish, [OSError("full"), OSError("full")]

    async def sometimes(task: Any, money: Any) -> bool:
        if failures:
            raise failures.pop()
        return await finish(task, money)

    book.finish = sometimes  # type: ignore[method-assign]
    begun = await client.film()
    await until(lambda: not failures and not gateway.server.tasks.going.live)
    assert (await client.shown(begun["id"]))["cost"] == "1.6"
    assert settled(gateway) == [(200, 1_600_000_000)]


async def test_done_once_for_its_key(gateway: Gateway, client: Client, studio: Studio) -> None:
    """An Idempotency-Key gives the same task to whoever repeats the request."""
    body = {"model": "film", "prompt": "rain"}
    first = await client("POST", "videos/generations", body, Idempotency_Key="k")
    again = await client("POST", "videos/generations", body, Idempotency_Key="k")
    assert first.json() == again.json()
    assert len(studio.jobs) == 1
    other = await client("POST", "videos/generations", body | {"seconds": 9}, Idempotency_Key="k")
    assert other.status == 422
