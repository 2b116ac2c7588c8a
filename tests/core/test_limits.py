"""No minute holds more than its limit, and nothing is refused that would have fitted."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core import limits as module
from gateway.core.limits import (
    AddressLimits,
    Bucket,
    Gauge,
    Limits,
    Refusal,
    Ticket,
    address_key,
    duration,
    headers,
)


def admitted(limits: Limits, now: float, tokens: int = 0) -> Ticket:
    ticket = limits.admit(now, tokens)
    assert isinstance(ticket, Ticket), ticket
    return ticket


def test_a_take_is_back_after_sixty_seconds_and_no_sooner():
    bucket = Bucket(10)
    assert bucket.take(0.0, 4)
    assert bucket.take(30.0, 6)
    assert not bucket.take(59.999, 1)
    assert bucket.room(60.0) == 4
    assert not bucket.take(60.0, 5)
    assert bucket.take(60.0, 4)
    assert bucket.room(89.999) == 0
    assert bucket.room(90.0) == 6
    assert bucket.room(1000.0) == 10


def test_more_than_the_limit_never_fits():
    bucket = Bucket(10)
    assert not bucket.take(0.0, 11)
    assert bucket.wait(0.0, 11) == math.inf
    assert bucket.room(0.0) == 10
    assert bucket.take(0.0, 10)


def test_wait_and_reset_say_when():
    bucket = Bucket(10)
    assert bucket.wait(0.0, 10) == 0.0
    assert bucket.reset(0.0) == 0.0
    bucket.take(0.0, 4)
    bucket.take(8.0, 3)
    bucket.take(16.0, 3)
    assert [bucket.wait(20.0, n) for n in (0, 1, 4, 5, 7, 8, 10)] == [0, 40, 40, 48, 48, 56, 56]
    assert bucket.reset(20.0) == 56.0
    assert bucket.reset(75.5) == 0.5
    assert bucket.reset(76.0) == 0.0


def test_a_correction_counts_from_when_the_take_was_made():
    bucket = Bucket(100)
    ticket = bucket.reserve(0.0, 60)
    assert ticket
    assert bucket.reserve(1.0, 41) is None
    bucket.correct(ticket, 10)
    assert bucket.room(1.0) == 90
    bucket.correct(ticket, 150)
    assert bucket.room(1.0) == -50
    assert not bucket.take(59.999, 0)
    assert bucket.wait(50.0, 1) == 10.0
    assert bucket.take(60.0, 100)


@pytest.mark.parametrize("actual", [0, 7, 10**30, -5])
def test_a_correction_after_the_minute_does_nothing(actual: int):
    bucket = Bucket(100)
    ticket = bucket.reserve(0.0, 60)
    assert ticket
    bucket.take(30.0, 20)
    assert bucket.room(60.0) == 80
    bucket.correct(ticket, actual)
    assert bucket.room(60.0) == 80
    late = bucket.reserve(60.0, 80)
    assert late
    bucket.correct(late, actual)  # not asked for room in between
    assert bucket.room(120.0) == 100


def test_reset_passes_over_takes_corrected_to_nothing():
    bucket = Bucket(10)
    bucket.take(0.0, 1)
    ticket = bucket.reserve(5.0, 5)
    assert ticket
    bucket.correct(ticket, -1)
    assert bucket.room(5.0) == 9
    assert bucket.reset(10.0) == 50.0


def test_a_new_limit_keeps_the_history():
    bucket = Bucket(10)
    bucket.take(0.0, 8)
    bucket.limit = 5
    assert bucket.room(1.0) == -3
    assert not bucket.take(59.0, 1)
    bucket.limit = 20
    assert bucket.room(1.0) == 12
    bucket.limit = 10**30
    assert bucket.take(2.0, 10**11)
    assert not bucket.take(2.0, 10**29)
    bucket.limit = -1
    assert bucket.limit == 0


def test_a_clock_that_stands_still_or_goes_back():
    bucket = Bucket(3)
    assert bucket.take(100.0, 1)
    assert bucket.take(100.0, 1)
    assert bucket.take(99.0, 1)
    assert not bucket.take(159.5, 1)  # the one at 99 counts as made at 100
    assert bucket.take(160.0, 1)
    bucket = Bucket(1)
    assert bucket.take(0.0, 1)
    assert bucket.room(60.0) == 1
    assert bucket.take(59.0, 1)  # the clock had said 60: there it counts
    assert bucket.room(119.5) == 0
    assert bucket.room(120.0) == 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 1.0, 7.5, 29.75, 59.75, 60.0, -0.25]),
        st.integers(0, 12),
        st.none() | st.tuples(st.integers(0, 30), st.integers(0, 25)),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 20), STEPS)
def test_against_a_naive_window(limit: int, steps: list):
    """Whatever is taken and corrected: admitted exactly when the minute behind has room."""
    bucket = Bucket(limit)
    made: list[list] = []  # when, amount, ticket; compared with moments of quarters, exactly
    clock = latest = 0.0
    for passed, amount, correction in steps:
        clock += passed
        latest = max(latest, clock)
        bucket.room(clock)
        if correction and made:
            take = made[correction[0] % len(made)]
            bucket.correct(take[2], correction[1])
            if take[0] + 60 > latest:
                take[1] = correction[1]
        held = sum(a for when, a, _ in made if when + 60 > latest)
        assert bucket.room(clock) == limit - held
        wait = bucket.wait(clock, amount)
        ticket = bucket.reserve(clock, amount)
        assert (ticket is not None) == (held + amount <= limit)
        assert (wait == 0) == (ticket is not None)
        if ticket:
            # A fallen clock is read as late as the bucket must, and never later than it has been.
            made.append([ticket.ends - 60, amount, ticket])
            assert clock <= ticket.ends - 60 <= latest
        elif amount <= limit:
            then = clock + wait
            assert sum(a for when, a, _ in made if when + 60 > then) + amount <= limit
            before = max(then - 0.125, latest)
            if before < then:
                assert sum(a for when, a, _ in made if when + 60 > before) + amount > limit


def test_no_window_ever_holds_more(monkeypatch: pytest.MonkeyPatch):
    """Crowded as it may be, merged takes come back late by a step at most, and never early."""
    monkeypatch.setattr(module, "MOST_SLOTS", 16)
    monkeypatch.setattr(module, "STEP", 60 / 8)
    bucket = Bucket(50)
    made: list[float] = []
    for tick in range(4000):
        now = tick * 0.25
        if bucket.take(now, 1):
            made.append(now)
            assert sum(when + 60 > now for when in made) <= 50
        else:
            assert sum(when + 60 + 7.5 > now for when in made) >= 50
        assert len(bucket._ends) <= 16
    assert len(made) > 500


def test_a_merged_take_is_still_corrected():
    bucket = Bucket(10**9)
    tickets = [bucket.reserve(tick / 1024, 10) for tick in range(3 * module.MOST_SLOTS)]
    assert len(bucket._ends) <= module.MOST_SLOTS
    assert bucket.room(12.0) == 10**9 - 10 * len(tickets)
    assert bucket.room(60.0) >= 10**9 - 10 * len(tickets)
    assert bucket.room(60.0 + module.STEP) >= 10**9 - 10 * len(tickets) + 10
    for ticket in tickets:
        assert ticket
        bucket.correct(ticket, 3)
    assert bucket._used == sum(bucket._amounts)
    assert min(bucket._amounts) >= 3
    assert bucket.room(200.0) == 10**9


def test_the_gauge():
    gauge = Gauge(2)
    assert gauge.enter()
    assert gauge.enter()
    assert not gauge.enter()
    gauge.leave()
    assert gauge.enter()
    for _ in range(5):
        gauge.leave()
    assert gauge.count == 0


def test_each_limit_refuses_and_a_refused_call_takes_nothing():
    limits = Limits(rpm=2, tpm=100, concurrency=2)
    first = admitted(limits, 0.0, 60)
    assert limits.admit(1.0, 101) == Refusal("tpm_too_large", 100, None)
    assert limits.admit(1.0, 41) == Refusal("tpm", 100, 59.0)
    admitted(limits, 2.0, 40)
    assert limits.admit(3.0, 0) == Refusal("concurrency", 2, 1.0)
    limits.release()
    assert limits.admit(3.0, 0) == Refusal("rpm", 2, 57.0)
    assert limits.admit(3.0, 61) == Refusal("tpm", 100, 59.0)  # the longer wait is named
    limits.settle(first, 10)
    limits.settle(first, 20)  # the last word counts, not both
    assert limits.tpm
    assert limits.rpm
    assert (limits.rpm.room(3.0), limits.tpm.room(3.0)) == (0, 40)
    assert limits.concurrency.count == 1
    admitted(limits, 60.0, 60)


def test_none_is_no_limit_and_zero_is_never():
    free = Limits()
    for _ in range(1000):
        ticket = admitted(free, 0.0, 10**12)
    free.settle(ticket, 5)
    assert Limits(rpm=0).admit(0.0, 1) == Refusal("rpm", 0, None)
    assert Limits(concurrency=0).admit(0.0, 1) == Refusal("concurrency", 0, None)
    assert Limits(tpm=0).admit(0.0, 1) == Refusal("tpm_too_large", 0, None)
    requests = Limits(rpm=1)
    requests.settle(admitted(requests, 0.0, 9), 9)
    assert requests.admit(0.0, 9) == Refusal("rpm", 1, 60.0)


def test_changed_limits_keep_what_was_counted():
    limits = Limits(tpm=100)
    old = admitted(limits, 0.0, 50)
    limits.change(5, 60, 1)
    assert limits.admit(1.0, 20) == Refusal("concurrency", 1, 1.0)  # it ran before there was one
    limits.release()
    assert limits.admit(1.0, 20) == Refusal("tpm", 60, 59.0)
    limits.change(None, None, None)
    limits.change(None, 60, None)
    admitted(limits, 2.0, 10)
    limits.settle(old, 0)  # of a bucket that is gone: the new one does not know it
    assert limits.tpm
    assert limits.tpm.room(2.0) == 50


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0s"), (0.0, "0s"), (0.0002, "1ms"), (0.02, "20ms"), (0.999, "999ms"),
        (0.9991, "1s"), (1.0, "1s"), (1.2339, "1.234s"), (1.5, "1.5s"), (59.999, "59.999s"),
        (160.1 - 100.1, "1m0s"), (59.9999, "1m0s"), (60.25, "1m0.25s"), (360.0, "6m0s"),
        (3600.0, "1h0m0s"), (3725.5, "1h2m5.5s"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


def test_headers_name_the_limits_that_are_set():
    limits = Limits(rpm=60, tpm=150_000, concurrency=3)
    ticket = admitted(limits, 0.0, 16)
    requests = [("limit", "60"), ("remaining", "59"), ("reset", "58.766s")]
    tokens = [("limit", "150000"), ("remaining", "149984"), ("reset", "58.766s")]
    requests = [(f"x-ratelimit-{name}-requests", value) for name, value in requests]
    tokens = [(f"x-ratelimit-{name}-tokens", value) for name, value in tokens]
    assert headers(limits, 1.234) == (*requests, *tokens)
    limits.settle(ticket, 200_000)
    assert dict(headers(limits, 1.0))["x-ratelimit-remaining-tokens"] == "0"
    assert len(headers(Limits(rpm=1), 0.0)) == 3
    assert headers(Limits(tpm=7), 0.0)[2] == ("x-ratelimit-reset-tokens", "0s")
    assert headers(Limits(concurrency=1), 0.0) == ()


def test_an_address_has_its_own_minute():
    addresses = AddressLimits(2)
    assert addresses.admit(0.0, "a") is None
    assert addresses.admit(1.0, "a") is None
    assert addresses.admit(2.0, "a") == Refusal("address", 2, 58.0)
    assert addresses.admit(2.0, "b") is None
    assert addresses.admit(60.0, "a") is None
    addresses.limit = 0
    assert addresses.admit(61.0, "a") == Refusal("address", 0, None)
    assert addresses.admit(200.0, "c") == Refusal("address", 0, None)
    assert len(addresses) == 0


def test_a_flood_of_addresses_forgets_no_active_one():
    addresses = AddressLimits(1, most=100)
    assert addresses.admit(0.0, "victim") is None
    refused = [addresses.admit(1.0, f"flood {n}") for n in range(1000)]
    assert refused.count(None) == 99
    assert refused[-1] == Refusal("addresses", 100, 59.0)
    assert len(addresses) == 100
    assert addresses.admit(59.999, "victim") == Refusal("address", 1, pytest.approx(0.001))
    assert addresses.admit(60.0, "new") is None  # in the victim's place, who is idle
    assert addresses.admit(60.0, "newer") == Refusal("addresses", 100, 1.0)
    for n in range(60):
        assert addresses.admit(61.0, f"calm {n}") is None
    assert len(addresses) == 61  # the flood is forgotten two by two


def test_the_last_take_decides_who_is_forgotten():
    addresses = AddressLimits(5, most=2)
    addresses.admit(0.0, "a")
    addresses.admit(1.0, "b")
    addresses.admit(2.0, "a")
    assert addresses.admit(60.5, "c") == Refusal("addresses", 2, 0.5)
    assert addresses.admit(61.0, "c") is None
    assert list(addresses._buckets) == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("203.0.113.7", "203.0.113.7"), ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::ffff:cb00:7107", "203.0.113.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"), ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"), ("::1", "::/64"), ("", None), ("unknown", None), ("1", None),
        ("1.2.3", None), ("1.2.3.4:80", None), ("[::1]", None), ("010.1.1.1", None),
        (" 1.2.3.4", None), ("1.2.3.4/8", None), ("x" * 10_000, None),
    ],
)  # fmt: skip
def test_address_keys(text: str, key: str | None):
    assert address_key(text) == key


def test_a_hundred_thousand_keys_are_small():
    """Keys with four calls each in this minute: under a kilobyte apiece, however many there are."""
    tracemalloc.start()
    keys = [Limits(600, 100_000, 10) for _ in range(20_000)]
    empty = tracemalloc.get_traced_memory()[0] / len(keys)
    for key in keys:
        for call in range(4):
            key.settle(admitted(key, float(call), 1000), 700)
            key.release()
    used = tracemalloc.get_traced_memory()[0] / len(keys)
    tracemalloc.stop()
    print(f"{empty:.0f} B idle, {used:.0f} B active")
    assert empty < 700
    assert used < 1000
