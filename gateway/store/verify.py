"""Proves from the file alone that its money adds up, or says where it does not.

Reads every entry once, in order, in one snapshot, and trusts none of the sums it checks.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from gateway.core.money.receipt import decode_receipt
from gateway.store.books import CALLS_PER_BOOT
from gateway.store.calls import receipt_problems
from gateway.store.database import APPLICATION_ID, StoreError
from gateway.store.ledger import ADJUST, EXTEND, HOLD, SETTLE

_MOST_SHOWN = 100
_LEGS = ("wallet", "held", "revenue", "source")
_ROLLED = ("calls", "failed", "flagged", "input", "output", "cached", "charged")

_TASKS = "SELECT id, call, account, key, child, progress, held, charged, finished FROM tasks"


class Verdict(Struct):
    """What was found; `problems` holds the first hundred."""

    entries: int = 0
    calls: int = 0
    accounts: int = 0
    charged: int = 0
    held: int = 0
    open_calls: int = 0
    open_tasks: int = 0
    recovered: int = 0
    flagged: int = 0
    wrong: int = 0
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Count a problem, and keep it while there are few."""
        self.wrong += 1
        if len(self.problems) < _MOST_SHOWN:
            self.problems.append(problem)


class _Open(Struct):
    """A call that is not settled: its first entry, who made it, what is held for it."""

    seq: int
    who: tuple[int, int, int]
    held: int = 0


def _who(row: sqlite3.Row) -> tuple[int, int, int]:
    return row["account"], row["key"], row["child"]


def _has_tasks(file: sqlite3.Connection) -> bool:
    """Files of older gateways have none; a check must not change them."""
    found = file.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tasks'").fetchone()
    return found is not None


class _Account(Struct):
    wallet: int = 0
    held: int = 0
    revenue: int = 0
    source: int = 0


def verify(path: Path) -> Verdict:
    """Check the whole ledger of a database file, which is only read."""
    if not path.is_file():
        raise StoreError(f"There is no database at {path}.")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as file:
            file.row_factory = sqlite3.Row
            if file.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreError(f"{path} is not a gateway database.")
            file.execute("BEGIN")
            return _Audit(file).run()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read: {error}.") from None


class _Audit:
    """One pass over one file."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file
        self._verdict = Verdict()
        self._accounts: dict[int, _Account] = {}
        self._holds: dict[int, _Open] = {}
        self._rolled: dict[tuple[int, ...], list[int]] = {}
        self._stretches: dict[tuple[int, ...], list[int]] = {}
        self._charges: dict[int, int] = {}
        self._at_mark: dict[int, _Account] = {}
        self._prices = {
            row[0]: row[1].encode() for row in file.execute("SELECT digest, row FROM prices")
        }
        self._boots = {row[0] for row in file.execute("SELECT n FROM boots")}
        self._floors = {row[0]: row[1] for row in file.execute("SELECT n, floor FROM accounts")}
        self._keys = dict(file.execute("SELECT n, account FROM keys").fetchall())
        self._mark = file.execute("SELECT * FROM marks").fetchone()
        self._tasks = {row["call"]: row for row in file.execute(_TASKS)} if _has_tasks(file) else {}

    def run(self) -> Verdict:
        """Check everything."""
        verdict = self._verdict
        for (found,) in self._file.execute("PRAGMA integrity_check(20)"):
            if found != "ok":
                verdict.note(f"SQLite: {found}")
        expected = 1
        for row in self._file.execute("SELECT * FROM entries ORDER BY seq"):
            if row["seq"] != expected:
                verdict.note(f"entry {expected}: missing; the next is {row['seq']}")
                expected = row["seq"]
            expected += 1
            self._entry(row)
            if row["seq"] == self._mark["seq"]:
                self._at_mark = {n: msgspec.structs.replace(a) for n, a in self._accounts.items()}
        if self._mark["seq"] >= expected:
            verdict.note(f"entries {expected} to {self._mark['seq']}: missing, though summed up")
        for call in self._holds:
            once = "SELECT seq FROM entries WHERE kind = 3 AND call = ?"
            if self._file.execute(once, (call,)).fetchone() is not None:
                verdict.note(f"call {call}: money was held for it after it was settled")
        self._check_tasks()
        self._sums()
        verdict.entries = expected - 1
        verdict.accounts = len(self._accounts)
        verdict.open_calls = len(self._holds)
        verdict.held = sum(account.held for account in self._accounts.values())
        verdict.charged = sum(account.revenue for account in self._accounts.values())
        return verdict

    def _first_open(self) -> int:
        """The first hold before the mark that recovery must find by itself: tasks lead to theirs.

        Once all has been read: the mark may have passed a hold whose settlement lies behind it.
        """
        tasks, mark = self._tasks, self._mark["seq"]
        return min(
            (
                held.seq
                for call, held in self._holds.items()
                if held.seq <= mark and (call not in tasks or tasks[call]["progress"] is None)
            ),
            default=mark + 1,
        )

    def _check_tasks(self) -> None:
        """A task that goes on has its hold; one that is over has been settled, at its charge."""
        note = self._verdict.note
        for call, task in self._tasks.items():
            opened = self._holds.get(call)
            if task["finished"] is not None:
                if opened is not None:
                    note(f"task {task['id']}: is over, but money is still held for it")
                elif self._charges.get(call, 0) != task["charged"]:
                    note(
                        f"task {task['id']}: says that {task['charged']} were charged, "
                        f"the ledger {self._charges.get(call)}"
                    )
            elif opened is None:
                note(f"task {task['id']}: goes on, but no money is held for it")
            elif task["progress"] is not None and opened.held != task["held"]:
                note(f"task {task['id']}: says {task['held']} are held, the ledger {opened.held}")
            elif opened.who != _who(task):
                note(f"task {task['id']}: is of {_who(task)}, its money of {opened.who}")
            self._verdict.open_tasks += task["finished"] is None

    def _entry(self, row: sqlite3.Row) -> None:
        note, seq = self._verdict.note, row["seq"]
        if sum(row[leg] for leg in _LEGS) != 0:
            note(f"entry {seq}: its four sides do not add up to zero")
        account = self._accounts.setdefault(row["account"], _Account())
        for leg in _LEGS:
            setattr(account, leg, getattr(account, leg) + row[leg])
        if row["account"] not in self._floors:
            note(f"entry {seq}: there is no account {row['account']}")
        if self._keys.get(row["key"], row["account"]) != row["account"]:
            note(f"entry {seq}: key {row['key']} is not of account {row['account']}")
        floor = self._floors.get(row["account"])
        below = floor is not None and account.wallet + account.held < floor
        if below and row["kind"] == SETTLE and row["revenue"] > 0:
            note(f"entry {seq}: account {row['account']} is charged below its floor")
        if row["kind"] in (HOLD, EXTEND):
            self._hold(row)
        elif row["kind"] == SETTLE:
            self._settle(row)
        elif row["kind"] > ADJUST:
            note(f"entry {seq}: is of no known kind")

    def _hold(self, row: sqlite3.Row) -> None:
        call = row["call"]
        if call // CALLS_PER_BOOT not in self._boots:
            self._verdict.note(f"entry {row['seq']}: belongs to no start of the gateway")
        opened = self._holds.get(call)
        if opened is None:
            if row["kind"] == EXTEND:
                self._verdict.note(f"entry {row['seq']}: adds to a hold that is not there")
            opened = self._holds[call] = _Open(row["seq"], _who(row))
        elif row["kind"] == HOLD:
            self._verdict.note(f"entry {row['seq']}: holds for a call that has its hold")
        if opened.who != _who(row):
            self._verdict.note(f"entry {row['seq']}: another's call")
        opened.held += row["held"]

    def _settle(self, row: sqlite3.Row) -> None:
        verdict, call, seq = self._verdict, row["call"], row["seq"]
        verdict.calls += 1
        opened = self._holds.pop(call, None)
        if opened is None:
            verdict.note(f"entry {seq}: settles a call for which nothing was held any more")
        elif opened.held != -row["held"]:
            verdict.note(f"entry {seq}: lets go {-row['held']}, but {opened.held} was held")
        elif opened.who != _who(row):
            verdict.note(f"entry {seq}: charges {_who(row)} for a call of {opened.who}")
        if not 0 <= row["revenue"] <= -row["held"]:
            verdict.note(f"entry {seq}: charges {row['revenue']}, outside what was held")
        if call in self._tasks:
            self._charges[call] = row["revenue"]
        verdict.flagged += row["flag"] != 0
        verdict.recovered += row["flag"] == 1
        self._receipt(row)
        if seq <= self._mark["seq"]:
            failed = not 200 <= row["status"] < 300
            what = (row["at"] // 3_600_000, row["account"], row["key"], row["child"], row["way"])
            for stretch in (what, what[:1]):
                self._stretches.setdefault(stretch, [seq, seq])[1] = seq
            sums = self._rolled.setdefault(what, [0] * len(_ROLLED))
            figures = (
                1, failed, row["flag"] != 0, row["input"], row["output"], row["cached"],
                row["revenue"],
            )  # fmt: skip
            for place, figure in enumerate(figures):
                sums[place] += figure

    def _receipt(self, row: sqlite3.Row) -> None:
        try:
            kept = decode_receipt(row["receipt"] or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._verdict.note(f"entry {row['seq']}: its receipt cannot be read")
            return
        price_row = self._prices.get(kept.get("price", ""))
        for problem in receipt_problems(row, kept, price_row):
            self._verdict.note(f"entry {row['seq']}: {problem}")

    def _sums(self) -> None:
        note = self._verdict.note
        kept_balances = {
            row["account"]: tuple(row[leg] for leg in _LEGS)
            for row in self._file.execute("SELECT * FROM balances")
        }
        counted = {n: tuple(getattr(a, leg) for leg in _LEGS) for n, a in self._at_mark.items()}
        for account in sorted(kept_balances.keys() | counted.keys()):
            if kept_balances.get(account) != counted.get(account):
                note(
                    f"account {account}: its balance is kept as {kept_balances.get(account)}, "
                    f"its entries make {counted.get(account)}"
                )
        self._rollups()

    def _rollups(self) -> None:
        note = self._verdict.note
        by_day: dict[tuple[int, ...], list[int]] = {}
        for (hour, *rest), sums in self._rolled.items():
            total = by_day.setdefault((hour // 24, *rest), [0] * len(_ROLLED))
            for place, figure in enumerate(sums):
                total[place] += figure
        self._agree("roll-up of hour", "SELECT hour, * FROM rollups", self._rolled)
        self._agree("roll-up of day", "SELECT day, * FROM days", by_day)
        calls = sum(sums[0] for sums in self._rolled.values())
        self._where_calls_lie()
        if self._mark["calls"] != calls:
            note(f"the mark counts {self._mark['calls']} calls, the entries {calls}")

    def _where_calls_lie(self) -> None:
        """Searches and recovery look only where these say; what they leave out is never seen."""
        note = self._verdict.note
        kept = {
            tuple(row)[:-2]: list(row)[-2:]
            for query in (
                "SELECT hour, account, key, child, way, first, last FROM rollups",
                "SELECT hour, first, last FROM spans",
            )
            for row in self._file.execute(query)
        }
        for what in sorted(kept.keys() | self._stretches.keys()):
            if kept.get(what) != self._stretches.get(what):
                note(
                    f"hour {what}: its calls are looked for in {kept.get(what)}, "
                    f"they are in {self._stretches.get(what)}"
                )
        first = self._first_open()
        if self._mark["open_from"] > first:
            note(
                f"open calls are looked for from entry {self._mark['open_from']} on, "
                f"but entry {first} is of one"
            )

    def _agree(self, name: str, query: str, counted: dict[tuple[int, ...], list[int]]) -> None:
        kept: dict[tuple[int, ...], Any] = {}
        for row in self._file.execute(query):
            what = (row[0], *(row[column] for column in ("account", "key", "child", "way")))
            kept[what] = [row[column] for column in _ROLLED]
        for what in sorted(kept.keys() | counted.keys()):
            if kept.get(what) != counted.get(what):
                self._verdict.note(
                    f"{name} {what}: kept as {kept.get(what)}, its entries make {counted.get(what)}"
                )
