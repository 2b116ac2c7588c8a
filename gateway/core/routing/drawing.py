"""The choice of a seat: the better of two drawn by weight, whoever is sticky before all.

Seats that turn out to be unable are taken out of the draw until they may be able again, so that no
choice looks at more than a few of them, however many there are and however many are away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.core.routing.seats import Lane, Seat, Tier

_DRAWS = 8
# The second drawn is taken where it is better by so much; else chance, and so the weights, decide.
_BETTER = 0.85
# A sticky seat may run so much more than its share of the lane's calls, and so many on top.
_CROWD, _CROWD_BESIDE = 2.0, 8.0


def chosen(
    lane: Lane,
    now: float,
    chance: Callable[[], float],
    sticky: str | None,
    tokens: int,
    exclude: Collection[str],
) -> Seat | None:
    """A seat that can take the call, of the first tier that has one."""
    for tier in lane.tiers:
        if tier.alarms and tier.alarms[0][0] <= now:
            tier.wake(now)
        if not tier.draw.total:
            continue
        if sticky is not None:
            seat = lane.by_name.get(sticky)
            if seat is not None and seat.tier is tier and _sticks(seat, now, tokens, exclude):
                return seat
        seat = _drawn(tier, now, chance, tokens, exclude)
        if seat is not None:
            return seat
    return None


def _drawn(
    tier: Tier, now: float, chance: Callable[[], float], tokens: int, exclude: Collection[str]
) -> Seat | None:
    draw, seats = tier.draw, tier.seats
    first = spare = None
    left = _DRAWS
    while left and (total := draw.total):
        left -= 1
        seat = seats[draw.at(chance())]
        if seat is first or (exclude and seat.name in exclude):
            continue
        well = seat.well(now)
        account = seat.account
        fits = account.endless or account.fits(now, tokens)
        if not ((well or seat.ready(now)) and fits):
            left += _parked(seat, now)
            continue
        alone = total == seat.weight
        if not well and seat.probes():
            # A call that has failed once is not risked on a probe while there is another way.
            if alone or not exclude:
                return seat
        elif not (well or alone) and _steps_back(seat, now, chance):
            spare = spare or seat
        elif first is not None:
            return seat if seat.cost(now) < _BETTER * first.cost(now) else first
        elif alone:
            return seat
        else:
            first = seat
    return first or spare or _best(tier, now, tokens, exclude)


def _parked(seat: Seat, now: float) -> bool:
    """Take a seat out of the draw that can serve nobody; one that lacks tokens can serve others."""
    until = seat.ready_at(now)
    if until <= now:
        return False
    seat.park(until)
    return True


def _steps_back(seat: Seat, now: float, chance: Callable[[], float]) -> bool:
    share = seat.recovered(now)
    return share < 1.0 and chance() >= share


def _best(tier: Tier, now: float, tokens: int, exclude: Collection[str]) -> Seat | None:
    """Look at everybody: drawing has found only seats that were tried or are too full."""
    able = [
        seat
        for seat in tier.seats
        if not seat.parked
        and seat.name not in exclude
        and seat.ready(now)
        and seat.account.fits(now, tokens)
    ]
    return min(able, key=lambda seat: (seat.probes(), seat.cost(now))) if able else None


def _sticks(seat: Seat, now: float, tokens: int, exclude: Collection[str]) -> bool:
    """True when a conversation may stay: never on a seat that is away, and not on a crowded one."""
    if seat.parked or seat.name in exclude:
        return False
    if not seat.well(now) and (not seat.ready(now) or seat.probes()):
        return False
    if not (seat.account.endless or seat.account.fits(now, tokens)):
        return False
    fair = seat.lane.in_flight * seat.share / len(seat.tier.seats)
    return seat.in_flight <= _CROWD * fair + _CROWD_BESIDE
