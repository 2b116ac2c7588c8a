"""`gateway backup`: a copy of one moment, made beside a server at work, never half made."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import Store
from gateway.store.backup import back_up
from gateway.store.database import StoreError
from gateway.store.verify import verify
from tests.cli.terminal import invoke

WAY = ("r", "m", "p")
RESULT = (200, 0, 1, 1, 0, b"")


async def _calls(store: Store, done: asyncio.Event) -> int:
    """Calls one after the other until told; how many there were."""
    way, number = await store.books.way(*WAY), 0
    while not done.is_set():
        number += 1
        call = store.books.first_call + number
        await store.ledger.hold(number, (1, 0, 0), call, 10, way, 1, 1)
        await store.ledger.settle(number, (1, 0, 0), call, 10, 0, way, RESULT)
    return number


async def test_a_copy_of_one_moment(store: Store, path: Path, tmp_path: Path, clock) -> None:  # type: ignore[no-untyped-def]
    """Whatever is written meanwhile, every copy adds up, and can be gone on with."""
    await store.serve(lambda error: pytest.fail(str(error)))
    done = asyncio.Event()
    calls = asyncio.create_task(_calls(store, done))
    copies = [tmp_path / f"copy-{number}.sqlite" for number in range(5)]
    for copy in copies:
        size = await asyncio.to_thread(back_up, path, copy)
        assert size == copy.stat().st_size
        assert copy.stat().st_mode & 0o777 == 0o600
    done.set()
    made = await calls
    found = [verify(copy) for copy in copies]
    assert [verdict.problems for verdict in found] == [[]] * 5
    lengths = [verdict.entries for verdict in found]
    assert lengths == sorted(lengths)
    assert 0 < lengths[-1] <= 2 * made
    restored = await Store.open(copies[-1], clock)
    await restored.serve(lambda error: pytest.fail(str(error)))
    await restored.close()
    verdict = verify(copies[-1])
    assert (verdict.problems, verdict.open_calls) == ([], 0)


def test_a_copy_by_command(path: Path, tmp_path: Path) -> None:
    """It is said where the copy is and how it is proved; nothing else is left in its folder."""
    assert invoke("accounts", "create", "acme", "--db", str(path)).exit_code == 0
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    made = invoke("backup", str(shelf / "monday.sqlite"), "--db", str(path))
    assert (made.exit_code, "gateway ledger verify --db" in made.output) == (0, True)
    assert [file.name for file in shelf.iterdir()] == ["monday.sqlite"]
    assert "acme" in invoke("accounts", "list", "--db", str(shelf / "monday.sqlite")).output


def _not_ours(path: Path) -> None:
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE t (x)")


def _damaged(path: Path) -> None:
    invoke("accounts", "create", "acme", "--db", str(path))
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_not_ours, "is not a gateway database"),
        (_damaged, "damaged|malformed"),
        (lambda path: path.write_bytes(b"no database" * 1000), "not a database"),
    ],
)
def test_what_cannot_be_copied(make, said: str, path: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """It is refused, and no file is left that might be taken for a copy."""
    make(path)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with pytest.raises(StoreError, match=said):
        back_up(path, shelf / "copy.sqlite")
    assert list(shelf.iterdir()) == []


def test_nothing_is_written_over(path: Path, tmp_path: Path) -> None:
    """A file of the copy's name, and a folder that is not there, are named."""
    assert invoke("accounts", "create", "acme", "--db", str(path)).exit_code == 0
    there = tmp_path / "copy.sqlite"
    there.write_text("mine")
    refused = invoke("backup", str(there), "--db", str(path))
    assert (refused.exit_code, there.read_text()) == (1, "mine")
    assert "is there already" in refused.output
    nowhere = invoke("backup", str(tmp_path / "none" / "copy.sqlite"), "--db", str(path))
    assert nowhere.exit_code == 1
    assert "cannot be written: No such file or directory." in nowhere.output


def test_a_full_disk(path: Path, tmp_path: Path) -> None:
    """A copy that finds no room is none, and leaves nothing."""
    assert invoke("accounts", "create", "acme", "--db", str(path)).exit_code == 0
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "backup", str(shelf / "copy"), "--db", str(path)],
        capture_output=True, text=True, check=False, timeout=20,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be copied" in done.stderr
    assert list(shelf.iterdir()) == []
