"""Hours of traffic on a clock of its own: who gets how much while credentials fail and return."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import pairwise
from random import Random

import pytest

from gateway.core.routing.budget import RetryBudget, Tries
from gateway.core.routing.pool import Change, Pick, Pool, Refused
from gateway.core.routing.seats import Member

# What becomes of a try: how it ends, after how long, and the Retry-After.
Fate = tuple[str, float, float | None]
OK: Fate = ("ok", 0.4, None)
DOWN: Fate = ("failed", 0.1, None)


def always(fate: Fate) -> Callable[[str, float], Fate]:
    return lambda name, now: fate


class Traffic:
    """Calls at a mean rate, each tried again on other credentials as its budget allows."""

    def __init__(
        self,
        seed: int,
        members: tuple[Member, ...],
        fate: Callable[[str, float], Fate],
        rate: float = 30.0,
    ) -> None:
        self.random = Random(seed)
        self.fate = fate
        self.rate = rate
        self.now = 100.0
        self.pool = Pool(members, self.random.random)
        self.budget = RetryBudget()
        self.picks: list[tuple[float, str]] = []
        self.answered: list[float] = []
        self.lost: list[float] = []
        self.offered = 0
        self.changes: list[tuple[float, Change]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._arrive()

    def run(self, seconds: float) -> Traffic:
        until = self.now + seconds
        while self._events and self._events[0][0] < until:
            self.now, _, event = heappop(self._events)
            event()
        self.now = until
        return self

    def share(self, name: str, since: float = 0.0) -> float:
        names = [who for when, who in self.picks if when >= since]
        return names.count(name) / max(len(names), 1)

    def busiest(self, name: str, since: float, window: float) -> float:
        """The most picks a second that it had in any window."""
        bins = Counter(
            int(when / window) for when, who in self.picks if who == name and when > since
        )
        return max(bins.values(), default=0) / window

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._events, (self.now + seconds, self._count, event))

    def _arrive(self) -> None:
        self._later(self.random.expovariate(self.rate), self._arrive)
        self.offered += 1
        self.budget.offered()
        self._try(Tries(self.budget, self.now + 30.0), ())

    def _try(self, tries: Tries, tried: tuple[str, ...], until: float = 0.0) -> None:
        """As the pipeline: a further try is free at who goes well, or waits to know who does."""
        pick = self.pool.pick(self.now, upstream="m", tokens=10, exclude=tried)
        if isinstance(pick, Refused):
            self.lost.append(self.now)
            return
        if tried and not tries.again(self.now, proven=pick.seat.proven(self.now)):
            if pick.seat.in_flight and self.now < until:
                self._later(0.1, lambda: self._try(tries, tried, until))
            else:
                self.lost.append(self.now)
            return
        assert self.pool.began(pick, self.now)
        self.picks.append((self.now, pick.name))
        outcome, seconds, wait = self.fate(pick.name, self.now)
        seconds *= 0.8 + 0.4 * self.random.random()
        self._later(seconds, lambda: self._ends(tries, tried, pick, outcome, seconds, wait))

    def _ends(
        self, tries: Tries, tried: tuple[str, ...], pick: Pick, outcome: str, seconds: float, wait
    ) -> None:
        changes = self.pool.ended(pick, self.now, outcome, seconds=seconds, retry_after=wait)
        self.changes += [(self.now, change) for change in changes]
        if outcome == "ok":
            self.answered.append(self.now)
            tries.succeeded()
        elif tries.left(self.now):
            self._try(tries, (*tried, pick.name), self.now + 2.0)
        else:
            self.lost.append(self.now)


def three(**more: int) -> tuple[Member, ...]:
    return tuple(Member(name, **more) for name in ("a", "b", "c"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bad", [
    DOWN, ("timed_out", 10.0, None), ("rate_limited", 0.1, None), ("rate_limited", 0.1, 1.0),
    ("refused", 0.1, None), ("exhausted", 0.1, None), ("overloaded", 0.1, 2.0),
])  # fmt: skip
def test_one_of_three_that_always_fails_gets_nearly_nothing(seed: int, bad: Fate):
    """Ten minutes: some calls to find out, then a probe now and then."""
    traffic = Traffic(seed, three(), lambda name, now: bad if name == "b" else OK, 12.0)
    traffic.run(600.0)
    slow = 40 if bad[1] > 1 else 0  # those on their way when the first of them fail
    assert sum(who == "b" for _, who in traffic.picks) <= slow + 0.01 * len(traffic.picks)
    assert not traffic.lost
    route = [change for _, change in traffic.changes if not change.credential]
    assert not route  # the route is well: others serve it


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bad", [DOWN, ("timed_out", 10.0, None), ("refused", 0.1, None)])
def test_nor_does_anybody_notice_when_it_is_busy(seed: int, bad: Fate):
    """Many calls at once, from the very first moment, when nobody is known to be good."""
    traffic = Traffic(seed, three(), lambda name, now: bad if name == "b" else OK, 300.0)
    traffic.run(60.0)
    assert not traffic.lost


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bad", [DOWN, ("timed_out", 1.0, None), ("timed_out", 10.0, None)])
@pytest.mark.parametrize("rate", [3.0, 300.0])
def test_an_outage_after_good_days_stays_within_a_tenth(seed: int, bad: Fate, rate: float):
    """All who were good a moment ago are tried again for nothing, until the first has failed."""
    traffic = Traffic(seed, three(), lambda name, now: bad if now > 160.0 else OK, rate)
    traffic.run(60.0)
    offered, made = traffic.offered, len(traffic.picks)
    traffic.run(120.0)
    assert len(traffic.picks) - made <= 1.1 * (traffic.offered - offered)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_who_fails_as_all_do_is_not_left_out(seed: int, count: int, share: float):
    """In a brown-out as many calls are answered as there would be with nobody in between.

    One alone cannot be tried again; it may be taken for dead for some seconds.
    """
    chance = Random(seed + 100).random
    members = tuple(Member(f"c{n}") for n in range(count))
    traffic = Traffic(seed, members, lambda name, now: DOWN if chance() < share else OK, 20.0)
    traffic.run(120.0)
    least = 0.8 if count == 1 else 1.0
    assert len(traffic.answered) >= least * (1 - share) * traffic.offered
    assert len(traffic.picks) <= 2 * traffic.offered


@pytest.mark.parametrize("seed", range(4))
def test_who_fails_more_than_the_others_is_left_out(seed: int):
    chance = Random(seed + 100).random

    def fate(name: str, now: float) -> Fate:
        return DOWN if name == "b" and chance() < 0.7 else OK

    traffic = Traffic(seed, three(), fate, 30.0).run(300.0)
    assert traffic.share("b") < 0.15
    assert not traffic.lost


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.05, 1.0])
def test_little_traffic_finds_out_too(seed: int, rate: float):
    traffic = Traffic(seed, three(), lambda name, now: DOWN if name == "b" else OK, rate)
    traffic.run(400 / rate)
    assert sum(who == "b" for _, who in traffic.picks) <= 5 + 0.1 * len(traffic.picks)
    assert len(traffic.lost) <= 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seconds", [0.02, 0.4, 4.0])
def test_who_returns_is_not_flooded(seed: int, seconds: float):
    """Away for minutes, then well again: at most half as much again as its usual share."""
    back = 100.0 + 130.0 + seed

    def fate(name: str, now: float) -> Fate:
        return DOWN if name == "b" and now < back else ("ok", seconds, None)

    traffic = Traffic(seed, three(), fate, rate=60.0).run(400.0)
    usual = 20.0
    first = min(when for when, who in traffic.picks if who == "b" and when > back)
    early = sum(who == "b" and first < when < first + 6 for when, who in traffic.picks)
    assert traffic.busiest("b", back, 5.0) <= 1.5 * usual
    assert traffic.busiest("b", back, 1.0) <= 2.0 * usual  # what chance alone makes of 20 a second
    assert traffic.share("b", since=traffic.now - 100.0) == pytest.approx(1 / 3, abs=0.05)
    assert early < 6 * usual * 0.4  # it began small


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_provider_that_returns_is_not_flooded(seed: int, count: int):
    """All were down: nobody may see more than the calls that come in anyway."""
    back = 100.0 + 90.0
    members = tuple(Member(f"c{n}") for n in range(count))
    traffic = Traffic(seed, members, lambda n, now: DOWN if now < back else OK, 60.0).run(900.0)
    bins = Counter(int(when / 5) for when, _ in traffic.picks if when > back)
    assert max(bins.values()) <= 1.5 * 60.0 * 5
    assert sum(when < back for when, _ in traffic.picks) < 0.1 * 90 * 60  # the route was closed
    late = [when for when in traffic.lost if when > traffic.now - 200]
    assert not late
    assert max(traffic.answered) > traffic.now - 5


def test_credentials_limited_together_do_not_return_together():
    pool = Pool(tuple(Member(f"c{n}") for n in range(50)), Random(3).random)
    names = {f"c{n}" for n in range(50)}
    for name in names:
        pick = pool.pick(1.0, upstream="m", exclude=names - {name})
        assert pool.began(pick, 1.0)
        (change,) = pool.ended(pick, 1.0, "rate_limited", retry_after=20.0)
        assert (change.credential, change.phase, change.why) == (name, "open", "rate_limit")
    ends = [state.seconds for state in pool.states(1.0) if state.credential and state.upstream]
    assert min(ends) >= 20.0
    assert max(Counter(int(end * 2) for end in ends).values()) <= 15


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("count", [1, 3, 200])
@pytest.mark.parametrize("bad", [
    ("failed", 0.05, None), ("rate_limited", 0.05, 1.0), ("timed_out", 5.0, None),
    ("refused", 0.05, None),
])  # fmt: skip
def test_where_everything_fails_retries_stay_within_a_tenth(seed: int, count: int, bad: Fate):
    members = tuple(Member(f"c{n}") for n in range(count))
    traffic = Traffic(seed, members, always(bad), 50.0).run(60.0)
    assert len(traffic.picks) <= 1.1 * traffic.offered


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [2.0, 300.0])
def test_weights_decide_who_gets_how_much(seed: int, rate: float):
    members = (Member("a", weight=1), Member("b", weight=3), Member("c", weight=6))
    traffic = Traffic(seed, members, always(OK), rate).run(3000 / rate)
    # With few calls at once the idle ones get a little more than their weight.
    off = 0.05 if rate > 100 else 0.12
    assert traffic.share("b") == pytest.approx(0.3, abs=off)
    assert traffic.share("c") == pytest.approx(0.6, abs=off)


@pytest.mark.parametrize("seed", range(5))
def test_the_slow_one_gets_less_and_is_never_starved(seed: int):
    def fate(name: str, now: float) -> Fate:
        return ("ok", 4.0, None) if name == "b" else ("ok", 0.4, None)

    traffic = Traffic(seed, three(), fate, 20.0).run(600.0)
    assert traffic.share("b") < 0.25
    seen = [when for when, who in traffic.picks if who == "b"]
    assert max(b - a for a, b in pairwise(seen)) < 120.0


@pytest.mark.parametrize("seed", range(5))
def test_none_of_two_hundred_is_starved(seed: int):
    random = Random(seed)
    latency = {f"c{n}": random.choice((0.2, 0.4, 2.0)) for n in range(200)}
    members = tuple(Member(name, weight=random.choice((1, 2, 5))) for name in latency)
    traffic = Traffic(seed, members, lambda name, now: ("ok", latency[name], None), 200.0)
    traffic.run(180.0)
    assert {who for when, who in traffic.picks if when > 160.0} == set(latency)


@pytest.mark.parametrize("seed", range(5))
def test_the_paid_spare_is_used_last(seed: int):
    members = (Member("a", rpm=600), Member("b", rpm=600), Member("spare", tier=1))
    traffic = Traffic(seed, members, always(OK), 10.0).run(120.0)
    assert traffic.share("spare") == 0.0
    traffic = Traffic(seed, members, always(OK), 40.0).run(120.0)
    assert traffic.share("spare") == pytest.approx(0.5, abs=0.05)
    minutes = Counter(int(when / 60) for when, who in traffic.picks if who == "a")
    assert max(minutes.values()) <= 1200
    assert not traffic.lost
