"""Random lives of a ledger, with crashes, beside a model that is simple enough to be believed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway.core.money.rows import rows_of
from gateway.domain import FLAGS, Price, Usage
from gateway.errors import Fault
from gateway.pipeline.desk import Desk
from gateway.pipeline.till import Till
from gateway.store import Store
from gateway.store.ledger import TOP_UP
from tests.money import IN, OUT, SETTLE, entries, sound

FIRST = 1_024
SHORT = 16
DAY = 86_400
CATALOG = SimpleNamespace(groups={})
PRICE = Price({"input_per_mtok": Decimal(3), "output_per_mtok": Decimal(15)}, "d")
CANDIDATE: Any = SimpleNamespace(rows=rows_of(PRICE), digest=b"d", free=False, way=1)

WHICH = st.integers(0, 50)


class Clock:
    now = 1_699_999_000.25  # a Tuesday, a quarter of an hour before an hour begins

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


def start_of(period: str, now: float) -> float:
    """When the period began that `now` is in."""
    if period == "none":
        return 0
    if period == "day":
        return now - now % DAY
    if period == "week":
        return now - (now - 4 * DAY) % (7 * DAY)  # the first Monday was the fifth of January
    first = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0)
    return first.replace(microsecond=0).timestamp()


@dataclass
class Limit:
    """So much in a period, and what was charged when."""

    most: int
    period: str
    charged: list[tuple[float, int]] = field(default_factory=list)

    def spent(self, now: float) -> int:
        start = start_of(self.period, now)
        return sum(amount for at, amount in self.charged if at >= start)


@dataclass
class Spender:
    """A key of the model, and everything that bounds it."""

    account: str
    limits: list[Limit]
    secret: str = ""


@dataclass(eq=False)
class Call:
    key: str
    number: int
    tokens_in: int
    ceiling: int
    till: Till
    held: int
    seen: int = 0
    charge: int = -1  # once it is settled
    at: float = 0.0
    written: Any = None


class Money(RuleBasedStateMachine):
    """Two accounts, three keys, and whatever can happen to their money."""

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)  # entries are handed over between its runs as well
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.lives = 0
        self.clock = Clock()
        self.funds = {"a": 0, "b": 0}
        daily = Limit(150_000_000, "day")
        self.spenders = {
            "a1": Spender("a", [daily, Limit(100_000_000, "week")]),
            "a2": Spender("a", [daily]),
            "b1": Spender("b", [Limit(120_000_000, "month")]),
        }
        self.open_now: dict[int, Call] = {}
        self.unsure: list[Call] = []
        self.behind = False  # something was handed over and may not be durable yet
        self.number = 0
        self.do(self._make())
        for account in "ab":
            self.top_up(account, 200_000_000)

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    async def _make(self) -> None:
        await self._open(self.folder / "0.sqlite")
        store = self.store
        a = await store.accounts.create("a", spend_limit=150_000_000, period="day")
        b = await store.accounts.create("b")
        self.accounts = {"a": a.n, "b": b.n}
        for name, more in {
            "a1": {"account": "a", "budget": 100_000_000, "period": "week"},
            "a2": {"account": "a"},
            "b1": {"account": "b", "budget": 120_000_000, "period": "month"},
        }.items():
            self.spenders[name].secret = str((await store.keys.create(name, **more)).secret)

    async def _open(self, path: Path) -> None:
        self.store = store = await Store.open(path, self.clock)
        await store.serve(self._failed)
        self.desk = Desk(store.ledger, store.books, self.clock)
        store.on_money.append(self.desk.moved)
        self.services: Any = SimpleNamespace(ledger=store.ledger, clock=self.clock)

    def _failed(self, error: Exception) -> None:
        raise AssertionError(f"storage failed, which nothing here makes it do: {error}")

    # --- the model's view ---

    def room(self, key: str) -> int:
        spender = self.spenders[key]
        held = {c: c.held for c in self.open_now.values()}
        mine = sum(h for c, h in held.items() if self.spenders[c.key].account == spender.account)
        rooms = [self.funds[spender.account] - mine]
        for limit in spender.limits:
            under = sum(h for c, h in held.items() if limit in self.spenders[c.key].limits)
            rooms.append(limit.most - limit.spent(self.clock.now) - under)
        return max(0, min(rooms))

    def charge(self, call: Call, amount: int, at: float) -> None:
        spender = self.spenders[call.key]
        self.funds[spender.account] -= amount
        for limit in spender.limits:
            limit.charged.append((at, amount))

    def one_of(self, which: int) -> Call:
        """One of the open calls."""
        return list(self.open_now.values())[which % len(self.open_now)]

    # --- what happens ---

    @rule(account=st.sampled_from("ab"), amount=st.integers(1, 90_000_000))
    def top_up(self, account: str, amount: int) -> None:
        self.do(self.store.move(self.accounts[account], TOP_UP, amount, b"{}"))
        self.funds[account] += amount

    @rule(
        key=st.sampled_from(["a1", "a2", "b1"]),
        tokens_in=st.integers(1, 1_000),
        ceiling=st.sampled_from([1, 15, 16, 17, 300, 1_024, 2_000, 5_000]),
        stream=st.booleans(),
        others=st.integers(1, 4),
    )
    def calls_begin(
        self, key: str, tokens_in: int, ceiling: int, stream: bool, others: int
    ) -> None:
        """Some at once: crashes end all that is open, so there must be much of it."""
        for _ in range(others):
            self.call_begins(key, tokens_in, ceiling, stream)
            key = {"a1": "a2", "a2": "b1", "b1": "a1"}[key]

    def call_begins(self, key: str, tokens_in: int, ceiling: int, stream: bool) -> None:
        room = self.room(key)
        wanted = min(ceiling, FIRST) if stream else ceiling
        if tokens_in * IN + wanted * OUT > room:
            wanted = min(wanted, (room - tokens_in * IN) // OUT)
        self.number += 1
        number = self.store.books.first_call + self.number
        till = self.do(self._till(key, number, tokens_in, ceiling))
        try:
            self.do(till.open(stream))
        except Fault as fault:
            if fault.kind.status != 402:
                raise
            assert wanted < min(SHORT, ceiling), "refused what there was money for"
            return
        assert wanted >= min(SHORT, ceiling), "let in without the money"
        assert till.held == tokens_in * IN + wanted * OUT
        call = Call(key, number, tokens_in, ceiling, till, till.held)
        self.open_now[number] = call

    async def _till(self, key: str, number: int, tokens_in: int, ceiling: int) -> Till:
        found = await self.store.keys.find(self.spenders[key].secret.encode())
        standing = self.desk.known(found, CATALOG) or await self.desk.load(found, CATALOG)
        return Till(
            self.services, standing, CANDIDATE, number, tokens_in, ceiling, standing.purses, ceiling
        )

    @precondition(lambda self: self.open_now)
    @rule(which=WHICH, tokens=st.integers(1, 3_000))
    def goes_on(self, which: int, tokens: int) -> None:
        call = self.one_of(which)
        room, call.seen = self.room(call.key), call.seen + tokens
        goes_on = call.till.more(call.seen, 0)
        self.behind = True
        more = call.till.held - call.held
        assert 0 <= more <= room
        call.held = call.till.held
        if not goes_on:  # its money has run out: not one token more could have been had
            assert (self.room(call.key) < OUT) or call.seen < call.till.affords
        elif call.seen < call.ceiling:
            assert call.held >= call.tokens_in * IN + call.seen * OUT or call.till.affords > 0

    @precondition(lambda self: self.open_now)
    @rule(
        which=WHICH,
        tokens_in=st.integers(0, 2_000),
        tokens_out=st.integers(0, 3_000),
        wait=st.booleans(),
        later=st.sampled_from([0, 0, 0, DAY, 31 * DAY]),
    )
    def settle(
        self, which: int, tokens_in: int, tokens_out: int, wait: bool, later: int = 0
    ) -> None:
        call = self.one_of(which)
        self.clock.now += later  # a period may end, and this be the first to notice
        cost = tokens_in * IN + tokens_out * OUT
        expected = min(cost, call.held + self.room(call.key))
        written = call.till.settle(200, Usage(tokens_in, tokens_out))
        assert call.till.charged == expected
        assert (call.till.flag == FLAGS["over_hold"]) == (expected < cost)
        self.ended(call, expected, written, wait)

    @precondition(lambda self: self.open_now)
    @rule(which=WHICH, tokens_out=st.integers(0, 3_000))
    def settle_and_crash(self, which: int, tokens_out: int) -> None:
        self.settle(which, 10, tokens_out, wait=False)
        self.crash()

    @precondition(lambda self: self.open_now)
    @rule(which=WHICH, wait=st.booleans())
    def release(self, which: int, wait: bool) -> None:
        call = self.one_of(which)
        self.ended(call, 0, call.till.release(502), wait)

    def ended(self, call: Call, charge: int, written: Any, wait: bool) -> None:
        del self.open_now[call.number]
        call.charge, call.at = charge, self.clock.now
        self.charge(call, charge, call.at)
        self.unsure.append(call)
        self.behind = True
        if wait:
            assert self.do(written) is None
            self.durable()

    def durable(self) -> None:
        """All that was handed over has been written: each entry is after those before it."""
        self.unsure.clear()
        self.behind = False

    @rule(seconds=st.sampled_from([0.5, 60, 3_600, DAY, 7 * DAY, 31 * DAY]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def all_is_written(self) -> None:
        assert self.do(self.store.ledger.flush()) is None
        self.durable()

    @rule()
    def sums_are_brought_up(self) -> None:
        self.do(self.store.books.roll())

    @precondition(lambda self: self.number > 2)
    @rule()
    def crash(self) -> None:
        """The files as they are now; then a start on them."""
        self.lives += 1
        new = self.folder / f"{self.lives}.sqlite"
        old = self.store.database.path
        for suffix in ("", "-wal"):
            if Path(f"{old}{suffix}").exists():
                shutil.copy(f"{old}{suffix}", f"{new}{suffix}")
        self.do(self.store.close())  # its last words go to the file that nobody reads again
        self.recover(new)

    @precondition(lambda self: not self.open_now)
    @rule()
    def restart(self) -> None:
        path = self.store.database.path
        assert self.do(self.store.close()) == []
        self.durable()
        self.number = 0
        self.do(self._open(path))
        assert self.store.books.recovered == 0

    def recover(self, path: Path) -> None:
        self.number = 0
        self.do(self._open(path))
        rows = entries(path)
        settled = {row["call"]: row for row in rows if row["kind"] == SETTLE}
        for call in self.open_now.values():
            row = settled[call.number]
            held = -row["held"]
            assert row["flag"] == FLAGS["recovered"]
            assert held <= call.held
            assert row["revenue"] == min(call.tokens_in * IN, held)
            self.charge(call, row["revenue"], self.clock.now)
        for call in self.unsure:  # it was on its way: it has arrived, or it was recovered
            row = settled[call.number]
            if row["flag"] == FLAGS["recovered"]:
                self.charge(call, -call.charge, call.at)
                self.charge(call, row["revenue"], self.clock.now)
            else:
                assert row["revenue"] == call.charge
        self.open_now.clear()
        self.durable()

    # --- what always holds ---

    @invariant()
    def adds_up(self) -> None:
        if not hasattr(self, "loop"):
            return
        for key in self.spenders:
            till = self.do(self._till(key, 1, 1, 1))
            room = min(purse.room(self.clock.now) for purse in till.purses)
            assert room == self.room(key), key

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "loop") or self.behind:
            return
        now, books = self.clock.now, self.store.books
        for name, n in self.accounts.items():
            balance = self.do(books.balance(n))
            held = [c for c in self.open_now.values() if self.spenders[c.key].account == name]
            assert balance.wallet + balance.held == self.funds[name] >= 0
            assert balance.held == sum(call.held for call in held)
            assert balance.wallet >= 0
        daily, weekly = self.spenders["a1"].limits
        assert self.do(books.spent_by_account(self.accounts["a"], "day")) == daily.spent(now)
        keys = {key: self.do(self.store.keys.find(s.secret.encode())) for key, s in self.spenders.items()}  # fmt: skip  # noqa: E501
        assert self.do(books.spent_by_key(keys["a1"].n, "week")) == weekly.spent(now)
        (monthly,) = self.spenders["b1"].limits
        assert self.do(books.spent_by_key(keys["b1"].n, "month")) == monthly.spent(now)

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        assert self.do(self.store.close()) == []
        sound(entries(self.store.database.path), dict.fromkeys(self.accounts.values(), 0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        asyncio.set_event_loop(None)
        shutil.rmtree(self.folder)


TestMoney = Money.TestCase
TestMoney.settings = settings(
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
