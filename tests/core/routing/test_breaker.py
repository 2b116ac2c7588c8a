"""A breaker does what its model says, whatever happens in whatever order."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.core.routing.breaker import (
    CREDENTIAL,
    CREDENTIAL_RULE,
    FAILURES,
    LEAST_SHARE,
    RATE_LIMIT,
    SLOW_START,
    Breaker,
)


def never() -> float:
    return 0.0


def broken(now: float = 100.0, chance=never) -> Breaker:
    breaker = Breaker(CREDENTIAL_RULE, chance)
    for _ in range(5):
        breaker.ended(breaker.began(now), now, good=False)
    return breaker


def test_it_opens_on_failures_in_a_row_however_slow():
    breaker = Breaker(CREDENTIAL_RULE, never)
    for hour in range(4):
        now = hour * 3600.0
        assert breaker.ended(breaker.began(now), now, good=False)
        assert breaker.phase(now) == "closed"
    breaker.ended(breaker.began(5e5), 5e5, good=False)
    assert breaker.phase(5e5) == "open"
    assert breaker.why == "failures"


def test_it_opens_on_half_of_a_window_and_not_on_less():
    for good, opens in ((5, True), (6, False)):
        breaker = Breaker(CREDENTIAL_RULE, never)
        for _ in range(good):
            breaker.ended(breaker.began(1.0), 1.0, good=True)
        for n in range(5):
            breaker.ended(breaker.began(2.0 + n), 2.0 + n, good=False)
            if n == 2:
                breaker.ended(breaker.began(2.0 + n), 2.0 + n, good=True)
        assert bool(breaker.until) is False
        breaker.ended(breaker.began(8.0), 8.0, good=False)
        assert bool(breaker.until) is opens


def test_what_is_older_than_the_window_is_forgotten():
    breaker = Breaker(CREDENTIAL_RULE, never)
    for now in (0.0, 10.0, 20.0):
        for good in (False, False, True):
            breaker.ended(breaker.began(now), now, good=good)
    assert breaker.until  # 5 of 9
    breaker = Breaker(CREDENTIAL_RULE, never)
    for now in (0.0, 40.0, 80.0, 120.0):
        for good in (False, False, True, False):
            breaker.ended(breaker.began(now), now, good=good)
    assert not breaker.until


def test_the_first_opening_is_short_and_each_next_one_twice_as_long():
    breaker = broken()
    lasted = []
    now = 100.0
    for _ in range(9):
        lasted.append(breaker.until - now)
        assert not breaker.ready(breaker.until - 0.001)
        now = breaker.until
        assert breaker.ready(now)
        breaker.ended(breaker.began(now), now, good=False)
    assert lasted == [5, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_calm_time_makes_the_next_opening_the_first():
    breaker = broken()
    now = breaker.until
    breaker.ended(breaker.began(now), now, good=True)
    for later, seconds in ((now + 29.0, 10), (now + 200.0, 5)):
        for _ in range(5):
            breaker.ended(breaker.began(later), later, good=False)
        assert breaker.until - later == seconds
        breaker.ended(breaker.began(breaker.until), breaker.until, good=True)


def test_one_probe_at_a_time_and_its_success_leads_back_slowly():
    breaker = broken()
    now = breaker.until
    probe = breaker.began(now)
    assert not breaker.ready(now + 1000)
    other = breaker.began(now + 1)  # somebody who did not ask
    assert not breaker.ended(other - 1, now + 1, good=True)
    assert breaker.phase(now + 1) == "half_open"
    breaker.ended(probe, now + 2, good=True)
    assert breaker.phase(now + 2) == "recovering"
    assert breaker.share(now + 2) == LEAST_SHARE
    away = now + 2 - 100.0
    assert breaker.share(now + 2 + away / 2) == pytest.approx(0.5)
    assert breaker.share(now + 2 + away) == 1.0
    assert breaker.phase(now + 2 + away) == "closed"
    assert breaker.ramp <= SLOW_START


def test_a_probe_that_says_nothing_lets_the_next_call_probe():
    breaker = broken()
    now = breaker.until
    assert breaker.ended(breaker.began(now), now, good=None)
    assert breaker.ready(now)
    assert breaker.phase(now) == "half_open"


def test_old_calls_neither_close_nor_open_nor_lengthen():
    breaker = Breaker(CREDENTIAL_RULE, never)
    old = [breaker.began(0.0) for _ in range(100)]
    for turn in old[:5]:
        breaker.ended(turn, 1.0, good=False)
    until = breaker.until
    assert until == 6.0
    for turn in old[5:50]:
        assert not breaker.ended(turn, 2.0, good=False)
    assert not breaker.ended(old[50], 2.0, good=True)
    assert breaker.until == until
    breaker.ended(breaker.began(until), until, good=True)
    for turn in old[51:]:
        assert not breaker.ended(turn, until + 1, good=False)
    assert not breaker.until


def test_a_stream_that_breaks_after_a_good_start_counts_against_the_new_time():
    breaker = broken()
    now = breaker.until
    probe = breaker.began(now)
    breaker.ended(probe, now, good=True)
    again = breaker.renewed(probe)
    assert breaker.ended(again, now + 1, good=False)
    assert breaker.window.bad == 1
    assert breaker.renewed(1) == 1


@pytest.mark.parametrize(("asked", "least", "most"), [
    (0.0, 1.0, 1.25), (0.3, 1.0, 1.25), (7.0, 7.0, 8.75), (100.0, 100.0, 115.0),
    (86_400.0, 600.0, 615.0), (math.inf, 600.0, 615.0),
])  # fmt: skip
def test_retry_after_is_honoured_within_reason(asked: float, least: float, most: float):
    random = Random(5)
    waits = []
    for _ in range(200):
        breaker = Breaker(CREDENTIAL_RULE, random.random)
        assert breaker.trip(breaker.began(50.0), 50.0, "rate_limit", RATE_LIMIT, asked)
        waits.append(breaker.until - 50.0)
    assert all(least <= wait <= most for wait in waits)
    assert max(waits) - min(waits) > 0.8 * (most - least)  # they do not come back together


def test_without_retry_after_limits_of_rate_grow_from_a_second_to_a_minute():
    breaker = Breaker(CREDENTIAL_RULE, never)
    now, lasted = 0.0, []
    for _ in range(8):
        breaker.trip(breaker.began(now), now, "rate_limit", RATE_LIMIT)
        lasted.append(breaker.until - now)
        now = breaker.until
    assert lasted == [1, 2, 4, 8, 16, 32, 60, 60]


def test_with_retry_after_they_grow_to_eight_times_of_what_was_asked():
    breaker = Breaker(CREDENTIAL_RULE, never)
    now, lasted = 0.0, []
    for _ in range(7):
        breaker.trip(breaker.began(now), now, "rate_limit", RATE_LIMIT, 1.0)
        lasted.append(breaker.until - now)
        now = breaker.until
    assert lasted == [1, 2, 4, 8, 8, 8, 8]


def test_a_late_answer_can_only_ask_for_more_time():
    breaker = Breaker(CREDENTIAL_RULE, never)
    first, late, later = (breaker.began(0.0) for _ in range(3))
    breaker.trip(first, 0.0, "rate_limit", RATE_LIMIT, 5.0)
    assert not breaker.trip(late, 1.0, "rate_limit", RATE_LIMIT, 2.0)
    assert breaker.until == 5.0
    assert not breaker.trip(later, 2.0, "rate_limit", RATE_LIMIT, 60.0)
    assert breaker.until == 62.0
    assert not breaker.trip(later, 3.0, "refused", CREDENTIAL)
    assert breaker.until == 62.0
    assert breaker.times == 1


def test_the_operator_holds_and_restores():
    breaker = Breaker(CREDENTIAL_RULE, never)
    running = breaker.began(0.0)
    breaker.hold(1.0, math.inf)
    assert not breaker.ready(1e12)
    assert not breaker.ended(running, 2.0, good=True)
    assert breaker.why == "admin"
    breaker.restore()
    assert breaker.ready(2.0)
    assert breaker.share(2.0) == 1.0
    assert breaker.why == ""


class Running:
    """A call as the model knows it: the period it began in, by the breaker's changes."""

    def __init__(self, turn: int, period: int, *, probe: bool) -> None:
        self.turn = turn
        self.period = period
        self.probe = probe


class BreakerMachine(RuleBasedStateMachine):
    """Calls begin, end, and end late, in any order, beside a model that knows no turns."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        self.breaker = Breaker(CREDENTIAL_RULE, Random(1).random)
        self.running: list[Running] = []
        self.shut = False
        self.probing: Running | None = None
        self.period = 0
        self.results: list[tuple[float, bool]] = []  # of this period

    def changed(self, *, shut: bool) -> None:
        self.period += 1
        self.shut, self.probing, self.results = shut, None, []

    def one_of(self, data) -> Running:
        return self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))

    @rule(seconds=st.sampled_from([0.001, 0.5, 3.0, 20.0, 120.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.ready(self.now))
    @rule()
    def begins(self) -> None:
        call = Running(self.breaker.began(self.now), self.period, probe=self.shut)
        if self.shut:
            assert self.probing is None
            self.probing = call
        self.running.append(call)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), good=st.sampled_from([True, False, False, False, None]))
    def ends(self, data, good: bool | None) -> None:
        call = self.one_of(data)
        probed = call is self.probing
        counts = probed or (not self.shut and call.period == self.period)
        until = self.breaker.until
        assert self.breaker.ended(call.turn, self.now, good) is counts
        if probed:
            self.probing = None
            if good is not None:
                self.changed(shut=not good)
        elif counts and good is not None:
            self.results.append((self.now, good))
            if self.must_open():
                self.changed(shut=True)
            elif self.breaker.until:
                assert self.may_open()
                self.changed(shut=True)
        else:
            assert self.breaker.until == until

    def must_open(self) -> bool:
        """Five failures in a row, or half of all since it closed, none of them old."""
        goods = [good for _, good in self.results]
        fresh = all(self.now - when < 15.0 for when, _ in self.results)
        bad = goods.count(False)
        return goods[-1] is False and (
            (len(goods) >= 5 and not any(goods[-5:]))
            or (fresh and bad >= 5 and 2 * bad >= len(goods))
        )

    def may_open(self) -> bool:
        return sum(not good and self.now - when <= 30.0 for when, good in self.results) >= 5

    @precondition(lambda self: self.running)
    @rule(data=st.data(), asked=st.sampled_from([None, 0.0, 5.0, 90.0, 1e9]))
    def trips(self, data, asked: float | None) -> None:
        call = self.one_of(data)
        current = call is self.probing or (not self.shut and call.period == self.period)
        until = self.breaker.until
        assert self.breaker.trip(call.turn, self.now, "rate_limit", RATE_LIMIT, asked) is current
        if current:
            self.changed(shut=True)
            if asked is not None:
                assert min(max(asked, 1.0), 600.0) <= self.breaker.until - self.now <= 615.0
        else:
            assert self.breaker.until >= until

    @rule()
    def restored(self) -> None:
        self.breaker.restore()
        self.changed(shut=False)

    @rule(seconds=st.sampled_from([1.0, 100.0, math.inf]))
    def held(self, seconds: float) -> None:
        self.breaker.hold(self.now, seconds)
        self.changed(shut=True)
        assert self.breaker.until == self.now + seconds

    @invariant()
    def it_stands_as_the_model_says(self) -> None:
        phase = self.breaker.phase(self.now)
        assert (phase in {"open", "half_open"}) is self.shut
        assert bool(self.breaker.probe) is (self.probing is not None)
        ready = phase != "open" and self.probing is None
        assert self.breaker.ready(self.now) is ready

    @invariant()
    def its_share_is_sound(self) -> None:
        share = self.breaker.share(self.now)
        assert LEAST_SHARE <= share <= 1.0
        assert (share < 1.0) <= (self.breaker.phase(self.now) == "recovering")

    @invariant()
    def an_opening_ends(self) -> None:
        if self.shut and self.breaker.why != "admin":
            assert self.breaker.until - self.now <= max(FAILURES.longest, 600.0) + 15.0


BreakerMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
TestBreaker = BreakerMachine.TestCase
