"""A call that is the only one is written on the spot; whatever else is at work comes first."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import pytest

from gateway.store import Store, books, ledger
from gateway.store.verify import verify
from tests.store.test_database import LONG

WHO = (1, 1, 0)
RESULT = (200, 0, 1, 1, 0, b"{}")


@pytest.fixture
async def serving(path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A ledger beside which nothing else writes by itself."""
    monkeypatch.setattr(books, "ROLL_EVERY", 3600.0)
    monkeypatch.setattr(ledger, "_QUICK", 3600.0)
    store = await Store.open(path, clock)
    await store.serve(lambda error: pytest.fail(str(error)))
    for _ in range(3):  # behind whatever the start has begun
        await store.database.write("PRAGMA user_version")
    yield store
    await store.close()


def hold(store: Store, call: int) -> ledger.Commit:
    return store.ledger.hold(1, WHO, call, 5, 1, 1, 1)


def settle(store: Store, call: int) -> ledger.Commit:
    return store.ledger.settle(1, WHO, call, 5, 0, 1, RESULT)


def rows_in(path: Path) -> int:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        return int(file.execute("SELECT count(*) FROM entries").fetchone()[0])


async def test_one_call_at_a_time_waits_for_nobody(serving: Store, path: Path) -> None:
    """Its rows are in the file, for everybody to see, before anything else has had its turn."""
    first = serving.books.first_call
    for call in range(first, first + 3):
        before = rows_in(path)
        assert hold(serving, call).result() is None
        assert rows_in(path) == before + 1
        assert settle(serving, call).result() is None
        assert rows_in(path) == before + 2
    assert serving.ledger.commits == 6


async def test_alone_or_not_the_same_is_written(serving: Store, path: Path) -> None:
    """A receipt, and a note, is a blob byte for byte; what has none has none."""
    receipt, first = b'{"usage_text":"\xc3\xa9\x00"}', serving.books.first_call
    result = (200, 0, 1, 1, 0, receipt)
    assert hold(serving, first).done()
    company = hold(serving, first + 1)
    extended = serving.ledger.extend(1, WHO, first + 1, 5)
    ended = serving.ledger.settle(1, WHO, first, 5, 0, 1, result)
    moved = serving.ledger.move(1, 1, ledger.TOP_UP, 1, b"{}")
    assert await asyncio.gather(company, extended, ended, moved) == [None] * 4
    assert serving.ledger.settle(1, WHO, first + 1, 10, 0, 1, result).done()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        rows = file.execute("SELECT kind, receipt FROM entries ORDER BY seq").fetchall()
    assert rows == [
        (ledger.HOLD, None), (ledger.HOLD, None), (ledger.EXTEND, None),
        (ledger.SETTLE, receipt), (ledger.TOP_UP, b"{}"), (ledger.SETTLE, receipt),
    ]  # fmt: skip


async def test_two_calls_share_the_writer(serving: Store) -> None:
    """While another call is open, nobody keeps the loop."""
    first = serving.books.first_call
    assert hold(serving, first).done()
    second = hold(serving, first + 1)
    assert not second.done()
    assert await second is None
    ended = settle(serving, first)
    assert not ended.done()
    assert await ended is None
    assert settle(serving, first + 1).done()


async def test_among_quiet_streams_nobody_waits_for_ever_in_vain(
    serving: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who calls alone gives the others a chance to come, a few times, and then waits no more."""
    waited = []

    class Told(asyncio.Event):
        async def wait(self) -> Literal[True]:
            waited.append(1)
            return await super().wait()

    monkeypatch.setattr(ledger, "_GATHER", 0.2)
    monkeypatch.setattr(ledger, "_MOST_GATHER", 0.2)
    serving.ledger._come_together = Told()
    first = serving.books.first_call
    streams = [hold(serving, first + number) for number in range(50)]
    assert await asyncio.gather(*streams) == [None] * 50
    for call in range(first + 50, first + 60):
        await hold(serving, call)
        await settle(serving, call)
    assert len(waited) == 3
    commits = serving.ledger.commits
    await asyncio.gather(hold(serving, first + 60), hold(serving, first + 61))
    assert (serving.ledger.commits, len(waited)) == (commits + 1, 4)


async def test_what_comes_before_it_is_written_before_it(serving: Store) -> None:
    """A row that has been handed over, or a statement under way, is not overtaken."""
    first = serving.books.first_call
    moved = serving.ledger.move(1, 1, ledger.TOP_UP, 1, b"{}")
    mine = hold(serving, first)
    assert not mine.done()
    assert await moved is None
    assert await mine is None
    writing = asyncio.create_task(serving.database.script(LONG))
    await asyncio.sleep(0)
    ended = settle(serving, first)
    assert not ended.done()
    assert await ended is None
    await writing


async def test_a_cancelled_statement_still_runs(serving: Store, path: Path) -> None:
    """Nobody waits for it any more, yet nothing may fall into its transaction."""
    running = asyncio.create_task(serving.database.script(LONG))
    while not serving.database._writer.in_transaction:  # noqa: ASYNC110 - a thread has no event
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(running.cancel)
    await asyncio.gather(running, return_exceptions=True)
    first = serving.books.first_call
    mine = hold(serving, first)
    assert not mine.done()
    assert await mine is None
    ended = settle(serving, first)  # what the thread was given is known to be over
    assert ended.done()
    assert ended.result() is None
    await serving.books.roll()
    assert verify(path).problems == []


async def test_a_transaction_cancelled_as_it_begins_is_given_up(serving: Store, path: Path) -> None:
    """What is written after it would be no more durable than it."""

    async def nothing() -> None:
        async with serving.database.transaction():
            pass

    beginning = asyncio.create_task(nothing())
    asyncio.get_running_loop().call_soon(beginning.cancel)
    await asyncio.gather(beginning, return_exceptions=True)
    assert beginning.cancelled()
    before, first = rows_in(path), serving.books.first_call
    assert await hold(serving, first) is None
    assert settle(serving, first).result() is None
    assert rows_in(path) == before + 2
    await nothing()


async def test_the_loop_does_not_wait_for_another_process(serving: Store, path: Path) -> None:
    """A shell that writes the file may keep a call, for a while, but nobody else."""
    # The thread holds on to its last cursor: one that has rows left would have SQLite not wait.
    await serving.database.write("DELETE FROM replays WHERE at < 0")
    first = serving.books.first_call
    for call in (first, first + 1):
        assert hold(serving, call).done()
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            shell.execute("BEGIN IMMEDIATE")
            began = monotonic()
            ended = settle(serving, call)
            assert monotonic() - began < 2.5
            assert not ended.done()
            while not serving.database._turn.locked():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0)
            shell.execute("ROLLBACK")
        assert await ended is None


async def test_a_slow_disk_keeps_nobody(serving: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a commit that took long, the thread has the next hundred."""
    times = iter([0.0, 0.5])
    monkeypatch.setattr(ledger, "_QUICK", 0.1)
    monkeypatch.setattr(ledger, "monotonic", lambda: next(times, 1.0))
    first = serving.books.first_call
    assert hold(serving, first).done()
    for call in range(first, first + 50):
        ended = settle(serving, call)
        assert not ended.done()
        assert await ended is None
        held = hold(serving, call + 1)
        assert not held.done()
        assert await held is None
    assert settle(serving, first + 50).done()


async def test_a_row_that_is_refused_is_the_writers(path: Path, clock: Any) -> None:
    """A second charge for one call is reported and left out, as it is in company."""
    reported: list[Exception] = []
    store = await Store.open(path, clock)
    await store.serve(reported.append)
    first = store.books.first_call
    assert await hold(store, first) is None
    assert await settle(store, first) is None
    again = hold(store, first)
    assert await again is None
    refused = await settle(store, first)
    assert isinstance(refused, sqlite3.IntegrityError)
    assert [type(error) for error in reported] == [sqlite3.IntegrityError]
    assert await hold(store, first + 1) is None
    assert await settle(store, first + 1) is None
    await store.close()
