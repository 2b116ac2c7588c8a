"""Live figures of routes as bands: a little difference is none, and nothing flaps at an edge."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from statistics import median_low

from msgspec import Struct

from gateway.domain import Route

# How far past an edge a figure must be before it counts as across it.
_MARGIN = 0.1


def _steps(first: float, last: float, by: float) -> tuple[float, ...]:
    found = [first]
    while found[-1] < last:
        found.append(found[-1] * by)
    return tuple(found)


_ERRORS = (0.1, 0.3, 0.6)
_FAILING = (0.3,)
_LOAD = (4.0, 16.0, 64.0, 256.0, 1024.0)
_SECONDS = _steps(0.1, 120.0, 1.4)
_SPEEDS = _steps(2.0, 2_000.0, 1.4)


class Figures(Struct, frozen=True):
    """How a route does just now. None: nobody knows yet.

    `latency` is in seconds to the first of the answer, `throughput` in tokens a second.
    """

    latency: float | None = None
    throughput: float | None = None
    error_share: float = 0.0
    in_flight: int = 0


IDLE = Figures()


class Bands(Struct, frozen=True):
    """The band of each figure: for all but `speed`, less is better."""

    failing: int = 0
    errors: int = 0
    load: int = 0
    latency: int | None = None
    speed: int | None = None


UNSEEN = Bands()


def bands_of(figures: Figures, before: Bands = UNSEEN) -> Bands:
    """The bands that figures fall in, when they fell in those of `before` last."""
    latency = throughput = None
    if figures.latency is not None:
        latency = settled(figures.latency, _SECONDS, before.latency)
    if figures.throughput is not None:
        throughput = settled(figures.throughput, _SPEEDS, before.speed)
    return Bands(
        settled(figures.error_share, _FAILING, before.failing),
        settled(figures.error_share, _ERRORS, before.errors),
        settled(figures.in_flight, _LOAD, before.load),
        latency,
        throughput,
    )


def settled(value: float, edges: tuple[float, ...], before: int | None) -> int:
    """The band of a value. It leaves the one it was in only well past that band's edge."""
    now = bisect_right(edges, value)
    if before is None or now == before:
        return now
    if now > before:
        return now if value > edges[before] * (1 + _MARGIN) else before
    return now if value < edges[before - 1] * (1 - _MARGIN) else before


def all_bands(
    routes: Iterable[Route], figures: Mapping[str, Figures], before: Mapping[str, Bands]
) -> dict[str, Bands]:
    """Slug -> bands. What is not known of a route is taken as middling: not sought, not shunned."""
    found = {
        route.slug: bands_of(figures.get(route.slug, IDLE), before.get(route.slug, UNSEEN))
        for route in routes
    }
    slow = _middle(bands.latency for bands in found.values())
    fast = _middle(bands.speed for bands in found.values())
    return {
        slug: Bands(
            it.failing,
            it.errors,
            it.load,
            slow if it.latency is None else it.latency,
            fast if it.speed is None else it.speed,
        )
        for slug, it in found.items()
    }


def _middle(bands: Iterable[int | None]) -> int:
    known = [band for band in bands if band is not None]
    return median_low(known) if known else 0
