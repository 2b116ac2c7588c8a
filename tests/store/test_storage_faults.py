"""Storage that fails: no call is made that cannot be recorded, and no charge is lost in silence."""

from __future__ import annotations

import asyncio
import functools
import json
import random
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.domain import FLAGS
from gateway.store import Store, database
from gateway.store.database import StoreError
from gateway.store.ledger import ADJUST, TOP_UP
from tests.fake_upstream import LAST_CHUNK, Exchange, FakeUpstream, chunk, event_bytes, head
from tests.harness import Gateway, running
from tests.money import (
    IN,
    OUT,
    SETTLE,
    Payer,
    charges,
    entries,
    open_calls,
    payer,
    sound,
    tokens_in,
    until,
)
from tests.rawclient import RawClient, ask, chat, request

USAGE = {"prompt_tokens": 21, "completion_tokens": 5, "total_tokens": 26}
CHARGE = 21 * IN + 5 * OUT
BODY = json.dumps(chat(max_tokens=50)).encode()
STREAM = json.dumps(chat(max_tokens=50, stream=True)).encode()


class Provider:
    """Answers at once; a stream says one word, and the rest when it is let go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        if not exchange.request.json().get("stream"):
            choice = {"index": 0, "message": {"content": "a word"}, "finish_reason": "stop"}
            await exchange.send_json(200, {"id": "c", "choices": [choice], "usage": USAGE})
            return
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        first = {"id": "c", "choices": [{"index": 0, "delta": {"content": "a word"}}]}
        await exchange.send(head(200, lines) + chunk(event_bytes(first)))
        await self.go_on.wait()
        last = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        events = event_bytes(last) + event_bytes({"id": "c", "choices": [], "usage": USAGE})
        await exchange.send(chunk(events + b"data: [DONE]\n\n") + LAST_CHUNK)


@asynccontextmanager
async def scene(tmp_path: Path) -> AsyncIterator[tuple[Gateway, FakeUpstream, Payer, Provider]]:
    """A gateway with a paying client that has called before."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        store = gateway.server.store
        store.ledger.close = functools.partial(store.ledger.close, patience=0.1)
        who = await payer(store, 10**12)
        assert (await ask(gateway.server.port, request(BODY, who.secret))).status == 200
        yield gateway, fake, who, provider


async def fill(store: Store) -> None:
    """Make the disk full: no page more, and none with a free place."""
    writer = store.database._writer
    await store.ledger.flush()
    await writer.execute("PRAGMA max_page_count = 1")  # SQLite raises it to what there is
    while await store.ledger.move(0, 1, ADJUST, 1, b"{}") is None:
        pass


async def empty(store: Store) -> None:
    await store.database._writer.execute("PRAGMA max_page_count = 1000000")


async def forbid(store: Store) -> None:
    await store.database._writer.execute("PRAGMA query_only = ON")


async def allow(store: Store) -> None:
    await store.database._writer.execute("PRAGMA query_only = OFF")


async def break_disk(store: Store) -> None:
    """Every write fails as one does on a disk that gives up."""

    async def execute(sql: str, values: object = ()) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    def execute_here(sql: str, values: object = ()) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    store.database._writer.execute = execute
    store.database.write_at_once = execute_here


async def mend_disk(store: Store) -> None:
    del store.database._writer.execute
    del store.database.write_at_once


FAULTS = pytest.mark.parametrize(
    ("fail", "mend"),
    [
        pytest.param(fill, empty, id="full"),
        pytest.param(forbid, allow, id="read-only"),
        pytest.param(break_disk, mend_disk, id="io-error"),
    ],
)


@FAULTS
async def test_nothing_is_dispatched_that_cannot_be_recorded(tmp_path: Path, fail, mend) -> None:
    """While storage fails every new call is a 503, known key or not, known route or not."""
    async with scene(tmp_path) as (gateway, fake, who, _):
        store = gateway.server.store
        fresh = str((await store.keys.create("fresh", account="payer")).secret)
        other = await payer(store, 10**12, name="other")
        await fail(store)
        new_route = json.dumps(chat(max_tokens=50) | {"model": "same-name"}).encode()
        raws = [
            request(BODY, who.secret),
            request(STREAM, who.secret),
            request(BODY, fresh),
            request(BODY, other.secret),
            request(new_route, who.secret),
        ]
        for answer in await asyncio.gather(*(ask(gateway.server.port, raw) for raw in raws * 20)):
            assert answer.status == 503, answer.body
            assert answer.error["code"] == "no_upstream"
            assert answer.header("retry-after") == "5"
        assert len(fake.requests) == 1
        await mend(store)
        for raw in raws:
            if b'"stream"' not in raw:
                assert (await ask(gateway.server.port, raw)).status == 200
        await store.ledger.flush()
        rows = entries(store.database.path, who.account)
        assert not open_calls(rows)
        sound(rows, {who.account: 0})
    assert any(line.get("event") == "storage_failed" for line in gateway.logged())


@FAULTS
async def test_a_running_stream_ends_well_and_is_charged_later(tmp_path: Path, fail, mend) -> None:
    """The client gets all of its answer; the charge is kept until storage takes it."""
    async with scene(tmp_path) as (gateway, fake, who, provider):
        store = gateway.server.store
        async with await RawClient.open(gateway.server.port) as client:
            client.send(request(STREAM, who.secret))
            assert (await client.head()).status == 200
            await client.chunk()
            await fail(store)
            provider.go_on.set()
            rest = b""
            while data := await client.chunk():
                rest += data
            assert rest.endswith(b"data: [DONE]\n\n")
        await gateway.idle()
        assert store.ledger.owed == 1
        assert len(charges(entries(store.database.path, who.account))) == 1
        # A key whose books are not complete is not let in on them, nor left waiting.
        other = str((await store_key(store, mend, fail)).secret)
        assert (await ask(gateway.server.port, request(BODY, other))).status == 503
        assert (await ask(gateway.server.port, request(BODY, who.secret))).status == 503
        await mend(store)
        await until(lambda: store.ledger.owed == 0)
        await store.ledger.flush()
        rows = entries(store.database.path, who.account)
        assert charges(rows) == [CHARGE, CHARGE]
        assert not open_calls(rows)
        assert len(fake.requests) == 2
        assert (await ask(gateway.server.port, request(BODY, who.secret))).status == 200
        assert store.ledger.failing_since is None


async def store_key(store: Store, mend, fail):
    """A new key, without giving the ledger's writer its turn."""
    task, store.ledger._pay = store.ledger._pay, _not_now
    await mend(store)
    made = await store.keys.create("late", budget=10**12)
    await fail(store) if fail is not fill else await refill(store)
    store.ledger._pay = task
    return made


async def _not_now() -> bool:
    return False


async def refill(store: Store) -> None:
    """Fill the disk by other means than the ledger, which has charges to write first."""
    writer = store.database._writer
    await writer.execute("PRAGMA max_page_count = 1")
    sql = (
        "INSERT INTO entries (at, kind, account, wallet, held, revenue, source, receipt)"
        " VALUES (1, 5, 1, 1, 0, 0, -1, zeroblob(?))"
    )
    for size in (2_000, 200, 1):
        while True:
            try:
                await writer.execute(sql, (size,))
            except sqlite3.OperationalError:
                break


@FAULTS
async def test_what_was_never_written_is_said_at_the_end(tmp_path: Path, fail, mend) -> None:
    """Each charge that storage would not take is a line in the log; the next start settles it."""
    async with scene(tmp_path) as (gateway, _, who, provider):
        store, path = gateway.server.store, gateway.server.settings.db
        clients = [await RawClient.open(gateway.server.port) for _ in range(3)]
        for client in clients:
            client.send(request(STREAM, who.secret))
            await client.head()
            await client.chunk()
        await fail(store)
        provider.go_on.set()
        for client in clients:
            while await client.chunk():
                pass
            client.close()
        await gateway.idle()
    told = [line for line in gateway.logged() if line.get("event") == "charge_not_written"]
    assert len(told) == 3
    assert {line["level"] for line in told} == {"error"}
    assert gateway.server.unwritten == 3
    assert all(json.loads(line["entry"][-1])["charged"] for line in told)  # its receipt, as text
    missing = open_calls(entries(path, who.account))
    assert {call for line in told for call in line["entry"] if call in missing} == missing
    assert len(missing) == 3
    await recovered(path, who, tokens_in(STREAM) * IN)


async def recovered(path: Path, who: Payer, estimate: int) -> None:
    """Open the file as the next server does; the open calls are charged their input."""
    store = await Store.open(path, _Now())
    try:
        await store.serve(lambda _: None)
        rows = [row for row in entries(path, who.account) if row["flag"] == FLAGS["recovered"]]
        assert len(rows) == store.books.recovered == 3
        assert {row["revenue"] for row in rows} == {estimate}
    finally:
        await store.close()


class _Now:
    def time(self) -> float:
        return 1_800_000_000.0

    monotonic = time


async def test_what_is_owed_is_written_before_what_settles_it(tmp_path: Path) -> None:
    """However much is owed: else a crash in between leaves a settlement of more than was held."""
    store = await Store.open(tmp_path / "a.sqlite", _Now())
    await store.serve(lambda _: None)
    ledger, who, first = store.ledger, (1, 1, 0), store.books.first_call
    calls = range(first + 1, first + 601)
    await asyncio.gather(*(ledger.hold(1, who, call, 10, 1, 1, 1) for call in calls))
    await break_disk(store)
    assert all(await asyncio.gather(*(ledger.extend(2, who, call, 10) for call in calls)))
    assert ledger.owed == 600
    await mend_disk(store)
    results = (200, 0, 1, 1, 0, b"{}")
    written = [ledger.settle(3, who, call, 20, 15, 1, results) for call in calls]
    assert not any(await asyncio.gather(*written))
    assert await store.close() == []
    rows = entries(store.database.path, 1)
    sound(rows)
    assert len(rows) == 1_800


async def test_an_entry_that_the_tables_refuse_fails_alone(tmp_path: Path) -> None:
    """A second charge for one call is reported and left out; its neighbours are written."""
    reported: list[Exception] = []
    store = await Store.open(tmp_path / "a.sqlite", _Now())
    await store.serve(reported.append)
    ledger, who, first = store.ledger, (1, 1, 0), store.books.first_call
    result = (200, 0, 1, 1, 0, b"{}")
    done = await asyncio.gather(
        ledger.hold(1, who, first + 1, 10, 1, 1, 1),
        ledger.settle(2, who, first + 1, 10, 5, 1, result),
        ledger.settle(2, who, first + 1, 10, 7, 1, result),
        ledger.hold(3, who, first + 2, 10, 1, 1, 1),
        ledger.settle(4, who, first + 2, 10, 6, 1, result),
    )
    assert [type(error) for error in done] == [
        type(None), type(None), sqlite3.IntegrityError, type(None), type(None)
    ]  # fmt: skip
    assert len(reported) == 1
    await store.close()
    assert charges(entries(store.database.path, 1)) == [5, 6]


_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Another process has begun to write, as a backup or an administrator does."""
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLDER, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert await other.stdout.readline() == b"locked\n"
    yield
    other.stdin.write(b"\n")
    await other.stdin.drain()
    await other.wait()


async def test_another_process_writes_for_a_moment(tmp_path: Path) -> None:
    """Calls wait for it, and for nothing else: the loop turns, nothing fails, nothing is lost."""
    async with scene(tmp_path) as (gateway, fake, who, _):
        async with locked(gateway.server.settings.db):
            calls = [
                asyncio.create_task(ask(gateway.server.port, request(BODY, who.secret)))
                for _ in range(20)
            ]
            done, _ = await asyncio.wait(calls, timeout=1.0)
            assert not done
            assert len(fake.requests) == 1
            alive = await ask(
                gateway.server.port, request(b"", None, path="/healthz", method="GET")
            )
            assert alive.status == 200
        assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
        await gateway.server.store.ledger.flush()
        assert charges(entries(gateway.server.settings.db, who.account)) == [CHARGE] * 21


async def test_another_process_writes_for_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past the busy timeout it is a fault of storage: 503, and all is well when it ends."""
    monkeypatch.setattr(database, "_PATIENT", "PRAGMA busy_timeout = 100")
    async with scene(tmp_path) as (gateway, fake, who, _):
        async with locked(gateway.server.settings.db):
            answer = await ask(gateway.server.port, request(BODY, who.secret))
            assert answer.status == 503
            assert len(fake.requests) == 1
        assert (await ask(gateway.server.port, request(BODY, who.secret))).status == 200


async def test_a_stop_while_another_process_writes_says_what_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A charge that is on its way to the file when the server stops is not forgotten."""
    monkeypatch.setattr(database, "_PATIENT", "PRAGMA busy_timeout = 500")
    async with scene(tmp_path) as (gateway, _, who, provider):
        store = gateway.server.store
        async with await RawClient.open(gateway.server.port) as client:
            client.send(request(STREAM, who.secret))
            await client.head()
            await client.chunk()
            async with locked(gateway.server.settings.db):
                provider.go_on.set()
                await until(lambda: store.ledger._working)
                await gateway.server.close()
    told = [line for line in gateway.logged() if line.get("event") == "charge_not_written"]
    assert len(told) == 1


async def ledger_of_calls(tmp_path: Path, calls: int) -> tuple[Path, list[tuple[int, int]]]:
    """A crashed server's files, and the size of its log after each acknowledged charge."""
    store = await Store.open(tmp_path / "a.sqlite", _Now())
    await store.serve(lambda _: None)
    store._rolling.cancel()
    account = await store.accounts.create("payer")
    await store.move(account.n, TOP_UP, 10**12, b"{}")
    await store.database.read("SELECT 1")
    await store.database._writer.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
    wal = tmp_path / "a.sqlite-wal"
    acknowledged: list[tuple[int, int]] = []
    who, first = (account.n, 1, 0), store.books.first_call
    for number in range(1, calls + 1):
        at = 1_800_000_000_000 + number
        await store.ledger.hold(at, who, first + number, 1_000, 1, 10, 300)
        result = (200, 0, 10, 5, 0, b"{}")
        await store.ledger.settle(at, who, first + number, 1_000, 400 + number, 1, result)
        acknowledged.append((wal.stat().st_size, 400 + number))
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    for path in (store.database.path, wal):
        shutil.copy(path, crashed / path.name)
    await store.close()
    return crashed / "a.sqlite", acknowledged


async def reopened(path: Path, account: int = 3) -> tuple[list[dict], int]:
    """The rows after a start on these files, all sound, and the balance that the books show."""
    balance = await balance_after_start(path, account)
    rows = entries(path, account)
    sound(rows, {account: 0})
    assert not open_calls(rows)
    assert balance == sum(row["wallet"] for row in rows)
    return rows, balance


async def balance_after_start(path: Path, account: int = 3) -> int:
    store = await Store.open(path, _Now())
    try:
        await store.serve(lambda _: None)  # a damage that is found now is a StoreError
        try:
            balance = await store.books.balance(account)
        except sqlite3.DatabaseError as error:  # found later: calls are refused with 503
            raise StoreError(str(error)) from error
    finally:
        await store.close()
    assert balance.held == 0
    return balance.wallet


def settled_by_provider(rows: list[dict]) -> list[int]:
    return [row["revenue"] for row in rows if row["kind"] == SETTLE and row["flag"] == 0]


async def test_the_log_cut_at_every_frame(tmp_path: Path) -> None:
    """What was acknowledged before the cut is there, nothing of what came after, and no half."""
    path, acknowledged = await ledger_of_calls(tmp_path, 15)
    wal = Path(f"{path}-wal").read_bytes()
    page = struct.unpack(">I", wal[8:12])[0]
    boundaries = range(32, len(wal) + 1, page + 24)
    chance = random.Random(7)
    cuts = [0, 17, *boundaries, *(chance.randrange(len(wal)) for _ in range(10))]
    for number, cut in enumerate(cuts):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(path, folder / path.name)
        (folder / "a.sqlite-wal").write_bytes(wal[:cut])
        rows, _ = await reopened(folder / path.name)
        assert settled_by_provider(rows) == [c for size, c in acknowledged if size <= cut]
        shutil.rmtree(folder)


async def test_the_log_is_gone(tmp_path: Path) -> None:
    """Without its log the file is what it was at the last checkpoint, and sound."""
    path, _ = await ledger_of_calls(tmp_path, 5)
    Path(f"{path}-wal").unlink()
    rows, balance = await reopened(path)
    assert settled_by_provider(rows) == []
    assert balance == 10**12


async def test_a_flipped_byte_in_the_log_ends_it_there(tmp_path: Path) -> None:
    """Checksums guard the log: it holds up to the flip, never a changed amount."""
    path, acknowledged = await ledger_of_calls(tmp_path, 8)
    wal = Path(f"{path}-wal").read_bytes()
    chance = random.Random(11)
    whole = [charge for _, charge in acknowledged]
    for number in range(40):
        folder = tmp_path / str(number)
        folder.mkdir()
        shutil.copy(path, folder / path.name)
        place = chance.randrange(32, len(wal))
        damaged = bytearray(wal)
        damaged[place] ^= 1 << chance.randrange(8)
        (folder / "a.sqlite-wal").write_bytes(damaged)
        rows, _ = await reopened(folder / path.name)
        found = settled_by_provider(rows)
        assert found == whole[: len(found)]
        assert len(found) >= sum(size <= place for size, _ in acknowledged)
        shutil.rmtree(folder)


async def test_flipped_bytes_in_the_file_are_refused_or_harmless(tmp_path: Path) -> None:
    """A damaged file is refused in words, or what it says of money is what it said before."""
    store = await Store.open(tmp_path / "a.sqlite", _Now())
    await store.serve(lambda _: None)
    account = await store.accounts.create("payer")
    await store.move(account.n, TOP_UP, 10**12, b"{}")
    who, first = (account.n, 1, 0), store.books.first_call
    for number in range(1, 120):
        await store.ledger.hold(number, who, first + number, 1_000, 1, 10, 300)
        store.ledger.settle(number, who, first + number, 1_000, 400, 1, (200, 0, 9, 5, 0, b"{}"))
    await store.close()
    path = store.database.path
    whole = path.read_bytes()
    expected = 10**12 - 119 * 400
    chance = random.Random(3)
    refused = 0
    for number in range(150):
        folder = tmp_path / str(number)
        folder.mkdir()
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        (folder / "a.sqlite").write_bytes(damaged)
        try:
            assert await balance_after_start(folder / "a.sqlite") == expected
        except StoreError:
            refused += 1
        shutil.rmtree(folder)
    assert refused
