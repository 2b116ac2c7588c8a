"""One writer stays one writer: commands reach a running server by a socket beside its database.

The socket is the owner's alone (0600). One JSON object a line each way:
{"do": "keys.create", "with": {...}} -> {"ok": ...} | {"error": "text for a person"}.
Without a server the same command runs on the file, under the same lock.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from gateway.domain import KeyChange
from gateway.ports import Clock
from gateway.store.database import Database, StoreError
from gateway.store.keys import SqliteKeys

_MAX_LINE = 1 << 20
_LONGEST_SOCKET_PATH = 100
_ATTEMPTS = 50
_BETWEEN_ATTEMPTS = 0.1

Command = Callable[..., Awaitable[Any]]


class CommandError(Exception):
    """A command that was understood and refused; the text is for a person."""


class Control:
    """The server's end of the socket."""

    def __init__(self, path: Path, keys: SqliteKeys) -> None:
        self._path = path
        self._commands = commands(keys)
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
            line = await reader.readline()
            writer.write(await _answer(line, self._commands) + b"\n")
            await writer.drain()
        except (OSError, ValueError):
            pass  # the caller left, or sent no line: nothing was done for it
        finally:
            writer.close()


def commands(keys: SqliteKeys) -> Mapping[str, Command]:
    """What can be asked; each takes its arguments by name."""

    async def revoke(key: str) -> Any:
        revoked = await keys.revoke(key)
        if revoked is None:
            raise CommandError(f"No key has the id or name '{key}'. See: gateway keys list")
        return revoked

    return {"keys.create": keys.create, "keys.revoke": revoke, "keys.list": keys.list}


def socket_path(database: Path) -> Path:
    """Where the server of this database listens for commands."""
    return database.with_name(database.name + ".sock")


async def run(
    database: Path, do: str, arguments: Mapping[str, Any], *, prefix: str, clock: Clock
) -> Any:
    """Run one command, in the running server if there is one, else on the file."""
    refusal = StoreError("")
    for _ in range(_ATTEMPTS):
        try:
            return await _ask_server(database, do, arguments)
        except (FileNotFoundError, ConnectionError):
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
    with _short(socket_path(database)) as address:
        reader, writer = await asyncio.open_unix_connection(address, limit=_MAX_LINE * 64)
    try:
        writer.write(msgspec.json.encode({"do": do, "with": arguments}) + b"\n")
        line = await reader.readline()
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
    opened = await Database.open(database)
    try:
        result = await commands(SqliteKeys(opened, clock, prefix))[do](**arguments)
    except ValueError as error:
        raise CommandError(str(error)) from None
    finally:
        await opened.close()
    return msgspec.to_builtins(_flat(result))


async def _answer(line: bytes, known: Mapping[str, Command]) -> bytes:
    try:
        asked = msgspec.json.decode(line, type=dict[str, Any])
        command = known[asked["do"]]
        result = await command(**asked["with"])
    except (CommandError, ValueError) as error:
        return msgspec.json.encode({"error": str(error)})
    except (msgspec.DecodeError, KeyError, TypeError):
        return msgspec.json.encode({"error": "The server does not know this command."})
    return msgspec.json.encode({"ok": _flat(result)})


def _flat(result: Any) -> Any:
    if isinstance(result, KeyChange):
        return {**msgspec.to_builtins(result.key), "key": result.secret}
    return result


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
