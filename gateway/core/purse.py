"""Money that may be spent from one place: a wallet, a budget, a limit of one call.

Pure counting: what is taken is set aside at once, so calls that race can never take it twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.domain import Period

NO_END = 1 << 62


class Purse:
    """`limit` is what may be spent in a period; None is no limit. Amounts are nanodollars.

    Once a call is over, what it had `held` is free again, and what it cost is `spent`. An account's
    wallet is a purse whose limit follows its `funds`: no class of its own, since every call writes
    to purses of each kind in turn, and what is of two classes is looked up anew each time.
    """

    __slots__ = ("__weakref__", "ends", "funds", "held", "limit", "name", "period", "spent")

    def __init__(
        self, name: str, limit: int | None, spent: int = 0, period: Period = "none", now: float = 0
    ) -> None:
        self.name = name
        self.limit = limit
        self.spent = spent
        self.held = 0
        self.funds = 0
        self.period: Period = period
        self.ends = period_end(period, now)

    def room(self, now: float) -> int:
        """What can still be taken; never below zero."""
        if now >= self.ends:  # a new period: what is set aside stays so, what was spent is over
            self.spent = 0
            self.ends = period_end(self.period, now)
        if self.limit is None:
            return NO_END
        return max(0, self.limit - self.spent - self.held)

    def recount(self, spent: int, period: Period, now: float) -> None:
        """Say what was spent so far in the period that runs; what is set aside stays so."""
        self.spent = spent
        self.period = period
        self.ends = period_end(period, now)

    def let_fall(self, floor: int | None) -> None:
        """How far the funds may fall; None: as far as they will. They count either way."""
        self.limit = None if floor is None else self.funds - floor

    def gain(self, amount: int) -> None:
        """Money has come in from outside, or gone out."""
        self.funds += amount
        if self.limit is not None:
            self.limit += amount

    def take(self, amount: int) -> None:
        """Set money aside that `room` said is there."""
        self.held += amount


def period_start(period: Period, now: float) -> int:
    """When the running period began (UTC); zero where it never ends. Weeks begin on Monday."""
    if period == "none":
        return 0
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "week":
        day -= timedelta(days=day.weekday())
    elif period == "month":
        day = day.replace(day=1)
    return int(day.timestamp())


def period_end(period: Period, now: float) -> float:
    """When the running period ends; never, where there is none."""
    if period == "none":
        return float("inf")
    start = datetime.fromtimestamp(period_start(period, now), UTC)
    if period == "day":
        end = start + timedelta(days=1)
    elif period == "week":
        end = start + timedelta(weeks=1)
    else:
        end = (start + timedelta(days=32)).replace(day=1)
    return end.timestamp()
