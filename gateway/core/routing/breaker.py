"""Keeps calls from what fails: closed, open, half open with one probe, and a slow return.

One breaker stands for one thing that can fail: a credential, a route, a credential on a route. It
never acts by itself: it is asked before a call and told after it. What it is told of calls that
began before its last change is old news, and does not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from gateway.core.routing.window import Window

Phase = Literal["closed", "open", "half_open", "recovering"]
Why = Literal[
    "", "failures", "rate_limit", "overload", "refused", "exhausted", "forbidden", "admin"
]

SHORTEST_ASKED, LONGEST_ASKED = 1.0, 600.0  # what a provider's Retry-After may be
SPREAD, MOST_SPREAD = 0.25, 15.0  # jitter: a share of the time away, and its most seconds
SLOW_START = 30.0  # the longest way back to a full share
LEAST_SHARE = 0.1  # where that way begins


class Growth(Struct, frozen=True):
    """How long a first opening lasts; each further one doubles it, up to the longest.

    An opening is the first again once it was closed for `calm` seconds, and as long as the last
    opening was. Without calm it is so after every good probe. One that the provider has given a
    time for is at most `trust` times as long.
    """

    first: float
    longest: float
    calm: float = 0.0
    trust: float = math.inf

    def forgets(self, closed: float, last: float) -> bool:
        """True when openings before a closed time of so many seconds no longer count."""
        return not self.calm or closed > max(self.calm, last)

    def seconds(self, times: int) -> float:
        """How long the opening lasts that comes after so many others."""
        return min(self.first * 2.0 ** min(times, 30), self.longest)


FAILURES = Growth(5.0, 300.0, calm=30.0)
NOBODY_ELSE = Growth(5.0, 30.0, calm=30.0)  # where it is asked for sooner, since none does better
RATE_LIMIT = Growth(1.0, 60.0, trust=8.0)
CREDENTIAL = Growth(60.0, 3600.0, calm=600.0)


class Rule(Struct, frozen=True):
    """It opens on so many failures within the window, if they are such a share of all its calls.

    It opens also on as many failures in a row, however long they took to come together.
    """

    failures: int
    share: float
    growth: Growth = FAILURES


# A credential's rule is the quicker one: a route must not be closed for the sake of one of them.
CREDENTIAL_RULE = Rule(5, 0.5)
LAST_RULE = Rule(5, 0.5, NOBODY_ELSE)
ROUTE_RULE = Rule(16, 0.8, NOBODY_ELSE)


class Breaker:
    """`began` before a call and `ended` after it with what `began` gave; `now` should not fall."""

    __slots__ = (
        "_asked",
        "_chance",
        "_closed_at",
        "_last",
        "_lifted",
        "_rule",
        "_since",
        "probe",
        "ramp",
        "ramp_ends",
        "times",
        "turn",
        "until",
        "why",
        "window",
    )

    def __init__(self, rule: Rule, chance: Callable[[], float]) -> None:
        self._rule = rule
        self._chance = chance
        self.until = 0.0  # zero: closed; else when it is half open
        self.probe = 0  # the turn of the call that probes
        self.ramp_ends = -math.inf
        self.ramp = 0.0
        self.times = 0  # openings without a calm time in between
        self.why: Why = ""
        self.turn = 1  # counts the changes; a call belongs to the turn it began in
        self._since = 0.0
        self._last = 0.0
        self._closed_at = -math.inf
        self._asked = -math.inf  # until when the provider itself wants no calls
        self._lifted = False
        self.window = Window()  # what it has counted since it was closed

    def ready(self, now: float) -> bool:
        """True when a call may begin: closed, or half open with no probe on its way."""
        return not self.until or (now >= self.until and not self.probe)

    def began(self, now: float) -> int:
        """A call begins, as the probe if one is due; return its turn."""
        if self.until and not self.probe and now >= self.until:
            self.turn += 1
            self.probe = self.turn
        return self.turn

    def ended(self, turn: int, now: float, good: bool | None, rule: Rule | None = None) -> bool:
        """A call has ended; None says nothing of its quality. True if it counted.

        Another `rule` than its own may hold for this one, as things stand beside it.
        """
        rule = rule or self._rule
        if self.probe and turn == self.probe:
            self.probe = 0
            if good:
                self._close(now)
            elif good is False:
                self.open(now, "failures", rule.growth)
            return True
        if self.until or turn != self.turn:
            return False
        if good is not None:
            self._count(now, good, rule)
        return True

    def trip(
        self, turn: int, now: float, why: Why, growth: Growth, asked: float | None = None
    ) -> bool:
        """A call of this turn says by itself that it must open; old news can only lengthen it."""
        current = turn == self.probe if self.until else turn == self.turn
        if current:
            self.open(now, why, growth, asked)
        elif asked is not None and self.until and not self.probe:
            self._asked = max(self._asked, now + bounded(asked))
            self.until = max(self.until, self._asked)
        return current

    def renewed(self, turn: int) -> int:
        """The turn of a call that goes on after `ended` was told how it began.

        A probe that closed the breaker belongs to the time it made: its later failure counts.
        """
        return self.turn if turn == self.turn - 1 and not self.until else turn

    def open(self, now: float, why: Why, growth: Growth, asked: float | None = None) -> None:
        """Keep calls away: as long as the provider asked for, and the longer the more often."""
        if not self.until and growth.forgets(now - self._closed_at, self._last):
            self.times = 0
        seconds = growth.seconds(self.times)
        if asked is not None:
            # Who always asks for a second and never keeps his word is believed but once.
            wanted = bounded(asked)
            seconds = max(wanted, min(seconds, growth.trust * wanted) if self.times else 0.0)
            self._asked = now + wanted
        self.times += 1
        self._last = seconds
        self._shut(now, why, seconds + self._chance() * min(SPREAD * seconds, MOST_SPREAD))

    def lift(self, now: float) -> bool:
        """A word from beside the calls that all is well: one of them may find out now.

        Believed once in an outage, and never against the time that the provider has asked for.
        """
        if not self.until or self._lifted or now >= self.until:
            return False
        self._lifted = True
        self.until = max(now, self._asked)
        return self.until <= now

    def hold(self, now: float, seconds: float) -> None:
        """Keep calls away for just so long, by order of the operator; it may be for ever."""
        self._shut(now, "admin", seconds)

    def restore(self) -> None:
        """Closed at once, with no way back to go and nothing remembered."""
        self.turn += 1
        self.until, self.probe, self.times, self.why = 0.0, 0, 0, ""
        self.ramp_ends = self._closed_at = self._asked = -math.inf
        self.window = Window()

    def share(self, now: float) -> float:
        """What part of its usual calls it should get: less than all only after an opening."""
        if now >= self.ramp_ends:
            return 1.0
        return max(LEAST_SHARE, 1.0 - (self.ramp_ends - now) / self.ramp)

    def left(self, now: float) -> float:
        """Seconds that are left of an opening, or of the way back after it."""
        return max((self.until or self.ramp_ends) - now, 0.0)

    @property
    def vouched(self) -> bool:
        """True while it is closed and the last call that could tell has gone well."""
        if self.until or self.window.row:
            return False
        return self.window.calls > 0 or self._closed_at > -math.inf

    def phase(self, now: float) -> Phase:
        """Its state by name."""
        if self.until:
            return "open" if now < self.until else "half_open"
        return "recovering" if now < self.ramp_ends else "closed"

    def _shut(self, now: float, why: Why, seconds: float) -> None:
        if not self.until:
            self._since, self._lifted = now, False
        self.turn += 1
        self.probe = 0
        self.until = now + seconds
        self.why = why
        self.ramp_ends = -math.inf

    def _close(self, now: float) -> None:
        """Back, at a small share first: the way to all of it is as long as the absence was."""
        self.turn += 1
        self.until = 0.0
        self.why = ""
        self._closed_at = now
        self.ramp = min(SLOW_START, now - self._since)
        self.ramp_ends = now + self.ramp
        self.window = Window()

    def _count(self, now: float, good: bool, rule: Rule) -> None:
        window = self.window
        window.count(now, good)
        if good:
            return
        least, bad = rule.failures, window.bad
        if window.row >= least or (bad >= least and bad >= rule.share * window.calls):
            self.open(now, "failures", rule.growth)


def bounded(asked: float) -> float:
    """A provider's Retry-After, within reason."""
    return min(max(asked, SHORTEST_ASKED), LONGEST_ASKED)
