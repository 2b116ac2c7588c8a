"""What the admin endpoints share: who may, bodies, pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from gateway import errors
from gateway.core.body import JsonBody, decode_as
from gateway.domain import Key
from gateway.errors import Fault, invalid
from gateway.store.commands import Commands
from gateway.web.exchange import Exchange

_LIMIT = 1 << 20
_T = TypeVar("_T")


async def admin(exchange: Exchange) -> Key:
    """The caller, who must hold the scope `admin`."""
    return await exchange.key("admin")


def commands(exchange: Exchange) -> Commands:
    """What can be done to the database."""
    return Commands(exchange.site.store)


async def act(
    exchange: Exchange,
    key: Key,
    decoder: msgspec.json.Decoder[_T],
    work: Callable[[_T], Awaitable[Any]],
    status: int = 200,
) -> None:
    """Decode the body strictly, do the work once for its Idempotency-Key, tell its result."""
    raw = await exchange.body_reader(_LIMIT)()
    JsonBody.parse(raw)
    wanted = decode_as(raw, decoder)

    async def do() -> None:
        exchange.answer(await work(wanted), status)

    await exchange.once(key, raw, do, exchange.secret())


def listed(exchange: Exchange, items: list[Any], more: bool, last: str | None = None) -> None:
    """A page whose items were found by cursor already."""
    exchange.answer(
        {
            "object": "list",
            "data": items,
            "has_more": more,
            "first_id": items[0]["id"] if items else None,
            "last_id": last if last is not None else (items[-1]["id"] if items else None),
        }
    )


def page_limit(exchange: Exchange, usual: int = 100) -> int:
    """How many items the caller wants."""
    value = exchange.query.get("limit")
    if value is None:
        return usual
    if not (value.isascii() and value.isdigit() and 1 <= len(value) <= 4 and int(value) >= 1):
        raise invalid("'limit' must be a number from 1 to 1000.", "limit")
    return min(int(value), 1000)


def unknown(what: str) -> Fault:
    """There is no such object."""
    return Fault(errors.NOT_FOUND, f"There is no such {what}.")
