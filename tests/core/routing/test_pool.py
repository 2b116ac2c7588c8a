"""Who is chosen, who is not, and what the pool says of it."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

import pytest

from gateway.core.routing.pool import Change, Pick, Pool, Refused, State
from gateway.core.routing.seats import Member


def pool_of(*members: Member, seed: int = 1) -> Pool:
    return Pool(members, Random(seed).random)


def begun(pool: Pool, now: float = 1.0, **asked) -> Pick:
    pick = pool.pick(now, **asked)
    assert isinstance(pick, Pick), pick
    assert pool.began(pick, now)
    return pick


def refused(pool: Pool, now: float = 1.0, **asked) -> Refused:
    pick = pool.pick(now, **asked)
    assert isinstance(pick, Refused), pick
    return pick


def fail(pool: Pool, outcome: str, now: float = 1.0, **asked) -> tuple[Change, ...]:
    return pool.ended(begun(pool, now, **asked), now, outcome)


def names(pool: Pool, now: float = 1.0, times: int = 200, **asked) -> set[str]:
    picks = [pool.pick(now, **asked) for _ in range(times)]
    return {pick.name for pick in picks if isinstance(pick, Pick)}


def test_models_and_regions_narrow_who_serves():
    pool = pool_of(
        Member("all"),
        Member("large", models=("*-large", "alpha")),
        Member("eu", regions=("eu", "eu-west")),
        Member("off", weight=0),
        Member("none", concurrency=0),
    )
    assert names(pool, upstream="beta-large", region="us") == {"all", "large"}
    assert names(pool, upstream="alpha", region="eu") == {"all", "large", "eu"}
    assert names(pool, upstream="beta", region=None) == {"all", "eu"}
    pool = pool_of(Member("large", models=("*-large",)))
    assert refused(pool, upstream="beta") == Refused(None, "nobody")
    assert refused(pool_of()) == Refused(None, "nobody")


def test_who_was_tried_is_not_tried_again():
    pool = pool_of(Member("a"), Member("b"), Member("spare", tier=1))
    assert names(pool, exclude=("a",)) == {"b"}
    assert names(pool, exclude=("a", "b")) == {"spare"}
    assert refused(pool, exclude=("a", "b", "spare")) == Refused(None, "tried")


def test_a_call_too_large_for_one_goes_to_another_and_small_ones_stay():
    pool = pool_of(Member("small", tpm=1000), Member("big", tpm=100_000))
    assert names(pool, tokens=1001) == {"big"}
    assert names(pool, tokens=900) == {"small", "big"}
    assert refused(pool, tokens=200_000) == Refused(None, "too_large")


def test_tokens_are_corrected_when_the_call_is_over():
    pool = pool_of(Member("a", tpm=1000))
    pick = begun(pool, tokens=900)
    assert refused(pool, tokens=200).why == "busy"
    pool.ended(pick, 2.0, "ok", tokens=100)
    again = begun(pool, 2.0, tokens=900)
    assert refused(pool, 3.0, tokens=1) == Refused(58.0, "busy")
    pool.ended(again, 3.0, "ok")
    assert begun(pool, 61.0, tokens=100)


def test_others_may_be_quicker_between_the_choice_and_the_call():
    pool = pool_of(Member("a", concurrency=1))
    first, second = pool.pick(1.0), pool.pick(1.0)
    assert isinstance(first, Pick)
    assert isinstance(second, Pick)
    assert pool.began(first, 1.0)
    assert not pool.began(second, 1.0)
    assert pool.ended(second, 1.0, "failed") == ()
    assert refused(pool).wait == 1.0
    pool.ended(first, 1.0, "ok")
    assert pool.began(second, 1.0)


def test_a_refused_key_is_out_on_all_routes_and_a_forbidden_one_on_its_own():
    pool = pool_of(Member("a"))
    (change,) = fail(pool, "forbidden", upstream="alpha")
    assert change == Change("a", "alpha", None, "open", "forbidden", change.seconds)
    assert 60 <= change.seconds <= 75
    assert refused(pool, upstream="alpha").why == "busy"
    assert names(pool, upstream="beta") == {"a"}
    (change,) = fail(pool, "refused", upstream="beta")
    assert change == Change("a", "", None, "open", "refused", change.seconds)
    assert refused(pool, upstream="gamma").why == "busy"


def test_a_refused_key_stays_out_longer_each_time():
    pool = pool_of(Member("a"))
    now, waits = 1.0, []
    for _ in range(9):
        (change,) = fail(pool, "exhausted", now)
        waits.append(change.seconds)
        now += change.seconds
    assert all(60 * 2**n <= wait <= 60 * 2**n + 15 for n, wait in enumerate(waits[:6]))
    assert 3600 <= waits[-1] <= 3615


def test_calls_on_their_way_when_a_key_is_refused_do_not_count_again():
    pool = pool_of(Member("a"))
    picks = [begun(pool) for _ in range(50)]
    changes = [pool.ended(pick, 2.0, "refused") for pick in picks]
    assert [len(change) for change in changes] == [1] + [0] * 49


def test_one_bad_credential_never_closes_the_route():
    pool = pool_of(Member("a", weight=99), Member("b"))
    picks = [begun(pool, exclude=("b",)) for _ in range(200)]
    changes = [change for pick in picks for change in pool.ended(pick, 2.0, "timed_out")]
    assert [change.credential for change in changes] == ["a"]
    assert names(pool, 2.0) == {"b"}


def test_a_route_that_fails_with_everybody_closes_and_probes_once():
    pool = pool_of(*(Member(f"c{n}") for n in range(40)))
    count = 0
    while isinstance(pool.pick(1.0, upstream="m"), Pick):
        fail(pool, "failed", upstream="m")
        count += 1
    assert count <= 20
    closed = refused(pool, upstream="m")
    assert closed.why == "route"
    assert 5.0 <= (closed.wait or 0) <= 6.25
    assert names(pool, upstream="other")
    probe, other = pool.pick(8.0, upstream="m"), pool.pick(8.0, upstream="m")
    assert pool.began(probe, 8.0)
    assert not pool.began(other, 8.0)  # chosen as a probe as well, and too late
    assert refused(pool, 8.0, upstream="m") == Refused(1.0, "route")
    changes = pool.answered(probe, 9.0, 1.0)
    assert {(c.credential, c.phase) for c in changes} >= {("", "recovering")}
    assert names(pool, 9.0, upstream="m")
    assert pool.restore_route("m")
    assert not pool.restore_route("never asked for")


def test_a_probe_ends_with_the_first_byte_and_a_broken_stream_counts_all_the_same():
    pool = pool_of(Member("a"))
    for _ in range(5):
        fail(pool, "failed")
    probe = begun(pool, 10.0)
    assert refused(pool, 10.0).why == "busy"
    (change,) = pool.answered(probe, 11.0, 1.0)
    assert (change.credential, change.phase) == ("a", "recovering")
    assert pool.answered(probe, 12.0, 2.0) == ()
    assert pool.ended(begun(pool, 12.0), 12.0, "ok") == ()
    pool.ended(probe, 13.0, "failed")
    (state,) = [s for s in pool.states(13.0) if s.credential and not s.why and s.calls and s.failed]
    assert (state.calls, state.failed) == (2, 1)


def test_a_good_call_counts_once_though_it_is_told_of_twice():
    pool = pool_of(Member("a"))
    pick = begun(pool, upstream="m")
    pool.answered(pick, 2.0, 1.0)
    pool.ended(pick, 9.0, "ok", seconds=8.0)
    (own,) = [state for state in pool.states(9.0) if state.credential and state.upstream]
    assert (own.calls, own.failed, own.latency, own.in_flight) == (1, 0, 1.0, 0)


def test_the_client_s_mistakes_do_not_count_against_anybody():
    pool = pool_of(Member("a"))
    for outcome in ("rejected", "unknown") * 20:
        assert fail(pool, outcome) == ()
    (own,) = [state for state in pool.states(1.0) if state.credential and state.calls]
    assert (own.failed, own.calls) == (0, 20)


def test_a_failed_call_does_not_probe_while_there_is_another_way():
    pool = pool_of(Member("a"), Member("b"), Member("c"))
    for _ in range(5):
        fail(pool, "failed", exclude=("b", "c"))
    assert names(pool, 20.0, exclude=("c",)) == {"b"}
    assert "a" in names(pool, 20.0)
    assert names(pool, 20.0, exclude=("b", "c")) == {"a"}


def test_the_operator_benches_and_restores():
    pool = pool_of(Member("a"), Member("b"))
    for _ in range(5):
        fail(pool, "failed", exclude=("b",))
    assert pool.bench("b", 1.0)
    assert refused(pool).why == "busy"
    assert pool.restore("b")
    assert names(pool) == {"b"}
    assert pool.restore("a")
    assert names(pool) == {"a", "b"}
    assert pool.bench("a", 1.0, 30.0)
    assert names(pool, 30.9) == {"b"}
    assert names(pool, 31.0) == {"a"}  # the next call is its probe
    begun(pool, 31.0)
    assert names(pool, 31.0) == {"b"}
    assert not pool.bench("nobody", 1.0)
    assert not pool.restore("nobody")


def test_a_conversation_stays_unless_something_speaks_against_it():
    pool = pool_of(*(Member(f"c{n}") for n in range(8)), Member("spare", tier=1))
    assert names(pool, sticky="c3") == {"c3"}
    assert len(names(pool, sticky="gone")) > 1
    assert "c3" not in names(pool, sticky="c3", exclude=("c3",))
    assert "spare" not in names(pool, sticky="spare")
    fail(pool, "rate_limited", sticky="c3")
    assert "c3" not in names(pool, sticky="c3")
    assert len(names(pool, 400.0, sticky="c3")) > 1  # due for a probe, which is no place to stay


def test_a_crowded_place_is_left():
    pool = pool_of(*(Member(f"c{n}") for n in range(8)))
    got = Counter(begun(pool, sticky="c0").name for _ in range(200))
    assert got["c0"] < 80
    assert len(got) == 8


def test_the_quicker_and_the_idler_of_two_is_taken():
    pool = pool_of(Member("a"), Member("b"))
    for name, seconds in (("a", 0.2), ("b", 2.0)):
        pick = begun(pool, exclude={"a", "b"} - {name})
        pool.ended(pick, 1.0, "ok", seconds=seconds)
    got = Counter(pool.pick(1.5).name for _ in range(400))
    assert got["a"] > 380
    for _ in range(40):
        begun(pool, 1.5, exclude=("b",))
    got = Counter(pool.pick(1.5).name for _ in range(400))
    assert got["b"] > 380
    pool = pool_of(Member("a"), Member("b"))
    pool.ended(begun(pool, exclude=("b",)), 1.0, "ok", seconds=0.2)
    pool.ended(begun(pool, exclude=("a",)), 1.0, "ok", seconds=2.0)
    assert names(pool, 1000.0) == {"a", "b"}  # what is long not confirmed is not held against it


def test_a_new_catalog_forgets_nothing():
    old = pool_of(Member("a", rpm=3), Member("b"), Member("gone"))
    pick = begun(old, upstream="m", exclude=("b", "gone"))
    fail(old, "rate_limited", upstream="m", exclude=("a", "gone"))
    old.bench("gone", 1.0)
    new = Pool((Member("a", rpm=1), Member("b"), Member("c")), Random(2).random, old)
    assert names(new, 1.5, upstream="m") == {"c"}  # a has had its one call, b is away
    assert names(new, 1.5, upstream="other") == {"b", "c"}
    new.ended(pick, 2.0, "ok")
    assert {s.in_flight for s in new.states(2.0) if s.credential == "a"} == {0}
    assert names(new, 61.0, upstream="m") == {"a", "b", "c"}


def test_a_changed_tier_or_subset_holds_from_the_change_on():
    old = pool_of(Member("a"), Member("b"))
    assert names(old, upstream="m") == {"a", "b"}
    new = Pool((Member("a", tier=1), Member("b", models=("x",))), Random(2).random, old)
    assert names(new, upstream="m") == {"a"}
    assert names(new, upstream="x") == {"b"}


def test_the_status_page_says_how_everybody_stands():
    pool = pool_of(Member("a", rpm=10, tpm=1000, weight=3), Member("b", tier=1))
    pick = begun(pool, 1.0, upstream="m", region="eu", tokens=300)
    pool.answered(pick, 1.0, 0.5)
    pool.bench("b", 1.0)
    lines = {(s.credential, s.upstream): s for s in pool.states(2.0)}
    assert set(lines) == {("a", ""), ("b", ""), ("", "m"), ("a", "m"), ("b", "m")}
    a = lines["a", ""]
    assert (a.phase, a.in_flight, a.tier, a.weight) == ("closed", 1, 0, 3)
    assert (a.requests_left, a.tokens_left) == (9, 700)
    b = lines["b", ""]
    assert (b.phase, b.why, b.seconds, b.tier) == ("open", "admin", math.inf, 1)
    on = lines["a", "m"]
    assert on == State("a", "m", "eu", "closed", "", 0.0, 1, 0.5, 1, 0)
    assert lines["", "m"].in_flight == 1


def test_waits_say_when_somebody_may_be_able_again():
    pool = pool_of(Member("a", rpm=1), Member("b", rpm=1))
    begun(pool, 1.0)
    begun(pool, 11.0)
    assert refused(pool, 21.0) == Refused(40.0, "busy")
    assert begun(pool, 61.0)


@pytest.mark.parametrize("outcome", ["overloaded", "failed"])
def test_a_failure_that_asks_for_time_gets_it_at_once(outcome: str):
    pool = pool_of(Member("a"), Member("b"))
    pick = begun(pool, exclude=("b",))
    (change,) = pool.ended(pick, 1.0, outcome, retry_after=30.0)
    assert (change.credential, change.phase) == ("a", "open")
    assert 30.0 <= change.seconds <= 37.5
    assert names(pool, 30.9) == {"b"}
    assert fail(pool, outcome, exclude=("a",)) == ()  # one failure alone says little


def test_a_choice_among_two_hundred_draws_two():
    draws = 0

    def chance() -> float:
        nonlocal draws
        draws += 1
        return random.random()

    random = Random(1)
    pool = Pool(tuple(Member(f"c{n}") for n in range(200)), chance)
    for _ in range(1000):
        begun(pool)
    assert draws < 2100


@pytest.mark.parametrize("count", [1, 200])
def test_nobody_is_looked_at_who_cannot_serve(count: int):
    """A choice costs a few looks, however many are away: those are out of the draw."""
    looks = 0

    def chance() -> float:
        nonlocal looks
        looks += 1
        return random.random()

    random = Random(1)
    pool = Pool(tuple(Member(f"c{n}", rpm=1) for n in range(count)), chance)
    for _ in range(count):
        begun(pool, 1.0)
    assert refused(pool, 2.0).why == "busy"
    looks = 0
    for _ in range(1000):
        assert refused(pool, 2.0).why == "busy"
    assert looks == 0
