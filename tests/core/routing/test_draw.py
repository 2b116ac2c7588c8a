"""Everything is drawn as often as it weighs, and nothing that weighs nothing."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.routing.draw import Draw


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.integers(0, 50)), max_size=20),
)
def test_each_unit_of_weight_is_one_way_to_be_drawn(weights: list[int], changes):
    draw = Draw(weights)
    for place, weight in changes:
        if place < len(weights):
            draw.set(place, weight)
            weights[place] = weight
    assert draw.total == sum(weights)
    assert [draw.weight(place) for place in range(len(weights))] == weights
    ends = list(accumulate(weights))
    for unit in range(draw.total):
        place = draw.at((unit + 0.5) / draw.total)
        assert ends[place] - weights[place] <= unit < ends[place]


@pytest.mark.parametrize("weights", [[1], [3, 0, 0], [0, 0, 7], [5, 0, 0, 0, 9], [1] * 200])
def test_the_luckiest_number_stays_inside(weights: list[int]):
    draw = Draw(weights)
    for luck in (0.0, 1.0 - 2.0**-53):
        assert weights[draw.at(luck)] > 0
