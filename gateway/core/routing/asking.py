"""What may be learnt of a credential beside its calls: whom to ask, and what an answer changes.

Calls know best. What is asked beside them tells of the host and of the login, not of a model: a
good answer lets one call try sooner, a failure changes nothing, and a refusal benches only whom no
call has found to be good.
"""

from __future__ import annotations

from typing import Literal

from gateway.core.limits import Refusal
from gateway.core.routing.breaker import CREDENTIAL
from gateway.core.routing.pool import Change, Pool, change_of

Said = Literal["ok", "refused", "failed"]

# What a good answer speaks against. It says nothing of money, of rates, of one model, or of what
# the operator has ordered.
_LOGIN, _HOST = "refused", "failures"


def silent(pool: Pool, name: str, now: float, seconds: float) -> bool:
    """True when no call has been answered by a credential for so long, and none is under way."""
    account = pool.accounts.get(name)
    if account is None or account.breaker.why == "admin" or account.limits.concurrency.count:
        return False
    seats = (lane.by_name.get(name) for lane in pool.lanes.values())
    return all(seat is None or seat.measured_at <= now - seconds for seat in seats)


def begin(pool: Pool, name: str, now: float) -> bool:
    """Count a question against the credential's limits, as the one call that it is."""
    account = pool.accounts.get(name)
    return account is not None and not isinstance(account.limits.admit(now, 0), Refusal)


def told(pool: Pool, name: str, now: float, said: Said) -> tuple[Change, ...]:
    """The answer has come, and the question is over; what it has changed comes back."""
    account = pool.accounts.get(name)
    if account is None:
        return ()
    account.limits.release()
    whole = account.breaker
    changes: list[Change] = []
    if said == "refused" and not whole.until and not whole.vouched:
        whole.open(now, "refused", CREDENTIAL)
        changes.append(change_of(whole, now, name, "", None))
    elif said == "ok":
        if whole.why == _LOGIN and whole.lift(now):
            changes.append(change_of(whole, now, name, "", None))
        changes += _lifted(pool, name, now)
    account.wake()
    return tuple(changes)


def _lifted(pool: Pool, name: str, now: float) -> list[Change]:
    """Its host answers: routes that failed may be tried, and so may it on each of them."""
    changes = []
    for lane in pool.lanes.values():
        seat = lane.by_name.get(name)
        if seat is None:
            continue
        own, route = seat.breaker, lane.breaker
        if own.why == _HOST and own.lift(now):
            changes.append(change_of(own, now, name, lane.upstream, lane.region))
        if route.why == _HOST and route.lift(now):
            changes.append(change_of(route, now, "", lane.upstream, lane.region))
    return changes
