"""Keys are found by their secret, which is kept nowhere."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store import Store
from gateway.store.database import Database
from gateway.store.keys import SqliteKeys


async def test_create_and_find(keys: SqliteKeys, clock) -> None:
    """A created key is found by its secret with all that was said of it."""
    made = await keys.create("n", allow=["gpt-*", "é"], expires_at=5)
    found = await keys.find(made.secret.encode())
    assert found == made.key
    assert found.allow == ("gpt-*", "é")
    assert found.expires_at == 5
    assert found.created_at == int(clock.time())
    assert made.secret.startswith("sk-test-")
    assert made.secret.startswith(found.prefix)
    assert len(found.prefix) == len("sk-test-") + 4
    assert await keys.list() == [found]
    assert await keys.find(made.secret.encode()) == found


@pytest.mark.parametrize("wrong", [b"", b"sk-test-", b"sk-test-nope", b"\xff\x00", b"x" * 100_000])
async def test_other_secrets_find_nothing(keys: SqliteKeys, wrong: bytes) -> None:
    """What is no key's secret finds none, again and again, and once made finds one."""
    await keys.create("n")
    assert await keys.find(wrong) is None
    assert await keys.find(wrong) is None
    assert await keys.find(wrong) is None


async def test_neighbours_of_a_secret_find_nothing(keys: SqliteKeys) -> None:
    """A secret cut, extended or changed in one place is another secret."""
    secret = (await keys.create("n")).secret.encode()
    assert await keys.find(secret)
    for other in (
        secret[:-1],
        secret + b"x",
        secret.swapcase(),
        secret[:20],
        b" " + secret,
        secret + b"\n",
    ):
        assert await keys.find(other) is None


async def test_revoking_is_seen_at_once(keys: SqliteKeys, clock) -> None:
    """A revoked key is found as revoked, also where it was cached, and keeps its first date."""
    made = await keys.create("n")
    await keys.find(made.secret.encode())
    revoked = await keys.revoke("n")
    assert revoked.revoked_at == int(clock.time())
    assert await keys.find(made.secret.encode()) == revoked
    clock.now += 100
    assert await keys.revoke(made.key.id) == revoked
    assert await keys.revoke("n") is None
    assert await keys.revoke("nobody") is None


async def test_what_a_key_made_is_found_without_reading_all_keys(
    store: Store, keys: SqliteKeys
) -> None:
    """Neither a revocation nor a budget costs more for the keys of others."""
    maker = (await keys.create("maker", budget=5)).key
    made = (await keys.create("made", parent=maker.n)).key
    await store.database.script(
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
        " INSERT INTO keys (id, account, name, digest, prefix, created_at)"
        " SELECT 'key_' || i, 1, 'other', randomblob(32), '', 0 FROM n"
    )
    steps: list[None] = []
    store.database._inner.set_progress_handler(lambda: steps.append(None), 100)
    await store.database._reader.set_progress_handler(lambda: steps.append(None), 100)
    assert await store.books.spent_by_key(maker.n, "month") == 0
    assert (await keys.revoke(maker.id)).revoked_at
    assert (await keys.get(made.id)).revoked_at
    assert len(steps) < 100


async def test_a_name_two_keys_have_is_no_name(keys: SqliteKeys) -> None:
    """Two live keys of a name are told apart by their ids."""
    first, second = await keys.create("twin"), await keys.create("twin")
    with pytest.raises(ValueError, match="2 keys are named 'twin'"):
        await keys.revoke("twin")
    await keys.revoke(first.key.id)
    assert (await keys.revoke("twin")).id == second.key.id


@pytest.mark.parametrize("name", ["", "x" * 201])
async def test_bad_names_are_refused(keys: SqliteKeys, name: str) -> None:
    """A key needs a name of sensible length."""
    with pytest.raises(ValueError, match="1 to 200"):
        await keys.create(name)
    assert await keys.list() == []


@pytest.mark.parametrize("name", ["x" * 200, "é😀", "'; DROP TABLE keys; --", "a\nb", "%", "key_"])
async def test_odd_names_are_names(keys: SqliteKeys, name: str) -> None:
    """Any text can be a name and is found as one."""
    made = await keys.create(name)
    assert (await keys.revoke(name)).id == made.key.id


async def test_secrets_are_in_no_file(keys: SqliteKeys, database: Database, path: Path) -> None:
    """The database and its log hold digests; no secret's random part stands in any file."""
    secrets = [(await keys.create(f"k{n}")).secret for n in range(20)]
    for when in ("open", "closed"):
        content = b"".join(file.read_bytes() for file in path.parent.iterdir())
        for secret in secrets:
            assert secret.encode() not in content
            assert secret.encode()[len("sk-test-") + 5 :] not in content
            assert hashlib.sha256(secret.encode()).digest() in content
        if when == "open":
            await database.write("PRAGMA wal_checkpoint(TRUNCATE)")


class Rows:
    """A database of given secrets that counts how often it is asked."""

    def __init__(self, known: dict[bytes, str]) -> None:
        self.by_digest = {hashlib.sha256(secret).digest(): id_ for secret, id_ in known.items()}
        self.asked = 0

    async def read(self, sql: str, values: tuple[bytes, ...]) -> list[dict[str, object]]:
        self.asked += 1
        id_ = self.by_digest.get(values[0])
        return [] if id_ is None else [Row({"id": id_})]


class Row(dict[str, object]):
    """A row of which only the id matters."""

    def __missing__(self, name: str) -> object:
        lists = {"allow", "ips", "scopes"}
        return "[]" if name in lists else None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    tails=st.lists(st.binary(min_size=1, max_size=4), min_size=2, max_size=6, unique=True),
    order=st.lists(st.integers(0, 5), max_size=20),
)
def test_secrets_with_one_beginning_never_mix(clock, tails: list[bytes], order: list[int]) -> None:
    """The cache goes by the whole secret: a shared start of 20 characters means nothing."""
    start = b"sk-maas-AAAAAAAAAAAA"
    known = {start + tail: f"key_{n}" for n, tail in enumerate(tails[:-1])}
    unknown = start + tails[-1]
    rows = Rows(known)
    keys = SqliteKeys(rows, clock)

    async def ask() -> None:
        for place in order:
            secret = start + tails[place % len(tails)]
            found = await keys.find(secret)
            assert (found.id if found else None) == known.get(secret)
            cached = keys._known.get(hashlib.sha256(secret).digest())
            assert (cached.id if cached else None) == known.get(secret)
        assert await keys.find(unknown) is None

    asyncio.run(ask())
    assert rows.asked <= len(tails)


async def test_an_answer_out_of_date_is_not_kept(keys: SqliteKeys) -> None:
    """A key revoked while it was being read is not cached as live."""
    made = await keys.create("n")
    secret = made.secret.encode()
    found, revoked = await asyncio.gather(keys.find(secret), keys.revoke("n"))
    assert found.id == revoked.id
    assert (await keys.find(secret)).revoked_at is not None
    assert (await keys.find(secret)).revoked_at is not None
