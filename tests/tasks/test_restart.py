"""Tasks outlive the process: nothing is lost, begun twice, charged twice or spent twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

from msgspec import structs

from gateway.core.derived import derive
from gateway.core.task import Task
from gateway.store.verify import verify
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import SETTLE, Payer, entries, open_calls, payer, sound, until
from tests.rawclient import RawClient, ask, request
from tests.tasks.studio import ADAPTERS, QUICK, SLOW, Client, Studio, catalog, client_of, database


def charged(folder: Path) -> list[tuple[int, int]]:
    rows = entries(database(folder))
    sound(rows)
    return [(row["status"], row["revenue"]) for row in rows if row["kind"] == SETTLE]


async def test_it_goes_on(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """The next process asks for what the one before began, and charges it."""
    text = catalog(fake)
    async with running(tmp_path, text=text, pace=SLOW, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = await client.film()
    assert verify(database(tmp_path)).problems == []
    assert verify(database(tmp_path)).open_tasks == 1
    assert charged(tmp_path) == []
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS) as gateway:
        assert gateway.server.store.books.recovered == 0
        client.port = gateway.server.port
        done = await client.ended(begun["id"])
        assert (done["status"], done["cost"]) == ("succeeded", "1.6")
        assert (await client.file(done)).status == 200
    assert len(studio.jobs) == 1
    assert charged(tmp_path) == [(200, 1_600_000_000)]
    assert verify(database(tmp_path)).problems == []


async def test_its_money_is_still_set_aside(
    tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> None:
    """After a restart nobody can spend what a task that goes on may cost: of wallets, of budgets,
    of limits.
    """
    text = catalog(fake)
    studio.tell = lambda _name, _times: {"state": "running"}
    async with running(tmp_path, text=text, pace=SLOW, adapters=ADAPTERS) as gateway:
        store = gateway.server.store
        payers = [
            await payer(store, 2_000_000_000, name="wallet"),
            await payer(store, 90_000_000_000, name="limit", spend_limit=2_000_000_000),
            await payer(store, 90_000_000_000, name="budget", budget=2_000_000_000),
        ]
        root = await store.keys.create("root")
        narrow = derive(str(root.secret), "sk-maas-", root.key.id, b"1" * 16, b"2" * 32, budget="2")
        payers.append(Payer(1, "derived", narrow))
        tasks = [(await client_of(gateway.server.port, one).film())["id"] for one in payers]
    async with running(tmp_path, text=text, pace=SLOW, adapters=ADAPTERS) as gateway:
        for one, task in zip(payers, tasks, strict=True):
            client = client_of(gateway.server.port, one)
            body = {"model": "film", "prompt": "x", "duration_seconds": 8}
            refused = await client("POST", "videos/generations", body)
            assert (refused.status, refused.error["code"]) == (402, "budget_exhausted"), one.name
            account = await gateway.server.store.books.balance(one.account)
            assert account.held == 1_600_000_000
            assert (await client("POST", f"videos/generations/{task}/cancel", {})).status == 200
            assert (await client("POST", "videos/generations", body)).status == 200
    assert verify(database(tmp_path)).problems == []


async def test_a_price_is_that_of_the_beginning(
    tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> None:
    """What has become of the catalog since changes no charge; the route need not be there."""
    async with running(tmp_path, text=catalog(fake), pace=SLOW, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        first = await client.film()
    dearer = (
        catalog(fake)
        .replace('per_second: "0.2"', 'per_second: "9"')
        .replace("{film: {provider", "{movie: {provider")
    )
    async with running(tmp_path, text=dearer, pace=QUICK, adapters=ADAPTERS) as gateway:
        client.port = gateway.server.port
        assert (await client.ended(first["id"]))["cost"] == "1.6"
    assert verify(database(tmp_path)).problems == []


async def test_a_provider_that_is_gone(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Its tasks wait for it to come back until their deadline, and then cost nothing."""
    async with running(tmp_path, text=catalog(fake), pace=SLOW, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = await client.film()
    gone = catalog(fake).replace("name: main", "name: other").replace("name: spare", "name: more")
    pace = structs.replace(QUICK, grace=0.2)
    async with running(tmp_path, text=gone, pace=pace, adapters=ADAPTERS) as gateway:
        client.port = gateway.server.port
        assert (await client.shown(begun["id"]))["status"] == "pending"
        store = gateway.server.store
        await store.database.write("UPDATE tasks SET deadline = 0")
    async with running(tmp_path, text=gone, pace=pace, adapters=ADAPTERS) as gateway:
        client.port = gateway.server.port
        assert (await client.ended(begun["id"]))["error"]["code"] == "task_deadline"
    assert charged(tmp_path) == [(504, 0)]


async def test_a_song_that_is_waited_for(
    tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> None:
    """A client is answered at once, though the provider takes its time; its file is what came."""
    go_on = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await go_on.wait()
        await exchange.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 4\r\n\r\nsong"
        )

    fake.handler = handler
    text = catalog(fake)
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS, media="off") as gateway:
        client = Client(gateway.server.port, gateway.key)
        answer = await client("POST", "music/generations", {"model": "song", "prompt": "la"})
        begun = answer.json()
        assert begun["id"].startswith("music_")
        assert begun["status"] == "pending"
        shown = (await client("GET", f"music/generations/{begun['id']}")).json()
        assert shown["status"] == "pending"
        go_on.set()
        done = await client.ended(begun["id"], "music/generations")
        assert (done["status"], done["cost"], done["content_type"]) == (
            "succeeded", "0.03", "audio/mpeg"
        )  # fmt: skip
        assert (await client.file(done)).body == b"song"
    assert charged(tmp_path) == [(200, 30_000_000)]


async def test_a_song_that_fails(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Whoever was answered already is told so by the task."""
    fake.handler = lambda exchange: exchange.send_json(400, {"error": {"message": "too loud"}})
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = (await client("POST", "music/generations", {"model": "song", "prompt": "x"})).json()
        done = await client.ended(begun["id"], "music/generations")
        assert (done["status"], done["cost"]) == ("failed", "0")
        assert "too loud" in done["error"]["message"]
        assert done["error"]["code"] == "invalid_request"
    assert charged(tmp_path) == [(400, 0)]
    assert verify(database(tmp_path)).problems == []


async def test_a_song_and_a_fault_of_ours(
    tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> None:
    """What nobody foresaw ends it as well."""
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as gateway:

        async def broken(request: object, channel: object) -> None:
            raise ZeroDivisionError

        gateway.server.site.services.upstream.send = broken  # type: ignore[method-assign]
        client = Client(gateway.server.port, gateway.key)
        begun = (await client("POST", "music/generations", {"model": "song", "prompt": "x"})).json()
        done = await client.ended(begun["id"], "music/generations")
        assert (done["error"]["code"], done["cost"]) == ("internal_error", "0")
    assert charged(tmp_path) == [(500, 0)]


async def test_a_song_that_cannot_be_written_down(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    """Nobody was asked for it, and its money is free again."""

    async def full(task: object) -> None:
        raise OSError("disk full")

    gateway.server.tasks.book.add = full  # type: ignore[method-assign]
    answer = await client("POST", "music/generations", {"model": "song", "prompt": "x"})
    assert (answer.status, answer.error["code"]) == (503, "no_upstream")
    assert charged(tmp_path) == [(503, 0)]
    assert not open_calls(entries(database(tmp_path)))


async def test_who_leaves_as_a_song_is_written_down_has_it(
    gateway: Gateway, client: Client, fake: FakeUpstream, tmp_path: Path
) -> None:
    """It is sung all the same: its money would stay set aside, and it pending, until a restart.
    Who comes again with the same Idempotency-Key does not begin another.
    """
    writing, go_on = asyncio.Event(), asyncio.Event()
    book = gateway.server.tasks.book
    add = book.add

    async def slow(task: Task) -> Task:
        added = await add(task)
        writing.set()
        await go_on.wait()
        return added

    book.add = slow  # type: ignore[method-assign]
    fake.handler = lambda exchange: exchange.send(
        b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 4\r\n\r\nsong"
    )
    async with await RawClient.open(gateway.server.port) as leaving:
        body = b'{"model":"song","prompt":"la"}'
        once = request(
            body, gateway.key, path="/v1/music/generations", headers={"Idempotency-Key": "k"}
        )
        leaving.send(once)
        await writing.wait()
        leaving.abort()
    await gateway.idle()
    go_on.set()
    again = await ask(gateway.server.port, once)
    assert (again.status, again.error["code"]) == (409, "idempotency_in_use")
    (begun,) = (await client("GET", "music/generations")).json()["data"]
    async with asyncio.timeout(10):
        done = await client.ended(begun["id"], "music/generations")
    assert (done["status"], done["cost"]) == ("succeeded", "0.03")
    assert charged(tmp_path) == [(200, 30_000_000)]


async def test_a_song_cut_off(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """What was being waited for when the process ended has failed, and costs nothing."""
    arrived = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        arrived.set()
        await exchange.client_closed()

    fake.handler = handler
    text = catalog(fake)
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS, drain=0.0) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = (await client("POST", "music/generations", {"model": "song", "prompt": "x"})).json()
        await arrived.wait()
    assert verify(database(tmp_path)).problems == []
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS) as gateway:
        client.port = gateway.server.port
        done = await client.ended(begun["id"], "music/generations")
        assert (done["status"], done["error"]["code"]) == ("failed", "interrupted")
    rows = entries(database(tmp_path))
    assert not open_calls(rows)
    assert sum(row["revenue"] for row in rows) == 0
    assert verify(database(tmp_path)).problems == []


async def test_a_song_cannot_be_cancelled(
    tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> None:
    """Its provider makes it, and has its money, whoever still waits: it goes on, and is charged."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        arrived.set()
        await go_on.wait()
        await studio(exchange)

    fake.handler = handler
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = (await client("POST", "music/generations", {"model": "song", "prompt": "x"})).json()
        await arrived.wait()
        path = f"music/generations/{begun['id']}"
        for refused in (await client("POST", f"{path}/cancel", {}), await client("DELETE", path)):
            assert refused.status == 400
            assert "cannot be told to stop" in refused.json()["error"]["message"]
        go_on.set()
        await until(lambda: charged(tmp_path))
    assert [status for status, _ in charged(tmp_path)] == [200]


async def test_a_drain_waits_for_songs(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """What is being handed over when the gateway is stopped gets the time that calls get."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        arrived.set()
        await go_on.wait()
        await exchange.send_json(200, {})

    fake.handler = handler
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        await client("POST", "music/generations", {"model": "song", "prompt": "x"})
        await arrived.wait()
        draining = asyncio.ensure_future(gateway.server.drain())
        await asyncio.sleep(0)
        go_on.set()
        await draining
    assert charged(tmp_path) == [(200, 30_000_000)]
