"""One writer stays one writer: commands reach a running server by a socket beside its database.

The socket is the owner's alone (0600). One JSON object a line each way:
{"do": "keys.create", "with": {...}} -> {"ok": ...} | {"error": "text for a person"}.
Without a server the same command runs on the file, under the same lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.ports import Clock
from gateway.store.commands import Command, CommandError, Commands
from gateway.store.database import StoreError
from gateway.store.store import Store

_MAX_LINE = 1 << 20
_LONGEST_SOCKET_PATH = 100
_LONGEST_NAME = 64
_ATTEMPTS = 50
_BETWEEN_ATTEMPTS = 0.1

# What a command's arguments can bring about: its own refusal, or that of the tables.
_REFUSALS = (ValueError, OverflowError, sqlite3.Error)


class _NoServerError(Exception):
    """Nobody listens, so the command cannot have been carried out."""


class Control:
    """The server's end of the socket."""

    def __init__(self, path: Path, store: Store) -> None:
        self._path = path
        self._commands = Commands(store).by_name()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket left behind by a dead server is replaced: the lock says it is dead."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        previous = os.umask(0o177)
        try:
            with _short(self._path) as address:
                listener.bind(address)
        finally:
            os.umask(previous)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MAX_LINE)

    async def close(self) -> None:
        """Stop listening and take the socket away."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await self._answered(reader) + b"\n")
            await writer.drain()
        except OSError:
            pass  # the caller left
        finally:
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader) -> bytes:
        try:
            line = await reader.readline()
        except ValueError:
            return msgspec.json.encode({"error": f"A command is one line of {_MAX_LINE} bytes."})
        return await _answer(line, self._commands)


def socket_path(database: Path) -> Path:
    """Where the server of this database listens for commands."""
    name = database.name
    if len(os.fsencode(name)) > _LONGEST_NAME:  # even from its own folder it would not fit
        name = "." + hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return database.with_name(name + ".sock")


async def run(
    database: Path, do: str, arguments: Mapping[str, Any], *, prefix: str, clock: Clock
) -> Any:
    """Run one command, in the running server if there is one, else on the file."""
    refusal = StoreError("")
    for _ in range(_ATTEMPTS):
        try:
            return await _ask_server(database, do, arguments)
        except _NoServerError:
            pass
        try:
            return await _run_here(database, do, arguments, prefix=prefix, clock=clock)
        except StoreError as error:
            if "in use" not in str(error):
                raise
            refusal = error
        # Locked but not listening: another command is at work, or a server is about to listen.
        await asyncio.sleep(_BETWEEN_ATTEMPTS)
    raise refusal


async def _ask_server(database: Path, do: str, arguments: Mapping[str, Any]) -> Any:
    try:
        with _short(socket_path(database)) as address:
            reader, writer = await asyncio.open_unix_connection(address, limit=_MAX_LINE * 64)
    except (FileNotFoundError, ConnectionError):
        raise _NoServerError from None
    line = b""
    try:
        writer.write(msgspec.json.encode({"do": do, "with": arguments}) + b"\n")
        line = await reader.readline()
    except ConnectionError:
        pass  # it may have been carried out: it must not be tried again
    finally:
        writer.close()
    if not line:
        raise CommandError(
            "The server stopped before it answered; look whether the command took effect."
        )
    answer = msgspec.json.decode(line, type=dict[str, Any])
    if "error" in answer:
        raise CommandError(answer["error"])
    return answer["ok"]


async def _run_here(
    database: Path, do: str, arguments: Mapping[str, Any], *, prefix: str, clock: Clock
) -> Any:
    store = await Store.open(database, clock, prefix)
    try:
        result = await Commands(store).by_name()[do](**arguments)
    except sqlite3.Error as error:
        hint = " Another process writes to it; try again." if "locked" in str(error) else ""
        raise CommandError(f"{database} cannot be used: {error}.{hint}") from None
    except _REFUSALS as error:
        raise CommandError(str(error)) from None
    finally:
        await store.close()
    return msgspec.json.decode(msgspec.json.encode(result))  # as a server answers


async def _answer(line: bytes, known: Mapping[str, Command]) -> bytes:
    try:
        asked = msgspec.json.decode(line, type=dict[str, Any])
        command = known[asked["do"]]
        result = await command(**asked["with"])
    except (CommandError, *_REFUSALS) as error:
        return msgspec.json.encode({"error": str(error)})
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError):
        return msgspec.json.encode({"error": "The server does not know this command."})
    return msgspec.json.encode({"ok": result})


class _short:  # noqa: N801 - used as a function
    """A socket path within the system's small limit: through the folder's descriptor if need be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder: int | None = None

    def __enter__(self) -> str:
        if len(os.fsencode(self._path)) <= _LONGEST_SOCKET_PATH:
            return str(self._path)
        self._folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._folder}/{self._path.name}"

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._folder)
