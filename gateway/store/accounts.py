"""Accounts: who pays. Few, and kept in memory once read; every change goes through here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from sqlite3 import IntegrityError, Row
from typing import Any

from gateway.domain import Account, FieldError, Period
from gateway.ports import Clock
from gateway.store.database import Database

DEFAULT_ACCOUNT = "default"
_COLUMNS = "n, id, name, group_name, floor, spend_limit, period, status, created_at"
_SETTABLE = ("name", "group", "floor", "spend_limit", "period", "status")
_PERIODS = ("none", "day", "week", "month")
_STATUSES = ("active", "suspended")
_MAX_NAME = 200
_MAX_NANOS = 1 << 60
_PAGE = 1000


class SqliteAccounts:
    """The `Accounts` port over a database file."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self.on_change: list[Callable[[], None]] = []

    async def create(
        self,
        name: str,
        *,
        group: str | None = None,
        floor: int | None = 0,
        spend_limit: int | None = None,
        period: Period = "none",
    ) -> Account:
        """Open an account; with a floor it must be topped up before it can spend."""
        check_account({"name": name, "floor": floor, "spend_limit": spend_limit, "period": period})
        account_id = f"acc_{secrets.token_hex(8)}"
        try:
            await self._database.write(
                "INSERT INTO accounts"
                " (id, name, group_name, floor, spend_limit, period, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (account_id, name, group, floor, spend_limit, period, int(self._clock.time())),
            )
        except IntegrityError:
            raise _taken(name) from None
        found = await self.find(account_id)
        assert found is not None
        return found

    async def find(self, id_or_name: str) -> Account | None:
        """An account by its id, or by its name."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM accounts WHERE id = ? OR name = ? ORDER BY id = ? DESC",
            (id_or_name, id_or_name, id_or_name),
        )
        return account_of(rows[0]) if rows else None

    async def change(self, id_or_name: str, **changes: Any) -> Account | None:
        """Set some of an account's fields; None if there is no such account."""
        account = await self.find(id_or_name)
        if account is None:
            return None
        unknown = [name for name in changes if name not in _SETTABLE]
        if unknown:
            raise ValueError(f"An account has no '{unknown[0]}' that could be changed.")
        check_account(changes)
        columns = ["group_name" if name == "group" else name for name in changes]
        if columns:
            assignments = ", ".join(f"{column} = ?" for column in columns)
            try:
                await self._database.write(
                    f"UPDATE accounts SET {assignments} WHERE n = ?", (*changes.values(), account.n)
                )
            except IntegrityError:
                raise _taken(changes.get("name")) from None
        for tell in self.on_change:
            tell()
        return await self.find(account.id)

    async def list(self, after: int = 0, limit: int = _PAGE) -> list[Account]:
        """Accounts by age, oldest first, from behind the account numbered `after`."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM accounts WHERE n > ? ORDER BY n LIMIT ?", (after, limit)
        )
        return [account_of(row) for row in rows]


def account_of(row: Row, prefix: str = "") -> Account:
    """An account from its row; `prefix` is that of the columns in a join."""
    return Account(
        n=row[prefix + "n"],
        id=row[prefix + "id"],
        name=row[prefix + "name"],
        created_at=row[prefix + "created_at"],
        group=row[prefix + "group_name"],
        floor=row[prefix + "floor"],
        spend_limit=row[prefix + "spend_limit"],
        period=row[prefix + "period"],
        status=row[prefix + "status"],
    )


def _taken(name: object) -> FieldError:
    return FieldError(f"There is already an account named '{name}'.", "name")


def check_account(values: dict[str, Any]) -> None:
    """Refuse what the tables would refuse, in words."""
    name = values.get("name", "x")
    if not isinstance(name, str) or not 1 <= len(name) <= _MAX_NAME:
        raise FieldError(f"An account's name has 1 to {_MAX_NAME} characters.", "name")
    if values.get("period", "none") not in _PERIODS:
        raise FieldError(f"A period is one of {', '.join(_PERIODS)}.", "period")
    if values.get("status", "active") not in _STATUSES:
        raise FieldError(f"A status is one of {', '.join(_STATUSES)}.", "status")
    floor, limit = values.get("floor"), values.get("spend_limit")
    if floor is not None and not -_MAX_NANOS <= floor <= 0:
        raise FieldError("An account's credit is zero or more.", "credit")
    if limit is not None and not 0 <= limit <= _MAX_NANOS:
        raise FieldError("A spend limit is zero or more.", "spend_limit")
