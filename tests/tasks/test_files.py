"""The files of tasks: whole or in part, kept or passed through, never from where they must not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.harness import Gateway, running
from tests.money import until
from tests.rawclient import RawClient, request
from tests.tasks.studio import ADAPTERS, FILM, QUICK, Client, Studio, catalog, send_file

SIZE = len(FILM)


@pytest.fixture(params=["kept", "off"])
async def either(
    request: pytest.FixtureRequest, tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> AsyncIterator[Client]:
    """A gateway that keeps files, and one that passes them through."""
    media = None if request.param == "kept" else "off"
    text = catalog(fake)
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS, media=media) as gateway:
        yield Client(gateway.server.port, gateway.key)
        kept = (tmp_path / "gateway.sqlite.media").exists()
        assert kept == (media is None)


async def test_a_part(either: Client) -> None:
    """A range is answered with it, whether the file is here or not."""
    wanted, part, told = "bytes=100-299", FILM[100:300], f"bytes 100-299/{SIZE}"
    done = await either.ended((await either.film())["id"])
    answer = await either.file(done, Range=wanted)
    assert (answer.status, answer.body) == (206, part)
    assert answer.header("content-range") == told
    assert answer.header("content-type") == "video/mp4"
    assert answer.header("content-length") == str(len(part))


async def test_the_head(either: Client) -> None:
    """Length and kind without the file."""
    done = await either.ended((await either.film())["id"])
    async with await RawClient.open(either.port) as client:
        client.send(request(b"", either.key, path=done["video_url"], method="HEAD"))
        answer = await client.head()
        assert (answer.status, answer.header("content-length")) == (200, str(SIZE))
        client.send(request(b"", either.key, path=done["video_url"], method="GET"))
        assert (await client.answer()).body == FILM


async def test_parts_of_a_kept_file(client: Client) -> None:
    """Every way to say one; and what is none is answered with the whole."""
    done = await client.ended((await client.film())["id"])
    for wanted, first, last in (
        ("bytes=-10", SIZE - 10, SIZE - 1),
        ("bytes=10-", 10, SIZE - 1),
        ("bytes=0-99999999", 0, SIZE - 1),
        ("bytes=0-0", 0, 0),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        ("BYTES = 5 - 6", 5, 6),
    ):
        answer = await client.file(done, Range=wanted)
        assert (answer.status, answer.body) == (206, FILM[first : last + 1]), wanted
        assert answer.header("content-range") == f"bytes {first}-{last}/{SIZE}"
    for wanted in (
        "bytes=1-2,5-6", "bytes=", "bytes=-", "lines=1-2", "bytes=9-3", "bytes=a-b", "x" * 900
    ):  # fmt: skip
        answer = await client.file(done, Range=wanted)
        assert (answer.status, answer.body) == (200, FILM), wanted
        assert answer.header("accept-ranges") == "bytes"


async def test_conditions(client: Client) -> None:
    """Beyond the end; of another file; unchanged."""
    done = await client.ended((await client.film())["id"])
    for wanted in (f"bytes={SIZE}-", "bytes=-0"):
        beyond = await client.file(done, Range=wanted)
        assert (beyond.status, beyond.header("content-range")) == (416, f"bytes */{SIZE}")
    etag = (await client.file(done)).header("etag") or ""
    same = await client.file(done, Range="bytes=0-9", If_Range=etag)
    assert (same.status, same.body) == (206, FILM[:10])
    for other in ('"other"', "Sat, 21 Nov 2026 10:00:00 GMT"):
        assert (await client.file(done, Range="bytes=0-9", If_Range=other)).status == 200
    for tags in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        async with await RawClient.open(client.port) as raw:
            told = {"If-None-Match": tags}
            raw.send(request(b"", client.key, path=done["video_url"], method="GET", headers=told))
            answer = await raw.head()
            assert (answer.status, answer.header("content-length")) == (304, None)
    assert (await client.file(done, If_None_Match='"x"')).status == 200


async def test_a_link_that_grew_old(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """A provider whose link works no more is asked for another."""
    links: list[str] = []
    studio.tell = lambda name, times: studio.done(f"{name}-{times}")

    async def handler(exchange: Exchange) -> None:
        path = exchange.request.path
        if path.startswith("/files/"):
            links.append(path)
            if path.endswith("-1"):
                await exchange.send_json(403, {"error": "expired"})
                return
        await studio(exchange)

    fake.handler = handler
    text = catalog(fake)
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS, media="off") as gateway:
        client = Client(gateway.server.port, gateway.key)
        done = await client.ended((await client.film())["id"])
        assert (await client.file(done)).body == FILM
    assert links == ["/files/j0-1", "/files/j0-2"]


@pytest.fixture
async def elsewhere() -> AsyncIterator[FakeUpstream]:
    """Another host, with files."""
    async with FakeUpstream(lambda exchange: send_file(exchange, FILM)) as upstream:
        yield upstream


@pytest.mark.parametrize("named", [True, False])
async def test_other_hosts(
    tmp_path: Path, fake: FakeUpstream, studio: Studio, elsewhere: FakeUpstream, named: bool
) -> None:
    """A link to another host gets no credential, and none on a private network is followed, but
    for those that the operator has named.
    """
    where = elsewhere.url.replace("127.0.0.1", "localhost")
    studio.tell = lambda name, _: {"state": "succeeded", "url": f"{where}/files/{name}"}
    text = catalog(fake)
    if named:
        text = text.replace(
            "    max_connections:", "    options: {media_hosts: localhost}\n    max_connections:", 1
        )
    pace = structs.replace(QUICK, deadline=0.1, fetching=0.1)
    async with running(tmp_path, text=text, pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        done = await client.ended((await client.film())["id"])
        if named:
            assert done["status"] == "succeeded"
            assert elsewhere.requests[0].header("authorization") is not None
        else:
            assert (done["status"], done["error"]["code"]) == ("failed", "task_media")
            assert "public network" in done["error"]["message"]
            assert elsewhere.requests == []


async def test_redirects(
    tmp_path: Path, fake: FakeUpstream, studio: Studio, elsewhere: FakeUpstream
) -> None:
    """They are followed, but no header goes along to another origin."""
    seen: list[tuple[str, str | None]] = []

    async def handler(exchange: Exchange) -> None:
        path = exchange.request.path
        seen.append((path, exchange.request.header("authorization")))
        if path == "/files/j0":
            await exchange.send(head(302, [("Location", "/moved"), ("Content-Length", "0")]))
        elif path == "/moved":
            url = f"{elsewhere.url}/files/x".replace("127.0.0.1", "localhost")
            await exchange.send(head(307, [("Location", url), ("Content-Length", "0")]))
        else:
            await studio(exchange)

    fake.handler = handler
    text = catalog(fake).replace(
        "    max_connections:", "    options: {media_hosts: localhost}\n    max_connections:", 1
    )
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        done = await client.ended((await client.film())["id"])
        assert (await client.file(done)).body == FILM
    told = dict(seen)
    assert told["/moved"] == told["/files/j0"] is not None
    (there,) = elsewhere.requests
    assert there.header("authorization") is None


async def test_redirects_to_nowhere(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Round and round, into the operator's network, into a file: all come to nothing, for free."""
    places = [
        "/files/j0", "http://10.0.0.1/x", "file:///etc/passwd", "ftp://127.0.0.1/", "//", "http://[",
        "",
    ]  # fmt: skip

    async def handler(exchange: Exchange) -> None:
        name = exchange.request.path.rpartition("/")[2]
        if exchange.request.path.startswith("/files/"):
            location = places[int(name[1:])]
            await exchange.send(head(302, [("Location", location), ("Content-Length", "0")]))
        else:
            await studio(exchange)

    fake.handler = handler
    studio.tell = lambda name, _: studio.done(name)  # at once: its deadline is for the files here
    pace = structs.replace(QUICK, deadline=0.1, fetching=0.05)
    async with running(tmp_path, text=catalog(fake), pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        for task in [(await client.film())["id"] for _ in places]:
            done = await client.ended(task)
            assert (done["error"]["code"], done["cost"]) == ("task_media", "0")


async def test_files_that_are_none(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """What is no film is not given out for one, nor charged."""
    film = ("Content-Type", "video/mp4")
    answers = [
        (head(200, [("Content-Type", "text/html"), ("Content-Length", "2")]) + b"hi", "text"),
        (head(200, [film, ("Content-Length", "0")]), "empty"),
        (head(500, [("Content-Length", "0")]), "500"),
        (head(200, [film, ("Content-Length", "50")]) + b"half", "early"),
    ]

    async def handler(exchange: Exchange) -> None:
        name = exchange.request.path.rpartition("/")[2]
        if exchange.request.path.startswith("/files/"):
            await exchange.send(answers[int(name[1:])][0])
            exchange.close()
        else:
            await studio(exchange)

    fake.handler = handler
    studio.tell = lambda name, _: studio.done(name)  # at once: its deadline is for the files here
    pace = structs.replace(QUICK, deadline=0.1, fetching=0.05)
    async with running(tmp_path, text=catalog(fake), pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        for task, (_, why) in [((await client.film())["id"], answer) for answer in answers]:
            done = await client.ended(task)
            assert (done["error"]["code"], done["cost"]) == ("task_media", "0")
            assert why in done["error"]["message"]
        folder = tmp_path / "gateway.sqlite.media"
        assert not folder.exists() or not list(folder.iterdir())


@pytest.mark.parametrize("announced", [True, False])
async def test_too_large_to_keep(
    gateway: Gateway, client: Client, studio: Studio, announced: bool
) -> None:
    """Such a file is passed through; what was kept of it so far is not left behind."""
    shelf: Any = gateway.server.tasks.shelf
    shelf._most_each = SIZE - 1

    async def handler(exchange: Exchange) -> None:
        if exchange.request.path.startswith("/files/") and not announced:
            chunked = [("Content-Type", "video/mp4"), ("Transfer-Encoding", "chunked")]
            await exchange.send(head(200, chunked) + b"%x\r\n%b\r\n0\r\n\r\n" % (SIZE, FILM))
        else:
            await studio(exchange)

    studio.fake.handler = handler
    done = await client.ended((await client.film())["id"])
    assert (done["status"], done["bytes"]) == ("succeeded", None)
    assert (await client.file(done)).body == FILM
    folder = gateway.server.store.database.path.with_name("gateway.sqlite.media")
    assert not folder.exists() or not list(folder.iterdir())
    assert shelf.used == 0
    shelf._most_each, shelf._most = SIZE, SIZE
    first = await client.ended((await client.film())["id"])
    second = await client.ended((await client.film())["id"])
    assert ((first["bytes"], second["bytes"]) == (SIZE, None)) == announced or not announced
    assert [path.stat().st_size for path in folder.iterdir()] == [SIZE]


async def test_a_full_disk(gateway: Gateway, client: Client, studio: Studio) -> None:
    """What cannot be kept is passed through, and the operator is told."""
    shelf: Any = gateway.server.tasks.shelf

    def full(name: str) -> None:
        raise OSError(28, "No space left on device")

    shelf.begin = full
    done = await client.ended((await client.film())["id"])
    assert (done["status"], done["bytes"]) == ("succeeded", None)
    assert (await client.file(done)).body == FILM
    await until(lambda: any(line["event"] == "task_trouble" for line in gateway.logged()))


async def test_kept_for_a_while(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """Its time over, the file goes, and the words of the request with it; the task stays."""
    pace = structs.replace(QUICK, kept=0.0, sweep=0.01)
    async with running(tmp_path, text=catalog(fake), pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        done = await client.ended((await client.film())["id"])
        folder = tmp_path / "gateway.sqlite.media"
        await until(lambda: not list(folder.iterdir()))
        while "video_url" in (shown := await client.shown(done["id"])):
            pass
        assert (shown["status"], shown["cost"]) == ("succeeded", "1.6")
        answer = await client("GET", f"videos/generations/{done['id']}/content")
        assert (answer.status, "not kept any more" in answer.error["message"]) == (404, True)
        rows = await gateway.server.store.database.read("SELECT body FROM tasks")
        assert rows[0]["body"] == b"{}"


async def test_what_a_crash_leaves_behind(
    tmp_path: Path, fake: FakeUpstream, studio: Studio
) -> None:
    """Half a file, and one that nobody knows of, are gone after a start; what is not ours stays."""
    text = catalog(fake)
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        done = await client.ended((await client.film())["id"])
    folder = tmp_path / "gateway.sqlite.media"
    for name in (f"video_{'a' * 32}", f"video_{'b' * 32}.part", "notes.txt"):
        (folder / name).write_bytes(b"x")
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS) as gateway:
        client.port = gateway.server.port
        assert sorted(path.name for path in folder.iterdir()) == ["notes.txt", done["id"]]
        assert (await client.file(done)).body == FILM
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / done["id"]).unlink()
        assert (await client.file(done)).status == 404


async def test_what_goes_wrong_is_told_once(
    client: Client, gateway: Gateway, studio: Studio, fake: FakeUpstream
) -> None:
    """The operator reads why a film is not done yet, and not at each step anew."""
    refused: list[str] = []

    async def handler(exchange: Exchange) -> None:
        path = exchange.request.path
        if path.startswith("/files/") and len(refused) < 3:
            refused.append(path)
            await exchange.send_json(403, {"error": "expired"})
        else:
            await studio(exchange)

    fake.handler = handler
    done = await client.ended((await client.film())["id"])
    assert (done["status"], len(refused)) == ("succeeded", 3)
    gateway.server.log.close()
    (told,) = [line for line in gateway.logged() if line["event"] == "task_trouble"]
    assert (told["level"], told["task"], told["cause"]) == ("warning", done["id"], "task_media")
    assert told["said"].endswith("it was answered with 403.")
