"""`ledger verify` proves a good file, and names whatever was done to one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.core.money.pricing import price_usage
from gateway.core.money.receipt import encode_receipt, row_digest
from gateway.core.money.rows import PLAIN, canonical, rows_of
from gateway.domain import Price, Usage
from gateway.store import Store
from gateway.store.calls import _lines, export, receipt, search
from gateway.store.database import StoreError
from gateway.store.ledger import TOP_UP
from gateway.store.verify import verify
from tests.cli.terminal import invoke
from tests.core.money.test_pricing import price

PRICE: Price = price(input_per_mtok="3", output_per_mtok="15")


@pytest.fixture
async def books(path: Path, clock) -> AsyncIterator[Store]:  # type: ignore[no-untyped-def]
    """Two accounts, forty calls, some flagged, some failed; rolled up in part."""
    store = await Store.open(path, clock)
    await store.serve(lambda error: pytest.fail(str(error)))
    row = canonical(PRICE)
    await store.books.keep_price(row_digest(row), row)
    one = await store.accounts.create("one")
    await store.move(one.n, TOP_UP, 10**9, b'{"memo":"m","by":"x"}')
    ways = [await store.books.way(f"r{n}", f"m{n % 2}", "p") for n in range(3)]
    for n in range(1, 41):
        if n == 30:
            await store.books.roll()
        who, call = (one.n if n % 2 else 1, n % 3, 0), store.books.first_call + n
        at = int(clock.time() * 1000) + n * 60_000
        usage = Usage(n, n * 2, raw=b'{"n":1}')
        cost = price_usage(rows_of(PRICE), usage)
        await store.ledger.hold(at, who, call, 10**6 * n, ways[n % 3], n, 5)
        stored = encode_receipt(row_digest(row).encode(), PLAIN, usage, cost, cost.total)
        result = (200, 3 if n % 10 == 0 else 0, n, n * 2, 0, stored)
        await store.ledger.settle(at, who, call, 10**6 * n, cost.total, ways[n % 3], result)
    await store.ledger.flush()
    yield store
    await store.close()


async def test_a_good_file(books: Store, path: Path) -> None:
    """All adds up, while a server is at work on it and afterwards."""
    verdict = verify(path)
    assert (verdict.wrong, verdict.problems) == (0, [])
    assert (verdict.calls, verdict.accounts, verdict.flagged, verdict.held) == (40, 2, 4, 0)
    assert verdict.charged == sum(n * 3_000 + n * 30_000 for n in range(1, 41))
    shown = json.loads(invoke("ledger", "verify", "--db", str(path), "--json").stdout)
    assert (shown["charged"], shown["held"], shown["ok"]) == ("0.02706", "0", True)


TAMPERING = {
    "a leg": "UPDATE entries SET wallet = wallet + 1 WHERE seq = 9",
    "both legs": "UPDATE entries SET wallet = wallet + 1, held = held - 1 WHERE seq = 8",
    "a charge": "UPDATE entries SET revenue = revenue + 1, wallet = wallet - 1 WHERE seq = 9",
    "a row gone": "DELETE FROM entries WHERE seq = 12",
    "the last rows gone": "DELETE FROM entries WHERE seq > 50",
    "another account": "UPDATE entries SET account = 1 WHERE seq = 2",
    "another call": "UPDATE entries SET call = call + 100 WHERE seq = 9",
    "a start that never was": "UPDATE entries SET call = call + (1 << 45) WHERE seq IN (8, 9)",
    "a receipt": "UPDATE entries SET receipt ="
    " CAST(replace(CAST(receipt AS TEXT), '15', '14') AS BLOB) WHERE seq = 9",
    "no receipt": "UPDATE entries SET receipt = NULL WHERE seq = 9",
    "a price row": "UPDATE prices SET row = replace(row, '15', '16')",
    "no price row": "DELETE FROM prices",
    "a balance": "UPDATE balances SET wallet = wallet + 5, source = source - 5 WHERE account = 1",
    "a roll-up": "UPDATE rollups SET charged = charged + 1 WHERE way = 1",
    "a lost roll-up": "DELETE FROM rollups WHERE way = 2",
    "the mark's calls": "UPDATE marks SET calls = calls + 1",
    "the mark": "UPDATE marks SET seq = 1000",
    "tokens": "UPDATE entries SET output = output + 1 WHERE seq = 9",
    "a flag": "UPDATE entries SET flag = 2 WHERE seq = 9",
    "another key's call": "UPDATE entries SET key = key + 1 WHERE seq = 9",
    "another derived key's": "UPDATE entries SET child = 7 WHERE seq = 8",
    "a second hold": "UPDATE entries SET kind = 1, held = 5, wallet = -5, revenue = 0, call ="
    " (SELECT call FROM entries WHERE seq = 8) WHERE seq = 10",
    "a day": "UPDATE days SET output = output + 1 WHERE way = 1",
    "a lost day": "DELETE FROM days WHERE way = 2",
    "a span's begin": "UPDATE spans SET first = first + 1",
    "a span's end": "UPDATE spans SET last = last - 1",
    "a lost span": "DELETE FROM spans",
    "a stretch": "UPDATE rollups SET first = first + 1",
    "where open calls begin": "UPDATE marks SET open_from = seq + 2",
    "a status": "UPDATE entries SET status = 500 WHERE seq = 9",
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_what_was_done_to_it(books: Store, path: Path, what: str) -> None:
    """Each change of one figure is found, and told in words."""
    await books.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("PRAGMA ignore_check_constraints = ON")
        file.execute("DROP TRIGGER entries_are_kept")
        file.execute("DROP TRIGGER entries_are_final")
        assert file.execute(TAMPERING[what]).rowcount
    verdict = verify(path)
    assert verdict.wrong, what
    assert all(len(problem) > 10 for problem in verdict.problems)


def test_no_ledger(tmp_path: Path) -> None:
    """A file that is not there, or not ours, is told so."""
    with pytest.raises(StoreError, match="no database"):
        verify(tmp_path / "none")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(StoreError):
        verify(tmp_path / "text")


async def test_searches(books: Store) -> None:
    """Every filter, newest first, over rolled and fresh rows alike; pages walk through all."""
    everything, after = await search(books)
    assert (len(everything), after) == (40, None)
    assert [call["at"] for call in everything] == sorted(
        (c["at"] for c in everything), reverse=True
    )
    walked, cursor = [], None
    while True:
        page, cursor = await search(books, limit=7, after=cursor)
        walked += page
        if cursor is None:
            break
    assert walked == everything
    for wanted, count in (
        ({"account": "one"}, 20), ({"route": "r1"}, 14), ({"model": "m0"}, 26),
        ({"provider": "p"}, 40), ({"provider": "q"}, 0), ({"account": "default"}, 20),
    ):  # fmt: skip
        assert len((await search(books, **wanted))[0]) == count, wanted
    assert len((await search(books, flag="bad_usage"))[0]) == 4
    assert len((await search(books, flag="any"))[0]) == 4
    assert len((await search(books, status=200))[0]) == 40
    assert (await search(books, status=500))[0] == []
    start = int(everything[-1]["at"])
    recent, _ = await search(books, since=start + 30 * 60)
    assert len(recent) == 10
    older, _ = await search(books, until=start + 30 * 60)
    assert len(older) == 30


async def test_a_search_reads_only_so_much(books: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that has read its fill hands back a cursor, however little it found."""
    monkeypatch.setattr("gateway.store.calls._BUDGET", 10)
    found, cursor, pages = [], None, 0
    while True:
        page, cursor = await search(books, status=200, flag="bad_usage", after=cursor)
        found += page
        pages += 1
        if cursor is None:
            break
    assert len(found) == 4
    assert pages > 4


def test_a_receipt_shows_exact_amounts() -> None:
    """Four seconds at ten cents are forty cents, and not what a binary fraction makes of them."""
    kept = {"lines": [["per_second", 4000, "0.1"], ["per_minute", 1, "0.1"]], "multiplier": "0.9"}
    shown = [line["amount"] for line in _lines(kept)]
    assert shown == ["0.4", "0.000001666666666667", "-0.040000166666666667"]


async def test_receipts_and_exports(books: Store) -> None:
    """A receipt is recomputed when it is shown; the export has every row once."""
    newest = (await search(books, limit=1))[0][0]
    shown = await receipt(books, newest["id"])
    assert shown is not None
    assert (shown["verified"], shown["charged"], shown["usage"]) == (True, "0.00132", {"n": 1})
    assert await receipt(books, newest["id"], account=99) is None
    rows = [row async for page in export(books) for row in page]
    assert [row["seq"] for row in rows] == list(range(1, 82))
    assert json.dumps(rows[0])
    assert rows[0]["memo"] == "m"
