"""Secrets that open realtime sessions as a key, for some minutes: kept by digest, like keys."""

from __future__ import annotations

import hashlib
import secrets

from msgspec import Struct

from gateway.errors import RATE_LIMIT_EXCEEDED, Fault
from gateway.ports import Clock
from gateway.store.database import Database

PREFIX = "ek_"
_BYTES = 24
# A session goes on when the secret that began it has ended, and asks for it whenever keys change.
KEPT_SECONDS = 7_200
# They cost nothing, and are written down: what a key may have of the disk in that time.
MOST_BYTES = 32 << 20
_ROW = 256


class Made(Struct, frozen=True):
    """A new secret; it is shown once."""

    value: str
    expires_at: int


class ClientSecrets:
    """All that have not long ended."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._written: dict[str, tuple[int, int]] = {}  # since when, and bytes, by key

    async def make(self, key_id: str, session: bytes, seconds: int) -> Made:
        """One more for a key; a 429 where it has made too many."""
        self._count(key_id, len(session) + _ROW)
        value = PREFIX + secrets.token_hex(_BYTES)
        ends = int(self._clock.time()) + seconds
        await self._database.write(
            "INSERT INTO client_secrets (digest, key, session, ends) VALUES (?, ?, ?, ?)",
            (_digest(value.encode()), key_id, session.decode(), ends),
        )
        return Made(value, ends)

    def _count(self, key_id: str, size: int) -> None:
        now = int(self._clock.time())
        since, written = self._written.get(key_id, (now, 0))
        if now - since >= KEPT_SECONDS:
            since, written = now, 0
        if written + size > MOST_BYTES:
            raise Fault(
                RATE_LIMIT_EXCEEDED,
                "This key has made too many client secrets. Use those that it has, or wait.",
                retry_after=since + KEPT_SECONDS - now,
                cause="too_many_secrets",
            )
        self._written[key_id] = since, written + size

    async def owner(self, secret: bytes) -> tuple[str, int] | None:
        """The id of the key it stands for, and when it ends."""
        rows = await self._database.read(
            "SELECT key, ends FROM client_secrets WHERE digest = ?", (_digest(secret),)
        )
        return (str(rows[0]["key"]), int(rows[0]["ends"])) if rows else None

    async def session(self, secret: bytes) -> bytes:
        """The session that it presets."""
        rows = await self._database.read(
            "SELECT session FROM client_secrets WHERE digest = ?", (_digest(secret),)
        )
        return str(rows[0]["session"]).encode() if rows else b"{}"

    async def forget_old(self) -> None:
        """Let go of those that nobody needs any more."""
        await self._database.write(
            "DELETE FROM client_secrets WHERE ends < ?", (int(self._clock.time()) - KEPT_SECONDS,)
        )


def is_client_secret(secret: bytes) -> bool:
    """Whether this can only be meant as one."""
    return secret.startswith(PREFIX.encode())


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
