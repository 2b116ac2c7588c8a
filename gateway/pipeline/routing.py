"""Where calls go: the meaning of names, the credentials of providers, what conversations prefer.

The decisions are gateway.core.routing's; here they get the catalog in force, the time, and figures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import random

from gateway.core.routing.affinity import Affinity
from gateway.core.routing.bands import Figures
from gateway.core.routing.budget import RetryBudget
from gateway.core.routing.choose import ONE, May, Ranked, Ranks, choose
from gateway.core.routing.needs import Needs
from gateway.core.routing.plan import Plan, Plans
from gateway.core.routing.pool import Change, Pool
from gateway.core.routing.preferences import NO_PREFERENCES, Preferences
from gateway.core.routing.seats import Lane, Member
from gateway.domain import ANONYMOUS, Credential, Provider, Route
from gateway.pipeline.catalogs import Routes
from gateway.pipeline.desk import Standing
from gateway.ports import Clock

_TURN = 1.0  # seconds for which figures hold
_NEWEST = 0.2
_MEASURABLE = 0.2  # seconds of streaming below which a speed says nothing


class Routing:
    """One process' knowledge of routes and credentials; it outlives every revision."""

    def __init__(self, clock: Clock, chance: Callable[[], float] = random) -> None:
        self._clock = clock
        self.chance = chance
        self.budget = RetryBudget()
        self.affinity = Affinity()
        self.on_change: Callable[[str, Change], None] = _nobody
        self._catalog: Routes | None = None
        self._plans: Plans
        self._ranks = Ranks()
        self._pools: dict[str, tuple[Provider, Pool]] = {}
        self._speeds: dict[str, float] = {}
        self._figures: dict[str, Figures] = {}
        self._ranked: dict[str, Ranked] = {}  # by the figures of this turn
        self._turn = 0
        self._turns_at = 0.0
        self.curious: set[asyncio.Future[None]] = set()  # calls that wait for word of others

    def plan(self, name: str, catalog: Routes) -> Plan:
        """What a model name stands for today, or a 404."""
        if catalog is not self._catalog:
            self._catalog = catalog
            self._plans = Plans(catalog)
            self._ranks = Ranks()
        return self._plans.of(name, self._clock.time())

    def order(
        self,
        plan: Plan,
        preferences: Preferences,
        needs: Needs,
        standing: Standing,
        may: May | None = None,
    ) -> tuple[Route, ...]:
        """A plan's routes in the order in which they are to be tried."""
        ranked = self._ranked.get(plan.name)
        if ranked is None or ranked.plan is not plan or self._clock.monotonic() >= self._turns_at:
            ranked = self._ranked_now(plan)
        if preferences is NO_PREFERENCES and may is None:
            usual = ranked.usual(needs)
            if usual is not None:
                return usual.drawn(self.chance())
        multiplier = ONE if standing.group is None else standing.group.multiplier
        return choose(
            ranked, preferences, needs, may=may, multiplier=multiplier, luck=self.chance()
        )

    def pool(self, provider: Provider) -> Pool:
        """The provider's credentials; one that needs none has a nameless one."""
        known = self._pools.get(provider.name)
        if known is not None and known[0] is provider:
            return known[1]
        members = tuple(map(member_of, provider.credentials or (ANONYMOUS,)))
        pool = Pool(members, self.chance, None if known is None else known[1])
        self._pools[provider.name] = provider, pool
        return pool

    def forget(self) -> None:
        """Forget how everybody has done."""
        self._pools.clear()

    def pools(self) -> dict[str, Pool]:
        """Those in use, by provider."""
        return {name: pool for name, (_, pool) in self._pools.items()}

    def changed(self, provider: str, changes: tuple[Change, ...]) -> None:
        """Tell whoever listens what a call has changed."""
        for change in changes:
            self.on_change(provider, change)

    def told(self) -> None:
        """A call has been answered or has failed: others may have waited to hear it."""
        for one in self.curious:
            if not one.done():
                one.set_result(None)
        self.curious.clear()

    async def word(self, seconds: float) -> None:
        """Wait until any call has been answered or has failed, or for so long."""
        one = asyncio.get_running_loop().create_future()
        self.curious.add(one)
        try:
            async with asyncio.timeout(seconds):
                await one
        except TimeoutError:
            pass
        finally:
            self.curious.discard(one)

    def streamed(self, slug: str, tokens: int, seconds: float) -> None:
        """A stream of so many tokens took so long from its first piece to its end."""
        if seconds < _MEASURABLE or tokens <= 0:
            return
        speed = tokens / seconds
        known = self._speeds.get(slug, speed)
        self._speeds[slug] = known + _NEWEST * (speed - known)

    def _ranked_now(self, plan: Plan) -> Ranked:
        """A plan by live figures, which are looked at anew once a second."""
        now = self._clock.monotonic()
        if now >= self._turns_at:
            self._turns_at = now + _TURN
            self._turn += 1
            self._figures = {}
            self._ranked.clear()
        for route in plan.routes:
            if route.slug not in self._figures:
                self._figures[route.slug] = self._of(route)
        ranked = self._ranked[plan.name] = self._ranks.of(plan, self._figures, self._turn)
        return ranked

    def _of(self, route: Route) -> Figures:
        pool = self._pools.get(route.provider.name)
        lane = None if pool is None else pool[1].lanes.get((route.upstream, route.region))
        speed = self._speeds.get(route.slug)
        return Figures(throughput=speed) if lane is None else _figures(lane, speed)


def _figures(lane: Lane, speed: float | None) -> Figures:
    window = lane.breaker.window
    share = window.bad / window.calls if window.calls else 0.0
    if lane.breaker.until:
        share = 1.0
    return Figures(lane.latency or None, speed, share, lane.in_flight)


def member_of(credential: Credential) -> Member:
    """A credential as the pool knows it: never its secret."""
    return Member(
        credential.name,
        credential.weight,
        credential.tier,
        credential.rpm,
        credential.tpm,
        credential.concurrency,
        credential.models,
        credential.regions,
    )


def _nobody(provider: str, change: Change) -> None:
    """Nobody listens."""
