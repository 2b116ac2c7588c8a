"""The SQLite file: opened by one process, one connection for all writes and checkpoints.

A file that is newer than this program, corrupt, or not ours is refused with clear text and never
touched; it is certainly never recreated.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

import aiosqlite

APPLICATION_ID = 0x49534754  # "ISGT"
_NOT_OURS = "{path} is not a gateway database; the file was left untouched. Choose another --db."


class StoreError(Exception):
    """The database cannot be used; the text is for the operator."""


class Database:
    """An open database file, and the lock that keeps every other process from it."""

    def __init__(self, path: Path, connection: aiosqlite.Connection, lock: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or make the file, bring its schema up to date, and hold it alone."""
        lock = _take_lock(path)
        try:
            connection = await _connect(path)
        except BaseException:
            os.close(lock)
            raise
        try:
            await _prepare(connection, path)
        except BaseException as error:
            await connection.close()
            os.close(lock)
            # A damaged schema can also come back as text that is no UTF-8.
            if isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)):
                raise StoreError(f"{path} cannot be used: {error}. The file was kept.") from None
            raise
        return cls(path, connection, lock)

    async def read(self, sql: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """All rows of one query."""
        return list(await self._connection.execute_fetchall(sql, values))

    async def write(self, sql: str, values: Iterable[Any] = ()) -> int:
        """One statement, durable when this returns; the number of rows it changed."""
        cursor = await self._connection.execute(sql, values)
        await self._connection.commit()
        return cursor.rowcount

    async def close(self) -> None:
        """Close the file and let others have it."""
        await self._connection.close()
        os.close(self._lock)


def _take_lock(path: Path) -> int:
    lock_path = path.with_name(path.name + ".lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"The database directory {path.parent} cannot be used: {error.strerror}."
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise StoreError(
            f"{path} is in use by another gateway process. Stop it, or use another --db."
        ) from None
    return lock


async def _connect(path: Path) -> aiosqlite.Connection:
    try:
        # Made by hand, so that nobody else may ever read it; one that exists is left as it is.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return await aiosqlite.connect(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be opened: {error}.") from None


async def _prepare(connection: aiosqlite.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    await connection.execute("PRAGMA busy_timeout = 5000")
    await connection.execute("PRAGMA trusted_schema = OFF")
    version = await _pragma(connection, "user_version")
    owner = await _pragma(connection, "application_id")
    tables = await _scalar(connection, "SELECT count(*) FROM sqlite_schema")
    migrations = _migrations()
    if owner != APPLICATION_ID and tables:
        raise StoreError(_NOT_OURS.format(path=path))
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer gateway (schema {version}, this one knows "
            f"{len(migrations)}). Upgrade the gateway; the file was left untouched."
        )
    check = await _scalar(connection, "PRAGMA quick_check(1)")
    if check != "ok":
        raise StoreError(
            f"{path} is damaged ({check}). The file was kept; restore it from a backup."
        )
    await connection.execute("PRAGMA journal_mode = WAL")
    await connection.execute("PRAGMA synchronous = FULL")
    for number, script in enumerate(migrations[version:], start=version + 1):
        await connection.executescript(
            f"BEGIN IMMEDIATE; {script}\n"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


def _migrations() -> list[str]:
    folder = resources.files("gateway.store") / "schema"
    scripts = sorted((entry.name, entry) for entry in folder.iterdir() if entry.name[0].isdigit())
    return [entry.read_text("utf-8") for _, entry in scripts]


async def _pragma(connection: aiosqlite.Connection, name: str) -> int:
    return int(await _scalar(connection, f"PRAGMA {name}"))


async def _scalar(connection: aiosqlite.Connection, sql: str) -> Any:
    rows = list(await connection.execute_fetchall(sql))
    return rows[0][0]
