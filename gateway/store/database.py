"""The SQLite file: opened by one process, one connection for all writes and checkpoints.

A file that is newer than this program, corrupt, or not ours is refused with clear text and never
touched; it is certainly never recreated. Reads go over connections of their own that can only read.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiosqlite

APPLICATION_ID = 0x49534754  # "ISGT"
Sync = Literal["full", "normal"]

NOT_OURS = "{path} is not a gateway database; the file was left untouched. Choose another --db."
_CHECKPOINT_PAGES = 4_000
_STATEMENTS = 512
_CACHE_KIB = 32_768  # what a second of calls at full speed writes is still there to be added up
_FETCHED_AT_ONCE = 500
_CHECKED_WHOLE = 64 << 20
# How long a statement waits where another process, a shell say, is writing the file: in a thread.
_PATIENT = "PRAGMA busy_timeout = 5000"
_AT_ONCE = "PRAGMA busy_timeout = 0"


class StoreError(Exception):
    """The database cannot be used; the text is for the operator."""


class Database:
    """An open database file, and the lock that keeps every other process from it."""

    def __init__(
        self, path: Path, writer: aiosqlite.Connection, inner: sqlite3.Connection, lock: int
    ) -> None:
        self.path = path
        self._writer = writer
        self._inner = inner  # what the writer's thread works with
        self._seen_off = True  # whether the end of all that the thread was given has been seen
        self._patient = True  # whether the writer would wait for another process
        self._reader: aiosqlite.Connection | None = None
        self._reports: aiosqlite.Connection | None = None
        self._lock = lock
        # Held by whoever writes: a statement of one must not fall into another's transaction.
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, sync: Sync = "full") -> Database:
        """Open or make the file, bring its schema up to date, and hold it alone."""
        lock = _take_lock(path)
        opened: list[aiosqlite.Connection] = []
        try:
            inner = _connect(path)
            opened.append(await aiosqlite.Connection(lambda: inner, _FETCHED_AT_ONCE))
            await _prepare(opened[0], path, sync)
            database = cls(path, opened[0], inner, lock)
            database._reader = await _connect_reader(path)
        except BaseException as error:
            for connection in opened:
                await connection.close()
            os.close(lock)
            # A damaged schema can also come back as text that is no UTF-8.
            if isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)):
                raise StoreError(f"{path} cannot be used: {error}. The file was kept.") from None
            raise
        return database

    async def read(self, sql: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """All rows of one short query; what has been written is seen."""
        assert self._reader is not None
        return list(await self._reader.execute_fetchall(sql, values))

    async def report(self, sql: str, values: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query that may take its time: it keeps no call waiting."""
        return list(await (await self._for_reports()).execute_fetchall(sql, values))

    async def scan(self, sql: str, values: Iterable[Any] = ()) -> AsyncIterator[list[sqlite3.Row]]:
        """The rows of a long query, some hundreds at a time."""
        reports = await self._for_reports()
        async with reports.execute(sql, values) as cursor:
            while rows := list(await cursor.fetchmany(_FETCHED_AT_ONCE)):
                yield rows

    async def write(self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """One statement, durable when this returns; the number of rows it changed."""
        async with self._turn:
            self._hand_over()  # and so it stays where this is cancelled: the statement still runs
            cursor = await self._writer.execute(sql, values)
            self._seen_off = True
            return cursor.rowcount

    def write_at_once(self, sql: str, values: Sequence[Any] = ()) -> bool:
        """The same on the spot, while everybody waits; False where anybody else may be writing.

        Where another process is, it fails at once: the loop cannot stand still for as long.
        """
        if not self._seen_off or self._turn.locked():
            return False
        if self._patient:
            self._inner.execute(_AT_ONCE)
            self._patient = False
        self._inner.execute(sql, values)
        return True

    def _hand_over(self) -> None:
        """The thread is about to be given work, and can wait."""
        if not self._patient:  # so all that it was given before is over
            self._inner.execute(_PATIENT)
            self._patient = True
        self._seen_off = False

    async def insert(self, sql: str, values: Sequence[Any] = ()) -> int:
        """One row, durable when this returns; its number."""
        async with self._turn:
            self._hand_over()
            cursor = await self._writer.execute(sql, values)
            self._seen_off = True
            return cursor.lastrowid or 0

    async def script(self, sql: str) -> None:
        """A script that holds its own transaction, in one visit to the database's thread."""
        async with self._turn:
            self._hand_over()
            try:
                await self._writer.executescript(sql)
            except BaseException:
                await self._undo()
                raise
            self._seen_off = True

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """Several statements that are durable together when the block ends, or not at all."""
        async with self._turn:
            self._hand_over()
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                await self._writer.execute("COMMIT")
            except BaseException:
                await self._undo()
                raise
            self._seen_off = True

    async def _undo(self) -> None:
        """Give up a transaction, unless it has ended by itself.

        The file may be what failed. And what the thread was given goes on when who waits for it is
        cancelled: it may begin or end a transaction before this comes to its turn, whatever is to
        be seen now, and the cancellation must go on.
        """
        with contextlib.suppress(sqlite3.Error):
            await self._writer.execute("ROLLBACK")

    async def close(self) -> None:
        """Close the file and let others have it."""
        for connection in (self._reports, self._reader, self._writer):
            if connection is not None:
                await connection.close()
        os.close(self._lock)

    async def _for_reports(self) -> aiosqlite.Connection:
        if self._reports is None:
            self._reports = await _connect_reader(self.path)
        return self._reports


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


def _connect(path: Path) -> sqlite3.Connection:
    try:
        # Made by hand, so that nobody else may ever read it; one that exists is left as it is.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        # Two threads use it, one after the other: aiosqlite's, and the loop's in `write_at_once`.
        return sqlite3.connect(
            path, isolation_level=None, cached_statements=_STATEMENTS, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path} cannot be opened: {error}.") from None


async def _connect_reader(path: Path) -> aiosqlite.Connection:
    """A connection that can neither write nor checkpoint."""
    connection = await aiosqlite.connect(
        f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    await connection.execute(_PATIENT)
    await connection.execute("PRAGMA query_only = ON")
    await connection.execute("PRAGMA trusted_schema = OFF")
    return connection


async def _prepare(connection: aiosqlite.Connection, path: Path, sync: Sync) -> None:
    connection.row_factory = sqlite3.Row
    await connection.execute(_PATIENT)
    await connection.execute("PRAGMA trusted_schema = OFF")
    version = await _pragma(connection, "user_version")
    owner = await _pragma(connection, "application_id")
    tables = await _scalar(connection, "SELECT count(*) FROM sqlite_schema")
    migrations = _migrations()
    if owner != APPLICATION_ID and tables:
        raise StoreError(NOT_OURS.format(path=path))
    if version > len(migrations):
        raise StoreError(
            f"{path} was written by a newer gateway (schema {version}, this one knows "
            f"{len(migrations)}). Upgrade the gateway; the file was left untouched."
        )
    await _refuse_damage(connection, path)
    await connection.execute("PRAGMA journal_mode = WAL")
    await connection.execute(f"PRAGMA synchronous = {sync.upper()}")
    await connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    await connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    for number, script in enumerate(migrations[version:], start=version + 1):
        await connection.executescript(
            f"BEGIN IMMEDIATE; {script}\n"
            f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number}; COMMIT;"
        )


async def _refuse_damage(connection: aiosqlite.Connection, path: Path) -> None:
    """A small file is checked whole; of a large one all but what grows with the calls.

    `gateway ledger verify` reads those.
    """
    checks = ["PRAGMA quick_check(1)"]
    size = await _pragma(connection, "page_count") * await _pragma(connection, "page_size")
    if size > _CHECKED_WHOLE:
        tables = await connection.execute_fetchall(
            "SELECT name FROM sqlite_schema WHERE type = 'table' "
            "AND name NOT IN ('entries', 'rollups')"
        )
        checks = [f"PRAGMA quick_check({row[0]})" for row in tables]
    for check in checks:
        found = await _scalar(connection, check)
        if found != "ok":
            raise StoreError(
                f"{path} is damaged ({found}). The file was kept; restore it from a backup."
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
