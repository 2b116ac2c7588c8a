"""The ledger's writer. Whatever arrives while one commit runs shares the next one.

A batch is one INSERT of many rows: SQLite makes a single statement durable whole or not at all, so
a batch needs one visit to the database's thread and one sync. A call that is the only one writes
its rows on the spot: nobody else is kept waiting, and the way to the thread and back costs as much
as the sync. Holds that cannot be written are refused; charges that cannot be written are kept and
tried again until they are.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from math import nan
from time import monotonic
from weakref import WeakKeyDictionary

from gateway.ports import Result, Who
from gateway.store.database import Database

HOLD, EXTEND, SETTLE, TOP_UP, ADJUST = 1, 2, 3, 4, 5
COLUMNS = (
    "at, kind, account, key, child, call, wallet, held, revenue, source,"
    " way, status, flag, input, output, cached, estimate, receipt"
)
_WIDTH = COLUMNS.count(",") + 1
_MOST_ROWS = 256
# With so many calls open, a commit waits for others to share it: until half of the open calls want
# it, but no longer than this after the commit before, the longer the more calls are open: a sync
# for each of two hundred streams costs more than what they stream. Who calls alone among quiet ones
# waits in vain so many times, and then no more until two come at once.
_BUSY, _IN_VAIN = 8, 3
_GATHER = 0.004
_GATHER_EACH = 0.0001
_MOST_GATHER = 0.024
# A disk that takes longer than this is left to the thread for so many commits.
_QUICK = 0.002
_SPARED = 100
_RETRY_AFTER = 0.25
_PATIENCE = 5.0
# sqlite3 takes numbers and byte arrays as they are. For None and bytes it looks first, in vain, for
# who would turn them into something else, which costs as much as ten integers. NaN becomes NULL.
_NONE = nan
# With every column named, and in the table's order, SQLite takes values for a row from where they
# are; it would copy each of them otherwise. NULL is the next number.
_INSERT = f"INSERT INTO entries (seq, {COLUMNS}) VALUES"
_ONE = f"(NULL, {', '.join('?' * _WIDTH)})"
INSERT_ONE = f"{_INSERT} {_ONE}"

_CLOSED = "the ledger has been closed"
_FAILURES = (sqlite3.Error, ValueError, OverflowError)

Value = int | float | bytearray
Row = tuple[Value, ...]


# Done once a row is durable, or with the error that kept it from being so. Whoever waits for it may
# be cancelled, and the future with it; the row is written all the same.
Commit = asyncio.Future[Exception | None]
Tell = Callable[[Exception | None], None]


def extend_row(at: int, who: Who, call: int, amount: int, estimate: int = 0) -> Row:
    """The entry that sets more aside."""
    return (at, EXTEND, *who, call, -amount, amount, 0, 0, 0, 0, 0, 0, 0, 0, estimate, _NONE)


def settle_row(
    at: int, who: Who, call: int, held: int, charge: int, way: int, result: Result
) -> Row:
    """The entry that lets go of what was held and charges what was used."""
    account, key, child = who  # a star in so long a tuple costs nearly as much as the rest of it
    status, flag, tokens_in, tokens_out, cached, receipt = result
    return (
        at, SETTLE, account, key, child, call, held - charge, -held, charge, 0, way, status, flag,
        tokens_in, tokens_out, cached, 0, receipt,
    )  # fmt: skip


class _Batch:
    __slots__ = ("values", "waiting", "watching")

    def __init__(self) -> None:
        self.values: list[Value] = []  # of all its rows, as a statement takes them
        self.waiting: list[Commit] = []
        self.watching: list[Commit] = []

    @property
    def pending(self) -> bool:
        """Whether anybody waits for it to be written."""
        return bool(self.waiting or self.watching)

    def rows(self) -> list[Row]:
        """Its rows, each by itself: one for each who is waiting."""
        starts = range(0, len(self.values), _WIDTH)
        return [tuple(self.values[start : start + _WIDTH]) for start in starts]

    def done(self, error: Exception | None) -> list[Commit]:
        """Tell everybody who waits; those who have given up meanwhile."""
        gone = []
        for commit in (*self.waiting, *self.watching):
            try:
                commit.set_result(error)
            except asyncio.InvalidStateError:
                gone.append(commit)
        return gone


class GroupCommit:
    """Gathers rows into commits."""

    def __init__(self, database: Database, on_failure: Callable[[Exception], None]) -> None:
        self._database = database
        self._on_failure = on_failure
        self._statements: dict[int, str] = {}
        self._open = _Batch()
        self._full: deque[_Batch] = deque()
        self._untold: dict[Commit, Tell] = {}
        self._unheard: WeakKeyDictionary[Commit, Exception | None] = WeakKeyDictionary()
        self._working = False
        self._closing = self._closed = False
        self._open_calls = self._in_vain = 0
        self._enough = _MOST_ROWS
        self._come_together = asyncio.Event()
        self._last_commit = 0.0
        self._spared = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._owed: list[Row] = []
        self._task: asyncio.Task[None] | None = None
        self._storage_error: Exception | None = None
        self.failing_since: float | None = None
        self.commits = 0
        self.rows = 0

    def start(self) -> None:
        """Begin to write; nothing more where that was done before."""
        if self._task is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())

    @property
    def owed(self) -> int:
        """Charges that storage has not taken yet."""
        return len(self._owed)

    def post(self, row: Row, alone: bool = False) -> Commit:
        """Hand over one entry; what is returned is done when the entry is durable."""
        batch = self._open
        commit: Commit = asyncio.Future()  # of the running loop: to name it takes twice as long
        if self._closed:
            commit.set_result(sqlite3.ProgrammingError(_CLOSED))
            return commit
        if alone and not self._working and self._written_at_once(row):
            commit.set_result(None)
            return commit
        batch.values += row
        batch.waiting.append(commit)
        if len(batch.waiting) >= self._enough:
            self._enough = _MOST_ROWS  # it is told once that enough have come
            self._come_together.set()
            if len(batch.waiting) >= _MOST_ROWS:
                self._full.append(batch)
                self._open = _Batch()
        if not self._working:
            self._working = True
            self._idle.clear()
            self._wake.set()
        return commit

    def hold(
        self, at: int, who: Who, call: int, amount: int, way: int, tokens: int, estimate: int
    ) -> Commit:
        """Set money aside before a call goes upstream."""
        self._open_calls += 1
        account, key, child = who
        row = (
            at, HOLD, account, key, child, call, -amount, amount, 0, 0, way, 0, 0,
            tokens, 0, 0, estimate, _NONE,
        )  # fmt: skip
        return self.post(row, self._open_calls == 1)

    def extend(self, at: int, who: Who, call: int, amount: int, estimate: int = 0) -> Commit:
        """Set more aside for a call that runs; `estimate` is what it has cost so far, if known."""
        return self.post(extend_row(at, who, call, amount, estimate))

    def settle(
        self, at: int, who: Who, call: int, held: int, charge: int, way: int, result: Result
    ) -> Commit:
        """Let go of what was held and charge what was used."""
        self._open_calls -= 1
        row = settle_row(at, who, call, held, charge, way, result)
        return self.post(row, self._open_calls == 0)

    def leave_open(self) -> None:
        """A call has been answered whose hold stays: a task's. It is in nobody's way."""
        self._open_calls -= 1

    def move(self, at: int, account: int, kind: int, amount: int, memo: bytes) -> Commit:
        """Bring money in from outside, or take it out."""
        note = bytearray(memo)
        return self.post(
            (at, kind, account, 0, 0, 0, amount, 0, 0, -amount, 0, 0, 0, 0, 0, 0, 0, note)
        )

    def tell(self, commit: Commit, tell: Tell) -> None:
        """Say how a row ended to somebody who was cancelled while waiting for it."""
        if not commit.cancelled():
            tell(commit.result())
        elif commit in self._unheard:  # it was written before who waited for it came to say this
            tell(self._unheard.pop(commit))
        else:
            self._untold[commit] = tell

    async def flush(self) -> Exception | None:
        """Wait until all that has been handed over so far is written; what keeps it from that.

        It waits for no quiet moment: under load there may be none.
        """
        if self._working and not self._closed:
            seen: Commit = asyncio.Future()
            self._open.watching.append(seen)
            await seen
        return self._storage_error if self._owed else None

    async def close(self, patience: float = _PATIENCE) -> list[Row]:
        """Write what is left; the charges that storage would not take."""
        if self._task is None:
            return []
        try:
            async with asyncio.timeout(patience):
                await self._idle.wait()
        except TimeoutError:
            pass
        # What is being written is waited for: only then is it known whether it must be told.
        self._closing = True
        self._wake.set()
        self._come_together.set()
        await self._task
        self._closed = True
        error = self._storage_error or sqlite3.ProgrammingError(_CLOSED)
        for batch in (*self._full, self._open):
            self._refuse(batch, error)
        return self._owed

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while (self._full or self._open.pending or self._owed) and not self._closing:
                if self._open_calls >= _BUSY and not self._full:
                    await self._gather()
                if self._full:
                    batch = self._full.popleft()
                else:
                    batch, self._open = self._open, _Batch()
                if self._owed and not await self._pay():
                    self._refuse(batch, self._storage_error)
                    await asyncio.sleep(_RETRY_AFTER)
                    continue
                if batch.pending:
                    await self._write(batch)
                    self._last_commit = self._loop.time()
            if not self._closing:
                self._working = False
                self._idle.set()

    async def _gather(self) -> None:
        """Let those that are about to come share the next commit."""
        window = min(max(_GATHER, self._open_calls * _GATHER_EACH), _MOST_GATHER)
        left = self._last_commit + window - self._loop.time()
        self._enough = min(_MOST_ROWS, self._open_calls // 2)
        came = len(self._open.waiting)
        if left > 0 and came < self._enough and (came > 1 or self._in_vain < _IN_VAIN):
            self._come_together.clear()
            timer = self._loop.call_later(left, self._come_together.set)
            await self._come_together.wait()
            timer.cancel()
            self._in_vain = self._in_vain + 1 if came == len(self._open.waiting) == 1 else 0
        self._enough = _MOST_ROWS

    def _written_at_once(self, row: Row) -> bool:
        """Write it here and now. Whatever goes wrong is the writer's, who knows what to do."""
        if self._spared:
            self._spared -= 1
            return False
        began = monotonic()
        try:
            written = self._database.write_at_once(INSERT_ONE, row)
        except _FAILURES:
            written = False
        if monotonic() - began > _QUICK:
            self._spared = _SPARED
        if written:
            self.failing_since = None
            self.commits += 1
            self.rows += 1
        return written

    async def _write(self, batch: _Batch) -> None:
        try:
            if batch.values:
                await self._insert(batch.values)
        except (sqlite3.IntegrityError, OverflowError):
            await self._one_by_one(batch)
        except _FAILURES as error:
            self._failed(error)
            self._refuse(batch, error)
        else:
            self.failing_since = None
            self._done(batch, None)

    def _refuse(self, batch: _Batch, error: Exception | None) -> None:
        """Nothing of the batch was written: charges are kept, the rest is the caller's to undo."""
        rows = batch.rows()
        self._owed += [row for row in rows if row[1] == SETTLE or row[1] == EXTEND]
        self._open_calls -= sum(row[1] == HOLD for row in rows)
        self._done(batch, error)

    def _done(self, batch: _Batch, error: Exception | None) -> None:
        for gone in batch.done(error):
            tell = self._untold.pop(gone, None)
            if tell is not None:
                tell(error)
            else:
                self._unheard[gone] = error

    async def _pay(self) -> bool:
        """Write all that is owed: what comes later may settle what it extends."""
        while self._owed:
            owed = self._owed[:_MOST_ROWS]
            try:
                await self._insert([value for row in owed for value in row])
            except (sqlite3.IntegrityError, OverflowError):
                # A row the tables refuse can never be written: it must not keep the others out.
                try:
                    await self._write_or_report(owed[0])
                except _FAILURES as error:
                    self._failed(error)
                    return False
                del self._owed[0]
            except _FAILURES as error:
                self._failed(error)
                return False
            else:
                del self._owed[: len(owed)]
        self.failing_since = None
        return True

    async def _one_by_one(self, batch: _Batch) -> None:
        for row in batch.rows():
            try:
                refused = await self._write_or_report(row)
            except _FAILURES as error:
                self._failed(error)
                self._refuse(batch, error)
                return
            first = _Batch()
            first.waiting.append(batch.waiting.pop(0))
            self._done(first, refused)
            del batch.values[:_WIDTH]
        self._done(batch, None)

    async def _write_or_report(self, row: Row) -> Exception | None:
        """A row that the tables refuse is a fault of ours: a second charge for one call, say.

        It is reported and left out; that must not fail the calls it shared a commit with. What
        storage does is raised.
        """
        try:
            await self._insert(row)
        except (sqlite3.IntegrityError, OverflowError) as error:
            self._open_calls -= row[1] == HOLD
            self._on_failure(error)
            return error
        return None

    async def _insert(self, values: Sequence[Value]) -> None:
        """Write whole rows, given by their values one after the other."""
        rows = len(values) // _WIDTH
        statement = self._statements.get(rows)
        if statement is None:
            statement = f"{_INSERT} {', '.join([_ONE] * rows)}"
            self._statements[rows] = statement
        await self._database.write(statement, values)
        self.commits += 1
        self.rows += rows

    def _failed(self, error: Exception) -> None:
        self._storage_error = error
        if self.failing_since is None:
            self.failing_since = asyncio.get_running_loop().time()
            self._on_failure(error)
