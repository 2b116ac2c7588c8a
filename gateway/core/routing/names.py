"""What a model name stands for: a route, a model, an alias, a choice, or one of them and a suffix.

A name that the catalog itself has is never taken apart, whatever it ends in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct

from gateway.domain import Route
from gateway.errors import MODEL_NOT_FOUND, Fault

Sort = Literal["price", "throughput", "latency", "tier", "health"]

LATEST = "-latest"
WARN_DAYS = 30
_SORTS: Mapping[str, Sort] = {"floor": "price", "nitro": "throughput"}
_CHOICES: Mapping[str, Sort] = {
    "cheapest": "price",
    "best": "tier",
    "fastest": "throughput",
    "healthiest": "health",
}
_FREE = "free"
_DAY = 86_400


class Choice(Protocol):
    """An auto model of the catalog."""

    @property
    def choose(self) -> str: ...

    @property
    def routes(self) -> tuple[Route, ...]: ...


class Names(Protocol):
    """The names of one revision of the catalog."""

    @property
    def by_name(self) -> Mapping[str, tuple[Route, ...]]: ...

    @property
    def by_model(self) -> Mapping[str, tuple[Route, ...]]: ...

    @property
    def auto(self) -> Mapping[str, Choice]: ...


class Warning(Struct, frozen=True):  # noqa: A001 - named for the header it is written in
    """What a client should know before a name stops working."""

    text: str

    @property
    def header(self) -> str:
        """The value of a `Warning` header."""
        quoted = self.text.replace("\\", "\\\\").replace('"', '\\"')
        return f'299 - "{quoted}"'


class Resolved(Struct, frozen=True):
    """The routes that a name may mean, in the order of the file, and how to choose among them.

    `choice` is set for auto models: their routes are of many models, and one that lacks what a
    request needs is no choice for it.
    """

    name: str
    routes: tuple[Route, ...]
    sort: Sort | None = None
    choice: bool = False
    warning: Warning | None = None


def resolve(name: str, catalog: Names, today: date) -> Resolved:
    """What `name` stands for today, or a 404 that says what to send instead."""
    base, suffixes = _taken_apart(name, catalog)
    choice = catalog.auto.get(base)
    if choice is not None:
        routes, sort = choice.routes, _CHOICES[choice.choose]
    else:
        routes, sort = catalog.by_name.get(base) or _latest(base, catalog, today), None
    if not routes:
        raise Fault(
            MODEL_NOT_FOUND,
            f"The model '{name}' does not exist here. GET /v1/models lists what does.",
            param="model",
        )
    alive = tuple(route for route in routes if not ended(route, today))
    if not alive:
        raise _switched_off(base, routes[0], catalog, today)
    if _FREE in suffixes:
        alive = _free(base, alive)
    for suffix in suffixes:
        sort = _SORTS.get(suffix, sort)
    # What goes on by itself, a choice or the latest of a family, need not warn.
    warning = _warning(base, alive, catalog, today) if base in catalog.by_name else None
    return Resolved(name, alive, sort, choice is not None, warning)


def day_of(now: float) -> date:
    """The day, in UTC, of a time since the epoch."""
    return datetime.fromtimestamp(now, UTC).date()


def next_day(now: float) -> float:
    """When the day after that begins, and names may mean something else."""
    return (now // _DAY + 1) * _DAY


def ended(route: Route, today: date) -> bool:
    """Whether the day on which the route was due to be switched off is over."""
    return route.sunset is not None and date.fromisoformat(route.sunset) < today


def _taken_apart(name: str, catalog: Names) -> tuple[str, list[str]]:
    """A name and its suffixes; each may stand there once, and one of them may sort."""
    base, suffixes = name, list[str]()
    while base not in catalog.by_name and base not in catalog.auto:
        rest, _, suffix = base.rpartition(":")
        again = suffix in suffixes or (suffix in _SORTS and not _SORTS.keys().isdisjoint(suffixes))
        if again or (suffix != _FREE and suffix not in _SORTS):
            break
        base = rest
        suffixes.append(suffix)
    return base, suffixes


def _free(base: str, routes: tuple[Route, ...]) -> tuple[Route, ...]:
    free = tuple(route for route in routes if route.price.free)
    if not free:
        raise Fault(
            MODEL_NOT_FOUND,
            f"'{base}' has no free route here. Send it without ':free'.",
            param="model",
            cause="no_free_route",
        )
    return free


# --- the newest of a family

_VERSION = re.compile(r"[a-z]?\d{1,5}(?:\.\d{1,5})*\Z")
_STAMP = re.compile(r"\d{6,8}\Z")
_NUMBER = re.compile(r"\d+")

Version = tuple[tuple[int, ...], int]


def family(model_id: str) -> tuple[str, Version]:
    """A model's id without its version, and the version: `big-3-5-mini` is `big-mini`, 3.5.

    A date in the id counts only between two of the same version.
    """
    first, *rest = model_id.split("-")
    words, numbers, stamp = [first], list[int](), 0
    for word in rest:
        if _STAMP.match(word):
            stamp = int(word)
        elif _VERSION.match(word):
            numbers += map(int, _NUMBER.findall(word))
        else:
            words.append(word)
    return "-".join(words), (tuple(numbers), stamp)


def _latest(name: str, catalog: Names, today: date) -> tuple[Route, ...]:
    """The routes of the newest model of a family that is there to be called."""
    if not name.endswith(LATEST):
        return ()
    wanted = name.removesuffix(LATEST)
    found: list[tuple[Version, int, tuple[Route, ...]]] = []
    for model_id, routes in catalog.by_model.items():
        of, version = family(model_id)
        # One without any version is the family's own name, and no release of it.
        if of == wanted and version != ((), 0) and _callable(routes, today):
            found.append((version, routes[0].model.created, routes))
    return max(found, key=lambda entry: entry[:2])[2] if found else ()


def _callable(routes: tuple[Route, ...], today: date) -> bool:
    return any(not route.price.unpriced and not ended(route, today) for route in routes)


# --- the end of a model


def _warning(name: str, routes: tuple[Route, ...], catalog: Names, today: date) -> Warning | None:
    """Said once the last route of a name has less than a month to go."""
    if any(route.sunset is None for route in routes):
        return None
    last = max(routes, key=lambda route: route.sunset or "")
    assert last.sunset is not None
    if date.fromisoformat(last.sunset) - today > timedelta(days=WARN_DAYS):
        return None
    text = f"'{name}' is due to be switched off on {last.sunset}."
    return Warning(text + _instead(last, catalog, today))


def _switched_off(name: str, route: Route, catalog: Names, today: date) -> Fault:
    return Fault(
        MODEL_NOT_FOUND,
        f"'{name}' was switched off on {route.sunset}.{_instead(route, catalog, today)}",
        param="model",
        cause="sunset",
    )


def _instead(route: Route, catalog: Names, today: date) -> str:
    """Where to go: the first successor that is still there."""
    for name in _successors(route, catalog):
        if _callable(catalog.by_name[name], today):
            return f" Use '{name}' instead."
    return ""


def _successors(route: Route, catalog: Names) -> Iterator[str]:
    """One after the other, each once: a catalog may lead in a circle."""
    met: set[str] = set()
    name = route.successor
    while name is not None and name not in met and name in catalog.by_name:
        met.add(name)
        yield name
        name = catalog.by_name[name][0].successor
