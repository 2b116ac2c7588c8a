"""A database that is not fit for use is refused in clear words and left as it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from gateway.store.database import APPLICATION_ID, Database, StoreError, _migrations
from gateway.store.keys import SqliteKeys
from gateway.store.ledger import COLUMNS


async def refused(path: Path) -> str:
    """The refusal; the file must be what it was, and free again."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as caught:
        await Database.open(path)
    if before is not None:
        assert path.read_bytes() == before
    return str(caught.value)


async def made(path: Path, clock) -> None:
    database = await Database.open(path)
    keys = SqliteKeys(database, clock)
    for n in range(40):
        await keys.create(f"key {n}")
    await database.close()


async def test_an_empty_file_gets_the_schema(path: Path) -> None:
    """A new file is the owner's alone, ours, current, in WAL mode and fully synchronous."""
    database = await Database.open(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (row,) = await database.read("PRAGMA user_version")
    assert row[0] == len(_migrations())
    (row,) = await database.read("PRAGMA application_id")
    assert row[0] == APPLICATION_ID
    (row,) = await database.read("PRAGMA journal_mode")
    assert row[0] == "wal"
    (row,) = await database.read("PRAGMA synchronous")
    assert row[0] == 2
    await database.close()
    again = await Database.open(path)
    assert await again.read("SELECT * FROM keys") == []
    await again.close()


async def test_entries_are_written_in_the_order_of_their_table(path: Path) -> None:
    """So SQLite takes the values of a row from where they are, and copies none."""
    database = await Database.open(path)
    columns = await database.read("PRAGMA table_info(entries)")
    assert ["seq", *COLUMNS.split(", ")] == [column["name"] for column in columns]
    await database.close()


async def test_a_newer_schema_is_refused(path: Path, clock) -> None:
    """A file of a later gateway is not touched."""
    await made(path, clock)
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    text = await refused(path)
    assert "newer" in text
    assert "99" in text


@pytest.mark.parametrize("version", [0, -1])
async def test_a_wrong_version_is_refused(path: Path, clock, version: int) -> None:
    """Tables that the version denies are not made twice."""
    await made(path, clock)
    with sqlite3.connect(path) as raw:
        raw.execute(f"PRAGMA user_version = {version}")
    raw.close()
    with pytest.raises(StoreError):
        await Database.open(path)
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM keys").fetchone() == (40,)
    raw.close()


async def test_a_foreign_database_is_refused(path: Path) -> None:
    """Someone else's SQLite file stays someone else's."""
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    assert "not a gateway database" in await refused(path)


@pytest.mark.parametrize(
    "content", [b"hello, world\n" * 100, b"SQLite format 3\x00" + b"\xff" * 5000]
)
async def test_no_database_at_all_is_refused(path: Path, content: bytes) -> None:
    """A file of another kind is refused and kept."""
    path.write_bytes(content)
    assert "kept" in await refused(path)


async def test_damage_is_refused_or_harmless(path: Path, clock, tmp_path: Path) -> None:
    """With bytes flipped anywhere, the file opens whole or is refused; it is never made anew."""
    await made(path, clock)
    good = path.read_bytes()
    refusals = 0
    for step in range(60):
        at = step * len(good) // 60
        bad = bytearray(good)
        bad[at : at + 64] = bytes(b ^ 0xFF for b in bad[at : at + 64])
        broken = tmp_path / f"broken{step}.db"
        broken.write_bytes(bad)
        try:
            database = await Database.open(broken)
        except StoreError:
            refusals += 1
            assert broken.stat().st_size == len(good)
            continue
        (row,) = await database.read("SELECT count(*) FROM keys")
        assert row[0] == 40
        await database.close()
    assert refusals >= 5  # most pages of so small a file are empty


async def test_a_cut_file_is_refused(path: Path, clock) -> None:
    """A file that ends early is refused."""
    await made(path, clock)
    path.write_bytes(path.read_bytes()[:-4096])
    assert str(path) in await refused(path)


async def test_a_second_opener_is_refused(path: Path, database: Database) -> None:
    """One process holds the file; the next is told so, and gets it afterwards."""
    with pytest.raises(StoreError, match="in use by another gateway process"):
        await Database.open(path)
    await database.write(
        "INSERT INTO keys (id,account,name,digest,prefix,created_at) VALUES ('a',1,'b',?,'c',1)",
        (b"x" * 32,),
    )


async def test_another_process_is_refused(path: Path, database: Database) -> None:
    """The lock holds between processes, and ends with the process."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.store.database import Database\n"
        "asyncio.run(Database.open(pathlib.Path(sys.argv[1])))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        str(path),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    _, stderr = await process.communicate()
    assert b"in use by another gateway process" in stderr


@pytest.mark.parametrize("where", ["missing/gateway.db", "", "x" * 300])
async def test_impossible_paths_are_refused(tmp_path: Path, where: str) -> None:
    """A folder that is missing, a folder in place of a file, a name too long: one clear refusal."""
    with pytest.raises(StoreError):
        await Database.open(tmp_path / where if where else tmp_path)


@pytest.mark.parametrize(
    "row",
    [
        ("", b"x" * 32, 1),
        ("n", b"x" * 31, 1),
        ("n", b"x" * 32, -1),
        ("n", "text" * 8, 1),
        ("n" * 201, b"x" * 32, 1),
    ],
)
async def test_the_tables_refuse_nonsense(database: Database, row: tuple[object, ...]) -> None:
    """Checks stand in the schema itself."""
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(
            "INSERT INTO keys (id, account, prefix, name, digest, created_at)"
            " VALUES ('i', 1, 'p', ?, ?, ?)",
            row,
        )


LONG = """
BEGIN IMMEDIATE;
CREATE TABLE counted (n INTEGER);
INSERT INTO counted WITH RECURSIVE c (n) AS
    (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300000)
    SELECT n FROM c;
COMMIT;
"""


async def test_a_cancelled_script_stays_cancelled(path: Path) -> None:
    """It goes on in its thread and may be over before it could be undone: that is no other end."""
    database = await Database.open(path)
    running = asyncio.create_task(database.script(LONG))
    while not database._writer.in_transaction:  # noqa: ASYNC110 - a thread has no event
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not database._writer.in_transaction
    assert await database.write("CREATE TABLE after_it (n INTEGER)") == -1
    await database.close()
