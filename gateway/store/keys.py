"""Client keys: SHA-256 of the secret in SQLite, looked up through a bounded cache.

The file has one writer, this process, so the cache is exact: every change goes through here.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Sequence
from sqlite3 import Row

import msgspec
from cachetools import LRUCache

from gateway.domain import Key, KeyChange
from gateway.ports import Clock
from gateway.store.database import Database

DEFAULT_PREFIX = "sk-maas-"
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 40
_SHOWN = 4
_MAX_NAME = 200
_CACHED_KEYS = 20_000
_CACHED_MISSES = 4_096
_COLUMNS = "id, name, prefix, allow, created_at, expires_at, revoked_at"


class SqliteKeys:
    """The `Keys` port over a database file."""

    def __init__(self, database: Database, clock: Clock, prefix: str = DEFAULT_PREFIX) -> None:
        self._database = database
        self._clock = clock
        self._prefix = prefix
        self._known: LRUCache[bytes, Key] = LRUCache(_CACHED_KEYS)
        # Apart from the known keys, so that a flood of guesses pushes no real key out.
        self._unknown: LRUCache[bytes, bool] = LRUCache(_CACHED_MISSES)
        self._changes = 0

    async def find(self, secret: bytes) -> Key | None:
        """The key of this secret, revoked or not; None if there never was one."""
        digest = hashlib.sha256(secret).digest()
        key = self._known.get(digest)
        if key is not None:
            return key
        if digest in self._unknown:
            return None
        changes = self._changes
        rows = await self._database.read(f"SELECT {_COLUMNS} FROM keys WHERE digest = ?", (digest,))
        found = _key(rows[0]) if rows else None
        if changes == self._changes:  # else what was read may already be out of date
            if found is None:
                self._unknown[digest] = True
            else:
                self._known[digest] = found
        return found

    async def create(
        self, name: str, *, allow: Sequence[str] = (), expires_at: int | None = None
    ) -> KeyChange:
        """Make a key; its secret is in the answer and nowhere else, ever."""
        if not 1 <= len(name) <= _MAX_NAME:
            raise ValueError(f"A key's name has 1 to {_MAX_NAME} characters.")
        body = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
        secret = self._prefix + body
        key = Key(
            id=f"key_{secrets.token_hex(8)}",
            name=name,
            prefix=secret[: len(self._prefix) + _SHOWN],
            created_at=int(self._clock.time()),
            allow=tuple(allow),
            expires_at=expires_at,
        )
        digest = hashlib.sha256(secret.encode()).digest()
        await self._database.write(
            "INSERT INTO keys (id, name, digest, prefix, allow, created_at, expires_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                key.id,
                key.name,
                digest,
                key.prefix,
                msgspec.json.encode(key.allow).decode(),
                key.created_at,
                key.expires_at,
            ),
        )
        self._forget()
        return KeyChange(key, secret)

    async def revoke(self, id_or_name: str) -> Key | None:
        """Revoke by id, or by name where just one live key has it; None if there is none."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM keys WHERE id = ?"
            " OR (name = ? AND revoked_at IS NULL) ORDER BY id = ? DESC",
            (id_or_name, id_or_name, id_or_name),
        )
        if not rows:
            return None
        if rows[0]["id"] != id_or_name and len(rows) > 1:
            raise ValueError(
                f"{len(rows)} keys are named '{id_or_name}'; revoke one of them by its id."
            )
        key_id = str(rows[0]["id"])
        await self._database.write(
            "UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL",
            (int(self._clock.time()), key_id),
        )
        self._forget()
        changed = await self._database.read(f"SELECT {_COLUMNS} FROM keys WHERE id = ?", (key_id,))
        return _key(changed[0])

    async def list(self) -> list[Key]:
        """Every key, oldest first."""
        rows = await self._database.read(f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, rowid")
        return [_key(row) for row in rows]

    def _forget(self) -> None:
        self._changes += 1
        self._known.clear()
        self._unknown.clear()


def _key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        created_at=row["created_at"],
        allow=tuple(msgspec.json.decode(row["allow"], type=list[str])),
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
