"""What a film and a piece of music cost, for every route of the shipped catalog."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from gateway.catalog.load import load
from gateway.core.body import JsonBody
from gateway.core.money.pricing import price_usage
from gateway.core.money.rows import rows_of
from gateway.domain import Credential, Route, Usage
from gateway.plugins import Plugins
from gateway.sdk import Call, Operation

CATALOG = load(Path(__file__).parents[3] / "catalog.yaml", {})
KINDS = {"video": "videos", "music": "music"}
ROUTES = [
    route
    for route in CATALOG.routes.values()
    if route.model.kind in KINDS and not route.provider.base_url.startswith("sim:")
]
SECRETS = {"vertex": {"access_token": "token-token-token", "project": "proj"}}
DOLLAR = 10**9

# Dollars for eight seconds as seed 001 asks for them, and for eight more at each size.
FILMS: dict[str, dict[str, str]] = {
    "veo-3.1": {"": "3.20", "720p": "3.20", "1080p": "3.20", "4k": "4.80"},
    "vertex-veo-3.1": {"": "3.20", "720p": "3.20", "1080p": "3.20", "4k": "4.80"},
    "veo-3.1-fast": {"": "0.80", "720p": "0.80", "1080p": "0.96", "4k": "2.40"},
    "vertex-veo-3.1-fast": {"": "0.80", "720p": "0.80", "1080p": "0.96", "4k": "2.40"},
    "minimax-hailuo-2.3": {"": "0.24", "768p": "0.24", "1080p": "0.24"},  # six seconds
    "minimax-hailuo-2.3-fast": {"": "0.18", "768p": "0.18", "1080p": "0.18"},
    "cogvideox": {"": "1.00", "720p": "1.00", "1080p": "1.00", "4k": "1.00"},  # five
    "cogvideox-flash": {"": "0", "720p": "0", "1080p": "0", "4k": "0"},
}
PIECES = {"vertex-lyria-3-pro": "0.08", "minimax-music-1.5": "0.03"}


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    loaded = Plugins()
    loaded.load({route.provider.adapter for route in ROUTES})
    assert not loaded.failures
    return loaded


def call_of(route: Route, body: dict[str, Any]) -> Call:
    return Call(
        operation=KINDS[route.model.kind],
        upstream=route.upstream,
        base_url=route.provider.base_url,
        body=JsonBody.parse(msgspec.json.encode({"model": route.slug, **body})),
        region=route.region,
        options={**route.provider.options, **route.options},
    )


def operation_of(plugins: Plugins, route: Route) -> Operation:
    return plugins.adapters[route.provider.adapter].operations[KINDS[route.model.kind]]


def cost(plugins: Plugins, route: Route, body: dict[str, Any]) -> Decimal:
    operation = operation_of(plugins, route)
    assert operation.expects is not None
    usage: Usage = operation.expects(call_of(route, body))
    return Decimal(price_usage(rows_of(route.price), usage).total) / DOLLAR


def test_every_route_is_here() -> None:
    """A new one needs its figures."""
    assert {route.slug for route in ROUTES} == FILMS.keys() | PIECES.keys()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.slug)
def test_a_route_reaches_its_wire(plugins: Plugins, route: Route) -> None:
    """The seeds' own request becomes one to the provider's host."""
    operation = operation_of(plugins, route)
    call = call_of(route, {"prompt": "Rain.", "aspect_ratio": "16:9", "duration_seconds": 8})
    secrets = SECRETS.get(route.provider.adapter, {"api_key": "sk-secret-secret"})
    request = operation.build(call, Credential("main", secrets))
    mine, theirs = urlsplit(route.provider.base_url), urlsplit(request.url)
    assert (request.method, theirs.scheme) == ("POST", mine.scheme)
    assert (theirs.hostname or "").split(".")[-2:] == (mine.hostname or "").split(".")[-2:]
    assert theirs.path.startswith(mine.path)
    assert theirs.path.startswith(("/v1/", "/v1beta/", "/v1beta1/", "/api/paas/v4/"))
    assert operation.job is not None


@pytest.mark.parametrize("slug", FILMS)
def test_a_film_costs(plugins: Plugins, slug: str) -> None:
    """By its seconds, at each resolution that the host makes."""
    route = CATALOG.routes[slug]
    found = {
        label: cost(
            plugins,
            route,
            {"prompt": "Rain.", "duration_seconds": 8} | ({"resolution": label} if label else {}),
        )
        for label in FILMS[slug]
    }
    assert found == {label: Decimal(price) for label, price in FILMS[slug].items()}


def test_a_size_costs_what_its_resolution_does(plugins: Plugins) -> None:
    """OpenAI's words for the same film, at the same price."""
    route = CATALOG.routes["veo-3.1-fast"]
    assert cost(plugins, route, {"prompt": "x", "seconds": "4", "size": "3840x2160"}) == Decimal(
        "1.20"
    )
    assert cost(plugins, route, {"prompt": "x", "seconds": "4", "size": "1080x1920"}) == Decimal(
        "0.48"
    )


@pytest.mark.parametrize("slug", PIECES)
def test_a_piece_costs(plugins: Plugins, slug: str) -> None:
    """By the piece, however long."""
    route = CATALOG.routes[slug]
    for more in ({}, {"lyrics": "One", "duration": 120}):
        assert cost(plugins, route, {"prompt": "A waltz.", **more}) == Decimal(PIECES[slug])
