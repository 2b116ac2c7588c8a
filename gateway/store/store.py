"""The database and all that is kept in it, opened and closed together."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

from gateway.ports import Clock
from gateway.store.accounts import SqliteAccounts
from gateway.store.books import Books
from gateway.store.client_secrets import ClientSecrets
from gateway.store.database import Database, StoreError, Sync
from gateway.store.keys import DEFAULT_PREFIX, SqliteKeys
from gateway.store.ledger import GroupCommit, Row
from gateway.store.replays import Replays
from gateway.store.tasks import SqliteTasks


class Store:
    """One database file in use."""

    def __init__(self, database: Database, clock: Clock, prefix: str) -> None:
        self.database = database
        self.clock = clock
        self.keys = SqliteKeys(database, clock, prefix)
        self.accounts = SqliteAccounts(database, clock)
        self.accounts.on_change.append(self.keys.forget)
        self.replays = Replays(database, clock)
        self.client_secrets = ClientSecrets(database, clock)
        self.books = Books(database, clock)
        self.ledger = GroupCommit(database, self._failed)
        self.tasks = SqliteTasks(database, self.ledger, self.keys)
        self.on_money: list[Callable[[int, int], None]] = []
        # The groups of the catalog in service; beside the file alone nobody knows them.
        self.groups: Callable[[], Collection[str]] | None = None
        self._on_failure: Callable[[Exception], None] = lambda _: None
        self._rolling: asyncio.Task[None] | None = None
        self._forgetting: asyncio.Task[None] | None = None
        self._closed = False

    def _failed(self, error: Exception) -> None:
        self._on_failure(error)

    @classmethod
    async def open(
        cls, path: Path, clock: Clock, prefix: str = DEFAULT_PREFIX, sync: Sync = "full"
    ) -> Store:
        """Open the file, or make it."""
        return cls(await Database.open(path, sync), clock, prefix)

    async def serve(self, on_failure: Callable[[Exception], None]) -> None:
        """Get ready for calls: settle what a crash left, add up, begin to write."""
        self._on_failure = on_failure
        try:
            await self.books.open()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            path = self.database.path
            raise StoreError(f"{path} cannot be used: {error}. The file was kept.") from error
        self.ledger.start()
        self._rolling = asyncio.create_task(self.books.roll_for_ever())
        self._forgetting = asyncio.create_task(self.replays.forget_for_ever(self.client_secrets))

    async def move(self, account: int, kind: int, nanos: int, note: bytes) -> None:
        """Bring money into an account or take it out; a running server knows at once."""
        at = int(self.clock.time() * 1000)
        self.ledger.start()
        written = self.ledger.move(at, account, kind, nanos, note)
        try:
            error = await written
        except asyncio.CancelledError:
            # Whoever asked has left, but the money moves all the same.
            self.ledger.tell(written, lambda error: self._moved(account, nanos, error))
            raise
        self._moved(account, nanos, error)
        if error is not None:
            raise ValueError(f"The ledger could not be written: {error}. Nothing has changed.")

    def _moved(self, account: int, nanos: int, error: Exception | None) -> None:
        if error is None:
            for tell in self.on_money:
                tell(account, nanos)

    async def close(self) -> list[Row]:
        """Put everything away; the charges that storage would not take."""
        if self._closed:
            return []
        self._closed = True
        tasks = [task for task in (self._rolling, self._forgetting) if task is not None]
        for task in tasks:
            task.cancel()
        # What one of them has begun goes on in the database's thread: it must end before the next.
        await asyncio.gather(*tasks, return_exceptions=True)
        owed = await self.ledger.close()
        if self._rolling is not None and not owed:
            await self.books.roll_at_end()
        await self.database.close()
        return owed
