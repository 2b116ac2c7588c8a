"""What is under way when somebody leaves or the gateway ends is done once, or not at all."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gateway.store import Store, books
from gateway.store.books import roll_script
from gateway.store.ledger import ADJUST, SETTLE, TOP_UP
from gateway.store.verify import verify
from tests.money import entries, until

RESULT = (200, 0, 1, 1, 0, b"{}")


async def serving(path: Path, clock: Any) -> Store:
    store = await Store.open(path, clock)
    await store.serve(lambda error: pytest.fail(str(error)))
    return store


async def test_rows_that_were_added_are_not_added_again(path: Path, clock: Any) -> None:
    """Whoever sums up from a mark that has moved meanwhile finds nothing left to add."""
    store = await serving(path, clock)
    for _ in range(3):
        await store.move(1, TOP_UP, 10**9, b"{}")
    await store.database.script(roll_script(2))
    await store.database.script(roll_script(2))
    await store.database.script(roll_script(1))
    assert verify(path).problems == []
    await store.books.roll()
    balance = await store.books.balance(1)
    assert balance.wallet == 3 * 10**9
    await store.close()
    assert verify(path).problems == []


async def test_sums_are_made_some_rows_at_a_time(
    path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hold waits for a few rows to be added up, not for all that there are; none is left out."""
    monkeypatch.setattr(books, "_ROLLED_AT_ONCE", 7)
    store = await serving(path, clock)
    ledger, first = store.ledger, store.books.first_call
    for call in range(first + 1, first + 31):
        await ledger.hold(1, (1, 0, 0), call, 10, 0, 1, 1)
        if (call - first) % 3:  # the others stay open across several marks
            await ledger.settle(1, (1, 0, 0), call, 10, 0, 0, RESULT)
    scripts: list[str] = []
    script, served = store.database.script, asyncio.Event()

    async def one_after_the_hold(text: str) -> None:
        scripts.append(text)
        if len(scripts) == 2:
            await served.wait()
        await script(text)

    monkeypatch.setattr(store.database, "script", one_after_the_hold)
    rolling = asyncio.create_task(store.books.roll())
    await until(lambda: len(scripts) == 2)
    assert await ledger.hold(1, (1, 0, 0), first + 31, 10, 0, 1, 1) is None
    served.set()
    await rolling
    assert len(scripts) == 8  # of fifty rows; the one that came meanwhile is the next roll's
    assert verify(path).problems == []
    for call in range(first + 3, first + 31, 3):
        await ledger.settle(1, (1, 0, 0), call, 10, 0, 0, RESULT)
    await ledger.settle(1, (1, 0, 0), first + 31, 10, 0, 0, RESULT)
    await store.close()
    verdict = verify(path)
    assert (verdict.problems, verdict.calls, verdict.held) == ([], 31, 0)


async def test_what_is_settled_behind_the_mark_was_not_left_open(path: Path, clock: Any) -> None:
    """The mark may stand between a call's hold and its settlement: such a file is in order."""
    store = await serving(path, clock)
    ledger, first = store.ledger, store.books.first_call
    for call in (first + 1, first + 2):
        await ledger.hold(1, (1, 0, 0), call, 10, 0, 1, 1)
        await ledger.settle(1, (1, 0, 0), call, 10, 0, 0, RESULT)
    await ledger.hold(1, (1, 0, 0), first + 3, 10, 0, 1, 1)
    for upto, last in ((3, False), (3, True), (5, False)):
        await store.database.script(roll_script(upto, last))
        assert verify(path).problems == []
    await ledger.settle(1, (1, 0, 0), first + 3, 10, 0, 0, RESULT)
    assert verify(path).problems == []
    await store.close()


async def test_a_roll_rests_between_its_pieces_and_may_be_ended_there(
    path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "_ROLLED_AT_ONCE", 2)
    store = await serving(path, clock)
    for _ in range(5):
        await store.move(1, TOP_UP, 10**9, b"{}")

    async def marked() -> int:
        ((seq,),) = await store.database.read("SELECT seq FROM marks")
        return int(seq)

    script, added = store.database.script, asyncio.Event()

    async def told(text: str) -> None:
        await script(text)
        added.set()

    monkeypatch.setattr(store.database, "script", told)
    rolling = asyncio.create_task(store.books.roll(pause=3_600.0))
    await added.wait()
    await store.move(1, TOP_UP, 10**9, b"{}")
    assert (await marked(), rolling.done()) == (2, False)
    rolling.cancel()
    await asyncio.gather(rolling, return_exceptions=True)
    await store.books.roll()
    assert await marked() == 6
    assert (await store.books.balance(1)).wallet == 6 * 10**9
    await store.close()
    assert verify(path).problems == []


async def test_an_end_while_sums_are_made(
    path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that follows at once finds every row in the sums, and none of them twice."""
    monkeypatch.setattr(books, "ROLL_EVERY", 0.0)
    for number in range(1, 41):
        store = await serving(path, clock)
        store.ledger.move(1_000, 1, TOP_UP, 10**9, b"{}")
        for _ in range(number):
            await asyncio.sleep(0)
        await store.close()
        assert verify(path).problems == []
    store = await serving(path, clock)
    assert (await store.books.balance(1)).wallet == 40 * 10**9
    await store.close()


async def test_money_moves_though_its_mover_has_left(path: Path, clock: Any) -> None:
    """The row is written all the same: so what the account may spend must follow it."""
    store = await serving(path, clock)
    told: list[tuple[int, int]] = []
    store.on_money.append(lambda account, nanos: told.append((account, nanos)))
    moving = asyncio.create_task(store.move(1, ADJUST, -700, b"{}"))
    await asyncio.sleep(0)
    moving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await moving
    await until(lambda: told)
    assert told == [(1, -700)]
    assert [row["wallet"] for row in entries(path, 1)] == [-700]
    await store.close()


async def test_no_hold_is_granted_that_was_not_written(path: Path, clock: Any) -> None:
    """At the end, those who still wait are told so; a charge among them is handed back."""
    store = await serving(path, clock)
    ledger, call = store.ledger, store.books.first_call + 1
    assert await ledger.hold(1, (1, 0, 0), call, 10, 0, 1, 1) is None
    async with store.database.transaction():  # the file is busy for longer than anybody waits
        held = ledger.hold(1, (1, 0, 0), call + 1, 10, 0, 1, 1)
        await asyncio.sleep(0)
        settled = ledger.settle(1, (1, 0, 0), call, 10, 5, 0, RESULT)
        late = ledger.hold(1, (1, 0, 0), call + 2, 10, 0, 1, 1)
        ending = asyncio.create_task(ledger.close(patience=0.0))
        await until(lambda: ledger._closing)
    owed = await ending
    assert await held is None  # this one was being written
    assert isinstance(await late, sqlite3.Error)
    assert isinstance(await settled, sqlite3.Error)
    assert [row[1] for row in owed] == [SETTLE]
    after = ledger.hold(1, (1, 0, 0), call + 3, 10, 0, 1, 1)
    assert isinstance(await asyncio.wait_for(after, 5), sqlite3.Error)
    assert await asyncio.wait_for(ledger.flush(), 5) is not None or ledger.owed == 1
    assert [row["call"] for row in entries(path)] == [call, call + 1]
    await store.database.close()


async def test_who_leaves_as_a_row_is_written_is_told_all_the_same(path: Path, clock: Any) -> None:
    """A cancelled task runs only after all that the loop has before it: the commit may be that."""
    store = await serving(path, clock)
    store.database.write_at_once = lambda *_: False  # as in company
    written = store.ledger._insert
    told: list[Exception | None] = []

    async def call() -> None:
        held = store.ledger.hold(1, (1, 1, 0), store.books.first_call, 5, 1, 1, 1)
        try:
            await held
        except asyncio.CancelledError:
            store.ledger.tell(held, told.append)
            raise

    async def insert(rows: Any) -> None:
        await written(rows)
        calling.cancel()

    store.ledger._insert = insert
    calling = asyncio.create_task(call())
    await asyncio.gather(calling, return_exceptions=True)
    assert calling.cancelled()
    assert told == [None]
    assert not store.ledger._untold
    store.ledger._insert = written
    await store.close()
