"""Tasks on disk: what a provider does in its own time outlives the process that asked for it.

A task's end and its charge are one transaction: neither a crash nor a repeated try charges twice.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from msgspec import structs

from gateway.core.task import Task
from gateway.domain import Key
from gateway.ports import Settlement
from gateway.store.accounts import account_of
from gateway.store.database import Database
from gateway.store.keys import SqliteKeys
from gateway.store.ledger import INSERT_ONE, GroupCommit, extend_row, settle_row

_COLUMNS = tuple(name for name in Task.__struct_fields__ if name != "n")
_NAMES = ", ".join(_COLUMNS)
_ADD = f"INSERT INTO tasks ({_NAMES}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_FIXED = (
    "id", "call", "account", "key", "child", "operation", "asked", "scale", "tokens", "created",
    "webhook", "most",
)  # fmt: skip
_CHANGING = tuple(name for name in _COLUMNS if name not in _FIXED)
_CHANGE = f"UPDATE tasks SET {', '.join(f'{name} = ?' for name in _CHANGING)} WHERE n = ?"
_SELECT = f"SELECT n, {_NAMES} FROM tasks"
# A derived key, and all that were derived from it.
_ITS_OWN = (
    "child IN (WITH RECURSIVE own (n) AS (SELECT ?"
    " UNION SELECT c.n FROM children c JOIN own ON c.parent = own.n) SELECT n FROM own)"
)
_MOST = 1_000


class SqliteTasks:
    """The `TaskBook` port over a database file."""

    def __init__(self, database: Database, ledger: GroupCommit, keys: SqliteKeys) -> None:
        self._database = database
        self._ledger = ledger
        self._keys = keys

    async def add(self, task: Task) -> Task:
        """Write a new one down; its call's hold is the task's from here on."""
        values = [getattr(task, name) for name in _COLUMNS]
        number = await self._database.insert(_ADD, values)
        self._ledger.leave_open()
        return structs.replace(task, n=number)

    async def note(self, task: Task) -> None:
        """Write down how far one has come."""
        await self._database.write(f"{_CHANGE} AND finished IS NULL", _changing(task))

    async def finish(self, task: Task, money: Settlement) -> bool:
        """Write down the end of one together with its charge; False if it had ended before."""
        who, call = task.who, task.call
        rows = [extend_row(at, who, call, amount) for at, amount in money.extends]
        rows.append(
            settle_row(money.at, who, call, money.held, money.charge, task.way, money.result)
        )
        async with self._database.transaction() as connection:
            cursor = await connection.execute(f"{_CHANGE} AND finished IS NULL", _changing(task))
            if cursor.rowcount != 1:
                return False
            for row in rows:
                await connection.execute(INSERT_ONE, row)
        return True

    async def told(self, task: Task, due: int | None, tries: int) -> None:
        """Write down that its webhook was tried, and when it is to be tried again."""
        await self._database.write(
            "UPDATE tasks SET webhook_due = ?, webhook_tries = ? WHERE n = ?", (due, tries, task.n)
        )

    async def drop(self, task: Task, deleted: int | None) -> None:
        """Let go of what one that is over has made, and of what was asked; or of all of it."""
        await self._database.write(
            "UPDATE tasks SET media = NULL, media_until = NULL, body = x'7b7d',"
            " deleted = coalesce(deleted, :deleted),"
            " webhook_due = CASE WHEN :deleted IS NULL THEN webhook_due END"
            " WHERE n = :n AND finished IS NOT NULL",
            {"deleted": deleted, "n": task.n},
        )

    async def unfinished(self) -> list[Task]:
        """All that go on, oldest first."""
        rows = await self._database.read(f"{_SELECT} WHERE finished IS NULL ORDER BY n")
        return [_task(row) for row in rows]

    async def find(self, task_id: str) -> Task | None:
        """One by its id, unless it was deleted."""
        rows = await self._database.read(f"{_SELECT} WHERE id = ? AND deleted IS NULL", (task_id,))
        return _task(rows[0]) if rows else None

    async def is_of(self, task: Task, child: int) -> bool:
        """Whether a derived key, or one derived from it, has begun it."""
        rows = await self._database.read(
            f"SELECT 1 FROM tasks WHERE n = ? AND {_ITS_OWN}", (task.n, child)
        )
        return bool(rows)

    async def page(
        self,
        account: int,
        operation: str,
        *,
        child: int,
        after: str | None,
        before: str | None,
        limit: int,
        newest_first: bool,
    ) -> tuple[list[Task], bool] | None:
        """A page of an account's tasks, or of a derived key's, and whether there are more; None for
        an unknown cursor.
        """
        where = "account = ? AND operation = ? AND deleted IS NULL"
        values: list[int | str] = [account, operation]
        if child:
            where += f" AND {_ITS_OWN}"
            values.append(child)
        cursor = after if after is not None else before
        if cursor is not None:
            found = await self._database.read(
                f"SELECT n FROM tasks WHERE id = ? AND {where}", (cursor, *values)
            )
            if not found:
                return None
            older = newest_first == (after is not None)
            where += " AND n < ?" if older else " AND n > ?"
            values.append(found[0]["n"])
        down = newest_first == (before is None)
        rows = await self._database.read(
            f"{_SELECT} WHERE {where} ORDER BY n {'DESC' if down else 'ASC'} LIMIT ?",
            (*values, limit + 1),
        )
        tasks = [_task(row) for row in rows[:limit]]
        if before is not None:
            tasks.reverse()
        return tasks, len(rows) > limit

    async def due(self) -> list[Task]:
        """Those whose webhooks have not been delivered, the most urgent first."""
        rows = await self._database.read(
            f"{_SELECT} WHERE webhook_due IS NOT NULL ORDER BY webhook_due LIMIT {_MOST}"
        )
        return [_task(row) for row in rows]

    async def stale(self, now: int) -> list[Task]:
        """Those whose files have been kept long enough."""
        rows = await self._database.read(
            f"{_SELECT} WHERE media_until <= ? ORDER BY media_until LIMIT {_MOST}", (now,)
        )
        return [_task(row) for row in rows]

    async def media(self) -> set[str]:
        """The names of all files that somebody may still ask for."""
        rows = await self._database.read("SELECT media FROM tasks WHERE media IS NOT NULL")
        return {str(row["media"]) for row in rows}

    async def forget(self, before: int) -> None:
        """Let go of what was over, and without a file, before a moment."""
        await self._database.write(
            "DELETE FROM tasks WHERE n IN (SELECT n FROM tasks WHERE finished < ?"
            f" AND media IS NULL AND webhook_due IS NULL LIMIT {_MOST})",
            (before,),
        )

    async def price_row(self, digest: str) -> bytes | None:
        """The price row that a task was begun at."""
        rows = await self._database.read("SELECT row FROM prices WHERE digest = ?", (digest,))
        return str(rows[0]["row"]).encode() if rows else None

    async def payer(self, task: Task) -> tuple[Key, tuple[int, ...]]:
        """Whose money a task spends: the key, and the derived key with all above it."""
        key = await self._keys.by_number(task.key)
        if key is None:  # nobody's: there is no key, but an account for all who send none
            rows = await self._database.read("SELECT * FROM accounts WHERE n = ?", (task.account,))
            key = Key("anonymous", "anonymous", "", 0, account=account_of(rows[0]))
        line = await self._database.read(
            "WITH RECURSIVE up (n, parent) AS (SELECT n, parent FROM children WHERE n = ?"
            " UNION SELECT c.n, c.parent FROM children c JOIN up ON c.n = up.parent)"
            " SELECT n FROM up",
            (task.child,),
        )
        return key, tuple(int(row["n"]) for row in line)


def _changing(task: Task) -> list[Any]:
    return [*(getattr(task, name) for name in _CHANGING), task.n]


def _task(row: sqlite3.Row) -> Task:
    return Task(**dict(row))
