"""A call's tries: one credential and route after the other, until one answers or none may."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from gateway.core.routing.affinity import Place
from gateway.core.routing.budget import Tries
from gateway.core.routing.causes import Outcome, Verdict, classify
from gateway.core.routing.pool import Pick, Pool
from gateway.domain import Credential
from gateway.errors import NO_UPSTREAM, RATE_LIMIT_EXCEEDED, Fault
from gateway.pipeline.attempt import Attempt
from gateway.pipeline.record import Record
from gateway.pipeline.routing import Routing
from gateway.pipeline.services import Candidate, Services

_MOST_TRIES = 6
_DEADLINE = 600.0
_PATIENCE = 2.0  # seconds that a call waits for a credential that will be back by then
More = Callable[[], Awaitable[list[Candidate]]]


class Try(Struct):
    """A route and a credential that have been asked to serve a call."""

    candidate: Candidate
    credential: Credential
    pool: Pool
    pick: Pick
    began: float
    sent: Attempt | None = None  # once it has answered with headers
    hurry: asyncio.Timeout | None = None  # until its answer has begun


class Attempts(Struct, eq=False):
    """What has been tried of one call, and what may be tried still.

    Every open stream carries one, so it is kept small.
    """

    _services: Services
    _routing: Routing
    _first: Candidate
    began: float
    _queue: list[Candidate]
    _tokens: int
    _record: Record
    _more: More | None
    _keys: tuple[int, ...] = ()
    _tries: Tries | None = None  # once one has failed
    _sticky: Place | None = None
    _excluded: tuple[tuple[str, str], ...] = ()
    _wait: float | None = None
    _busy: bool = False  # somebody is away for more than a limited rate
    _given_up: tuple[str, ...] = ()
    _too_small: int = -1
    _only_asked: bool = False
    _elsewhere: bool = False

    @classmethod
    def of(
        cls,
        services: Services,
        candidates: list[Candidate],
        tokens: int,
        record: Record,
        more: More,
        keys: tuple[int, ...] = (),
    ) -> Attempts:
        """Those of a call that has just been admitted: its time runs from now on."""
        routing, now = services.routing, services.clock.monotonic()
        routing.budget.offered()
        attempts = cls(
            services, routing, candidates[0], now, candidates, tokens, record, more, keys
        )
        if keys:
            attempts._sticky = sticky = routing.affinity.find(now, keys)
            attempts._put_first(sticky)
        return attempts

    def _put_first(self, place: Place | None) -> None:
        """A conversation goes where its prompt is warm, if that may serve it at all."""
        for at, candidate in enumerate(self._queue):
            if place is not None and candidate.route.slug == place.route:
                if at:
                    self._queue = [candidate, *self._queue[:at], *self._queue[at + 1 :]]
                return

    @property
    def others(self) -> bool:
        """Whether another route is left beside the one that is being tried."""
        return len(self._queue) > 1 or self._more is not None

    @property
    def tries(self) -> Tries:
        """What it may still do, which is asked of few calls."""
        if self._tries is None:
            total = self._first.route.provider.timeouts.total
            ends = self.began + min(total, _DEADLINE)
            self._tries = Tries(self._routing.budget, ends, _MOST_TRIES)
        return self._tries

    async def next(self, last: Fault | None = None) -> Try:
        """The next to try; the `last` fault, or a 503, where nobody is left."""
        first = self._queue
        if last is not None:
            return await self._again(last)
        found = await self._any()
        if found is not None:
            return found
        if self._wait is not None and self._wait <= _PATIENCE:
            # Nobody has failed this call: those that rest are asked once they are back.
            await asyncio.sleep(self._wait)
            self._queue = first
            found = await self._any()
        if found is None:
            raise self._all_away()
        return found

    async def _again(self, last: Fault) -> Try:
        """Somebody who goes well, or whom the budget allows to bother.

        Where neither is there yet, but calls are on their way, it waits for how they end: of many
        calls that begin at once none knows who is good before the first is answered.
        """
        clock = self._services.clock
        ends = clock.monotonic() + _PATIENCE
        while True:
            found = await self._any()
            if found is None:
                raise last
            now, seat = clock.monotonic(), found.pick.seat
            if self.tries.again(now, proven=seat.proven(now)):
                return found
            found.pool.ended(found.pick, now, "unknown")
            if not seat.in_flight or now >= ends:
                raise last
            await self._routing.word(ends - now)

    async def _any(self) -> Try | None:
        """Whoever of those that are left can take the call now."""
        if self._elsewhere:
            self._elsewhere = False
            rest = self._queue
            await self._extended()
            self._queue += rest
        while True:
            while self._queue:
                found = self.begin(self._services.clock.monotonic())
                if found is not None:
                    return found
                self._queue = self._queue[1:]
            if self._more is None or not await self._extended():
                return None

    async def _extended(self) -> bool:
        """Look beyond the name that was asked: other routes of the model, then other models."""
        more, self._more = self._more, None
        found = [] if more is None else await more()
        self._queue = [one for one in found if self._may(one)]
        return bool(self._queue)

    def _may(self, candidate: Candidate) -> bool:
        """Whether nothing that has failed speaks against a candidate."""
        return (
            candidate.route.slug not in self._given_up
            and _context(candidate) > self._too_small
            and (candidate.asked or not self._only_asked)
        )

    def begin(self, now: float) -> Try | None:
        """Whoever comes first of those that are left, if they can take the call now."""
        candidate = self._queue[0]
        route = candidate.route
        pool = self._routing.pool(route.provider)
        sticky = self._sticky
        wanted = sticky.credential if sticky is not None and sticky.route == route.slug else None
        excluded: Sequence[str] = ()
        if self._excluded:
            excluded = [name for slug, name in self._excluded if slug == route.slug]
        pick = pool.take(now, route.upstream, route.region, wanted, self._tokens, excluded)
        if isinstance(pick, Pick):
            return Try(candidate, candidate.credentials[pick.seat.name], pool, pick, now)
        if pick.wait is not None:
            known = self._wait
            self._wait = pick.wait if known is None else min(known, pick.wait)
        self._busy = self._busy or pick.why != "limited"
        return None

    def answered(self, tried: Try) -> None:
        """The answer has begun, and it is a good one."""
        if tried.hurry is not None:
            tried.hurry.reschedule(None)
        now = self._services.clock.monotonic()
        changes = tried.pool.answered(tried.pick, now, now - tried.began)
        if changes:
            self._routing.changed(tried.candidate.route.provider.name, changes)
        if self._routing.curious:
            self._routing.told()

    def done(self, tried: Try, outcome: Outcome, fault: Fault | None = None) -> None:
        """It is over, however it went."""
        record, usage = self._record, self._record.usage
        now = self._services.clock.monotonic()
        if tried.sent is not None:
            # An unfinished answer is cut here, whether the client left or something failed.
            tried.sent.reply.close()
            record.upstream_done = now
        wait = None if fault is None else fault.retry_after
        tokens = None if usage is None else usage.input + usage.output
        changes = tried.pool.ended(tried.pick, now, outcome, wait, tokens)
        if changes:
            self._routing.changed(tried.candidate.route.provider.name, changes)
        if self._routing.curious:
            self._routing.told()
        if outcome == "ok":
            if self._tries is not None:
                self._tries.succeeded()
            if self._keys:
                place = Place(tried.candidate.route.slug, tried.pick.seat.name)
                self._routing.affinity.keep(now, self._keys, place)
            if record.stream and usage is not None:
                slug, seconds = tried.candidate.route.slug, now - record.first_byte
                self._routing.streamed(slug, usage.output, seconds)

    def failed(self, tried: Try, fault: Fault, *, sent: bool) -> bool:
        """Note a failure; True if the call may be tried elsewhere."""
        verdict = classify(fault, sent=sent)
        self.done(tried, verdict.outcome, fault)
        route = tried.candidate.route
        if verdict.outcome == "refused" and tried.candidate.adapter.login is not None:
            # What a login gave may be over before its time: the next call gets it anew.
            services = self._services
            services.logins.forget(route.provider, tried.credential, services.clock.time())
        record = self._record
        failure: dict[str, str | int] = {
            "route": route.slug,
            "provider": route.provider.name,
            "cause": fault.cause,
            "outcome": verdict.outcome,
            "status": record.upstream_status,
            "ms": int((self._services.clock.monotonic() - tried.began) * 1000),
        }
        record.tries = (*record.tries, failure)
        if verdict.again == "never":
            return False
        self._narrow(tried, verdict)
        return self.tries.left(self._services.clock.monotonic())

    def _narrow(self, tried: Try, verdict: Verdict) -> None:
        """Leave out what the failure has ruled out."""
        route = tried.candidate.route
        if verdict.again == "credential":
            self._excluded = (*self._excluded, (route.slug, tried.pick.name))
            if verdict.outcome == "failed":  # as likely the host's fault: another one goes first
                self._queue = [*self._queue[1:], *self._queue[:1]]
                self._elsewhere = True
            return
        self._given_up = (*self._given_up, route.slug)
        if verdict.again == "larger":
            self._too_small = max(self._too_small, _context(tried.candidate))
        elif verdict.again == "asked":
            self._only_asked = True
        self._queue = [one for one in self._queue if self._may(one)]

    def _all_away(self) -> Fault:
        wait = 1.0 if self._wait is None else self._wait
        if not self._busy:  # clients tell this from a failure, as they would without a gateway
            return Fault(
                RATE_LIMIT_EXCEEDED,
                f"The rate of '{self._record.model}' is limited by its provider just now. Try "
                "again in a moment.",
                retry_after=wait,
                cause="all_limited",
            )
        return Fault(
            NO_UPSTREAM,
            f"All that could serve '{self._record.model}' are at their limits or resting after "
            "failures. Try again in a moment.",
            retry_after=wait,
            cause="all_away",
        )


def outcome_of(error: BaseException) -> Outcome:
    """What an end that is no fault of anybody's says of who was asked: nothing."""
    return classify(error, sent=True).outcome if isinstance(error, Fault) else "unknown"


def _context(candidate: Candidate) -> int:
    return candidate.route.window or 0
