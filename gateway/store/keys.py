"""Client keys: SHA-256 of the secret in SQLite, looked up through a bounded cache.

The file has one writer, this process, so the cache is exact: every change goes through here.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
import string
from collections import OrderedDict
from collections.abc import Sequence
from sqlite3 import Row
from typing import Any

import msgspec
from cachetools import LRUCache
from msgspec import structs

from gateway.core.derived import (
    DerivedKeyError,
    expires_of,
    ids_of,
    looks_derived,
    parse,
    public_of,
    session_of,
    verify,
)
from gateway.core.money.amounts import nanos_of
from gateway.domain import (
    DEFAULT_SCOPES,
    SCOPES,
    Child,
    FieldError,
    Key,
    KeyChange,
    Maker,
    Period,
    digest_of,
)
from gateway.ports import Clock
from gateway.store.accounts import DEFAULT_ACCOUNT, account_of
from gateway.store.client_secrets import ClientSecrets, is_client_secret
from gateway.store.database import Database

DEFAULT_PREFIX = "sk-maas-"
_ALPHABET = string.ascii_letters + string.digits
_SECRET_LENGTH = 40
_SHOWN = 4
_MAX_NAME = 200
_MAX_NANOS = 1 << 60
_LAST = 253_402_300_799
_CACHED_KEYS = 20_000
_CACHED_MISSES = 4_096
_PAGE = 1_000_000
_MOST_REMOVES = 8  # as of derived keys: what is asked of all above a key is asked with each read
_ACCOUNT = ("n", "id", "name", "group_name", "floor", "spend_limit", "period", "status")
_MAKERS = (
    "(WITH RECURSIVE up (n, parent, budget, period) AS ("
    "SELECT n, parent, budget, period FROM keys WHERE n = k.parent"
    " UNION ALL SELECT o.n, o.parent, o.budget, o.period FROM keys o JOIN up ON o.n = up.parent)"
    " SELECT json_group_array(json_array(n, budget, period)) FROM up WHERE budget IS NOT NULL)"
)
_REMOVES = (
    "WITH RECURSIVE up (n, parent) AS (SELECT n, parent FROM keys WHERE n = ?"
    " UNION ALL SELECT o.n, o.parent FROM keys o JOIN up ON o.n = up.parent)"
    " SELECT count(*) AS removes FROM (SELECT 1 FROM up LIMIT ?)"
)
_SELECT = (
    f"SELECT k.*, p.id AS parent_id, {_MAKERS} AS makers, "
    + ", ".join(f"a.{name} AS account_{name}" for name in (*_ACCOUNT, "created_at"))
    + " FROM keys k JOIN accounts a ON a.n = k.account LEFT JOIN keys p ON p.n = k.parent "
)


class SqliteKeys:
    """The `Keys` port over a database file."""

    def __init__(self, database: Database, clock: Clock, prefix: str = DEFAULT_PREFIX) -> None:
        self._database = database
        self._clock = clock
        self.prefix = prefix
        self._client_secrets = ClientSecrets(database, clock)
        self._known: OrderedDict[bytes, Key] = OrderedDict()  # who has called last comes last
        # Apart from the known keys, so that a flood of guesses pushes no real key out.
        self._unknown: LRUCache[bytes, bool] = LRUCache(_CACHED_MISSES)
        self._changes = 0

    @property
    def changes(self) -> int:
        """Counts up with each change to any key."""
        return self._changes

    def known(self, digest: bytes) -> Key | None:
        """The key whose secret has this digest, where it has called before."""
        key = self._known.get(digest)
        if key is not None:
            self._known.move_to_end(digest)
        return key

    async def find(self, secret: bytes) -> Key | None:
        """The key of this secret, revoked or not; None if there never was one."""
        digest = digest_of(secret)
        key = self.known(digest)
        if key is not None:
            return key
        if digest in self._unknown:
            return None
        changes = self._changes
        if looks_derived(secret, self.prefix):
            found = await self._derived(secret)
        elif is_client_secret(secret):
            found = await self._for_sessions(secret)
        else:
            rows = await self._database.read(f"{_SELECT} WHERE k.digest = ?", (digest,))
            found = _key(rows[0]) if rows else None
        if changes == self._changes:  # else what was read may already be out of date
            if found is None:
                self._unknown[digest] = True
            else:
                self._known[digest] = found
                if len(self._known) > _CACHED_KEYS:
                    self._known.popitem(last=False)
        return found

    async def _derived(self, secret: bytes) -> Key | None:
        """What a derived key may do: what its root may, less what each of its blocks takes away."""
        try:
            token = parse(secret, self.prefix)
            root = await self.get(token.key_id)
            if root is None or root.public is None:
                return None
            verify(token, root.public)
        except DerivedKeyError:
            return None
        ids = ids_of(token)
        revoked = await self._database.read(
            f"SELECT min(at) AS at FROM revoked_children WHERE id IN ({', '.join('?' * len(ids))})",
            ids,
        )
        ends = [end for end in (root.expires_at, expires_of(token.blocks)) if end is not None]
        return structs.replace(
            root,
            id=f"{root.id}.{ids[-1]}",
            scopes=("inference",) if "inference" in root.scopes else (),
            expires_at=min(ends, default=None),
            revoked_at=root.revoked_at or revoked[0]["at"],
            session=session_of(token.blocks),
            children=tuple(
                Child(
                    block_id,
                    None if block.budget is None else nanos_of(block.budget),
                    None if block.models is None else tuple(block.models),
                )
                for block_id, block in zip(ids, token.blocks, strict=True)
            ),
        )

    async def _for_sessions(self, secret: bytes) -> Key | None:
        """What a client secret may do: open realtime sessions as its key."""
        owner = await self._client_secrets.owner(secret)
        root = None if owner is None else await self.get(owner[0])
        if owner is None or root is None:
            return None
        return structs.replace(
            root,
            id=f"{root.id}.{hashlib.sha256(secret).hexdigest()[:16]}",
            scopes=("realtime",) if "inference" in root.scopes else (),
            opens_until=owner[1],
        )

    async def revoke_derived(self, child_id: str) -> None:
        """Refuse a derived key, and all derived from it, from now on."""
        await self._database.write(
            "INSERT INTO revoked_children (id, at) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (child_id, int(self._clock.time())),
        )
        self.forget()

    async def create(
        self,
        name: str,
        *,
        account: str = DEFAULT_ACCOUNT,
        allow: Sequence[str] = (),
        expires_at: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        concurrency: int | None = None,
        budget: int | None = None,
        period: Period = "none",
        ips: Sequence[str] = (),
        scopes: Sequence[str] = DEFAULT_SCOPES,
        parent: int | None = None,
        strict: bool = False,
        provider: str | None = None,
    ) -> KeyChange:
        """Make a key; its secret is in the answer and nowhere else, ever."""
        limits = {"rpm": rpm, "tpm": tpm, "concurrency": concurrency}
        _check(name, limits, budget, scopes)
        if expires_at is not None and not 0 <= expires_at <= _LAST:
            raise FieldError("A key expires at a moment in unix seconds.", "expires_at")
        await self._check_removes(parent)
        secret = self.prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
        key_id = f"key_{secrets.token_hex(8)}"
        columns: dict[str, Any] = {
            "id": key_id,
            "account": await self._account_number(account),
            "parent": parent,
            "name": name,
            "digest": digest_of(secret.encode()),
            "public": public_of(secret),
            "prefix": secret[: len(self.prefix) + _SHOWN],
            "allow": _list(allow),
            "ips": _list([_network(ip) for ip in ips]),
            "scopes": _list([scope for scope in SCOPES if scope in scopes]),
            **limits,
            "budget": budget,
            "period": period,
            "created_at": int(self._clock.time()),
            "expires_at": expires_at,
            "strict": strict,
            "provider": provider,
        }
        await self._database.write(
            f"INSERT INTO keys ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            list(columns.values()),
        )
        self.forget()
        made = await self.get(key_id)
        assert made is not None
        return KeyChange(made, secret)

    async def get(self, key_id: str) -> Key | None:
        """A key by its id."""
        rows = await self._database.read(f"{_SELECT} WHERE k.id = ?", (key_id,))
        return _key(rows[0]) if rows else None

    async def by_number(self, number: int) -> Key | None:
        """A key by its number in the ledger."""
        rows = await self._database.read(f"{_SELECT} WHERE k.n = ?", (number,))
        return _key(rows[0]) if rows else None

    async def revoke(self, id_or_name: str) -> Key | None:
        """Revoke by id, or by name where just one live key has it; None if there is none."""
        rows = await self._database.read(
            "SELECT id FROM keys WHERE id = ? OR (name = ? AND revoked_at IS NULL)"
            " ORDER BY id = ? DESC",
            (id_or_name, id_or_name, id_or_name),
        )
        if not rows:
            return None
        if rows[0]["id"] != id_or_name and len(rows) > 1:
            raise ValueError(
                f"{len(rows)} keys are named '{id_or_name}'; revoke one of them by its id."
            )
        key_id = str(rows[0]["id"])
        # What a key made goes with it: rights must not outlive those they came from.
        await self._database.write(
            "WITH RECURSIVE gone (n) AS (SELECT n FROM keys WHERE id = ?"
            " UNION SELECT k.n FROM keys k JOIN gone ON k.parent = gone.n)"
            " UPDATE keys SET revoked_at = ? WHERE n IN gone AND revoked_at IS NULL",
            (key_id, int(self._clock.time())),
        )
        self.forget()
        return await self.get(key_id)

    async def list(
        self, account: str | None = None, after: str | None = None, limit: int = _PAGE
    ) -> list[Key]:
        """Keys by age, oldest first: all, or those of one account; from behind the key `after`."""
        where, values = ["k.n > coalesce((SELECT n FROM keys WHERE id = ?), 0)"], [after]
        if account is not None:
            where.append("? IN (a.id, a.name)")
            values.append(account)
        rows = await self._database.read(
            f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY k.n LIMIT ?", (*values, limit)
        )
        return [_key(row) for row in rows]

    def forget(self) -> None:
        """Let go of what was read, since it may have changed."""
        self._changes += 1
        self._known.clear()
        self._unknown.clear()

    async def _check_removes(self, parent: int | None) -> None:
        if parent is None:
            return
        rows = await self._database.read(_REMOVES, (parent, _MOST_REMOVES + 1))
        if rows[0]["removes"] > _MOST_REMOVES:
            raise ValueError(
                f"This key was made {_MOST_REMOVES} removes from an operator's; it makes no more."
            )

    async def _account_number(self, id_or_name: str) -> int:
        rows = await self._database.read(
            "SELECT n FROM accounts WHERE id = ? OR name = ? ORDER BY id = ? DESC",
            (id_or_name, id_or_name, id_or_name),
        )
        if not rows:
            raise FieldError(
                f"There is no account '{id_or_name}'. Make it with: gateway accounts create",
                "account",
            )
        return int(rows[0]["n"])


def _check(
    name: str, limits: dict[str, int | None], budget: int | None, scopes: Sequence[str]
) -> None:
    if not 1 <= len(name) <= _MAX_NAME:
        raise FieldError(f"A key's name has 1 to {_MAX_NAME} characters.", "name")
    for limit, value in limits.items():
        if value is not None and not 1 <= value <= _MAX_NANOS:
            raise FieldError(f"A key's {limit} is a whole number, 1 or more.", limit)
    if budget is not None and not 0 <= budget <= _MAX_NANOS:
        raise FieldError("A key's budget is zero or more.", "budget")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise FieldError(f"A key's scopes are one or more of {', '.join(SCOPES)}.", "scopes")


def _network(ip: str) -> str:
    try:
        return str(ipaddress.ip_network(ip, strict=False))
    except ValueError:
        raise FieldError(
            f"'{ip[:50]}' is no address or network, such as 10.0.0.0/8.", "ips"
        ) from None


def _list(values: Sequence[str]) -> str:
    return msgspec.json.encode(list(values)).decode()


def _strings(text: str) -> tuple[str, ...]:
    return tuple(msgspec.json.decode(text, type=list[str]))


def _key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        prefix=row["prefix"],
        created_at=row["created_at"],
        allow=_strings(row["allow"]),
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        n=row["n"],
        account=account_of(row, "account_"),
        parent=row["parent_id"],
        public=row["public"],
        ips=_strings(row["ips"]),
        scopes=_strings(row["scopes"]),
        rpm=row["rpm"],
        tpm=row["tpm"],
        concurrency=row["concurrency"],
        budget=row["budget"],
        period=row["period"],
        makers=msgspec.json.decode(row["makers"] or "[]", type=tuple[Maker, ...]),
        strict=bool(row["strict"]),
        provider=row["provider"],
    )
