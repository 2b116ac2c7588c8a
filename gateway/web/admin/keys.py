"""Keys: an admin makes any; who holds `keys:write` makes lesser ones for the own account."""

from __future__ import annotations

from fnmatch import fnmatchcase
from ipaddress import ip_network
from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Struct, field

from gateway import errors
from gateway.core.money.amounts import nanos_of
from gateway.domain import DEFAULT_SCOPES, Fidelity, FieldError, Key
from gateway.errors import Fault
from gateway.schemas.views import key_view
from gateway.store.commands import is_child_id
from gateway.web.admin.common import act, commands, listed, page_limit, unknown
from gateway.web.exchange import Exchange

_WILD = frozenset("*?[")


class NewKey(Struct, forbid_unknown_fields=True):
    """POST keys."""

    name: str
    account: str | None = None
    allow: list[str] = []
    ips: list[str] = []
    scopes: list[str] = field(default_factory=lambda: list(DEFAULT_SCOPES))
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    budget: str | None = None
    period: Literal["none", "day", "week", "month"] = "none"
    expires_at: int | None = None
    fidelity: Fidelity = "adapt"
    provider: dict[str, Any] | None = None


new_key = msgspec.json.Decoder(NewKey)


async def index(exchange: Exchange) -> None:
    """Keys, oldest first; those of the own account for who is no admin."""
    me = await _manager(exchange)
    query = exchange.query
    limit = page_limit(exchange)
    wanted = query.get("account") if _is_admin(me) else _own(me)
    rows = await exchange.site.store.keys.list(wanted, query.get("after"), limit + 1)
    listed(exchange, [key_view(row) for row in rows[:limit]], len(rows) > limit)


async def create(exchange: Exchange) -> None:
    """Make a key, with no right that its maker lacks."""
    me = await _manager(exchange)

    async def work(wanted: NewKey) -> Any:
        now = exchange.site.services.clock.time()
        if wanted.expires_at is not None and wanted.expires_at <= now:
            raise FieldError(
                "'expires_at' is not in the future, so the key would never work.", "expires_at"
            )
        given = msgspec.structs.asdict(wanted)
        given["account"] = wanted.account or _own(me)
        if not _is_admin(me):
            _check_narrower(me, wanted)
            if me.provider is not None:
                given["provider"] = msgspec.json.decode(me.provider)
            given["account"] = _own(me)
        return await commands(exchange).create_key(
            **given, parent=None if _is_admin(me) else me.n, actor=me.id
        )

    await act(exchange, me, new_key, work, 201)


async def show(exchange: Exchange) -> None:
    """One key."""
    exchange.answer(key_view(await _found(exchange, await _manager(exchange), exchange.rest)))


async def revoke(exchange: Exchange) -> None:
    """Revoke a key and all that were made with it."""
    me = await _manager(exchange)
    await _revoke(exchange, me, exchange.rest)


async def revoke_by_post(exchange: Exchange) -> None:
    """POST {id}/revoke: the same."""
    me = await _manager(exchange)
    key_id, _, what = exchange.rest.partition("/")
    if what != "revoke":
        raise unknown("endpoint")
    await _revoke(exchange, me, key_id)


async def _revoke(exchange: Exchange, me: Key, given: str) -> None:
    """A key by its id, or a derived one by `key id.its own id`."""
    root, dot, child = unquote(given).partition(".")
    key = await _found(exchange, me, root)
    if _is_admin(key) and not _is_admin(me):
        raise Fault(
            errors.INSUFFICIENT_SCOPE, "A key with the scope 'admin' is for admins to revoke."
        )
    if dot and not is_child_id(child):
        raise unknown("key")
    exchange.answer(await commands(exchange).revoke_key(f"{key.id}{dot}{child}", actor=me.id))


async def _manager(exchange: Exchange) -> Key:
    me = await exchange.key("")
    if _is_admin(me):
        return me
    return await exchange.key("keys:write")


async def _found(exchange: Exchange, me: Key, key_id: str) -> Key:
    key = await exchange.site.store.keys.get(unquote(key_id))
    if key is None or not (_is_admin(me) or _own_id(key) == _own_id(me)):
        raise unknown("key")
    return key


def _is_admin(key: Key) -> bool:
    return "admin" in key.scopes


def _own(key: Key) -> str:
    assert key.account is not None
    return key.account.id


def _own_id(key: Key) -> int:
    assert key.account is not None
    return key.account.n


def _check_narrower(me: Key, wanted: NewKey) -> None:
    """Refuse every right that the maker does not hold."""
    assert me.account is not None
    if wanted.account not in (None, me.account.id, me.account.name):
        raise _too_wide("account")
    if not set(wanted.scopes) <= set(me.scopes):
        raise _too_wide("scopes")
    if me.allow and not (wanted.allow and all(_within(me, one) for one in wanted.allow)):
        raise _too_wide("allow")
    if me.ips and not (wanted.ips and all(_inside(me, one) for one in wanted.ips)):
        raise _too_wide("ips")
    if me.strict and wanted.fidelity != "strict":
        raise _too_wide("fidelity")
    # Preferences protect data: they are handed on as they are.
    if me.provider and wanted.provider not in (None, msgspec.json.decode(me.provider)):
        raise _too_wide("provider")
    for name in ("rpm", "tpm", "concurrency", "expires_at"):
        mine, theirs = getattr(me, name), getattr(wanted, name)
        if mine is not None and (theirs is None or theirs > mine):
            raise _too_wide(name)
    if me.budget is not None:
        small = wanted.budget is not None and nanos_of(wanted.budget) <= me.budget
        if not small or wanted.period != me.period:
            raise _too_wide("budget")


def _within(me: Key, pattern: str) -> bool:
    """A pattern of the maker's own, or a plain name that one of them matches."""
    if pattern in me.allow:
        return True
    return not _WILD & set(pattern) and any(fnmatchcase(pattern, mine) for mine in me.allow)


def _inside(me: Key, network: str) -> bool:
    wanted = ip_network(network, strict=False)
    for allowed in me.ips:
        mine = ip_network(allowed)
        if mine.version == wanted.version and wanted.subnet_of(mine):  # type: ignore[arg-type]
            return True
    return False


def _too_wide(name: str) -> Fault:
    return Fault(
        errors.INSUFFICIENT_SCOPE,
        f"A key cannot be given more than the key that makes it has; '{name}' would be more.",
        param=name,
        cause="wider_than_parent",
    )
