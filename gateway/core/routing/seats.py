"""Credentials as the pool sees them: what each may do, how it has done, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from heapq import heappop, heappush

from msgspec import Struct

from gateway.core.limits import CONCURRENCY_WAIT, Bucket, Limits, Refusal, Ticket
from gateway.core.routing.breaker import (
    CREDENTIAL_RULE,
    LAST_RULE,
    ROUTE_RULE,
    Breaker,
    Rule,
)
from gateway.core.routing.draw import Draw

HALF_LIFE = 30.0  # seconds in which a latency that nobody has confirmed comes half way to the mean
_NEWEST = 0.2  # what the newest latency counts in the smoothed one
# Added to both of two that are compared: a few milliseconds (a new connection) are no reason to
# leave anybody out.
_NOISE = 0.05
_FIRST_GUESS = 1.0  # second to the first byte, where nothing was ever measured
_ENOUGH, _WELL = 3, 0.3  # calls of others on the route, and the share of them that may fail
# The heaviest weights keep their proportion to the mean as whole numbers of this grain.
_GRAIN = 16
_UNCOUNTED = Ticket()  # of all calls whose credential has no limit


class Member(Struct, frozen=True):
    """One credential by name: never its secret. Empty `models` and `regions` mean all of them.

    A member of a higher tier is used only while no member of a lower one can take the call.
    """

    name: str
    weight: int = 1
    tier: int = 0
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()

    def serves(self, upstream: str, region: str | None) -> bool:
        """True when it may be used for this upstream model in this region."""
        if self.weight <= 0 or 0 in (self.rpm, self.tpm, self.concurrency):
            return False
        if self.regions and region is not None and region not in self.regions:
            return False
        return not self.models or any(fnmatchcase(upstream, glob) for glob in self.models)


class Account:
    """A credential's own: limits and standing that hold on all of the provider's routes."""

    __slots__ = ("breaker", "endless", "limits", "member", "parked")

    def __init__(self, member: Member, chance: Callable[[], float]) -> None:
        self.member = member
        self.limits = Limits(member.rpm, member.tpm, member.concurrency)
        self.endless = not self.limits.any  # every call fits
        self.breaker = Breaker(CREDENTIAL_RULE, chance)
        self.parked: set[Seat] = set()  # out of their draws until something ends

    def change(self, member: Member) -> None:
        """Other rules for the same credential: what it has done this minute still counts."""
        self.member = member
        self.limits.change(member.rpm, member.tpm, member.concurrency)
        self.endless = not self.limits.any

    def fits(self, now: float, tokens: int) -> bool:
        """True when a call estimated at `tokens` is within every limit."""
        if self.endless:
            return True
        limits = self.limits
        running, rpm, tpm = limits.concurrency, limits.rpm, limits.tpm
        if running.limit is not None and running.count >= running.limit:
            return False
        if rpm is not None and rpm.room(now) <= 0:
            return False
        return tpm is None or tpm.room(now) >= max(tokens, 1)

    def admit(self, now: float, tokens: int) -> Ticket | Refusal:
        """Count a call against every limit; where there is none, only that it runs."""
        if self.endless:
            self.limits.concurrency.count += 1
            return _UNCOUNTED
        return self.limits.admit(now, tokens)

    def full_until(self, now: float) -> float:
        """When it may take any call again; `now` where it can, infinite where that is unknown."""
        limits = self.limits
        running = limits.concurrency
        if running.limit is not None and running.count >= running.limit:
            return math.inf
        return max(_free(limits.rpm, now), _free(limits.tpm, now))

    def wake(self) -> None:
        """Something has ended: those that waited for it are drawn again."""
        for seat in tuple(self.parked):
            seat.unpark()


class Seat:
    """A credential on one route."""

    __slots__ = (
        "account",
        "alarm",
        "breaker",
        "in_flight",
        "lane",
        "latency",
        "measured_at",
        "name",
        "parked",
        "place",
        "share",
        "tier",
        "weight",
    )

    def __init__(self, account: Account, lane: Lane, chance: Callable[[], float]) -> None:
        self.account = account
        self.lane = lane
        self.name = account.member.name
        self.breaker = Breaker(CREDENTIAL_RULE, chance)
        self.in_flight = 0
        self.latency = 0.0  # smoothed; zero: never measured
        self.measured_at = -math.inf
        self.parked = False
        self.alarm = math.inf
        self.tier: Tier
        self.place = 0
        self.weight = 1
        self.share = 1.0  # its weight as a multiple of its tier's mean

    def ready_at(self, now: float) -> float:
        """When it can be drawn: `now` if it can, infinite if only an ending call can tell."""
        for breaker in (self.account.breaker, self.breaker):
            if not breaker.ready(now):
                return breaker.until if now < breaker.until else math.inf
        return self.account.full_until(now)

    def ready(self, now: float) -> bool:
        """True when neither breaker is in its way."""
        own, whole = self.breaker, self.account.breaker
        if not own.until and not whole.until:
            return True
        return own.ready(now) and whole.ready(now)

    def well(self, now: float) -> bool:
        """True when nothing is in its way and it is due all of its share, as nearly always."""
        own, whole = self.breaker, self.account.breaker
        return not (own.until or whole.until or now < own.ramp_ends or now < whole.ramp_ends)

    def probes(self) -> bool:
        """True when a call that begins now would be a probe; asked of those that are ready."""
        return bool(self.breaker.until or self.account.breaker.until)

    def recovered(self, now: float) -> float:
        """What part of its share it should have: less than 1 after an opening."""
        own, whole = self.breaker, self.account.breaker
        if now >= own.ramp_ends and now >= whole.ramp_ends:
            return 1.0
        return min(own.share(now), whole.share(now))

    def proven(self, now: float) -> bool:
        """Whether calls go well here at this time: the last one did, and it was lately."""
        breaker = self.breaker
        window = breaker.window
        done_well = not window.row and window.calls > window.bad and window.fresh(now)
        return done_well and not breaker.until

    def rule(self) -> Rule:
        """Early and for long it is left for others only that do better.

        Where all fail alike nobody would be left: who still answers some calls goes on.
        """
        own, lane = self.breaker.window, self.lane.breaker.window
        calls, bad = lane.calls - own.calls, lane.bad - own.bad
        if bad < _WELL * calls if calls >= _ENOUGH else self._others_did_well():
            return CREDENTIAL_RULE
        return ROUTE_RULE if own.bad < own.calls else LAST_RULE

    def _others_did_well(self) -> bool:
        """Whether the last call of any other went well, however long ago."""
        return any(
            other is not self and not other.breaker.until and not other.breaker.window.row
            for other in self.lane.seats
            if other.latency
        )

    def cost(self, now: float) -> float:
        """How long a call would have to wait here, in comparison: load times latency."""
        expected = self.expected(now) + _NOISE
        running = self.account.limits.concurrency.count
        if not running:
            return expected
        return (running / (self.share * self.recovered(now)) + 1.0) * expected

    def expected(self, now: float) -> float:
        """Its latency, on its way back to the lane's mean if it was long not measured."""
        mean = self.lane.latency or _FIRST_GUESS
        if not self.latency:
            return mean
        age = now - self.measured_at
        if age < 1.0:
            return self.latency
        return float(mean + (self.latency - mean) * 0.5 ** (age / HALF_LIFE))

    def measured(self, now: float, seconds: float) -> None:
        """A call was answered after so many seconds."""
        known = self.latency or seconds
        if now - self.measured_at >= 1.0 and self.latency:
            known = self.expected(now)
        self.latency = known + _NEWEST * (seconds - known)
        self.measured_at = now
        lane = self.lane
        mean = lane.latency
        lane.latency = mean + _NEWEST / len(lane.seats) * (seconds - mean) if mean else seconds

    def park(self, until: float) -> None:
        """Take it out of the draw until then, or until something of its credential ends."""
        tier = self.tier
        tier.draw.set(self.place, 0)
        if not self.parked:
            self.parked = True
            self.account.parked.add(self)
        if until < self.alarm:
            self.alarm = until
            heappush(tier.alarms, (until, self.place))

    def unpark(self) -> None:
        """Put it back into the draw."""
        if self.parked:
            self.parked = False
            self.account.parked.discard(self)
            self.tier.draw.set(self.place, self.weight)

    def inherit(self, former: Seat) -> None:
        """Go on from what was known of the same credential on the same route."""
        self.breaker = former.breaker
        self.latency, self.measured_at = former.latency, former.measured_at


class Tier:
    """The seats of one priority, and the draw among those not known to be unable."""

    __slots__ = ("alarms", "draw", "rank", "seats")

    def __init__(self, rank: int, seats: list[Seat]) -> None:
        self.rank = rank
        self.seats = seats
        self.alarms: list[tuple[float, int]] = []
        mean = sum(seat.account.member.weight for seat in seats) / len(seats)
        for place, seat in enumerate(seats):
            seat.tier = self
            seat.place = place
            seat.share = seat.account.member.weight / mean
            seat.weight = max(1, round(seat.share * _GRAIN * len(seats)))
        self.draw = Draw([seat.weight for seat in seats])

    def wake(self, now: float) -> None:
        """Put back those whose time has come."""
        alarms = self.alarms
        while alarms and alarms[0][0] <= now:
            when, place = heappop(alarms)
            seat = self.seats[place]
            if seat.alarm == when:
                seat.alarm = math.inf
            seat.unpark()


class Lane:
    """Everybody who can serve one route, in tiers, and the breaker of the route itself."""

    __slots__ = (
        "alone",
        "breaker",
        "by_name",
        "in_flight",
        "latency",
        "most_tokens",
        "region",
        "seats",
        "tiers",
        "upstream",
    )

    def __init__(
        self,
        upstream: str,
        region: str | None,
        accounts: list[Account],
        chance: Callable[[], float],
    ) -> None:
        self.upstream = upstream
        self.region = region
        self.breaker = Breaker(ROUTE_RULE, chance)
        self.latency = 0.0
        self.in_flight = 0
        self.seats = [Seat(account, self, chance) for account in accounts]
        self.by_name = {seat.name: seat for seat in self.seats}
        self.alone = self.seats[0] if len(self.seats) == 1 else None  # where there is no choice
        self.most_tokens = max((_most_tokens(account.member) for account in accounts), default=0)
        ranks = sorted({account.member.tier for account in accounts})
        self.tiers = [
            Tier(rank, [seat for seat in self.seats if seat.account.member.tier == rank])
            for rank in ranks
        ]

    def inherit(self, former: Lane) -> None:
        """Go on from what was known of the same route."""
        self.breaker = former.breaker
        self.latency = former.latency
        for seat in self.seats:
            known = former.by_name.get(seat.name)
            if known is not None:
                seat.inherit(known)

    def wait(self, now: float) -> float:
        """Seconds until somebody may be able again; a second where nobody knows."""
        alarms = [tier.alarms[0][0] for tier in self.tiers if tier.alarms]
        if any(tier.draw.total for tier in self.tiers) or not alarms:
            return CONCURRENCY_WAIT
        return max(min(alarms) - now, 0.0)


def _most_tokens(member: Member) -> float:
    return math.inf if member.tpm is None else member.tpm


def _free(bucket: Bucket | None, now: float) -> float:
    if bucket is None or bucket.room(now) > 0:
        return now
    return now + bucket.wait(now, 1)
