"""Accounts, top-ups and adjustments."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Struct, UnsetType

from gateway.web.admin.common import act, admin, commands, listed, page_limit, unknown
from gateway.web.exchange import Exchange

Period = Literal["none", "day", "week", "month"]


class NewAccount(Struct, forbid_unknown_fields=True):
    """POST accounts. `credit` null: billed afterwards."""

    name: str
    group: str | None = None
    credit: str | None = "0"
    spend_limit: str | None = None
    period: Period = "none"


class AccountChange(Struct, forbid_unknown_fields=True):
    """PATCH accounts/{id}: what is given is set."""

    name: str | UnsetType = UNSET
    group: str | UnsetType | None = UNSET
    credit: str | UnsetType | None = UNSET
    spend_limit: str | UnsetType | None = UNSET
    period: Period | UnsetType = UNSET
    status: Literal["active", "suspended"] | UnsetType = UNSET


class Movement(Struct, forbid_unknown_fields=True):
    """POST accounts/{id}/topups or /adjustments."""

    amount: str
    memo: str = ""


new_account = msgspec.json.Decoder(NewAccount)
account_change = msgspec.json.Decoder(AccountChange)
movement = msgspec.json.Decoder(Movement)


async def index(exchange: Exchange) -> None:
    """Accounts with their balances, oldest first."""
    await admin(exchange)
    limit = page_limit(exchange)
    after = exchange.query.get("after")
    store = exchange.site.store
    number = 0
    if after is not None:
        found = await store.accounts.find(after)
        if found is None:
            raise unknown("account")
        number = found.n
    rows = await commands(exchange).list_accounts(number, limit + 1)
    listed(exchange, rows[:limit], len(rows) > limit)


async def create(exchange: Exchange) -> None:
    """Open an account."""
    key = await admin(exchange)

    async def work(wanted: NewAccount) -> Any:
        return await commands(exchange).create_account(
            **msgspec.structs.asdict(wanted), actor=key.id
        )

    await act(exchange, key, new_account, work, 201)


async def show(exchange: Exchange) -> None:
    """One account."""
    await admin(exchange)
    await _must_exist(exchange, exchange.rest)
    exchange.answer(await commands(exchange).account(unquote(exchange.rest)))


async def change(exchange: Exchange) -> None:
    """Change an account; running calls go on."""
    key = await admin(exchange)
    await _must_exist(exchange, exchange.rest)

    async def work(wanted: AccountChange) -> Any:
        given = {n: v for n, v in msgspec.structs.asdict(wanted).items() if v is not UNSET}
        return await commands(exchange).change_account(unquote(exchange.rest), given, actor=key.id)

    await act(exchange, key, account_change, work)


async def move(exchange: Exchange) -> None:
    """POST {id}/topups and {id}/adjustments: bring money in, or correct."""
    key = await admin(exchange)
    account, _, what = exchange.rest.partition("/")
    if what not in ("topups", "adjustments"):
        raise unknown("endpoint")
    await _must_exist(exchange, account)

    async def work(wanted: Movement) -> Any:
        do = commands(exchange)
        move_money = do.top_up if what == "topups" else do.adjust
        return await move_money(unquote(account), wanted.amount, wanted.memo, actor=key.id)

    await act(exchange, key, movement, work, 201)


async def _must_exist(exchange: Exchange, account: str) -> None:
    if await exchange.site.store.accounts.find(unquote(account)) is None:
        raise unknown("account")
