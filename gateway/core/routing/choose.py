"""The routes of a call in the order in which they are tried.

In three parts, by how often each changes: the plan of a name (`plan.py`), its ranks by the live
figures, made anew as those change, and what one request adds, which for most is nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate, takewhile

from msgspec import Struct, field

from gateway.core.routing.bands import Bands, Figures, all_bands
from gateway.core.routing.filters import permitted
from gateway.core.routing.names import Resolved, Sort
from gateway.core.routing.needs import NO_NEEDS, Needs
from gateway.core.routing.plan import Cost, Plan, plan_of, usual_cost
from gateway.core.routing.preferences import NO_PREFERENCES, Preferences
from gateway.domain import Route
from gateway.errors import INVALID_REQUEST, MODEL_NOT_ALLOWED, Fault

__all__ = [
    "Figures", "Ranked", "Ranks", "choose", "choose_all", "needs_matter", "order_of", "rank"
]  # fmt: skip

May = Callable[[Route], bool]
ONE = Decimal(1)

_TIERS = {"frontier": 0, "balanced": 1, "fast": 2}
_NO_TIER = 3


class Ordered(Struct):
    """Routes in order, and the running sum of the shares by which the first may be drawn.

    The same draw gives the very same tuple, so that who makes something of it can keep that.
    """

    routes: tuple[Route, ...]
    shares: tuple[float, ...] = ()  # the last is 1, so that no luck falls behind it
    known: dict[int, tuple[Route, ...]] = field(default_factory=dict)

    def drawn(self, luck: float | None) -> tuple[Route, ...]:
        """With one of the best, drawn by its share, before the others; `luck` is in [0, 1)."""
        at = 0 if luck is None else bisect_right(self.shares, luck)
        if at == 0:
            return self.routes
        found = self.known.get(at)
        if found is None:
            found = (self.routes[at], *self.routes[:at], *self.routes[at + 1 :])
            self.known[at] = found
        return found


class Ranked(Struct):
    """A plan under the figures of the moment. Orders are worked out when first asked for.

    Where the figures change nothing of an order, it is the very same as `before`.
    """

    plan: Plan
    bands: dict[str, Bands]
    before: dict[tuple[int, int], Ordered] = field(default_factory=dict)
    orders: dict[tuple[Sort | None, int], tuple[Route, ...]] = field(default_factory=dict)
    plain: dict[tuple[int, int], Ordered] = field(default_factory=dict)

    def order(self, sort: Sort | None, step: int) -> tuple[Route, ...]:
        """All the plan's routes, by this sort, for calls on this price step."""
        found = self.orders.get((sort, step))
        if found is None:
            costs = self.plan.costs(step)
            key = _key(sort, self.bands, costs)
            found = tuple(sorted(self.plan.routes, key=key))
            self.orders[sort, step] = found
        return found

    def usual(self, needs: Needs) -> Ordered | None:
        """The order where nothing is said of routing; None where room must be looked at."""
        plan = self.plan
        if needs.tokens_in + needs.most_out > plan.least_room:
            return None
        step = bisect_left(plan.thresholds, needs.tokens_in) if plan.thresholds else 0
        key = needs.wants & ~plan.offered, step
        return self.plain.get(key) or self._plain(needs, key)

    def _plain(self, needs: Needs, key: tuple[int, int]) -> Ordered:
        plan = self.plan
        routes = _capable(plan, self.order(plan.sort, key[1]), needs, plan.choice)
        found = self.weighed(plan.sort, routes, needs)
        known = self.before.get(key)
        if known is not None and (known.routes, known.shares) == (found.routes, found.shares):
            found = known  # with all that was made of it
        self.plain[key] = found
        return found

    def weighed(self, sort: Sort | None, routes: tuple[Route, ...], needs: Needs) -> Ordered:
        """Where nothing says how to sort, the best share the calls: the cheaper, the more of them.

        The best are those before which no other would be tried if prices were alike.
        """
        if sort is not None or len(routes) < 2:
            return Ordered(routes)
        best = self._standing(routes[0], needs)
        costs = self.plan.costs(self.plan.step(needs.tokens_in))
        lead = [
            costs[route.slug]
            for route in takewhile(lambda one: self._standing(one, needs) == best, routes)
        ]
        least = min(lead)
        sums = list(accumulate((least / cost) ** 2 if least else float(not cost) for cost in lead))
        return Ordered(routes, (*(one / sums[-1] for one in sums[:-1]), 1.0))

    def _standing(self, route: Route, needs: Needs) -> tuple[bool, int, int]:
        """What comes before the price when routes are ordered by it."""
        slug = route.slug
        able = not needs.wants & ~self.plan.offers[slug]
        return able, min(self.plan.rooms[slug], needs.tokens), self.bands[slug].errors


def rank(plan: Plan, figures: Mapping[str, Figures], before: Ranked | None = None) -> Ranked:
    """A plan under figures by slug. `before`, the ranks that went before, keeps them steady."""
    if before is None or before.plan is not plan:
        return Ranked(plan, all_bands(plan.routes, figures, before.bands if before else {}))
    bands = all_bands(plan.routes, figures, before.bands)
    return Ranked(plan, bands, before.plain)


class Ranks:
    """The ranks of plans, kept until the figures have had another turn."""

    def __init__(self) -> None:
        self._ranked: dict[str, tuple[int, Ranked]] = {}

    def of(self, plan: Plan, figures: Mapping[str, Figures], turn: int) -> Ranked:
        """The ranks of a plan; the caller raises `turn` when it has new figures to rank by."""
        known = self._ranked.get(plan.name)
        if known is not None and known[0] == turn and known[1].plan is plan:
            return known[1]
        ranked = rank(plan, figures, known[1] if known else None)
        self._ranked[plan.name] = turn, ranked
        return ranked


def needs_matter(plan: Plan, preferences: Preferences) -> bool:
    """Whether what a request needs can make a difference: for most names there is one route."""
    return plan.choice or len(plan.routes) > 1 or preferences is not NO_PREFERENCES


def choose(
    ranked: Ranked,
    preferences: Preferences,
    needs: Needs = NO_NEEDS,
    *,
    may: May | None = None,
    multiplier: Decimal = ONE,
    luck: float | None = None,
) -> tuple[Route, ...]:
    """The routes to try, in order; a Fault that says why when none is left.

    `may` is what the caller's key and group allow; `multiplier` what its group pays, for
    `max_price`. `luck`, a number in [0, 1), spreads calls over routes that are alike.
    """
    if preferences is NO_PREFERENCES and may is None:
        found = ranked.usual(needs)
        if found is not None:
            return found.drawn(luck)
    return _asked(ranked, preferences, needs, may, multiplier, luck)


def choose_all(
    ranks: Sequence[Ranked],
    preferences: Preferences,
    needs: Needs = NO_NEEDS,
    *,
    may: May | None = None,
    multiplier: Decimal = ONE,
    luck: float | None = None,
) -> tuple[Route, ...]:
    """The routes of several models one after the other, each once: what `models` asks for.

    A model without any route left is passed over; the first one's Fault is raised when all are.
    """
    found: dict[str, Route] = {}
    refused: Fault | None = None
    for ranked in ranks:
        try:
            routes = choose(ranked, preferences, needs, may=may, multiplier=multiplier, luck=luck)
        except Fault as fault:
            refused = refused or fault
            continue
        for route in routes:
            found.setdefault(route.slug, route)
    if refused is not None and not found:
        raise refused
    return tuple(found.values())


def order_of(
    routes: tuple[Route, ...],
    preferences: Preferences = NO_PREFERENCES,
    needs: Needs = NO_NEEDS,
    figures: Mapping[str, Figures] | None = None,
    price: Cost = usual_cost,
) -> tuple[Route, ...]:
    """All the steps at once, for who has no plan: routes as they would be tried."""
    name = routes[0].model.id if routes else ""
    return choose(rank(plan_of(Resolved(name, routes), price), figures or {}), preferences, needs)


# --- by figures


def _key(
    sort: Sort | None, bands: Mapping[str, Bands], costs: Mapping[str, int]
) -> Callable[[Route], tuple[int, ...]]:
    """What routes are sorted by; what is still equal stays in the order of the file.

    Every sort but the first tries those that mostly fail last: the cheapest or quickest of answers
    is of no use when it does not come.
    """

    def key(route: Route) -> tuple[int, ...]:
        it, cost = bands[route.slug], costs[route.slug]
        if sort == "price":
            return it.failing, cost
        if sort == "throughput":
            return it.failing, -(it.speed or 0), cost
        if sort == "latency":
            return it.failing, it.latency or 0, cost
        if sort == "tier":
            return it.failing, _TIERS.get(route.model.tier or "", _NO_TIER)
        if sort == "health":
            return it.errors, it.load, it.latency or 0, cost
        return it.errors, cost

    return key


# --- by the request


def _asked(
    ranked: Ranked,
    preferences: Preferences,
    needs: Needs,
    may: May | None,
    multiplier: Decimal,
    luck: float | None,
) -> tuple[Route, ...]:
    """The order under all that the request and its key ask."""
    plan = ranked.plan
    sort = preferences.sort or plan.sort or preferences.usual_sort
    routes = ranked.order(sort, plan.step(needs.tokens_in))
    if may is not None:
        routes = tuple(route for route in routes if may(route))
        if not routes:
            raise Fault(
                MODEL_NOT_ALLOWED,
                f"The model '{plan.name}' is not open to this API key.",
                param="model",
            )
    routes = permitted(plan, routes, preferences, needs, multiplier)
    hard = plan.choice or preferences.require_parameters is True
    routes = _capable(plan, routes, needs, hard, preferences.require_parameters is True)
    routes = _roomy(plan, routes, needs)
    if luck is not None:
        routes = ranked.weighed(sort, routes, needs).drawn(luck)
    if preferences.order:
        routes = _by_order(plan, routes, preferences.order)
    if preferences.allow_fallbacks is False:
        # With an order, what may be tried was narrowed to it before.
        return routes if preferences.order else routes[:1]
    return routes


def _capable(
    plan: Plan, routes: tuple[Route, ...], needs: Needs, hard: bool, asked: bool = False
) -> tuple[Route, ...]:
    """Those that can do what is needed; the others after them, unless that is `hard`.

    What a client names it gets, whatever the catalog knows of it: the provider may know better.
    """
    wants = needs.wants & ~plan.offered
    if not wants:
        return routes
    able = tuple(route for route in routes if not wants & ~plan.offers[route.slug])
    if able or not hard:
        return able if hard else _first(able, routes)
    words = ", ".join(Needs(wants).words)
    raise Fault(
        INVALID_REQUEST,
        f"No route of '{plan.name}' can do all that this request needs: {words}.",
        param="provider.require_parameters" if asked else "model",
        cause="no_route_left",
    )


def _roomy(plan: Plan, routes: tuple[Route, ...], needs: Needs) -> tuple[Route, ...]:
    """Those with room for the call; the tokens are a high guess, so none is refused by it."""
    tokens = needs.tokens
    if tokens <= plan.least_room:
        return routes
    fit = tuple(route for route in routes if plan.rooms[route.slug] >= tokens)
    if fit:
        return fit if plan.choice else _first(fit, routes)
    return tuple(sorted(routes, key=lambda route: -plan.rooms[route.slug]))


def _first(these: Iterable[Route], of: tuple[Route, ...]) -> tuple[Route, ...]:
    """These before the rest, each route once."""
    found = {route.slug: route for route in these}
    for route in of:
        found.setdefault(route.slug, route)
    return tuple(found.values())


def _by_order(plan: Plan, routes: tuple[Route, ...], order: tuple[str, ...]) -> tuple[Route, ...]:
    """Those that the client names first, as it names them."""
    named = [route for name in order for route in routes if name in plan.called[route.slug]]
    return _first(named, routes)
