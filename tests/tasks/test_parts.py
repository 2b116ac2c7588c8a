"""The small parts that tasks stand on: ranges, addresses, prices, signatures, shelves, proof."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.core.addresses import is_address, is_public
from gateway.core.body import JsonBody
from gateway.core.money.rows import canonical, price_of
from gateway.core.ranges import Unsatisfiable, asked_range
from gateway.core.task import id_of, is_id, kept_body
from gateway.core.webhook import secret_bytes, signed
from gateway.domain import Price
from gateway.store.media import MediaFolder
from gateway.store.verify import verify
from providers_plugins.sim_media import clip, tone
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import running
from tests.money import until
from tests.tasks.studio import ADAPTERS, QUICK, SLOW, Client, Studio, catalog

AMOUNTS = st.decimals(min_value=0, max_value=9_999_999, places=12).map(lambda d: d.normalize())
LINES = st.dictionaries(st.sampled_from(["per_second", "per_image", "input_per_mtok"]), AMOUNTS)


@given(st.text(max_size=30) | st.from_regex(r"bytes=[0-9]{0,4}-[0-9]{0,4}"), st.integers(1, 2_000))
def test_ranges(wanted: str, size: int) -> None:
    """Whatever is asked, what is given lies within the file."""
    try:
        found = asked_range({"Range": wanted}, size, '"x"')
    except Unsatisfiable:
        return
    if found is not None:
        first, last = found
        assert 0 <= first <= last < size


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("169.254.169.254", False), ("100.64.0.1", False), ("0.0.0.0", False), ("::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:8.8.8.8", True), ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False), ("fe80::1%eth0", False), ("fd00::1", False), ("224.0.0.1", False),
        ("fec0::1", False), ("168.63.129.16", False),
        ("::127.0.0.1", False), ("255.255.255.255", False), ("nonsense", False), ("", False),
    ],
)  # fmt: skip
def test_addresses(address: str, public: bool) -> None:
    """What stands for another address is judged by that."""
    assert is_public(address) is public
    assert is_address(address) is (address not in ("nonsense", ""))


@given(LINES, st.dictionaries(st.integers(1, 10**9), LINES, max_size=2),
       st.dictionaries(st.sampled_from(["4k", "720p"]), LINES), st.booleans())  # fmt: skip
def test_prices_are_read_back(
    lines: dict[str, Decimal],
    tiers: dict[int, dict[str, Decimal]],
    sizes: dict[str, dict[str, Decimal]],
    unpriced: bool,
) -> None:
    """A row is that of the price it was written from."""
    price = Price(lines, "d", tuple(sorted(tiers.items(), key=lambda one: one[0])), sizes, unpriced)
    assert price_of(canonical(price), "d") == price


def test_signatures() -> None:
    """By hand; a secret is base64 behind its prefix, or what it says."""
    headers = dict(signed(secret_bytes("whsec_c2VjcmV0"), "evt_1", 1_700_000_000, b"{}"))
    digest = hmac.new(b"secret", b"evt_1.1700000000.{}", hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    assert secret_bytes("whsec_not base64") == b"whsec_not base64"
    assert secret_bytes("a plain secret") == b"a plain secret"


def test_ids() -> None:
    """They tell what they are of."""
    assert is_id(id_of("videos", "0" * 32))
    assert is_id(id_of("music", "f" * 32))
    assert not is_id("song_" + "0" * 32)


def test_what_is_kept_of_a_request() -> None:
    """All that is short; never a picture."""
    picture = b'"data:image/png;base64,' + b"A" * 100_000 + b'"'
    body = JsonBody.parse(b'{"model":"m","image":' + picture + b',"prompt":"rain"}')
    assert JsonBody(kept_body(body)).names() == ["model", "prompt"]
    many = b",".join(b'"m%d":"%b"' % (at, b"x" * 10_000) for at in range(20))
    assert kept_body(JsonBody.parse(b"{" + many + b"}")) == b"{}"


def test_files_of_the_simulator() -> None:
    """Their boxes and chunks are as long as they say."""
    film = clip(3_500)
    at, names = 0, []
    while at < len(film):
        names.append(film[at + 4 : at + 8])
        at += int.from_bytes(film[at : at + 4], "big")
    assert (at, names) == (len(film), [b"ftyp", b"moov", b"mdat"])
    sound = tone(1_000)
    assert int.from_bytes(sound[4:8], "little") == len(sound) - 8


async def test_a_shelf_that_is_full(tmp_path: Path) -> None:
    """Nothing is kept beyond what it may have, and what was begun leaves nothing."""
    shelf = MediaFolder(tmp_path / "films", 10, 15)
    first = shelf.begin("a")
    assert await first.write(b"x" * 10)
    assert not await first.write(b"y")
    await first.done()
    first.drop()
    second = shelf.begin("b")
    assert await second.write(b"x" * 5)
    assert not await second.write(b"y")
    second.drop()
    assert (shelf.used, [path.name for path in (tmp_path / "films").iterdir()]) == (10, ["a"])
    await shelf.remove("a")
    await shelf.remove("a")
    assert shelf.used == 0


async def test_however_many_ask(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """A provider is asked once for all who want to know at the same time, and not soon again."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    studio.tell = lambda _name, _times: {"state": "running", "percent": 30}

    async def handler(exchange: Exchange) -> None:
        if exchange.request.method == "GET":
            asked.set()
            await go_on.wait()
        await studio(exchange)

    fake.handler = handler
    pace = structs.replace(SLOW, lazily=30.0)
    async with running(tmp_path, text=catalog(fake), pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = await client.film()
        assert (await client.shown(begun["id"]))["progress"] == 0
        gateway.server.tasks.pace = structs.replace(pace, lazily=0.0)
        waiting = [asyncio.ensure_future(client.shown(begun["id"])) for _ in range(20)]
        await asked.wait()
        gateway.server.tasks.pace = pace
        go_on.set()
        assert [one["progress"] for one in await asyncio.gather(*waiting)] == [30] * 20
        assert (await client.shown(begun["id"]))["status"] == "running"
        assert studio.asked["j0"] == 1


async def test_one_that_wants_to_rest(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """A Retry-After holds for all who ask."""

    async def handler(exchange: Exchange) -> None:
        if exchange.request.method == "POST":
            await studio(exchange)
            return
        studio.asked["j0"] = studio.asked.get("j0", 0) + 1
        await exchange.send(b"HTTP/1.1 429 Slow\r\nRetry-After: 100\r\nContent-Length: 2\r\n\r\n{}")

    fake.handler = handler
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = await client.film()
        await until(lambda: studio.asked)
        for _ in range(5):
            assert (await client.shown(begun["id"]))["status"] == "pending"
        assert studio.asked["j0"] == 1


@pytest.mark.parametrize(
    ("tampered", "complaint"),
    [
        ("UPDATE tasks SET held = held - 1 WHERE finished IS NULL", "are held, the ledger"),
        ("UPDATE tasks SET charged = charged - 1 WHERE finished > 0", "were charged"),
        ("UPDATE tasks SET key = key + 1 WHERE finished IS NULL", "its money of"),
        (
            "UPDATE tasks SET finished = 1, state = 'failed' WHERE finished IS NULL",
            "money is still held",
        ),
        (
            "UPDATE tasks SET finished = NULL, charged = 0, state = 'running' WHERE finished > 0",
            "no money is held",
        ),
    ],
)
async def test_the_proof(
    tmp_path: Path, fake: FakeUpstream, studio: Studio, tampered: str, complaint: str
) -> None:
    """A file whose tasks and money do not agree is told of."""
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        await client.ended((await client.film())["id"])
        studio.tell = lambda _name, _times: {"state": "running"}
        await client.film()
    path = tmp_path / "gateway.sqlite"
    assert verify(path).problems == []
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(tampered)
    assert any(complaint in problem for problem in verify(path).problems), verify(path).problems
