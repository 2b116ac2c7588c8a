"""What the ledger's rows add up to: roll-ups, balances, what a key has spent; and recovery.

Roll-ups and balances are brought up to date every second, some rows at a time, each time in one
transaction with the mark that says how far they go. What lies behind the mark is always few rows,
and read as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sqlite3

from msgspec import Struct

from gateway.core.purse import period_start
from gateway.domain import Key, Period
from gateway.ports import Clock
from gateway.store.database import Database, StoreError
from gateway.store.ledger import EXTEND, HOLD, SETTLE

ROLL_EVERY = 1.0
_ROLLED_AT_ONCE = 2_048  # entries: whoever writes waits behind them, two or three milliseconds
_BETWEEN = 0.03
CALLS_PER_BOOT = 1 << 40
RECOVERED = 1
_HOUR_MS = 3_600_000
_DAY = 86_400

REMEMBER_OPEN = """
PRAGMA temp_store = MEMORY;
CREATE TEMP TABLE still_open (call INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TEMP TABLE gained (hour, account, key, child, way, calls, failed, flagged, input, output,
    cached, charged, first, last);
"""

# The mark is read inside the transaction: rows that another run has added meanwhile are not there
# to be added again.
_WINDOW = "seq > (SELECT seq FROM marks) AND seq <= {upto}"
_UNSETTLED = f"NOT EXISTS (SELECT 1 FROM entries s WHERE s.call = e.call AND s.kind = {SETTLE})"
# A task that its provider knows outlives the process: its hold is in order, and found by the task.
_OPEN = (
    f"{_UNSETTLED} AND NOT EXISTS"
    " (SELECT 1 FROM tasks t WHERE t.call = e.call AND t.progress IS NOT NULL)"
)

_ADDED = """calls = calls + excluded.calls, failed = failed + excluded.failed,
        flagged = flagged + excluded.flagged, input = input + excluded.input,
        output = output + excluded.output, cached = cached + excluded.cached,
        charged = charged + excluded.charged"""

_ROLL = f"""
BEGIN IMMEDIATE;
DELETE FROM temp.gained;
INSERT INTO temp.gained
    SELECT at / {_HOUR_MS}, account, key, child, way, count(*), sum(status NOT BETWEEN 200 AND 299),
        sum(flag <> 0), sum(input), sum(output), sum(cached), sum(revenue), min(seq), max(seq)
    FROM entries WHERE kind = {SETTLE} AND {_WINDOW}
    GROUP BY 1, 2, 3, 4, 5;
INSERT INTO rollups SELECT * FROM temp.gained WHERE true
    ON CONFLICT DO UPDATE SET {_ADDED}, first = min(first, excluded.first),
        last = max(last, excluded.last);
INSERT INTO days
    SELECT hour / 24, account, key, child, way, sum(calls), sum(failed), sum(flagged), sum(input),
        sum(output), sum(cached), sum(charged)
    FROM temp.gained GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT DO UPDATE SET {_ADDED};
INSERT INTO spans SELECT hour, min(first), max(last) FROM temp.gained GROUP BY hour
    ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last);
INSERT INTO balances
    SELECT account, sum(wallet), sum(held), sum(revenue), sum(source)
    FROM entries WHERE {_WINDOW} GROUP BY account
    ON CONFLICT DO UPDATE SET wallet = wallet + excluded.wallet, held = held + excluded.held,
        revenue = revenue + excluded.revenue, source = source + excluded.source;
INSERT INTO temp.still_open
    SELECT call, seq FROM entries e WHERE {_WINDOW} AND kind = {HOLD} AND {_OPEN};
{{settled}}
UPDATE marks SET seq = max(seq, {{upto}}),
    open_from = (SELECT coalesce(min(o.seq), max(marks.seq, {{upto}}) + 1) FROM temp.still_open o),
    calls = calls + (SELECT coalesce(sum(calls), 0) FROM temp.gained);
COMMIT;
"""

# Looking through all that was open is done once a roll. Until then open_from may be too low.
_FORGET_SETTLED = f"DELETE FROM temp.still_open AS e WHERE NOT ({_OPEN});"

_ORPHANS = f"""
SELECT call, account, key, child, sum(held) AS held, max(input) AS input, max(way) AS way,
    max(estimate) AS estimate
FROM entries e WHERE seq >= ? AND kind IN ({HOLD}, {EXTEND}) AND {_OPEN}
GROUP BY call ORDER BY call
"""

_SETTLE_ORPHAN = f"""
INSERT INTO entries (at, kind, account, key, child, call, wallet, held, revenue, source, way,
    status, flag, input, receipt)
VALUES (?, {SETTLE}, ?, ?, ?, ?, ?, ?, ?, 0, ?, 499, {RECOVERED}, ?, ?)
"""

# What was being handed to its provider when the process ended: nobody knows its name there. And
# what has been settled without its task, as no writer of ours does it.
_END_TASKS = """
UPDATE tasks SET state = 'failed', error_code = 'interrupted', finished = :now,
    error = 'The gateway was restarted while it waited for this work. Nothing was charged.',
    webhook_due = CASE WHEN webhook IS NULL THEN NULL ELSE :now END
WHERE finished IS NULL AND (progress IS NULL
    OR EXISTS (SELECT 1 FROM entries s WHERE s.call = tasks.call AND s.kind = 3))
"""


def roll_script(upto: int, last: bool = True) -> str:
    """What adds the entries from the mark up to `upto` to the sums, on a connection that remembers
    what was open.
    """
    return _ROLL.format(upto=upto, settled=_FORGET_SETTLED if last else "")


class Balance(Struct, frozen=True):
    """An account's money now: free, set aside, charged so far, and what came from outside."""

    wallet: int = 0
    held: int = 0
    revenue: int = 0
    source: int = 0


class Books:
    """Sums over the ledger of one database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.recovered = 0
        self.token = ""
        self._boot = 0

    async def open(self) -> None:
        """Settle what a crash left open, bring the sums up to date, and see that they add up."""
        await self._recover()
        await self._database.script(REMEMBER_OPEN)
        await self.roll()
        await self._check()
        self.token = secrets.token_hex(8)
        self._boot = await self._database.insert(
            "INSERT INTO boots (token, at) VALUES (?, ?)", (self.token, int(self._clock.time()))
        )

    @property
    def first_call(self) -> int:
        """The number before that of this start's first call."""
        return self._boot * CALLS_PER_BOOT

    async def roll_for_ever(self) -> None:
        """Bring the sums up to date every second."""
        while True:
            await asyncio.sleep(ROLL_EVERY)
            try:
                await self.roll(_BETWEEN)
            except Exception:  # noqa: S112 - the ledger's writer reports storage faults
                continue

    async def roll_at_end(self) -> None:
        """Once more before the file is closed, if storage lets us; the next start does it else."""
        with contextlib.suppress(sqlite3.Error, ValueError):
            await self.roll()

    async def roll(self, pause: float = 0.0) -> None:
        """Add what the ledger has gained to the roll-ups and balances, some rows at a time."""
        ((seq, upto),) = await self._database.read(
            "SELECT seq, (SELECT coalesce(max(seq), 0) FROM entries) FROM marks"
        )
        while seq < upto:
            seq = min(seq + _ROLLED_AT_ONCE, upto)
            await self._database.script(roll_script(int(seq), seq == upto))
            if pause and seq < upto:
                await asyncio.sleep(pause)

    async def balance(self, account: int) -> Balance:
        """One account's money, to the last entry."""
        ((*sums,),) = await self._database.read(
            "SELECT sum(wallet), sum(held), sum(revenue), sum(source) FROM ("
            " SELECT wallet, held, revenue, source FROM balances WHERE account = :account"
            " UNION ALL SELECT wallet, held, revenue, source FROM entries"
            " WHERE seq > (SELECT seq FROM marks) AND account = :account)",
            {"account": account},
        )
        return Balance(*(int(value or 0) for value in sums))

    async def free_money(self, account: int) -> int:
        """What an account holds, with what is set aside for open calls."""
        balance = await self.balance(account)
        return balance.wallet + balance.held

    async def spent_by_key(self, key: int, period: Period) -> int:
        """What a key and all that were made with it have been charged in the running period."""
        return await self._spent(
            "key IN (WITH RECURSIVE own (n) AS (SELECT :value"
            " UNION SELECT k.n FROM keys k JOIN own ON k.parent = own.n) SELECT n FROM own)",
            key,
            period,
        )

    async def spent_by_account(self, account: int, period: Period) -> int:
        """What all keys of an account have been charged in the running period."""
        return await self._spent("account = :value", account, period)

    async def spent_by_child(self, child: int) -> int:
        """What a derived key and all that were derived from it have been charged."""
        return await self._spent(
            "child IN (WITH RECURSIVE own (n) AS (SELECT :value"
            " UNION SELECT c.n FROM children c JOIN own ON c.parent = own.n) SELECT n FROM own)",
            child,
            "none",
        )

    async def _spent(self, whose: str, value: int, period: Period) -> int:
        start = period_start(period, self._clock.time())
        ((spent,),) = await self._database.read(
            "SELECT sum(charged) FROM ("
            f" SELECT charged FROM days WHERE {whose} AND day >= :day"
            " UNION ALL SELECT revenue FROM entries"
            f" WHERE seq > (SELECT seq FROM marks) AND kind = {SETTLE} AND {whose} AND at >= :at)",
            {"value": value, "day": start // _DAY, "at": start * 1000},
        )
        return int(spent or 0)

    async def child(self, block_id: str, key: Key, parent: int | None) -> int:
        """The number of a derived key, given to it when it first spends."""
        await self._database.write(
            "INSERT INTO children (id, key, parent, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (block_id, key.n, parent, int(self._clock.time())),
        )
        ((number,),) = await self._database.read(
            "SELECT n FROM children WHERE id = ? AND key = ?", (block_id, key.n)
        )
        return int(number)

    async def way(self, route: str, model: str, provider: str) -> int:
        """The number under which the ledger knows a route."""
        names = (route, model, provider)
        await self._database.write(
            "INSERT INTO ways (route, model, provider) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            names,
        )
        ((number,),) = await self._database.read(
            "SELECT n FROM ways WHERE route = ? AND model = ? AND provider = ?", names
        )
        return int(number)

    async def keep_price(self, digest: str, row: bytes) -> None:
        """Remember a price row, so that receipts can be recomputed from the file alone."""
        await self._database.write(
            "INSERT INTO prices (digest, row, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (digest, row.decode(), int(self._clock.time())),
        )

    async def _recover(self) -> None:
        """Settle each call that was open when the last process ended, at its input estimate.

        Tasks that go on by themselves are not among them.
        """
        ((open_from,),) = await self._database.read("SELECT open_from FROM marks")
        orphans = await self._database.read(_ORPHANS, (open_from,))
        now = int(self._clock.time() * 1000)
        async with self._database.transaction() as connection:
            for row in orphans:
                charge = min(row["estimate"], row["held"])
                await connection.execute(
                    _SETTLE_ORPHAN,
                    (
                        now, row["account"], row["key"], row["child"], row["call"],
                        row["held"] - charge, -row["held"], charge, row["way"], row["input"],
                        b'{"flag":"recovered"}',
                    ),
                )  # fmt: skip
            await connection.execute(_END_TASKS, {"now": now})
        self.recovered = len(orphans)

    async def _check(self) -> None:
        """The sums that are kept must be those of the rows they stand for."""
        ((revenue, charged, calls, counted),) = await self._database.read(
            "SELECT (SELECT coalesce(sum(revenue), 0) FROM balances),"
            " (SELECT coalesce(sum(charged), 0) FROM days),"
            " (SELECT calls FROM marks), (SELECT coalesce(sum(calls), 0) FROM days)"
        )
        ((held, tasks),) = await self._database.read(
            "SELECT (SELECT coalesce(sum(held), 0) FROM balances),"
            " (SELECT coalesce(sum(held), 0) FROM tasks WHERE finished IS NULL)"
        )
        if revenue != charged or calls != counted or held != tasks:
            raise StoreError(
                f"{self._database.path} does not add up: its balances show {revenue} charged and "
                f"{held} held for tasks of {tasks}, its roll-ups {charged} in {counted} calls of "
                f"{calls}. The file was kept; see: gateway ledger verify"
            )
