"""All that can be known of a model name before a request comes: once a revision, and once a day."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from msgspec import Struct

from gateway.core.routing.names import (
    Names,
    Resolved,
    Sort,
    Warning,  # noqa: A004 - named for the header it is written in
    day_of,
    next_day,
    resolve,
)
from gateway.core.routing.needs import EVERYTHING, NO_END, offers, room
from gateway.domain import Route

# What a call on a route costs, in nanodollars, when its input has so many tokens.
Cost = Callable[[Route, int], int]
# Whether this gateway can serve a route at all: its adapter, its credentials, its price.
Usable = Callable[[Route], bool]

# The call that prices are compared by has three tokens in for one out, as most have.
_TOKENS_IN, _TOKENS_OUT = 3_000, 1_000
_NANOS_A_TOKEN = 1_000  # of a dollar a million tokens
_NANOS = 1_000_000_000
_DEAREST = 1 << 62
_TEXT_KINDS = ("chat", "embedding")


class Plan(Struct, frozen=True):
    """A name's routes in the order of the file, with what deciding needs of each beside them.

    `offered` are the needs that all of them meet, `least_room` is a context that all of them have,
    and `thresholds` are the input lengths past which any of them has other prices.
    """

    name: str
    routes: tuple[Route, ...]
    cost: Cost
    sort: Sort | None = None
    choice: bool = False
    warning: Warning | None = None
    offers: dict[str, int] = {}
    rooms: dict[str, int] = {}
    called: dict[str, frozenset[str]] = {}
    offered: int = EVERYTHING
    least_room: int = NO_END
    thresholds: tuple[int, ...] = ()

    def step(self, tokens_in: int) -> int:
        """Which of the price steps an input of this length is on."""
        return bisect_left(self.thresholds, tokens_in) if self.thresholds else 0

    def costs(self, step: int) -> dict[str, int]:
        """Slug -> cost, for calls on this price step."""
        tokens = self.thresholds[step - 1] + 1 if step else 0
        return {route.slug: self.cost(route, tokens) for route in self.routes}


def usual_cost(route: Route, tokens_in: int = 0) -> int:
    """What a usual call costs, to compare routes by: not what any one call will be charged."""
    price = route.price
    if price.unpriced:
        return _DEAREST
    lines = price.at(tokens_in)
    per_call = int(lines.get("per_request", 0) * _NANOS)
    if route.model.kind in _TEXT_KINDS:
        tokens = lines.get("input_per_mtok", 0) * _TOKENS_IN
        tokens += lines.get("output_per_mtok", 0) * _TOKENS_OUT
        return per_call + int(tokens * _NANOS_A_TOKEN)
    for name, line in lines.items():
        if name.endswith("_per_mtok"):
            per_call += int(line * _TOKENS_OUT * _NANOS_A_TOKEN)
        elif name == "per_mchar":
            per_call += int(line * _TOKENS_OUT * 4 * _NANOS_A_TOKEN)
        elif name != "per_request":
            per_call += int(line * _NANOS)
    return per_call


def plan_of(resolved: Resolved, cost: Cost = usual_cost, usable: Usable | None = None) -> Plan:
    """What is known of a resolved name.

    Routes that are not usable are left out, unless none is: then why is for others to say.
    """
    routes = resolved.routes
    if usable is not None:
        routes = tuple(route for route in routes if usable(route)) or routes
    met = {route.slug: offers(route) for route in routes}
    rooms = {route.slug: room(route) for route in routes}
    offered = EVERYTHING
    for bits in met.values():
        offered &= bits
    return Plan(
        name=resolved.name,
        routes=routes,
        cost=cost,
        sort=resolved.sort,
        choice=resolved.choice,
        warning=resolved.warning,
        offers=met,
        rooms=rooms,
        called={route.slug: _called(route) for route in routes},
        offered=offered,
        least_room=min(rooms.values(), default=NO_END),
        thresholds=tuple(sorted({at for route in routes for at, _ in route.price.above_tokens})),
    )


def _called(route: Route) -> frozenset[str]:
    """What clients may call a route by in their preferences, in lower case."""
    provider = route.provider.name
    names = [provider, route.slug]
    if route.region:
        names.append(f"{provider}/{route.region}")
    return frozenset(name.lower() for name in names)


class Plans:
    """The plans of one catalog, each made when its name is first asked for, and anew every day."""

    def __init__(
        self, catalog: Names, cost: Cost = usual_cost, usable: Usable | None = None
    ) -> None:
        self._catalog = catalog
        self._cost = cost
        self._usable = usable
        self._made: dict[str, Plan] = {}
        self._until = 0.0

    def of(self, name: str, now: float) -> Plan:
        """The plan of a name, or a 404; names that mean nothing leave nothing behind."""
        if now >= self._until:
            self._made.clear()
            self._until = next_day(now)
        plan = self._made.get(name)
        if plan is None:
            found = resolve(name, self._catalog, day_of(now))
            plan = self._made[name] = plan_of(found, self._cost, self._usable)
        return plan
