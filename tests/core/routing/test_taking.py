"""A credential that is taken is chosen and counted as in two steps."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

import pytest

from gateway.core.routing.pool import Pick, Pool, Refused
from gateway.core.routing.seats import Member

OUTCOMES = ("ok", "ok", "ok", "failed", "failed", "rate_limited", "refused", "forbidden", "unknown")
MEMBERS = (
    (Member("a"),),
    (Member("a", rpm=5),),
    (Member("a", tpm=1000, concurrency=3),),
    (Member("a"), Member("b", tier=1, rpm=5)),
    (Member("a", models=("x",)), Member("b", models=("y",), concurrency=2)),
)


def in_two_steps(
    pool: Pool, now: float, upstream: str, tokens: int, exclude: Collection[str]
) -> Pick | Refused:
    pick = pool.pick(now, upstream, None, None, tokens, exclude)
    if isinstance(pick, Pick):
        assert pool.began(pick, now)
    return pick


@pytest.mark.parametrize("members", MEMBERS)
@pytest.mark.parametrize("seed", range(10))
def test_taking_is_choosing_and_beginning(members: tuple[Member, ...], seed: int):
    """Whatever has happened, both ways give the same credential and leave the pool the same."""
    random = Random(seed)
    one, other = Pool(members, Random(seed).random), Pool(members, Random(seed).random)
    running: list[tuple[Pick, Pick]] = []
    now = 1.0
    for _ in range(1000):
        now += random.choice((0.0, 0.0, 0.01, 1.0, 1.0, 20.0, 90.0))
        if running and random.random() < 0.4:
            taken, begun = running.pop(random.randrange(len(running)))
            outcome = random.choice(OUTCOMES)
            assert one.ended(taken, now, outcome) == other.ended(begun, now, outcome)
        else:
            asked = (random.choice("xy"), random.choice((0, 1, 400)), random.choice(((), ("a",))))
            taken = one.take(now, asked[0], None, None, *asked[1:])
            begun = in_two_steps(other, now, *asked)
            if isinstance(taken, Pick):
                running.append((taken, begun))
                assert (taken.name, taken.turns) == (begun.name, begun.turns)
            else:
                assert taken == begun
        assert one.states(now) == other.states(now)
