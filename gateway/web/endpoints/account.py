"""GET key, usage, balance, receipts/{id}: what a key's holder may know of its own account."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from gateway import errors
from gateway.core.money.amounts import dollars
from gateway.core.purse import NO_END
from gateway.domain import Account, Key
from gateway.errors import Fault, invalid
from gateway.schemas.views import amount, key_view
from gateway.store import calls
from gateway.store.usage import summary
from gateway.web.exchange import Exchange
from gateway.web.query import moment, names

_PURSES = {"wallet": "balance", "account": "spend_limit", "key": "budget", "child": "budget"}


async def key(exchange: Exchange) -> None:
    """What the key is, what it may do, and what it has left."""
    mine = await holder(exchange, "")
    services = exchange.site.services
    catalog = services.catalog.current
    standing = services.desk.known(mine, catalog) or await services.desk.load(mine, catalog)
    now, moment_now = services.clock.time(), services.clock.monotonic()
    left = {
        _PURSES[purse.name]: dollars(room)
        for purse in standing.purses
        if (room := purse.room(now)) < NO_END
    }
    limits = standing.limits
    rates = {
        name: {"limit": bucket.limit, "remaining": max(0, bucket.room(moment_now))}
        for name, bucket in (("rpm", limits.rpm), ("tpm", limits.tpm))
        if bucket is not None
    }
    books = exchange.site.store.books
    exchange.answer(
        {
            **key_view(mine),
            "group": None if standing.group is None else standing.group.name,
            "limits": rates,
            "spent": dollars(await books.spent_by_key(mine.n, mine.period)),
            "remaining": left,
        }
    )


async def usage(exchange: Exchange) -> None:
    """What the key used; `of=account` for all of its account."""
    mine = await holder(exchange, "usage:read")
    query = exchange.query
    of = query.get("of", "key")
    if of not in ("key", "account"):
        raise invalid("'of' is 'key' or 'account'.", "of")
    try:
        rows = await summary(
            exchange.site.store,
            by=names(query, "by", "day"),
            since=moment(query, "since"),
            until=moment(query, "until"),
            account=_account(mine).id,
            key=mine.id if of == "key" else None,
        )
    except ValueError as error:
        raise invalid(str(error), "by") from None
    exchange.answer({"object": "list", "data": rows, "has_more": False})


async def balance(exchange: Exchange) -> None:
    """What the account has, and what of it is set aside for open calls."""
    mine = await holder(exchange, "usage:read")
    account = _account(mine)
    money = await exchange.site.store.books.balance(account.n)
    exchange.answer(
        {
            "object": "balance",
            "currency": "usd",
            "account": account.name,
            "balance": dollars(money.wallet + money.held),
            "held": dollars(money.held),
            "available": dollars(money.wallet),
            "charged": dollars(money.revenue),
            "credit": None if account.floor is None else dollars(-account.floor),
            "spend_limit": amount(account.spend_limit),
            "period": account.period,
        }
    )


async def receipt(exchange: Exchange) -> None:
    """One call's receipt; another account's is as unknown as one that never was."""
    mine = await holder(exchange, "usage:read")
    wanted = unquote(exchange.rest)
    found: dict[str, Any] | None = await calls.receipt(
        exchange.site.store, wanted, _account(mine).n
    )
    if found is None:
        raise Fault(errors.NOT_FOUND, "There is no receipt of that id.", param="request_id")
    exchange.answer(found)


async def holder(exchange: Exchange, scope: str) -> Key:
    """The caller's key, which nobody can do without."""
    mine = await exchange.key(scope)
    if not mine.n:
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            "This needs an API key. Send it as 'Authorization: Bearer <key>'.",
            cause="missing_key",
        )
    return mine


def _account(mine: Key) -> Account:
    assert mine.account is not None
    return mine.account
