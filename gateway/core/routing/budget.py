"""How often failed calls are tried again, so that an outage is not made worse by retries."""

from __future__ import annotations

from msgspec import Struct

PER_CALL = 0.08  # of a retry, for each call that is offered
AT_START = 2.0  # so that the first calls of a quiet gateway can be tried again
MOST = 10.0
MOST_TRIES = 3
LEAST_TIME = 0.05  # seconds that a further try needs at the very least


class RetryBudget:
    """Every call offered adds a little, every retry takes one, and one that succeeds gives it back.

    So where retries help they are free; where everything fails there are at most 8 in 100 calls,
    and what was saved up before.
    """

    __slots__ = ("saved",)

    def __init__(self) -> None:
        self.saved = AT_START

    def offered(self) -> None:
        """A call has come in: its first try is free, and adds a little for those of others."""
        saved = self.saved + PER_CALL
        self.saved = saved if saved < MOST else MOST

    def take(self) -> bool:
        """Take a retry, if there is one."""
        if self.saved < 1.0:
            return False
        self.saved -= 1.0
        return True

    def helped(self, retries: int = 1) -> None:
        """So many retries have led to an answer."""
        self.saved = min(self.saved + retries, MOST)


class Tries(Struct, gc=False):
    """What one call may still do after its first try: at most so many in all, before `ends`."""

    budget: RetryBudget
    ends: float
    most: int = MOST_TRIES
    made: int = 1
    paid: int = 0

    def left(self, now: float) -> bool:
        """Whether its number and its time allow for one more."""
        return self.made < self.most and now + LEAST_TIME <= self.ends

    def again(self, now: float, *, proven: bool = False) -> bool:
        """True if the call may be tried once more; it is then counted.

        Where calls go well a further one makes no outage worse, so it costs nothing.
        """
        if not self.left(now):
            return False
        if not proven:
            if not self.budget.take():
                return False
            self.paid += 1
        self.made += 1
        return True

    def succeeded(self) -> None:
        """The last try brought an answer: the retries that led to it were worth their while."""
        if self.paid:
            self.budget.helped(self.paid)
