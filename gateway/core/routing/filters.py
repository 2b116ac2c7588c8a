"""What a client's preferences exclude, and a Fault that names the one that excluded the last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from gateway.core.routing.needs import Needs
from gateway.core.routing.plan import Plan
from gateway.core.routing.preferences import MaxPrice, Preferences, within
from gateway.domain import Route
from gateway.errors import INVALID_REQUEST, Fault

Keep = Callable[[Route], bool]

_PRICE_LINES = {
    "prompt": "input_per_mtok",
    "completion": "output_per_mtok",
    "request": "per_request",
    "image": "per_image",
}
_WHY = {
    "only": "none of them is named in it",
    "ignore": "it names them all",
    "order": "none of them is named in it, and 'provider.allow_fallbacks' is false",
    "regions": "none of them is known to be served there",
    "data_collection": "none of them is known not to train on what it is sent",
    "zdr": "none of them is known to keep nothing",
    "max_price": "all of them cost more",
}


def permitted(
    plan: Plan,
    routes: tuple[Route, ...],
    preferences: Preferences,
    needs: Needs,
    multiplier: Decimal,
) -> tuple[Route, ...]:
    """The routes that no preference excludes, in the order they came in."""
    narrowed: list[str] = []
    for name, keep in _filters(plan, preferences, needs, multiplier):
        kept = tuple(route for route in routes if keep(route))
        if not kept:
            raise _nothing_left(plan, name, narrowed)
        if len(kept) < len(routes):
            narrowed.append(f"'provider.{name}'")
        routes = kept
    return routes


def _filters(
    plan: Plan, preferences: Preferences, needs: Needs, multiplier: Decimal
) -> Iterator[tuple[str, Keep]]:
    """Each preference that was said and can exclude a route, by its name."""
    it, called = preferences, plan.called
    if it.only:
        only = frozenset(it.only)
        yield "only", lambda route: not only.isdisjoint(called[route.slug])
    if it.ignore:
        ignore = frozenset(it.ignore)
        yield "ignore", lambda route: ignore.isdisjoint(called[route.slug])
    if it.order and it.allow_fallbacks is False:
        order = frozenset(it.order)
        yield "order", lambda route: not order.isdisjoint(called[route.slug])
    if it.regions:
        yield "regions", lambda route: _lies_in(route, it.regions)
    if it.data_collection == "deny":
        yield "data_collection", _collects_nothing
    if it.zdr:
        yield "zdr", lambda route: route.data.zdr
    if it.max_price is not None:
        limits = _limits(it.max_price)
        yield "max_price", lambda route: _affordable(route, limits, multiplier, needs.tokens_in)


def _lies_in(route: Route, regions: tuple[str, ...]) -> bool:
    here = route.region.lower() if route.region else None
    return any(within(here, wanted) for wanted in regions)


def _collects_nothing(route: Route) -> bool:
    """Nobody trains on what is sent there; on what isn't kept nobody can, unless it is said."""
    training = route.data.training
    return training is False or (training is None and route.data.zdr)


def _limits(most: MaxPrice) -> list[tuple[str, Decimal]]:
    """Price lines, and the most each may be."""
    said = ((line, getattr(most, name)) for name, line in _PRICE_LINES.items())
    return [(line, limit) for line, limit in said if limit is not None]


def _affordable(
    route: Route, limits: list[tuple[str, Decimal]], multiplier: Decimal, tokens_in: int
) -> bool:
    """Whether each line, as this caller pays it for a call of this length, is within its limit."""
    lines = route.price.at(tokens_in)
    return not route.price.unpriced and all(
        lines.get(name, 0) * multiplier <= most for name, most in limits
    )


def _nothing_left(plan: Plan, name: str, narrowed: list[str]) -> Fault:
    after = f" that {' and '.join(narrowed)} left" if narrowed else ""
    return Fault(
        INVALID_REQUEST,
        f"'provider.{name}' excludes every route of '{plan.name}'{after}: {_WHY[name]}.",
        param=f"provider.{name}",
        cause="no_route_left",
    )
