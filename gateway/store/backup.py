"""A copy of the database as it stands at one moment, whether or not a server is at work on it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gateway.store.database import APPLICATION_ID, NOT_OURS, StoreError
from gateway.store.disk import sync_folder


def back_up(path: Path, target: Path) -> int:
    """Make the copy, synced and checked, readable by its owner alone; its size in bytes.

    It comes under its name once it is whole, and never in place of another file.
    """
    try:
        if target.exists():
            raise StoreError(f"{target} is there already. Name a file that is not.")
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from None
    part = Path(name)
    try:
        _copy(path, part)
        os.fsync(handle)
        part.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"{target} cannot be written: {error.strerror}.") from None
    finally:
        os.close(handle)
        part.unlink(missing_ok=True)
    return target.stat().st_size


def _copy(path: Path, part: Path) -> None:
    source = f"file:{quote(str(path))}?mode=ro"
    try:
        with (
            closing(sqlite3.connect(source, uri=True)) as old,
            closing(sqlite3.connect(part)) as new,
        ):
            if old.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreError(NOT_OURS.format(path=path))
            # Nobody knows of the copy yet: it needs no journal, and is synced once, when whole.
            new.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
            old.backup(new)  # in one step: of one moment, however much is written meanwhile
            found = new.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be copied: {error}.") from None
    if found != "ok":
        raise StoreError(f"{path} is damaged ({found}). Nothing was kept of the copy.")
