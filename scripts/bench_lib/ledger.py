"""How long a large ledger takes to open, and to answer what the admin pages ask of it."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway.settings import SystemClock
from gateway.store import Store
from gateway.store.books import REMEMBER_OPEN, roll_script
from gateway.store.calls import receipt, search
from gateway.store.commands import Commands
from gateway.store.usage import summary

ACCOUNTS, KEYS, ROUTES, DAYS = 50, 200, 40, 90
RARE = 77
BATCH = 200_000
RECEIPT = (
    b'{"price":"8c33fead4742546a79b45cf0cd54470d98baf7062df655ff09d18e7d77c5eb26","lines":'
    b'[["input_per_mtok",24,"1"],["output_per_mtok",50,"2"]],"total":124000,"charged":124000,'
    b'"usage":{"prompt_tokens":24,"completion_tokens":50,"total_tokens":74}}'
)
# Two rows a call. A key belongs to one account and uses five routes; key RARE calls once in 99,991.
ROWS = f"""
WITH RECURSIVE n(i) AS (SELECT :start UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end),
    c AS (SELECT i, i / 2 AS call, CASE WHEN i / 2 % 99991 = 7 THEN {RARE} ELSE
        CASE WHEN abs(i / 2 * 2654435761 % {KEYS}) = {RARE} THEN 0
        ELSE abs(i / 2 * 2654435761 % {KEYS}) END END AS k FROM n)
INSERT INTO entries (at, kind, account, key, child, call, wallet, held, revenue, source, way,
    status, flag, input, output, cached, estimate, receipt)
SELECT CAST(:from_ms + i * :step AS INTEGER), CASE i % 2 WHEN 0 THEN 1 ELSE 3 END,
    :account + k % {ACCOUNTS}, :key + k, 0, :base + 1 + call,
    CASE i % 2 WHEN 0 THEN -1000 ELSE 900 END, CASE i % 2 WHEN 0 THEN 1000 ELSE -1000 END,
    CASE i % 2 WHEN 0 THEN 0 ELSE 100 END, 0, 1 + (k * 7 + call % 5) % {ROUTES},
    CASE i % 2 WHEN 0 THEN 0 ELSE 200 END, CASE WHEN i % 2 = 1 AND call % 50000 = 3 THEN 3
    ELSE 0 END, 24, 50, 0, 0, CASE i % 2 WHEN 0 THEN NULL ELSE :receipt END FROM c
"""


def measure(calls: int, keep: Path | None) -> str:
    """Make a ledger of so many calls, or take the one that is kept, and time it."""
    with tempfile.TemporaryDirectory() as folder:
        path = keep or Path(folder) / "ledger.sqlite"
        if not path.exists():
            asyncio.run(_make(path, calls))
        return asyncio.run(_time(path))


async def _make(path: Path, calls: int) -> None:
    store = await Store.open(path, SystemClock())
    await store.books.open()
    accounts = [await store.accounts.create(f"account {n}", floor=None) for n in range(ACCOUNTS)]
    keys = [
        (await store.keys.create(f"key {n}", account=f"account {n % ACCOUNTS}")).key
        for n in range(KEYS)
    ]
    for n in range(ROUTES):
        await store.books.way(f"route-{n}", f"model-{n % 20}", f"provider-{n % 8}")
    base = store.books.first_call
    await store.close()
    span = DAYS * 86_400_000
    values = {
        "base": base, "account": accounts[0].n, "key": keys[0].n, "receipt": RECEIPT,
        "from_ms": int(time.time() * 1000) - span, "step": span / (2 * calls),
    }  # fmt: skip
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.executescript(REMEMBER_OPEN)
        for start in range(0, 2 * calls, BATCH):
            end = min(start + BATCH, 2 * calls)
            file.execute(ROWS, {**values, "start": start, "end": end})
            file.executescript(roll_script(end))


async def _time(path: Path) -> str:
    begun = time.perf_counter()
    store = await Store.open(path, SystemClock())
    await store.serve(lambda _: None)
    lines = [f"{'start':<34} {(time.perf_counter() - begun) * 1000:8.1f} ms"]
    try:
        ((entries,),) = await store.database.read("SELECT max(seq) FROM entries")
        ((hours,),) = await store.database.read("SELECT count(*) FROM rollups")
        ((size,),) = await store.database.read(
            "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        )
        lines.insert(0, f"{entries} entries, {hours} hourly sums, {size >> 20} MiB")
        for name, ask in (await _questions(store)).items():
            lines.append(f"{name:<34} {await _best(ask)}")
    finally:
        await store.close()
    return "\n".join(lines)


async def _best(ask: Callable[[], Awaitable[Any]]) -> str:
    took = []
    for _ in range(4):
        begun = time.perf_counter()
        found = await ask()
        took.append((time.perf_counter() - begun) * 1000)
    rows = len(found[0]) if isinstance(found, tuple) else len(found)
    return f"{took[0]:8.1f} ms first, {min(took[1:]):8.1f} ms again, {rows} rows"


async def _questions(store: Store) -> dict[str, Callable[[], Awaitable[Any]]]:
    now = int(time.time())
    day, week, quarter = now - 86_400, now - 7 * 86_400, now - DAYS * 86_400
    keys = {key.name: key.id for key in await store.keys.list()}
    usual, rare = keys["key 20"], keys[f"key {RARE}"]
    newest = (await search(store, limit=1))[0][0]["id"]
    return {
        "calls": lambda: search(store),
        "calls of a usual key": lambda: search(store, key=usual),
        "calls of a rare key": lambda: search(store, key=rare),
        "calls of a model": lambda: search(store, model="model-3"),
        "calls of an account": lambda: search(store, account="account 7"),
        "calls of an unknown key": lambda: search(store, key="none"),
        "calls with status 500 (none)": lambda: search(store, status=500),
        "calls of one old day": lambda: search(store, since=quarter, until=quarter + 86_400),
        "old calls of a key": lambda: search(store, key=usual, until=quarter + 86_400),
        "flagged": lambda: search(store, flag="any"),
        "usage by day": lambda: summary(store),
        "usage by hour": lambda: summary(store, by=["hour"]),
        "usage by key": lambda: summary(store, by=["key"]),
        "usage by model": lambda: summary(store, by=["model"]),
        "usage by account": lambda: summary(store, by=["account"]),
        "usage by day and model": lambda: summary(store, by=["day", "model"]),
        "usage by hour and key, a day": lambda: summary(store, by=["hour", "key"], since=day),
        "usage by provider, a week": lambda: summary(store, by=["provider"], since=week),
        "usage of a key by day, all": lambda: summary(store, key=usual, since=quarter),
        "usage of a key by hour, a week": lambda: summary(
            store, by=["hour"], key=usual, since=week
        ),
        "usage by day, all": lambda: summary(store, since=quarter),
        "usage by key, all": lambda: summary(store, by=["key"], since=quarter),
        "accounts": Commands(store).list_accounts,
        "a receipt": lambda: _one(receipt(store, newest)),
    }


async def _one(found: Awaitable[Any]) -> list[Any]:
    return [await found]
