"""Thousands of small worlds with a clock of their own: what must hold in every one of them.

A failing world names its seed; `SEED=n pytest tests/core/routing/test_scenarios.py` replays it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from random import Random

import pytest

from gateway.core.routing.pool import Pick, Pool, Refused
from gateway.core.routing.seats import Member

WORLDS = 3000
BLOCKS = 20
STEPS = 120
MODELS = ("alpha", "beta-large", "beta-small")
OUTCOMES = (
    "ok", "ok", "ok", "ok", "rejected", "unknown", "failed", "timed_out", "overloaded",
    "rate_limited", "refused", "exhausted", "forbidden",
)  # fmt: skip


def some_member(random: Random, name: str) -> Member:
    def limit(*figures: int) -> int | None:
        return random.choice((None, None, *figures))

    return Member(
        name,
        weight=random.choice((0, 1, 1, 2, 10)),
        tier=random.choice((0, 0, 0, 1, 2)),
        rpm=limit(0, 1, 3, 20),
        tpm=limit(1, 500, 3000),
        concurrency=limit(0, 1, 2, 5),
        models=random.choice(((), (), ("alpha",), ("beta-*",))),
        regions=random.choice(((), (), (), ("eu",))),
    )


class World:
    """A pool, the calls that run on it, and a bookkeeping of its own."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 10.0
        count = self.random.choice((1, 2, 3, 5, 12))
        self.members = {f"c{n}": some_member(self.random, f"c{n}") for n in range(count)}
        self.pool = Pool(tuple(self.members.values()), self.random.random)
        self.running: list[tuple[Pick, tuple[str, str | None], bool, bool]] = []
        self.begun: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.bad = set(self.random.sample(sorted(self.members), self.random.randrange(count + 1)))

    def run(self) -> None:
        for _ in range(STEPS):
            self.step()
            self.check_limits()
        while self.running:
            self.end(0, "ok")
        self.everybody_comes_back()

    def step(self) -> None:
        what = self.random.random()
        if what < 0.5:
            self.call()
        elif what < 0.8 and self.running:
            self.end(self.random.randrange(len(self.running)), self.outcome())
        elif what < 0.97:
            self.now += self.random.choice((0.0, 0.01, 0.5, 2.0, 15.0, 61.0, 400.0))
        else:
            self.order()

    def outcome(self) -> str:
        return self.random.choice(OUTCOMES)

    def call(self) -> None:
        way = (self.random.choice(MODELS), self.random.choice((None, "eu", "us")))
        tokens = self.random.choice((0, 1, 100, 700))
        exclude = self.random.sample(sorted(self.members), self.random.choice((0, 0, 0, 1)))
        sticky = self.random.choice((None, *self.members))
        pick = self.pool.pick(
            self.now, upstream=way[0], region=way[1], sticky=sticky, tokens=tokens, exclude=exclude
        )
        able = self.able(way, tokens, exclude)
        if isinstance(pick, Refused):
            assert not able, (pick, able)
            assert pick.wait is None or pick.wait > 0
            return
        assert pick.name in able, (pick.name, able)
        assert pick.tier == min(self.members[name].tier for name in able)
        own = pick.seat.breaker.phase(self.now) == "half_open"
        route = pick.seat.lane.breaker.phase(self.now) == "half_open"
        assert self.pool.began(pick, self.now)
        assert not self.pool.began(pick, self.now)
        for other, where, probed, route_probed in self.running:
            assert not (route and route_probed and where == way)
            assert not (own and probed and where == way and other.name == pick.name)
        # A probe is one only until its breaker hears of something newer.
        self.running.append((pick, way, own, route))
        self.begun[pick.name].append((self.now, tokens))

    def able(self, way: tuple[str, str | None], tokens: int, exclude: list[str]) -> set[str]:
        """Everybody who could take the call, found the long way."""
        lane = self.pool.lanes.get(way)
        if lane is None or not lane.breaker.ready(self.now):
            return set()
        return {
            name
            for name, member in self.members.items()
            if name not in exclude
            and member.serves(*way)
            and lane.by_name[name].ready(self.now)
            and self.has_room(name, tokens)
        }

    def has_room(self, name: str, tokens: int) -> bool:
        member = self.members[name]
        minute = [t for when, t in self.begun[name] if when > self.now - 60.0]
        running = sum(pick.name == name for pick, *_ in self.running)
        return (
            (member.rpm is None or len(minute) < member.rpm)
            and (member.tpm is None or sum(minute) + max(tokens, 1) <= member.tpm)
            and (member.concurrency is None or running < member.concurrency)
        )

    def end(self, place: int, outcome: str) -> None:
        pick, way, *_ = self.running.pop(place)
        if self.random.random() < 0.3:
            self.pool.answered(pick, self.now, self.random.random())
            self.released(way, pick.name)
        wait = self.random.choice((None, None, 0.0, 3.0, 1e7))
        self.pool.ended(pick, self.now, outcome, seconds=0.5, retry_after=wait)
        assert self.pool.ended(pick, self.now, outcome) == ()
        self.released(way, pick.name)

    def released(self, way: tuple[str, str | None], name: str) -> None:
        """Those that no longer are probes in their breakers' eyes are none."""
        self.running = [
            (p, w, own and p.turns[0] == p.seat.breaker.probe,
             route and p.turns[2] == p.seat.lane.breaker.probe)
            for p, w, own, route in self.running
        ]  # fmt: skip

    def order(self) -> None:
        name = self.random.choice(sorted(self.members))
        if self.random.random() < 0.5:
            assert self.pool.bench(name, self.now, self.random.choice((1.0, 50.0, 1e9)))
        else:
            assert self.pool.restore(name)
        self.released(("", None), name)

    def check_limits(self) -> None:
        for name, member in self.members.items():
            minute = [t for when, t in self.begun[name] if when > self.now - 60.0]
            running = sum(pick.name == name for pick, *_ in self.running)
            assert member.rpm is None or len(minute) <= member.rpm
            assert member.tpm is None or sum(minute) <= member.tpm
            assert member.concurrency is None or running <= member.concurrency
            account = self.pool.accounts[name]
            assert account.limits.concurrency.count == running

    def everybody_comes_back(self) -> None:
        """Once nothing fails any more, nobody stays away for ever."""
        self.now += 4000.0
        for name in self.members:
            if self.pool.accounts[name].breaker.why == "admin":
                self.pool.restore(name)
        missing = {name for name, member in self.members.items() if member.serves("alpha", "eu")}
        lowest = min((self.members[name].tier for name in missing), default=0)
        missing = {name for name in missing if self.members[name].tier == lowest}
        for _ in range(3000):
            if not missing:
                return
            self.now += 7.0
            pick = self.pool.pick(self.now, upstream="alpha", region="eu", tokens=1)
            if isinstance(pick, Pick) and self.pool.began(pick, self.now):
                missing.discard(pick.name)
                self.pool.ended(pick, self.now, "ok", seconds=0.5)
        raise AssertionError(f"never chosen again: {missing}")


def play(seed: int) -> None:
    try:
        World(seed).run()
    except Exception as error:
        raise AssertionError(f"SEED={seed} fails: {error!r}") from error


@pytest.mark.parametrize("block", range(BLOCKS))
def test_what_holds_in_every_world(block: int):
    if "SEED" in os.environ:
        play(int(os.environ["SEED"]))
        return
    for seed in range(block, WORLDS, BLOCKS):
        play(seed)
