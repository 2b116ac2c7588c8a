"""What is learnt of a credential beside its calls, and what is not believed."""

from __future__ import annotations

from random import Random

import pytest

from gateway.core.routing import asking
from gateway.core.routing.breaker import CREDENTIAL_RULE, FAILURES, Breaker
from gateway.core.routing.pool import Pick, Pool, Refused
from gateway.core.routing.seats import Member


def pool_of(*members: Member) -> Pool:
    return Pool(members or (Member("a"),), Random(1).random)


def call(pool: Pool, now: float, outcome: str, **more: float) -> bool:
    """One call to the route `m`; False where nobody takes it."""
    pick = pool.pick(now, upstream="m")
    if isinstance(pick, Refused):
        return False
    assert isinstance(pick, Pick)
    assert pool.began(pick, now)
    if outcome == "ok":
        pool.answered(pick, now, 0.1)
    pool.ended(pick, now, outcome, **more)
    return True


def asked(pool: Pool, now: float, said: asking.Said, name: str = "a") -> list[tuple[str, ...]]:
    assert asking.begin(pool, name, now)
    return [
        (change.credential, change.upstream, change.phase, change.why)
        for change in asking.told(pool, name, now, said)
    ]


def test_who_is_silent():
    """Neither who was answered a moment ago nor who is busy; who was benched by order is let be."""
    pool = pool_of(Member("a"), Member("b", weight=0))
    assert asking.silent(pool, "a", 100.0, 30.0)
    assert not asking.silent(pool, "nobody", 100.0, 30.0)
    assert call(pool, 100.0, "ok")
    assert not asking.silent(pool, "a", 129.0, 30.0)
    assert asking.silent(pool, "a", 130.0, 30.0)
    assert asking.silent(pool, "b", 100.0, 30.0)
    pick = pool.pick(130.0, upstream="m")
    assert isinstance(pick, Pick)
    assert pool.began(pick, 130.0)
    assert not asking.silent(pool, "a", 500.0, 30.0)
    pool.ended(pick, 500.0, "ok")
    pool.bench("a", 500.0)
    assert not asking.silent(pool, "a", 900.0, 30.0)


def test_a_good_answer_ends_an_outage_sooner():
    """The credential on its route, and the route, may be tried at once; by one call at a time."""
    pool = pool_of()
    for _ in range(40):
        call(pool, 100.0, "failed")
    lane = pool.lanes["m", None]
    assert lane.seats[0].breaker.until > 104.0
    assert not call(pool, 101.0, "ok")
    told = asked(pool, 101.0, "ok")
    assert ("a", "m", "half_open", "failures") in told
    first = pool.pick(101.0, upstream="m")
    assert isinstance(first, Pick)
    assert pool.began(first, 101.0)
    assert isinstance(pool.pick(101.0, upstream="m"), Refused)
    pool.ended(first, 101.0, "ok")
    assert call(pool, 101.1, "ok")


def test_a_good_answer_is_believed_once_in_an_outage():
    """Where the host answers and its model does not, the breaker's own time goes on."""
    breaker = Breaker(CREDENTIAL_RULE, lambda: 0.0)
    breaker.open(0.0, "failures", FAILURES)
    assert breaker.lift(1.0)
    breaker.ended(breaker.began(1.0), 1.0, False)
    assert breaker.until == 11.0
    assert not breaker.lift(2.0)
    breaker.ended(breaker.began(11.0), 11.0, True)
    breaker.open(20.0, "failures", FAILURES)
    assert breaker.lift(21.0)


@pytest.mark.parametrize(("outcome", "wait"), [
    ("rate_limited", 40.0), ("overloaded", 40.0), ("failed", 40.0), ("exhausted", None),
    ("forbidden", None),
])  # fmt: skip
def test_what_a_good_answer_says_nothing_of(outcome: str, wait: float | None):
    """The provider's own time, money, and what one model may do."""
    pool = pool_of()
    call(pool, 100.0, outcome, retry_after=wait)
    assert asked(pool, 101.0, "ok") == []
    assert not call(pool, 101.0, "ok")
    assert not call(pool, 135.0, "ok")


def test_a_refused_login_that_is_well_again():
    pool = pool_of()
    call(pool, 100.0, "refused")
    assert not call(pool, 101.0, "ok")
    assert asked(pool, 101.0, "refused") == []  # it knows
    assert asked(pool, 102.0, "ok") == [("a", "", "half_open", "refused")]
    assert call(pool, 102.0, "ok")


def test_a_refusal_benches_only_whom_no_call_has_found_good():
    """A key may be allowed to serve, and not to be asked."""
    pool = pool_of(Member("a"))
    assert call(pool, 100.0, "ok")
    assert asked(pool, 200.0, "refused") == []
    assert call(pool, 200.0, "ok")
    other = pool_of(Member("a"))
    assert asked(other, 200.0, "refused") == [("a", "", "open", "refused")]
    assert not call(other, 201.0, "ok")
    assert call(other, 290.0, "ok")  # and calls have the last word
    assert asked(other, 400.0, "refused") == []


def test_a_failure_changes_nothing():
    pool = pool_of()
    for _ in range(100):
        assert asked(pool, 100.0, "failed") == []
    assert call(pool, 100.0, "ok")


def test_it_counts_as_the_one_call_that_it_is():
    """Against the credential's requests and concurrency, and no longer than it takes."""
    pool = pool_of(Member("a", rpm=2, concurrency=1))
    assert asking.begin(pool, "a", 100.0)
    assert not asking.begin(pool, "a", 100.0)
    assert not call(pool, 100.0, "ok")
    asking.told(pool, "a", 100.0, "ok")
    assert call(pool, 100.0, "ok")
    assert not call(pool, 100.0, "ok")
    assert not asking.begin(pool, "a", 100.0)
    assert asking.begin(pool, "a", 161.0)
