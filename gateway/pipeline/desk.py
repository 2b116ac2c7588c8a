"""What a key may do and spend now: its group, its limits, its purses. Found at once when known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from weakref import WeakValueDictionary

from msgspec import Struct

from gateway import errors
from gateway.core.limits import Limits
from gateway.core.money.rows import PLAIN, scale_of
from gateway.core.purse import Purse
from gateway.core.routing.preferences import NO_PREFERENCES, Preferences, defaults_of
from gateway.domain import Account, Child, Key, Period
from gateway.errors import Fault, storage_fault
from gateway.pipeline.catalogs import Group, Routes
from gateway.ports import Books, Clock, Ledger, Who

_MOST_STANDINGS = 120_000
# No more than this at a time, so that nobody waits for it.
_LEFT_AT_ONCE = 2_000
# How often a sum is read anew because somebody paid meanwhile.
_COUNTS = 8


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
    whole: set[tuple[str, str]] = set()  # names by operation of which it may use all there is
    preferences: Preferences = NO_PREFERENCES  # where a request says nothing
    catalog: object = None
    vouched: set[str] = set()  # scopes it was found good for, at any time and from anywhere


class Desk:
    """Every key's standing, made when it first calls."""

    def __init__(self, ledger: Ledger, books: Books, clock: Clock) -> None:
        self._books = books
        self._ledger = ledger
        self._clock = clock
        self._standings: dict[str, Standing] = {}
        # Alive for as long as a standing or a call draws on them: there are never two of one.
        self._purses: WeakValueDictionary[tuple[str, int], Purse] = WeakValueDictionary()
        self._limits: WeakValueDictionary[int, Limits] = WeakValueDictionary()
        # Limits that remember a minute's calls of keys whose standing was let go.
        self._still: dict[int, Limits] = {}
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
                    "gateway's catalog does not have. Ask the gateway's operator.",
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
            preferences=NO_PREFERENCES
            if key.provider is None
            else defaults_of(key.provider.encode()),
            group=group,
            scale=scale_of(group.multiplier) if group is not None else PLAIN,
            catalog=catalog,
        )
        self._standings.pop(key.id, None)
        self._standings[key.id] = standing
        self._make_room()
        return standing

    async def resumed(self, key: Key, line: Sequence[int], held: int) -> tuple[Purse, ...]:
        """What a call draws on that has outlived the process it was made in; what is held for it is
        set aside again. `line` is its derived key's number, and those above it.
        """
        assert key.account is not None
        purses = await self._purses_of(key, key.account)
        for number in line:
            purse = self._purses.get(("child", number))
            if purse is None:
                await self._written()
                spent = await self._books.spent_by_child(number)
                purse = self._keep("child", number, spent, "none")
            purses = (*purses, purse)
        for purse in purses:
            purse.take(held)
        return purses

    def moved(self, account: int, amount: int) -> None:
        """Money has come into an account from outside, or gone out."""
        self._told += 1
        wallet = self._purses.get(("wallet", account))
        if wallet is not None:
            wallet.gain(amount)

    async def _purses_of(self, key: Key, account: Account) -> tuple[Purse, ...]:
        wallet = await self._wallet(account.n)
        wallet.let_fall(account.floor)
        purses: tuple[Purse, ...] = (wallet, await self._account_purse(account, wallet))
        for maker in key.makers:
            purses = (*purses, await self._key_purse(maker.n, maker.budget, maker.period))
        if key.budget is not None:
            purses = (*purses, await self._key_purse(key.n, key.budget, key.period))
        return purses

    async def _key_purse(self, number: int, budget: int, period: Period) -> Purse:
        """What a key may spend, with all that were made with it."""
        purse = self._purses.get(("key", number))
        if purse is None:
            await self._written()
            spent = await self._books.spent_by_key(number, period)
            purse = self._keep("key", number, spent, period)
        purse.limit = budget
        return purse

    async def _wallet(self, account: int) -> Purse:
        wallet = self._purses.get(("wallet", account))
        if wallet is None:
            made = Purse("wallet", None)
            made.gain(await self._funds_of(account))
            wallet = self._purses.setdefault(("wallet", account), made)
        return wallet

    async def _account_purse(self, account: Account, wallet: Purse) -> Purse:
        """What the account may spend in its period.

        Every call draws on it, limit or none: one that is set later then holds for calls that run.
        """
        purse = self._purses.setdefault(("account", account.n), Purse("account", None))
        if account.spend_limit is None:
            purse.limit = None
            return purse
        if purse.limit is None or purse.period != account.period:

            async def spent() -> int:
                return await self._books.spent_by_account(account.n, account.period)

            total = await self._counted(spent, wallet)
            purse.recount(total, account.period, self._clock.time())
        purse.limit = account.spend_limit
        return purse

    async def _counted(self, spent: Callable[[], Awaitable[int]], wallet: Purse) -> int:
        """A sum of the books, and what was paid since. Where payments never pause, those made while
        the sum was read may count twice until the period ends; none is ever left out.
        """
        for _ in range(_COUNTS):
            before = wallet.spent
            await self._written()
            total = await spent()
            if wallet.spent == before:
                break
        return total + wallet.spent - before

    async def _child_purse(self, child: Child, number: int) -> Purse:
        """What a derived key may spend, with all that are derived from it."""
        purse = self._purses.get(("child", number))
        if purse is None:
            await self._written()
            spent = await self._books.spent_by_child(number)
            purse = self._keep("child", number, spent, "none")
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

    def _keep(self, name: str, number: int, spent: int, period: Period) -> Purse:
        """The purse, which another call may have made while the books were asked."""
        made = Purse(name, 0, spent, period, self._clock.time())
        return self._purses.setdefault((name, number), made)

    def _make_room(self) -> None:
        """Let the oldest standings go, once there are too many: who still calls gets a new one.

        Purses and limits stay for as long as a call draws on them, and limits until they remember
        no call of the last minute.
        """
        if len(self._standings) <= _MOST_STANDINGS:
            return
        now = self._clock.monotonic()
        for key_id in list(islice(self._standings, _LEFT_AT_ONCE)):
            left = self._standings.pop(key_id)
            if not left.limits.idle(now):
                self._still[left.key.n] = left.limits
        self._still = {n: limits for n, limits in self._still.items() if not limits.idle(now)}
