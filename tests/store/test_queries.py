"""Sums and searches against the rows themselves, wherever the roll-ups end."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gateway.store import Store, calls
from gateway.store.calls import search
from gateway.store.usage import summary

HOUR = 3600
START = 1_700_000_000 // 86_400 * 86_400
STATUSES = (200, 200, 200, 429, 502)
FLAGS = {0: None, 2: "no_usage", 3: "bad_usage"}


class Row(dict[str, Any]):
    """One settled call as it was written."""


@pytest.fixture
async def ledger(path: Path, clock: Any) -> AsyncIterator[tuple[Store, list[Row]]]:
    """Two hundred calls over five days, rolled up in three steps; the last ones not at all."""
    luck = random.Random(5)
    store = await Store.open(path, clock, sync="normal")
    await store.books.open()
    store.ledger.start()
    names = [(await store.accounts.create(f"a{n}")).n for n in range(3)]
    keys = [(await store.keys.create(f"k{n}", account=f"a{n % 3}")).key for n in range(6)]
    ways = [await store.books.way(f"r{n}", f"m{n % 2}", f"p{n % 3}") for n in range(4)]
    rows: list[Row] = []
    for n in range(200):
        at = START + n * 5 * 86_400 // 200
        key, way = luck.randrange(6), luck.randrange(4)
        flag, status = luck.choice([0, 0, 0, 2, 3]), luck.choice(STATUSES)
        call = store.books.first_call + 1 + n
        who = (names[key % 3], keys[key].n, 0)
        charge = luck.randrange(1000)
        await store.ledger.hold(at * 1000, who, call, 1000, ways[way], 5, 5)
        result = (status, flag, n, 2 * n, n // 2, b"{}")
        await store.ledger.settle(at * 1000, who, call, 1000, charge, ways[way], result)
        rows.append(
            Row(
                n=n, at=at, key=keys[key].id, account=f"a{key % 3}", route=f"r{way}",
                model=f"m{way % 2}", provider=f"p{way % 3}", status=status, flag=FLAGS[flag],
                charge=charge,
            )
        )  # fmt: skip
        if n in (60, 61, 150):
            await store.ledger.flush()
            await store.books.roll()
    await store.ledger.flush()
    clock.now = START + 5 * 86_400
    yield store, rows
    await store.close()


QUESTIONS: list[dict[str, Any]] = [
    {},
    {"account": "a1"},
    {"key": "k2"},
    {"model": "m1"},
    {"route": "r3", "key": "k4"},
    {"provider": "p0"},
    {"status": 502},
    {"status": 200},
    {"flag": "any"},
    {"flag": "no_usage", "account": "a0"},
    {"since": START + 86_400 + 100, "until": START + 3 * 86_400 + 7},
    {"until": START + 40 * HOUR, "status": 429},
    {"since": START + 100 * HOUR, "flag": "bad_usage"},
    {"since": START + 99 * 86_400},
]


def wanted(rows: list[Row], question: dict[str, Any]) -> list[Row]:
    """What the question asks for, the slow way."""
    found = []
    for row in reversed(rows):
        plain = {name: value for name, value in question.items() if name not in _SPECIAL}
        if any(row[name] != value for name, value in plain.items()):
            continue
        if not question.get("since", 0) <= row["at"] < question.get("until", 1 << 40):
            continue
        flag = question.get("flag")
        if flag is None or (flag == "any" and row["flag"]) or flag == row["flag"]:
            found.append(row)
    return found


_SPECIAL = ("since", "until", "flag")


@pytest.mark.parametrize(("most", "budget"), [(2_000, 20_000), (3, 20_000), (1, 7), (4, 50)])
@pytest.mark.parametrize("question", QUESTIONS)
async def test_searches(
    ledger: tuple[Store, list[Row]],
    monkeypatch: pytest.MonkeyPatch,
    question: dict[str, Any],
    most: int,
    budget: int,
) -> None:
    """All pages together hold what was asked for, in order, once; however small the steps are."""
    store, rows = ledger
    monkeypatch.setattr(calls, "_MOST_SUMS", most)
    monkeypatch.setattr(calls, "_BUDGET", budget)
    ids = {f"k{n}": key.id for n, key in enumerate(await store.keys.list())}
    asked = {**question}
    if "key" in asked:
        asked["key"] = ids[asked["key"]]
    found: list[dict[str, Any]] = []
    after: str | None = None
    for _ in range(1000):
        page, after = await search(store, **asked, after=after, limit=9)
        found += page
        if after is None:
            break
    expected = wanted(rows, asked)
    assert after is None
    assert [call["input_tokens"] for call in found] == [row["n"] for row in expected]
    assert [call["status"] for call in found] == [row["status"] for row in expected]


WINDOWS = [
    (None, None),
    (START, START + 5 * 86_400),
    (START + 5 * HOUR, START + 4 * 86_400 - 2 * HOUR),
    (START + 30 * HOUR, START + 31 * HOUR),
    (START + 86_400, None),
    (START + 25 * HOUR, None),
]


@pytest.mark.parametrize("by", ["hour", "day", "key", "model", "provider"])
@pytest.mark.parametrize(("since", "until"), WINDOWS)
async def test_sums(
    ledger: tuple[Store, list[Row]], by: str, since: int | None, until: int | None
) -> None:
    """Whatever is made of days, hours and rows not summed yet: the sums are those of the rows."""
    store, rows = ledger
    for account in (None, "a2"):
        found = await summary(store, by=[by], since=since, until=until, account=account)
        first = since if since is not None else START + (5 * 24 - 48) * HOUR * (by == "hour")
        counted: dict[Any, list[int]] = {}
        for row in rows:
            if account in (None, row["account"]) and first <= row["at"] < (until or 1 << 40):
                whole = {"hour": HOUR, "day": 86_400}
                what = row["at"] // whole[by] * whole[by] if by in whole else row[by]
                sums = counted.setdefault(what, [0, 0, 0])
                sums[0] += 1
                sums[1] += row["n"]
                sums[2] += row["charge"]
        shown = {
            row[by]: [row["calls"], row["input_tokens"], round(float(row["cost"]) * 1e9)]
            for row in found
        }
        assert shown == counted


async def test_older_files_gain_their_sums(path: Path, clock: Any) -> None:
    """A file of the schema before has its days and spans made from its hours."""
    store = await Store.open(path, clock)
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.executescript(
            "DROP INDEX keys_by_parent; DROP TABLE client_secrets;"
            "ALTER TABLE keys DROP COLUMN provider; ALTER TABLE keys DROP COLUMN strict;"
            "DROP TABLE days; DROP TABLE spans; DROP TABLE tasks;"
            "DROP INDEX rollups_by_key;"
            "DROP INDEX rollups_by_account; DROP INDEX rollups_by_way; DROP INDEX rollups_flagged;"
            "DROP INDEX rollups_failed; CREATE INDEX rollups_by_key ON rollups (key, hour);"
            "CREATE INDEX rollups_by_child ON rollups (child, hour) WHERE child > 0;"
            "CREATE INDEX rollups_by_account ON rollups (account, hour);"
            "CREATE INDEX rollups_by_way ON rollups (way, hour);"
            "INSERT INTO rollups VALUES (48, 1, 2, 0, 1, 3, 0, 0, 4, 5, 6, 7, 10, 20),"
            " (49, 1, 2, 0, 1, 1, 1, 1, 1, 1, 1, 1, 21, 30), (72, 1, 2, 0, 1, 1, 0, 0, 1, 1, 1, 1,"
            " 31, 40); PRAGMA user_version = 2;"
        )
    store = await Store.open(path, clock)
    days = await store.database.read("SELECT day, calls, failed, charged FROM days")
    spans = await store.database.read("SELECT * FROM spans")
    await store.close()
    assert [tuple(row) for row in days] == [(2, 4, 1, 8), (3, 1, 0, 1)]
    assert [tuple(row) for row in spans] == [(48, 10, 20), (49, 21, 30), (72, 31, 40)]
