"""Commands take effect through a running server or on the file, once, and are always answered."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.store import Store, control
from gateway.store.commands import CommandError
from gateway.store.control import Control, run, socket_path
from gateway.store.database import Database, StoreError
from gateway.store.keys import SqliteKeys


@pytest.fixture
async def server(path: Path, store: Store) -> AsyncIterator[Control]:
    listening = Control(socket_path(path), store)
    await listening.open()
    yield listening
    await listening.close()


async def send(path: Path, line: bytes) -> dict[str, object]:
    reader, writer = await asyncio.open_unix_connection(str(socket_path(path)))
    writer.write(line)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return json.loads(answer)


async def whole_life(path: Path, clock) -> list[dict[str, object]]:
    """Make, list and revoke a key; what each command answered."""
    made = await run(
        path, "keys.create", {"name": "a", "allow": ["x*"]}, prefix="sk-test-", clock=clock
    )
    listed = await run(path, "keys.list", {}, prefix="sk-test-", clock=clock)
    revoked = await run(path, "keys.revoke", {"key": "a"}, prefix="sk-test-", clock=clock)
    return [made, *listed, revoked]


async def test_both_ways_answer_alike(tmp_path: Path, clock, server: Control, path: Path) -> None:
    """Through a server or on the file, the same commands give the same fields."""
    through = await whole_life(path, clock)
    on_file = await whole_life(tmp_path / "other.db", clock)
    for one, other in zip(through, on_file, strict=True):
        assert one.keys() == other.keys()
        varying = {"id", "key", "prefix"}
        assert {k: v for k, v in one.items() if k not in varying} == {
            k: v for k, v in other.items() if k not in varying
        }
    assert "key" in through[0]
    assert "key" not in through[1]


async def test_the_server_sees_it_at_once(
    path: Path, clock, server: Control, keys: SqliteKeys
) -> None:
    """A key made by a command is found by the running server, a revoked one is revoked."""
    made = await run(path, "keys.create", {"name": "a"}, prefix="other-", clock=clock)
    secret = made["key"].encode()
    assert made["key"].startswith("sk-test-")
    assert (await keys.find(secret)).revoked_at is None
    await run(path, "keys.revoke", {"key": made["id"]}, prefix="", clock=clock)
    assert (await keys.find(secret)).revoked_at is not None


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(
    ("do", "arguments", "words"),
    [
        ("keys.revoke", {"key": "nobody"}, "No key has the id 'nobody'"),
        ("keys.create", {"name": ""}, "1 to 200"),
        ("keys.create", {"name": "x" * 500}, "1 to 200"),
        ("keys.create", {"name": "a", "expires_at": 1 << 64}, "a moment in unix seconds"),
        ("keys.create", {"name": "a", "expires_at": -5}, "a moment in unix seconds"),
    ],
)
async def test_refusals_have_words(
    path: Path,
    clock,
    database: Database,
    store: Store,
    running: bool,
    do: str,
    arguments,
    words: str,
) -> None:
    """A refused command is told why, with and without a server."""
    target = path if running else path.with_name("file.db")
    listening = Control(socket_path(path), store)
    await listening.open()
    with pytest.raises(CommandError, match=words):
        await run(target, do, arguments, prefix="", clock=clock)
    assert (await run(target, "keys.list", {}, prefix="", clock=clock)) == []
    await listening.close()


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"do":"keys.list"}\n',
        b'{"do":"keys.list","with":[]}\n',
        b'{"do":"keys.list","with":null}\n',
        b'{"do":"keys.list","with":{"x":1}}\n',
        b'{"do":"nope","with":{}}\n',
        b'{"do":["keys.list"],"with":{}}\n',
        b'{"do":"__class__","with":{}}\n',
        b'{"do":"keys.create","with":{}}\n',
        b'{"do":"keys.create","with":{"name":{}}}\n',
        b'{"do":"keys.create","with":{"name":null}}\n',
        b'{"do":"keys.create","with":{"name":"a","expires_at":"soon"}}\n',
        b'{"do":"keys.create","with":{"name":"a","allow":5}}\n',
        b'{"do":"keys.create","with":{"name":"\xff"}}\n',
        b'{"do":"keys.list","with":{},"x":' + b"[" * 50_000 + b"\n",
        b'{"do":"keys.list"',
        b"",
    ],
    ids=lambda line: repr(line[:50]),
)
async def test_bad_lines_are_answered(path: Path, server: Control, line: bytes) -> None:
    """Whatever the line, the answer is an error in words, and the server serves on."""
    answer = await send(path, line)
    assert list(answer) == ["error"]
    assert answer["error"]
    assert await send(path, b'{"do":"keys.list","with":{}}\n') == {"ok": []}


async def test_an_endless_line_is_answered(
    path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line over the limit is refused in words."""
    monkeypatch.setattr(control, "_MAX_LINE", 1024)
    listening = Control(socket_path(path), store)
    await listening.open()
    assert "1024 bytes" in (await send(path, b"x" * 1500))["error"]
    await listening.close()


async def test_the_socket_is_the_owners(path: Path, server: Control) -> None:
    """Nobody else may send commands, and the process' umask is as it was."""
    mode = socket_path(path).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    previous = os.umask(0o022)
    os.umask(previous)
    assert previous != 0o177


@pytest.mark.parametrize("left", ["socket", "file"])
async def test_what_a_dead_server_left_is_replaced(
    path: Path, store: Store, clock, left: str
) -> None:
    """A stale socket doesn't keep the next server from listening, nor a command from working."""
    place = socket_path(path)
    if left == "socket":
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(place))
        dead.close()
    else:
        place.write_bytes(b"")
    listening = Control(place, store)
    await listening.open()
    assert await run(path, "keys.list", {}, prefix="", clock=clock) == []
    await listening.close()
    assert not place.exists()


async def test_a_stale_socket_does_not_stop_commands(path: Path, clock) -> None:
    """Without a server the command runs on the file, stale socket or not."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(socket_path(path)))
    dead.close()
    assert await run(path, "keys.list", {}, prefix="", clock=clock) == []


@pytest.mark.parametrize("shape", ["deep folders", "long name", "both"])
async def test_long_paths(tmp_path: Path, clock, shape: str) -> None:
    """A path longer than a socket address can hold works all the same."""
    folder = tmp_path
    if shape != "long name":
        folder = tmp_path / ("d" * 90) / ("e" * 90)
        folder.mkdir(parents=True)
    path = folder / (("n" * 200 if shape != "deep folders" else "gateway") + ".db")
    assert len(str(path)) > 108
    store = await Store.open(path, clock)
    listening = Control(socket_path(path), store)
    await listening.open()
    made = await run(path, "keys.create", {"name": "a"}, prefix="", clock=clock)
    assert made["key"]
    assert stat.S_IMODE(socket_path(path).stat().st_mode) == 0o600
    await listening.close()
    await store.close()
    assert not socket_path(path).exists()
    assert len(await run(path, "keys.list", {}, prefix="", clock=clock)) == 1


def test_databases_side_by_side_have_sockets_of_their_own(tmp_path: Path) -> None:
    """Two long names that differ at their ends do not share a socket."""
    names = ["n" * 200 + "1.db", "n" * 200 + "2.db", "a.db", "b.db"]
    assert len({socket_path(tmp_path / name) for name in names}) == 4


@pytest.mark.parametrize("manner", ["closes", "resets"])
async def test_a_command_is_never_run_twice(path: Path, clock, manner: str) -> None:
    """When the server dies after it was asked, the caller is told; the file is not written."""

    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if manner == "closes":
            await reader.readline()
        writer.close()  # with bytes unread this resets the connection

    listening = await asyncio.start_unix_server(dies, str(socket_path(path)))
    with pytest.raises(CommandError, match="look whether the command took effect"):
        await run(path, "keys.create", {"name": "a"}, prefix="", clock=clock)
    listening.close()
    await listening.wait_closed()
    assert not path.exists()


async def test_a_file_in_use_without_a_server(
    path: Path, database: Database, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that never goes away is reported after some tries."""
    monkeypatch.setattr(control, "_ATTEMPTS", 3)
    monkeypatch.setattr(control, "_BETWEEN_ATTEMPTS", 0)
    with pytest.raises(StoreError, match="in use"):
        await run(path, "keys.list", {}, prefix="", clock=clock)
