"""One call's money: set aside before dispatch, more of it while a stream runs, settled once.

What is set aside bounds what can be charged, so no call can cost more than its key may spend.
"""

from __future__ import annotations

from collections.abc import Awaitable

from gateway import errors
from gateway.core.estimate import output_tokens
from gateway.core.money.amounts import dollars
from gateway.core.money.pricing import price_usage
from gateway.core.money.quote import affordable_output, quote
from gateway.core.money.receipt import encode_receipt
from gateway.core.purse import NO_END, Purse
from gateway.domain import FLAGS, Usage
from gateway.errors import Fault
from gateway.pipeline.desk import Standing
from gateway.pipeline.services import Candidate, Services

# What a stream sets aside at first, and then ahead of what it has produced.
FIRST_SLICE = 1_024
LARGEST_SLICE = 16_384
# Fewer tokens than these are no answer, unless the client asked for so few.
SHORT_ANSWER = 16

_NOUNS = {
    "wallet": "the account's balance",
    "account": "the account's spend limit",
    "key": "the key's budget",
    "child": "the derived key's budget",
    "call": "the request's max_cost",
}


class Till:
    """The money side of one call. `ceiling` is the most output tokens it may have."""

    __slots__ = (
        "_free",
        "_ledger",
        "_multiplier",
        "_now",
        "_open",
        "_price",
        "_purses",
        "_receipt_extra",
        "_slice",
        "_way",
        "_who",
        "affords",
        "call",
        "ceiling",
        "charged",
        "flag",
        "held",
        "settled",
        "tokens_in",
        "watch_at",
    )

    def __init__(
        self,
        services: Services,
        standing: Standing,
        candidate: Candidate,
        call: int,
        tokens_in: int,
        ceiling: int,
        max_cost: int | None,
    ) -> None:
        self._ledger = services.ledger
        self._now = services.clock.time
        self._who = standing.who
        self._purses = standing.purses
        if max_cost is not None:
            self._purses = (*standing.purses, Purse("call", max_cost))
        self._price = candidate.route.price
        self._free = candidate.free
        self._multiplier = standing.multiplier
        self._way = candidate.way
        self._slice = FIRST_SLICE
        self._receipt_extra: dict[str, str | int] = {}
        self._open = False
        self.call = call
        self.tokens_in = tokens_in
        self.ceiling = ceiling
        self.affords = ceiling  # the output tokens that what is set aside pays for
        self.watch_at = NO_END  # the count of output tokens at which `more` is due
        self.held = 0
        self.charged = 0
        self.flag = 0
        self.settled = False

    async def open(self, stream: bool) -> None:
        """Set aside what the call may cost, durably; 402 if not even a short answer fits."""
        amount = estimate = 0
        if not self._free:
            amount, estimate = self._first_hold(stream)
        for purse in self._purses:
            purse.take(amount)
        self.held = amount
        self._open = True
        error = await self._ledger.hold(
            self._moment(), self._who, self.call, amount, self._way, self.tokens_in, estimate
        )
        if error is not None:
            self._return(0)
            raise Fault(
                errors.NO_UPSTREAM,
                "The gateway cannot record this call just now, so it was not made. Try again.",
                retry_after=5,
                cause="storage",
            )

    def _first_hold(self, stream: bool) -> tuple[int, int]:
        wanted = min(self.ceiling, FIRST_SLICE) if stream else self.ceiling
        amount = self._quote(wanted)
        estimate = self._quote(0)
        room = self._room()
        if amount > room:
            wanted = self._affordable(room, wanted)
            if wanted < min(SHORT_ANSWER, self.ceiling):
                raise self._refusal(room, estimate)
            amount = self._quote(wanted)
        self.affords = wanted
        if stream:
            self._watch(wanted)
        return amount, estimate

    def _watch(self, affords: int) -> None:
        """Ask for more when half of what was last set aside is used, unless all is there."""
        self.affords = affords
        half = affords - self._slice // 2
        self.watch_at = NO_END if affords >= self.ceiling else max(1, half)

    def more(self, events: int, produced: int) -> bool:
        """Set more aside for a stream that goes on; False when its money has run out."""
        tokens = output_tokens(events, produced)
        self._slice = min(self._slice * 2, LARGEST_SLICE)
        wanted = min(self.ceiling, max(tokens, self.affords) + self._slice)
        room = self._room() + self.held
        if self._quote(wanted) > room:
            wanted = self._affordable(room, wanted)
        if wanted > self.affords:
            extra = self._quote(wanted) - self.held
            if extra > 0:
                self._take(extra)
            self._watch(wanted)
        if tokens >= self.affords:
            return self.affords >= self.ceiling
        if self.watch_at <= tokens:
            self.watch_at = self.affords  # nothing more to be had: look again when it is used up
        return True

    def settle(
        self, status: int, usage: Usage, flag: int = 0, extra: dict[str, str | int] | None = None
    ) -> Awaitable[Exception | None]:
        """Charge what was used, within what is there, and let the rest go. Once a call."""
        cost = price_usage(self._price, usage, self._multiplier)
        charge = cost.total
        if charge > self.held:
            more = min(charge - self.held, self._room())
            if more > 0:
                self._take(more)
            if charge > self.held:
                charge = self.held
                flag = FLAGS["over_hold"]
        self.charged = charge
        self.flag = flag
        receipt = encode_receipt(self._price.digest, self._multiplier, usage, cost, charge, extra)
        return self._close(status, flag, charge, usage, receipt)

    def price(self, usage: Usage) -> int:
        """What this usage costs the caller."""
        return price_usage(self._price, usage, self._multiplier).total

    def release(self, status: int) -> Awaitable[Exception | None]:
        """Charge nothing: the call came to nothing."""
        return self._close(status, 0, 0, _NO_USAGE, b"{}")

    def _close(
        self, status: int, flag: int, charge: int, usage: Usage, receipt: bytes
    ) -> Awaitable[Exception | None]:
        self.settled = True
        held = self.held
        self._return(charge)
        return self._ledger.settle(
            self._moment(),
            self._who,
            self.call,
            held,
            charge,
            self._way,
            (status, flag, usage.input, usage.output, usage.cached, receipt),
        )

    def _take(self, amount: int) -> None:
        for purse in self._purses:
            purse.take(amount)
        self.held += amount
        self._ledger.extend(self._moment(), self._who, self.call, amount)

    def _return(self, charged: int) -> None:
        held, self.held = self.held, 0
        for purse in self._purses:
            purse.give_back(held, charged)

    def _room(self) -> int:
        now = self._now()
        return min([purse.room(now) for purse in self._purses])

    def _quote(self, tokens_out: int) -> int:
        return quote(self._price, self.tokens_in, tokens_out, self._multiplier)

    def _affordable(self, room: int, most: int) -> int:
        return affordable_output(self._price, self.tokens_in, room, self._multiplier, most)

    def _moment(self) -> int:
        return int(self._now() * 1000)

    def _refusal(self, room: int, estimate: int) -> Fault:
        now = self._now()
        tightest = min(self._purses, key=lambda purse: purse.room(now))
        return Fault(
            errors.BUDGET_EXHAUSTED,
            f"This call needs about ${dollars(estimate)} for its input and more for an answer; "
            f"{_NOUNS[tightest.name]} has ${dollars(room)} left.",
            param="max_cost" if tightest.name == "call" else None,
            cause=f"no_money:{tightest.name}",
        )


_NO_USAGE = Usage()
