"""Results kept for callers who repeat a request under one Idempotency-Key.

A row is durable before the work begins, so work is never done twice, not even after a crash: what
was cut off stays taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import sqlite3

import msgspec
from msgspec import Struct

from gateway.ports import Clock
from gateway.store.client_secrets import ClientSecrets
from gateway.store.database import Database
from gateway.store.disk import check_spare

_FORGET_EVERY = 300.0
KEPT_SECONDS = 86_400
# In place of an answer's status: the work was done or broken off, and no answer is kept.
NOT_KEPT = 1
# Free calls have answers too: what an account may have of the disk in that time.
MOST_BYTES = 512 << 20


class Stored(Struct, frozen=True):
    """An answer given before; status 0 while the first request for it runs, or since a crash."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    call: int
    same_request: bool


class Replays:
    """Answers by account and Idempotency-Key."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._written: dict[int, tuple[int, int]] = {}  # since when, and bytes, by account

    async def begin(self, account: int, key: str, request: bytes, call: int) -> Stored | None:
        """Take the key for this request; what is there already if somebody has taken it."""
        digest = _digest(key.encode())
        wanted = _digest(request)
        now = int(self._clock.time())
        taken = await self._database.write(
            "INSERT INTO replays (account, digest, body, call, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET body = excluded.body, call = excluded.call,"
            " at = excluded.at, status = 0, headers = '[]', answer = NULL"
            " WHERE at < excluded.at - ?",
            (account, digest, wanted, call, now, KEPT_SECONDS),
        )
        if taken:
            return None
        ((body, number, status, headers, answer),) = await self._database.read(
            "SELECT body, call, status, headers, answer FROM replays"
            " WHERE account = ? AND digest = ?",
            (account, digest),
        )
        return Stored(
            status=status,
            headers=msgspec.json.decode(headers, type=list[tuple[str, str]]),
            body=answer or b"",
            call=number,
            same_request=body == wanted,
        )

    async def finish(
        self,
        account: int,
        key: str,
        call: int,
        status: int,
        headers: list[tuple[str, str]],
        body: bytes,
    ) -> None:
        """Keep the answer of the call that has taken the key, as far as there is room for it."""
        if not self._has_room(account, len(body)):
            status, headers, body = NOT_KEPT, [], b""
        await self._database.write(
            "UPDATE replays SET status = ?, headers = ?, answer = ?"
            " WHERE account = ? AND digest = ? AND call = ?",
            (
                status,
                msgspec.json.encode(headers).decode(),
                body,
                account,
                _digest(key.encode()),
                call,
            ),
        )

    def _has_room(self, account: int, size: int) -> bool:
        now = int(self._clock.time())
        since, written = self._written.get(account, (now, 0))
        if now - since >= KEPT_SECONDS:
            since, written = now, 0
        if written + size > MOST_BYTES:
            return False
        try:
            check_spare(self._database.path)
        except OSError:
            return False
        self._written[account] = since, written + size
        return True

    async def forget(self, account: int, key: str, call: int) -> None:
        """Give the key back, if this call has it: it ended before anything was done."""
        await self._database.write(
            "DELETE FROM replays WHERE account = ? AND digest = ? AND call = ?",
            (account, _digest(key.encode()), call),
        )

    async def forget_old(self) -> None:
        """Let go of what no longer needs to be kept."""
        await self._database.write(
            "DELETE FROM replays WHERE at < ?", (int(self._clock.time()) - KEPT_SECONDS,)
        )

    async def forget_for_ever(self, secrets: ClientSecrets) -> None:
        """Every few minutes, so that no one deletion is long; old client secrets go with them."""
        while True:
            # A failure is the storage's, whose state the ledger's writer reports.
            with contextlib.suppress(sqlite3.Error, ValueError):
                await self.forget_old()
                await secrets.forget_old()
            await asyncio.sleep(_FORGET_EVERY)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
