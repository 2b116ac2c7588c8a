"""A minute of an outage, and the minutes after it, over real sockets in a few seconds.

The loop's clock runs faster than the world's, and the gateway's is the loop's: every wait, limit
and deadline is as long as it says, in a time that passes quicker, and not for a busy machine.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.fake_upstream import Exchange
from tests.pipeline.pool_stage import Stage, fails, says, staged

QUICKER = 100.0
RATE = 8  # calls offered in each second of the loop's time
BEGINS, ENDS = 4, 64
LONGEST = 45.0  # seconds until all is well again: the half minute of an opening, and a quarter
Answering = Callable[[float], Any]


class _Waiting(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Time passes only here, and never past the next thing that is due."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        began = time.monotonic()
        ready = super().select(timeout / QUICKER)
        passed = (time.monotonic() - began) * QUICKER
        self.now += min(passed, timeout) if ready else timeout
        return ready


class QuickLoop(asyncio.SelectorEventLoop):
    """What the machine works counts for nothing, what it waits for many times over."""

    def __init__(self) -> None:
        self._waiting = _Waiting()
        super().__init__(self._waiting)

    def time(self) -> float:
        return self._waiting.now


class Played:
    """What was offered, asked and answered in each second; and asked beside the calls."""

    def __init__(self) -> None:
        self.offered: Counter[int] = Counter()
        self.asked: Counter[int] = Counter()
        self.probed: Counter[int] = Counter()
        self.good: Counter[int] = Counter()
        self.statuses: set[int] = set()

    def well_since(self) -> int | None:
        """The second after the outage from which on every call is answered, if it lasts."""
        seconds = sorted(second for second in self.offered if second >= ENDS)[:-1]
        well = [second for second in seconds if self.good[second] >= self.offered[second]]
        return well[0] if len(well) >= 5 and well == seconds[-len(well) :] else None


def between(counts: Counter[int], first: int, last: int) -> int:
    return sum(count for second, count in counts.items() if first <= second < last)


async def play(folder: Path, answering: Answering, seconds: float, probe: str) -> Played:
    """Steady calls for so long, or until all is well, to providers whose answer has its time."""
    loop = asyncio.get_running_loop()
    played = Played()
    async with staged(folder, lambda text: edited(text, probe), watch_every=60.0) as stage:
        stage.patience = 10_000.0
        clock = stage.gateway.server.site.services.clock
        clock.monotonic = loop.time  # type: ignore[method-assign]
        began = loop.time()

        async def handler(exchange: Exchange) -> None:
            now = loop.time() - began
            if exchange.request.method == "GET":
                played.probed[int(now)] += 1
                await exchange.send_json(503 if BEGINS <= now < ENDS else 200, {})
                return
            played.asked[int(now)] += 1
            await answering(now)(exchange)

        stage.one.handler = stage.two.handler = handler
        calls, number = [], 0
        while number < seconds * RATE and played.well_since() is None:
            await asyncio.sleep(began + number / RATE - loop.time())
            second = int(loop.time() - began)
            played.offered[second] += 1
            calls.append(asyncio.create_task(_call(stage, played, second)))
            number += 1
        await asyncio.gather(*calls)
    return played


def edited(catalog: str, probe: str) -> str:
    """No deadline that a busy machine could pass, and what is asked beside the calls."""
    calm = catalog.replace("first_byte: 5, idle: 5", "first_byte: 600, idle: 600")
    return calm.replace("    adapter:", f"    probe: {probe}\n    adapter:") if probe else calm


async def _call(stage: Stage, played: Played, second: int) -> None:
    answer = await stage.call("big")
    played.statuses.add(answer.status)
    played.good[second] += answer.status == 200


def quickly(folder: Path, answering: Answering, seconds: float, probe: str = "") -> Played:
    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        return runner.run(play(folder, answering, seconds, probe))


def outage(status: int) -> Answering:
    bad, good = fails(status), says("yes")
    return lambda now: bad if BEGINS <= now < ENDS else good


@pytest.mark.parametrize("status", [503, 500])
def test_a_minute_without_anybody(tmp_path: Path, status: int) -> None:
    """It is not made worse while it lasts, nor is who comes back overrun."""
    played = quickly(tmp_path, outage(status), ENDS + LONGEST + 10)
    offered = between(played.offered, BEGINS, ENDS)
    assert offered > 0.9 * RATE * (ENDS - BEGINS)
    assert between(played.asked, BEGINS, ENDS) <= 1.1 * offered
    assert played.statuses <= {200, 502, 503}
    well = played.well_since()
    assert well is not None
    assert well - ENDS <= LONGEST
    for first in range(ENDS, well + 10, 5):
        usual = max(between(played.offered, first, first + 5), 5 * RATE)
        assert between(played.asked, first, first + 5) <= 1.5 * usual


def test_who_is_asked_beside_the_calls_is_back_sooner(tmp_path: Path) -> None:
    played = quickly(tmp_path, outage(503), ENDS + LONGEST, "{every: 5}")
    well = played.well_since()
    assert well is not None
    assert well - ENDS <= 15
    offered = between(played.offered, BEGINS, ENDS)
    assert between(played.asked, BEGINS, ENDS) <= 1.1 * offered
    assert max(played.probed.values()) <= 4  # two providers, one each at a time


def test_a_brown_out(tmp_path: Path) -> None:
    """Where everybody fails every other time, calls still fare better than without a gateway."""
    random = Random(5)
    bad, good = fails(503), says("yes")
    played = quickly(tmp_path, lambda now: bad if random.random() < 0.5 else good, 60)
    assert played.good.total() >= 0.6 * played.offered.total()
    assert played.asked.total() <= 2 * played.offered.total()
