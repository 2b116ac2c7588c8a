"""A database of one's own and a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store import Store
from gateway.store.database import Database
from gateway.store.keys import SqliteKeys


class Clock:
    now = 1_700_000_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(path, clock, "sk-test-")
    yield opened
    await opened.close()


@pytest.fixture
def database(store: Store) -> Database:
    return store.database


@pytest.fixture
def keys(store: Store) -> SqliteKeys:
    return store.keys
