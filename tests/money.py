"""What the money tests share: accounts with so much in them, and a look at the ledger itself.

The look goes through sqlite3 alone: nothing of the gateway's own arithmetic is trusted here.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.store import Store
from gateway.store.ledger import TOP_UP

# The test catalog's price of 3 and 15 dollars a million tokens, in nanodollars a token.
IN, OUT = 3_000, 15_000
HOLD, EXTEND, SETTLE = 1, 2, 3


@dataclass
class Payer:
    """An account with money, and a key of its own."""

    account: int
    name: str
    secret: str


async def payer(
    store: Store,
    nanos: int = 0,
    *,
    name: str = "payer",
    floor: int | None = 0,
    spend_limit: int | None = None,
    **key: Any,
) -> Payer:
    """Open an account, bring money into it, make a key."""
    account = await store.accounts.create(name, floor=floor, spend_limit=spend_limit)
    if nanos:
        await store.move(account.n, TOP_UP, nanos, b"{}")
    made = await store.keys.create(f"{name}'s key", account=name, **key)
    return Payer(account.n, name, str(made.secret))


def tokens_in(body: bytes) -> int:
    """The documented guess: a token for three bytes of ASCII, and eight for what frames it."""
    return len(body) // 3 + 8


def entries(path: Path, account: int | None = None) -> list[dict[str, Any]]:
    """The ledger's rows, oldest first."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT * FROM entries ORDER BY seq")]
    finally:
        connection.close()
    return [row for row in rows if account is None or row["account"] == account]


def sound(rows: list[dict[str, Any]], floors: dict[int, int] | None = None) -> None:
    """Every prefix of the ledger holds: nothing appears, nobody is below their floor."""
    wallets: dict[int, int] = {}
    held: dict[int, int] = {}
    settled: set[int] = set()
    for row in rows:
        assert row["wallet"] + row["held"] + row["revenue"] + row["source"] == 0
        account, call = row["account"], row["call"]
        wallets[account] = wallets.get(account, 0) + row["wallet"]
        if row["kind"] <= SETTLE:
            held[call] = held.get(call, 0) + row["held"]
            assert held[call] >= 0, f"call {call} lets go of more than it held"
            assert call not in settled, f"call {call} goes on after it was settled"
        if row["kind"] == SETTLE:
            settled.add(call)
            assert held[call] == 0, f"call {call} leaves {held[call]} set aside"
        if floors is not None and account in floors:
            assert wallets[account] >= floors[account], f"account {account} is below its floor"


def open_calls(rows: list[dict[str, Any]]) -> set[int]:
    """Calls with a hold and no settlement."""
    settled = {row["call"] for row in rows if row["kind"] == SETTLE}
    return {row["call"] for row in rows if row["kind"] in (HOLD, EXTEND)} - settled


def charges(rows: list[dict[str, Any]]) -> list[int]:
    """What each settled call was charged."""
    return [row["revenue"] for row in rows if row["kind"] == SETTLE]


async def until(true: Callable[[], object]) -> None:
    """Turn the loop until something holds; ten seconds at most."""

    async def turn() -> None:
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)

    await asyncio.wait_for(turn(), 10)
