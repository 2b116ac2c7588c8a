"""Retries are free where they help, and few where nothing does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.routing.budget import MOST, RetryBudget, Tries


def attempts(budget: RetryBudget, calls: int, fails) -> tuple[int, int]:
    """How many tries so many calls made, and how many of the calls failed in the end."""
    made = lost = 0
    for call in range(calls):
        budget.offered()
        tries = Tries(budget, ends=1000.0)
        number = 1
        while fails(call, number) and tries.again(0.0):
            number += 1
        if fails(call, number):
            lost += 1
        else:
            tries.succeeded()
        made += number
    return made, lost


@pytest.mark.parametrize("calls", [100, 250, 1000, 20_000])
def test_where_everything_fails_tries_stay_within_a_tenth_more(calls: int):
    made, lost = attempts(RetryBudget(), calls, lambda call, number: True)
    assert made <= 1.1 * calls
    assert made > 1.05 * calls
    assert lost == calls


def test_an_outage_after_good_days_does_not_either():
    budget = RetryBudget()
    attempts(budget, 1000, lambda call, number: False)
    assert budget.saved == MOST
    made, _ = attempts(budget, 500, lambda call, number: True)
    assert made <= 1.1 * 500


def test_where_the_second_try_helps_no_call_is_lost():
    made, lost = attempts(RetryBudget(), 1000, lambda call, number: number == 1)
    assert (made, lost) == (2000, 0)


@given(st.lists(st.integers(0, 3), max_size=300))
def test_failed_retries_are_never_more_than_the_budget_grants(failures: list[int]):
    made, _ = attempts(RetryBudget(), len(failures), lambda call, n: n <= failures[call])
    helped = sum(min(f, 2) for f in failures)  # given back where the third try succeeds
    assert made - len(failures) - helped <= 2 + 0.08 * len(failures)


def test_no_try_after_the_deadline_nor_more_than_allowed():
    tries = Tries(RetryBudget(), ends=10.0, most=3)
    tries.budget.offered()
    assert not tries.again(9.99)
    assert tries.again(5.0)
    assert tries.again(5.0)
    assert not tries.again(5.0, proven=True)
    tries.budget.saved = 10.0
    assert not tries.again(5.0)
    assert tries.budget.saved == 10.0
    assert tries.made == 3


def test_a_try_where_calls_go_well_costs_nothing():
    budget = RetryBudget()
    budget.saved = 0.0
    budget.offered()
    tries = Tries(budget, ends=10.0, most=6)
    assert not tries.again(1.0)
    assert tries.again(1.0, proven=True)
    tries.succeeded()
    assert (tries.made, budget.saved) == (2, 0.08)  # and gives nothing back
