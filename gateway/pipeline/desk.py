"""What a key may do and spend now: its group, its limits, its purses. Found at once when known."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.money.rows import PLAIN, scale_of
from gateway.core.purse import Purse
from gateway.domain import Account, Child, Key
from gateway.errors import Fault, storage_fault
from gateway.pipeline.catalogs import Group, Routes
from gateway.ports import Books, Clock, Ledger, Who

_MOST_STANDINGS = 120_000
_MOST_PURSES = 300_000


class Standing(Struct):
    """One key's rights and means; shared by all its calls."""

    key: Key
    who: Who
    limits: Limits
    purses: tuple[Purse, ...]
    group: Group | None = None
    scale: int = PLAIN
    unlimited: bool = False  # no purse has an end, so none needs to be looked into
    selective: bool = False  # not every route may be used, so each must be looked at
    catalog: object = None


class Desk:
    """Every key's standing, made when it first calls."""

    def __init__(self, ledger: Ledger, books: Books, clock: Clock) -> None:
        self._books = books
        self._ledger = ledger
        self._clock = clock
        self._standings: dict[str, Standing] = {}
        self._purses: dict[tuple[str, int], Purse] = {}
        self._funds: dict[int, int] = {}
        self._limits: dict[int, Limits] = {}
        self._told = 0

    def known(self, key: Key, catalog: Routes) -> Standing | None:
        """The standing of a key that has called before, if nothing has changed since."""
        standing = self._standings.get(key.id)
        if standing is None or standing.key is not key or standing.catalog is not catalog:
            return None
        return standing

    async def load(self, key: Key, catalog: Routes) -> Standing:
        """A key's standing as it is now; what it has used up so far stays used."""
        books = self._books
        account = key.account
        assert account is not None
        group = None
        if account.group is not None:
            group = catalog.groups.get(account.group)
            if group is None:
                raise Fault(
                    errors.MODEL_NOT_ALLOWED,
                    f"This key's account belongs to the group '{account.group}', which this "
                    "gateway's catalog no longer has. Ask the gateway's operator.",
                    cause="no_group",
                )
        purses = await self._purses_of(key, account)
        child = 0
        for one in key.children:
            child = await books.child(one.id, key, child or None)
            purses = (*purses, await self._child_purse(one, child))
        rpm, tpm = key.rpm, key.tpm
        if group is not None and key.n:  # callers without a key are limited by their addresses
            rpm = group.rpm if rpm is None else rpm
            tpm = group.tpm if tpm is None else tpm
        # A key and all that are derived from it share one set of limits.
        limits = self._limits.setdefault(key.n, Limits())
        limits.change(rpm, tpm, key.concurrency)
        standing = Standing(
            key=key,
            who=(account.n, key.n, child),
            limits=limits,
            purses=purses,
            unlimited=all(purse.limit is None for purse in purses),
            selective=bool(key.allow or key.children) or group is not None,
            group=group,
            scale=scale_of(group.multiplier) if group is not None else PLAIN,
            catalog=catalog,
        )
        self._standings[key.id] = standing
        self._make_room()
        return standing

    def moved(self, account: int, amount: int) -> None:
        """Money has come into an account from outside, or gone out."""
        self._told += 1
        if account not in self._funds:
            return
        self._funds[account] += amount
        purse = self._purses["wallet", account]
        if purse.limit is not None:
            purse.limit += amount

    async def _purses_of(self, key: Key, account: Account) -> tuple[Purse, ...]:
        books, n = self._books, account.n
        wallet = self._purses.get(("wallet", n))
        if wallet is None:
            funds = await self._funds_of(n)
            wallet = self._purses.setdefault(("wallet", n), Purse("wallet", None))
            self._funds.setdefault(n, funds + wallet.spent)
        wallet.limit = None if account.floor is None else self._funds[n] - account.floor
        purses = [wallet]
        if account.spend_limit is not None:
            purse = self._purses.get(("account", n))
            if purse is None or purse.period != account.period:
                await self._written()
                spent = await books.spent_by_account(n, account.period)
                purse = self._keep("account", n, purse, spent, account.period)
            purse.limit = account.spend_limit
            purses.append(purse)
        if key.budget is not None:
            purse = self._purses.get(("key", key.n))
            if purse is None or purse.period != key.period:
                await self._written()
                spent = await books.spent_by_key(key.n, key.period)
                purse = self._keep("key", key.n, purse, spent, key.period)
            purse.limit = key.budget
            purses.append(purse)
        return tuple(purses)

    async def _child_purse(self, child: Child, number: int) -> Purse:
        """What a derived key may spend, with all that are derived from it."""
        purse = self._purses.get(("child", number))
        if purse is None:
            await self._written()
            spent = await self._books.spent_by_child(number)
            purse = self._keep("child", number, None, spent, "none")
        purse.limit = child.budget
        return purse

    async def _funds_of(self, account: int) -> int:
        """What an account has. Read anew where money moved meanwhile: that must count once."""
        while True:
            told = self._told
            await self._written()
            funds = await self._books.free_money(account)
            await self._written()
            await asyncio.sleep(0)  # a move that the books have seen has been told by now
            if told == self._told:
                return funds

    async def _written(self) -> None:
        """See to it that the books hold all that was charged: nobody may spend it again."""
        if await self._ledger.flush() is not None:
            raise storage_fault()

    def _keep(self, name: str, number: int, before: Purse | None, spent: int, period: str) -> Purse:
        """The purse, which another call may have made while the books were asked."""
        made = Purse(name, 0, spent, period, self._clock.time())  # type: ignore[arg-type]
        if before is None:
            return self._purses.setdefault((name, number), made)
        before.spent, before.period, before.ends = spent, made.period, made.ends
        return before

    def _make_room(self) -> None:
        """Forget keys that have nothing open and no limit to remember, once there are too many."""
        if len(self._standings) >= _MOST_STANDINGS:
            now = self._clock.monotonic()
            busy = {k: s for k, s in self._standings.items() if not s.limits.idle(now)}
            self._standings = busy
            self._limits = {s.key.n: s.limits for s in busy.values()}
        if len(self._purses) >= _MOST_PURSES:
            used = {id(p) for standing in self._standings.values() for p in standing.purses}
            self._purses = {k: p for k, p in self._purses.items() if p.held or id(p) in used}
            self._funds = {n: f for n, f in self._funds.items() if ("wallet", n) in self._purses}
