"""One call's money: set aside before dispatch, more of it while a stream runs, settled once.

What is set aside bounds what can be charged, so no call can cost more than its key may spend.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from msgspec import Struct

from gateway import errors
from gateway.core.estimate import output_tokens
from gateway.core.money.amounts import dollars
from gateway.core.money.pricing import price_usage
from gateway.core.money.quote import affordable_output, quote, quotes, units_of
from gateway.core.money.receipt import encode_receipt
from gateway.core.purse import NO_END, Purse
from gateway.core.unseen import most_tokens
from gateway.domain import FLAGS, Usage
from gateway.errors import Fault, storage_fault
from gateway.pipeline.desk import Standing
from gateway.pipeline.operations import NOTHING
from gateway.pipeline.services import Candidate, Services

# What a stream sets aside at first, and then ahead of what it has produced.
FIRST_SLICE = 1_024
LARGEST_SLICE = 16_384
# Fewer tokens than these are no answer, unless the client asked for so few.
SHORT_ANSWER = 16
# Purses that callers make for themselves, as many as they like. What one of these does not pay for
# is lost to the house with every call, so it must be enough for whatever the call may cost.
_OWN = ("call", "child")
_OWN_OF_MADE = (*_OWN, "key")  # of keys that were made with a key
_NO_RECEIPT = bytearray(b"{}")

_NOUNS = {
    "wallet": "the account's balance",
    "account": "the account's spend limit",
    "key": "the key's budget",
    "child": "the derived key's budget",
    "call": "the request's max_cost",
}


class Till(Struct):
    """The money side of one call. `ceiling` is the most output tokens it may have."""

    services: Services
    standing: Standing
    candidate: Candidate
    call: int
    tokens_in: int
    ceiling: int
    purses: tuple[Purse, ...]
    affords: int  # the output tokens that what is set aside pays for
    expects: Usage = NOTHING  # what it will use that is not counted in tokens
    units: int = 0  # the cost of that
    least: int = SHORT_ANSWER  # fewer tokens than these are no answer
    watch_at: int = NO_END  # the count of output tokens at which `more` is due
    slice: int = FIRST_SLICE
    held: int = 0
    charged: int = 0
    flag: int = 0
    settled: bool = False
    unseen: int = 0  # pieces whose length nobody knows (`core/unseen.py`)
    lacking: int = 0  # what they may cost beyond what is held: the next money that comes free
    later: bool = False  # its work goes on by itself, and is charged when it is done

    async def open(self, stream: bool) -> None:
        """Set aside what the call may cost, durably; 402 if not even a short answer fits."""
        written = self.hold(stream)
        try:
            error = await written
        except asyncio.CancelledError:
            self.left(written)
            raise
        if error is not None:
            raise self.unheld()

    def hold(self, stream: bool) -> asyncio.Future[Exception | None]:
        """What `open` waits for: whoever waits by itself says how the waiting ended."""
        amount, estimate = self._wanted(stream)
        if self.later:
            estimate = 0  # whatever ends it before its end, nothing is charged
        for purse in self.purses:
            purse.held += amount
        self.held = amount
        return self.services.ledger.hold(
            int(self.services.clock.time() * 1000),
            self.standing.who,
            self.call,
            amount,
            self.candidate.way,
            self.tokens_in,
            estimate,
        )

    def left(self, written: asyncio.Future[Exception | None]) -> None:
        """The client left, but the hold is written all the same: it must not stay for ever."""
        self.services.ledger.tell(written, self._undo)

    def expect(self, expected: Usage) -> None:
        """What the route at hand will use that is not counted in tokens."""
        self.expects = expected
        self.units = 0 if expected is NOTHING else units_of(self.candidate.rows, expected)

    async def move(
        self, candidate: Candidate, ceiling: int, stream: bool, expected: Usage = NOTHING
    ) -> None:
        """Set aside what the call may cost on another route; 402 if that is not there."""
        self.candidate = candidate
        self.ceiling = self.affords = ceiling
        self.expect(expected)
        self.watch_at = NO_END
        self.slice = FIRST_SLICE
        self._lack(0)
        amount, _ = self._wanted(stream)
        extra = amount - self.held
        if extra > 0:
            error = await self._take(extra)
            if error is not None:
                raise storage_fault()

    def _wanted(self, stream: bool) -> tuple[int, int]:
        """What is to be set aside before dispatch, and how much of it is for the input."""
        if self.candidate.free:
            return 0, 0
        wanted = self.ceiling
        limited = not self.standing.unlimited or len(self.purses) > len(self.standing.purses)
        if stream and limited and wanted > FIRST_SLICE:
            wanted = FIRST_SLICE
        scale = self.standing.scale
        estimate, amount = quotes(self.candidate.rows, self.tokens_in, wanted, scale, self.units)
        if limited:
            wanted, amount = self._within_room(wanted, amount, estimate)
        self.affords = wanted
        if stream:
            self._watch(wanted)
        return amount, estimate

    def most(self, stream: bool) -> int:
        """How long an answer the provider may be asked for.

        A stream can be ended when its money has; but what a model thinks unseen is counted only at
        the end, so it is asked for no more than there is money for now.
        """
        if not stream or self.affords >= self.ceiling:
            return self.affords
        if "reasoning" not in self.candidate.route.model.capabilities:
            return self.ceiling
        return max(self.affords, self._affordable(self._room() + self.held, self.ceiling))

    def _undo(self, error: Exception | None) -> None:
        if error is not None:
            self.unheld()
        else:
            self.release(errors.CLIENT_CLOSED.status)

    def _within_room(self, wanted: int, amount: int, estimate: int) -> tuple[int, int]:
        """As many tokens as there is money for, and what they cost."""
        room = self._room() + self.held
        if amount <= room and not self.unseen:
            return wanted, amount
        wanted = self._affordable(room, wanted)
        if wanted < min(self.least, self.ceiling):
            raise self._refusal(room, estimate)
        if self.unseen:
            amount = self._covering(wanted, room)
            self._lack(self._whole(wanted) - max(amount, self.held))
            return wanted, amount
        return wanted, self._quote(wanted)

    def _covering(self, tokens_out: int, room: int) -> int:
        """What is set aside for an input that may be far more than its estimate: what it may cost
        at the most; all there is, where there is less and the estimate fits."""
        return max(self._quote(tokens_out), min(self._whole(tokens_out), room))

    def _lack(self, amount: int) -> None:
        """Claim what is not there yet, so that until it is, nobody else finds any room: of calls
        with less set aside than they may cost there is one at a time."""
        amount = max(0, amount)
        for purse in self.purses:
            purse.held += amount - self.lacking
        self.lacking = amount

    def _watch(self, affords: int) -> None:
        """Ask for more when half of what was last set aside is used, unless all is there."""
        self.affords = affords
        half = affords - self.slice // 2
        self.watch_at = NO_END if affords >= self.ceiling else max(1, half)

    def more(self, events: int, produced: int) -> bool:
        """Set more aside for a stream that goes on; False when its money has run out."""
        tokens = output_tokens(events, produced)
        self.slice = min(self.slice * 2, LARGEST_SLICE)
        wanted = min(self.ceiling, max(tokens, self.affords) + self.slice)
        if self.lacking:
            self._lack(0)
        room = self._room() + self.held
        if self.unseen or self._quote(wanted) > room:
            wanted = self._affordable(room, wanted)
        if wanted > self.affords:
            due = self._covering(wanted, room) if self.unseen else self._quote(wanted)
            extra = due - self.held
            if extra > 0:
                self._take(extra)
            self._watch(wanted)
        if self.unseen:
            self._lack(self._whole(self.affords) - self.held)
        if tokens >= self.affords:
            return self.affords >= self.ceiling
        if self.watch_at <= tokens:
            self.watch_at = self.affords  # nothing more to be had: look again when it is used up
        return True

    def ahead(self, cost: int) -> bool:
        """Keep money set aside ahead of what a session has cost so far; False when it has run out.

        A crash finds what it had cost when more was last set aside.
        """
        if self.candidate.free:
            return True
        slice_ = max(self._quote(self.ceiling), cost // 8)
        lacking = cost + slice_ - self.held
        if lacking > slice_ // 2:
            more = min(lacking, self._room())
            if more > 0:
                self._take(more, cost)
        return cost < self.held

    def settle(
        self, status: int, usage: Usage, flag: int = 0, extra: dict[str, Any] | None = None
    ) -> Awaitable[Exception | None]:
        """Charge what was used, within what is there, and let the rest go. Once a call."""
        scale = self.standing.scale
        cost = price_usage(self.candidate.rows, usage, scale)
        charge = cost.total
        if charge > self.held:
            charge = self._at_most(charge)
            if charge < cost.total:
                flag = flag or FLAGS["over_hold"]
        self.charged = charge
        self.flag = flag
        receipt = encode_receipt(self.candidate.digest, scale, usage, cost, charge, extra)
        return self._close(status, flag, charge, usage, receipt)

    def price(self, usage: Usage) -> int:
        """What this usage costs the caller."""
        return price_usage(self.candidate.rows, usage, self.standing.scale).total

    def release(self, status: int) -> Awaitable[Exception | None]:
        """Charge nothing: the call came to nothing."""
        return self._close(status, 0, 0, NOTHING, _NO_RECEIPT)

    def _at_most(self, charge: int) -> int:
        """Take what was not set aside, as far as it is there."""
        if self.lacking:
            self._lack(0)
        more = min(charge - self.held, self._room())
        if more > 0:
            self._take(more)
        return min(charge, self.held)

    def _close(
        self, status: int, flag: int, charge: int, usage: Usage, receipt: bytearray
    ) -> Awaitable[Exception | None]:
        self.settled = True
        if self.lacking:
            self._lack(0)
        now = self.services.clock.time()
        held, self.held = self.held, 0
        for purse in self.purses:
            if now >= purse.ends:  # a period that is over takes no charge of the next one with it
                purse.room(now)
            purse.held -= held
            purse.spent += charge
        return self.services.ledger.settle(
            int(now * 1000),
            self.standing.who,
            self.call,
            held,
            charge,
            self.candidate.way,
            (status, flag, usage.input, usage.output, usage.cached, receipt),
        )

    def _take(self, amount: int, estimate: int = 0) -> Awaitable[Exception | None]:
        for purse in self.purses:
            purse.held += amount
        self.held += amount
        now = int(self.services.clock.time() * 1000)
        return self.services.ledger.extend(now, self.standing.who, self.call, amount, estimate)

    def unheld(self) -> Fault:
        """The hold could not be written: what it had set aside is free again."""
        self._lack(0)
        held, self.held = self.held, 0
        now = self.services.clock.time()
        for purse in self.purses:
            purse.room(now)  # its period may be over
            purse.held -= held
        return storage_fault()

    def _room(self) -> int:
        now, least = self.services.clock.time(), NO_END
        for purse in self.purses:
            if purse.limit is not None or now >= purse.ends:
                least = min(least, purse.room(now))
        return least

    def _own_room(self) -> int:
        """The same, of what the caller has set by themselves."""
        now = self.services.clock.time()
        return min((purse.room(now) for purse in self._own_purses()), default=NO_END)

    def _own_purses(self) -> list[Purse]:
        own = _OWN if self.standing.key.parent is None else _OWN_OF_MADE
        return [purse for purse in self.purses if purse.name in own]

    def _quote(self, tokens_out: int) -> int:
        rows, scale = self.candidate.rows, self.standing.scale
        return quote(rows, self.tokens_in, tokens_out, scale, self.units)

    def _whole(self, tokens_out: int) -> int:
        """What it may cost with the longest input that its pieces can come to."""
        rows, scale = self.candidate.rows, self.standing.scale
        return quote(rows, self._longest(), tokens_out, scale, self.units, unseen=True)

    def _longest(self) -> int:
        return most_tokens(self.tokens_in, self.unseen, self.candidate.route.window)

    def _affordable(self, room: int, most: int) -> int:
        rows, scale = self.candidate.rows, self.standing.scale
        if self.unseen:
            own = self._own_room() + self.held
            most = affordable_output(rows, self._longest(), own, most, scale, self.units, True)
        return affordable_output(rows, self.tokens_in, room, most, scale, self.units)

    def _refusal(self, room: int, estimate: int) -> Fault:
        now, purses = self.services.clock.time(), self.purses
        needs = f"needs about ${dollars(estimate)} for its input and more for an answer"
        if self.least > SHORT_ANSWER:
            needs = f"may cost ${dollars(self._quote(self.ceiling))}"
        if self.unseen and self._affordable(NO_END, self.ceiling) < min(self.least, self.ceiling):
            purses = tuple(self._own_purses())
            room = self._own_room() + self.held
            most = dollars(self._whole(0))
            needs = f"may need ${most} for the files it links or brings, and more for an answer"
        tightest = min(purses, key=lambda purse: purse.room(now))
        return Fault(
            errors.BUDGET_EXHAUSTED,
            f"This call {needs}; {_NOUNS[tightest.name]} has ${dollars(room)} left.",
            param="max_cost" if tightest.name == "call" else None,
            cause=f"no_money:{tightest.name}",
        )
