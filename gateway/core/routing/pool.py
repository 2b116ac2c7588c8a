"""The credentials of one provider: who takes the next call, and what is learnt from each.

pick = pool.take(now, upstream="model", tokens=900)
if isinstance(pick, Pick):
    ...                                       # the call
    pool.answered(pick, now, seconds)         # at the first byte of an answer
    pool.ended(pick, now, "ok", tokens=1234)  # once, however it went
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Literal

from msgspec import Struct

from gateway.core.limits import CONCURRENCY_WAIT, Ticket
from gateway.core.routing.breaker import CREDENTIAL, FAILURES, RATE_LIMIT, Breaker, Phase, Why
from gateway.core.routing.causes import Outcome
from gateway.core.routing.drawing import chosen
from gateway.core.routing.seats import Account, Lane, Member, Seat

Because = Literal["nobody", "route", "tried", "too_large", "limited", "busy"]


class Refused(Struct, frozen=True):
    """Nobody can take the call now: the seconds to wait, if waiting helps, and why.

    "nobody" serves the route at all; the "route" is closed; all have been "tried"; the call is
    "too_large" for every limit of tokens; the provider has "limited" the rate of all; all are
    "busy" or away.
    """

    wait: float | None
    why: Because


class Pick(Struct, gc=False):
    """A choice, and until it has `ended` the call that was made of it."""

    seat: Seat
    tokens: int = 0
    ticket: Ticket | None = None  # held while the call runs
    turns: tuple[int, int, int] = (0, 0, 0)
    heard: bool = False

    @property
    def name(self) -> str:
        """The credential."""
        return self.seat.name

    @property
    def tier(self) -> int:
        """The credential's tier: above zero where the usual ones could not take the call."""
        return self.seat.account.member.tier


class Change(Struct, frozen=True):
    """A breaker has changed: for metrics, alerts and the log. `upstream` is empty where the
    credential is meant on all routes, `credential` where all credentials of the route are.
    """

    credential: str
    upstream: str
    region: str | None
    phase: Phase
    why: Why
    seconds: float = 0.0


class State(Struct, frozen=True):
    """One line of a status page; `credential` and `upstream` are empty as in `Change`.

    `seconds` is what is left of an opening or of the way back, infinite without an end.
    """

    credential: str
    upstream: str
    region: str | None
    phase: Phase
    why: Why
    seconds: float
    in_flight: int
    latency: float = 0.0
    calls: int = 0
    failed: int = 0
    tier: int = 0
    weight: int = 0
    requests_left: int | None = None
    tokens_left: int | None = None


class Pool:
    """All of a provider's credentials. `chance` gives numbers in [0, 1).

    A pool made after a change of the catalog goes on from the `former` one: what was counted and
    who was away stays so, and calls that began in the one may end in the other.
    """

    def __init__(
        self,
        members: tuple[Member, ...],
        chance: Callable[[], float],
        former: Pool | None = None,
    ) -> None:
        self._chance = chance
        known = {} if former is None else former.accounts
        self.accounts: dict[str, Account] = {}
        for member in members:
            account = known.get(member.name)
            if account is None:
                account = Account(member, chance)
            else:
                account.change(member)
                account.wake()  # the former pool's seats are not to be kept for its sake
            self.accounts[member.name] = account
        self.lanes: dict[tuple[str, str | None], Lane] = {}
        for (upstream, region), lane in () if former is None else former.lanes.items():
            self._lane(upstream, region).inherit(lane)

    def take(
        self,
        now: float,
        upstream: str = "",
        region: str | None = None,
        sticky: str | None = None,
        tokens: int = 0,
        exclude: Collection[str] = (),
    ) -> Pick | Refused:
        """Choose a credential for a call of about so many tokens that begins now: it is counted."""
        lane = self.lanes.get((upstream, region)) or self._lane(upstream, region)
        seat = lane.alone
        if seat is not None and not (seat.parked or exclude):
            account = seat.account
            own, whole, route = seat.breaker, account.breaker, lane.breaker
            closed = not (own.until or whole.until or route.until)
            if closed and (account.endless or account.fits(now, tokens)):
                # There is no choice and all is well: `pick` and `began` in one.
                ticket = account.admit(now, tokens)
                if isinstance(ticket, Ticket):
                    self._chance()  # a draw among one is a draw: luck goes on as among many
                    seat.in_flight += 1
                    lane.in_flight += 1
                    return Pick(seat, tokens, ticket, (own.turn, whole.turn, route.turn))
        pick = self.pick(now, upstream, region, sticky, tokens, exclude)
        if isinstance(pick, Pick) and not self.began(pick, now):
            return Refused(CONCURRENCY_WAIT, "busy")
        return pick

    def pick(
        self,
        now: float,
        upstream: str = "",
        region: str | None = None,
        sticky: str | None = None,
        tokens: int = 0,
        exclude: Collection[str] = (),
    ) -> Pick | Refused:
        """Only choose: nothing is counted before `began`."""
        lane = self.lanes.get((upstream, region)) or self._lane(upstream, region)
        breaker = lane.breaker
        if breaker.until and not breaker.ready(now):
            wait = breaker.until - now
            return Refused(wait if wait > 0 else CONCURRENCY_WAIT, "route")
        seat = chosen(lane, now, self._chance, sticky, tokens, exclude)
        return _refusal(lane, now, tokens, exclude) if seat is None else Pick(seat, tokens)

    def began(self, pick: Pick, now: float) -> bool:
        """Count the call against every limit; False, and nothing, if others were quicker."""
        seat = pick.seat
        account, lane = seat.account, seat.lane
        own, whole, route = seat.breaker, account.breaker, lane.breaker
        closed = not (own.until or whole.until or route.until)
        if pick.ticket is not None or not (closed or (seat.ready(now) and route.ready(now))):
            return False
        ticket = account.admit(now, pick.tokens)
        if not isinstance(ticket, Ticket):
            return False
        pick.ticket = ticket
        if closed:
            pick.turns = (own.turn, whole.turn, route.turn)
        else:
            pick.turns = (own.began(now), whole.began(now), route.began(now))
        seat.in_flight += 1
        lane.in_flight += 1
        return True

    def answered(self, pick: Pick, now: float, seconds: float) -> tuple[Change, ...]:
        """A good answer has begun, after so many seconds: a stream may go on for long."""
        if pick.ticket is None or pick.heard:
            return ()
        pick.heard = True
        seat = pick.seat
        account = seat.account
        seat.measured(now, seconds)
        if account.parked:
            account.wake()
        own, whole, route = seat.breaker, account.breaker, seat.lane.breaker
        closed = not (own.until or whole.until or route.until)
        if closed and pick.turns == (own.turn, whole.turn, route.turn):
            # Nothing was wrong and nothing is: there is only something to count.
            for breaker in (own, whole, route):
                breaker.window.count(now, True)
            return ()
        changes = _told(pick, now, "ok", None)
        turns = pick.turns
        pick.turns = (own.renewed(turns[0]), whole.renewed(turns[1]), route.renewed(turns[2]))
        return changes

    def ended(
        self,
        pick: Pick,
        now: float,
        outcome: Outcome,
        retry_after: float | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
    ) -> tuple[Change, ...]:
        """The call is over; say how, and what it really used of the tokens.

        `seconds` until the first byte is for calls of which `answered` was not told. What comes
        back are the breakers that this call has opened or closed: seldom any.
        """
        ticket = pick.ticket
        if ticket is None:
            return ()
        pick.ticket = None
        seat = pick.seat
        account = seat.account
        running = account.limits.concurrency
        if running.count > 0:
            running.count -= 1
        if tokens is not None and ticket.bucket is not None:
            account.limits.settle(ticket, tokens)
        seat.in_flight -= 1
        seat.lane.in_flight -= 1
        if seconds is not None and not pick.heard and outcome in _TIMED:
            seat.measured(now, seconds)
        if account.parked:
            account.wake()
        if pick.heard and outcome in _GOOD:
            return ()  # what was good of it has been counted
        return _told(pick, now, outcome, retry_after)

    def bench(self, name: str, now: float, seconds: float = math.inf) -> bool:
        """Keep a credential out by order of the operator; False if there is none of that name."""
        account = self.accounts.get(name)
        if account is None:
            return False
        account.breaker.hold(now, seconds)
        account.wake()  # the order may be for less than it was away for
        return True

    def restore(self, name: str) -> bool:
        """Let a credential back in at once, on all routes; False if there is none of that name."""
        account = self.accounts.get(name)
        if account is None:
            return False
        account.breaker.restore()
        for lane in self.lanes.values():
            if name in lane.by_name:
                lane.by_name[name].breaker.restore()
        account.wake()
        return True

    def restore_route(self, upstream: str, region: str | None = None) -> bool:
        """Open a route again at once; False if no call has ever asked for it."""
        lane = self.lanes.get((upstream, region))
        if lane is None:
            return False
        lane.breaker.restore()
        return True

    def states(self, now: float) -> tuple[State, ...]:
        """Each credential, each route, each credential on a route, as they stand."""
        lines = [_account_state(account, now) for account in self.accounts.values()]
        for lane in self.lanes.values():
            lines.append(_state(lane.breaker, now, lane, None, lane.in_flight, lane.latency))
            lines += [
                _state(seat.breaker, now, lane, seat, seat.in_flight, seat.latency)
                for seat in lane.seats
            ]
        return tuple(lines)

    def _lane(self, upstream: str, region: str | None) -> Lane:
        accounts = [a for a in self.accounts.values() if a.member.serves(upstream, region)]
        lane = Lane(upstream, region, accounts, self._chance)
        self.lanes[upstream, region] = lane
        return lane


_GOOD = ("ok", "rejected")
_TIMED = ("ok", "timed_out")


def _breakers(seat: Seat) -> tuple[Breaker, Breaker, Breaker]:
    return seat.breaker, seat.account.breaker, seat.lane.breaker


def _told(
    pick: Pick, now: float, outcome: Outcome, retry_after: float | None
) -> tuple[Change, ...]:
    """Tell the three breakers what concerns each, and say which of them have changed."""
    seat = pick.seat
    own, whole, route = _breakers(seat)
    before = (own.until, whole.until, route.until)
    _judge(pick, now, outcome, retry_after)
    if before == (own.until, whole.until, route.until):
        return ()
    lane = seat.lane
    changes = []
    if own.until != before[0]:
        changes.append(change_of(own, now, seat.name, lane.upstream, lane.region))
    if whole.until != before[1]:
        changes.append(change_of(whole, now, seat.name, "", None))
    if route.until != before[2]:
        changes.append(change_of(route, now, "", lane.upstream, lane.region))
    return tuple(changes)


def _judge(pick: Pick, now: float, outcome: Outcome, retry_after: float | None) -> None:
    own, whole, route = _breakers(pick.seat)
    on_own, on_whole, on_route = pick.turns
    fine: bool | None = None  # what the outcome says of the credential as such
    failed: bool | None = None  # and of the route
    if outcome in _GOOD:
        fine, failed = True, False
        own.ended(on_own, now, True)
    elif outcome == "rate_limited":
        fine = True
        own.trip(on_own, now, "rate_limit", RATE_LIMIT, retry_after)
    elif outcome == "forbidden":
        fine = True
        own.trip(on_own, now, "forbidden", CREDENTIAL)
    elif outcome in {"failed", "overloaded"} and retry_after is not None:
        why: Why = "overload" if outcome == "overloaded" else "failures"
        failed = own.trip(on_own, now, why, FAILURES, retry_after) or None
    elif outcome in {"failed", "timed_out", "overloaded"}:
        failed = own.ended(on_own, now, False, pick.seat.rule()) or None
    else:
        own.ended(on_own, now, None)
    if outcome in {"refused", "exhausted"}:
        whole.trip(on_whole, now, "refused" if outcome == "refused" else "exhausted", CREDENTIAL)
    else:
        whole.ended(on_whole, now, fine)
    route.ended(on_route, now, None if failed is None else not failed)


def _refusal(lane: Lane, now: float, tokens: int, exclude: Collection[str]) -> Refused:
    if not lane.seats:
        return Refused(None, "nobody")
    if exclude and all(name in exclude for name in lane.by_name):
        return Refused(None, "tried")
    if tokens > lane.most_tokens:
        return Refused(None, "too_large")
    limited = all(seat.breaker.why == "rate_limit" for seat in lane.seats)
    return Refused(lane.wait(now), "limited" if limited else "busy")


def change_of(
    breaker: Breaker, now: float, credential: str, upstream: str, region: str | None
) -> Change:
    """How a breaker stands, for those who are to hear of it."""
    left = max(breaker.until - now, 0.0)
    return Change(credential, upstream, region, breaker.phase(now), breaker.why, left)


def _state(
    breaker: Breaker, now: float, lane: Lane, seat: Seat | None, in_flight: int, latency: float
) -> State:
    return State(
        "" if seat is None else seat.name,
        lane.upstream,
        lane.region,
        breaker.phase(now),
        breaker.why,
        breaker.left(now),
        in_flight,
        latency,
        breaker.window.calls,
        breaker.window.bad,
    )


def _account_state(account: Account, now: float) -> State:
    member, limits, breaker = account.member, account.limits, account.breaker
    return State(
        member.name,
        "",
        None,
        breaker.phase(now),
        breaker.why,
        breaker.left(now),
        limits.concurrency.count,
        tier=member.tier,
        weight=member.weight,
        requests_left=None if limits.rpm is None else max(limits.rpm.room(now), 0),
        tokens_left=None if limits.tpm is None else max(limits.tpm.room(now), 0),
    )
