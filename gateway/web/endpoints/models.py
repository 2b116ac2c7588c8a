"""GET models, models/{id}, embedding-models, transcription-models, providers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from gateway import errors
from gateway.core.routing.names import day_of, ended
from gateway.domain import Key, Provider, Route
from gateway.errors import Fault
from gateway.pipeline.candidates import allowed
from gateway.web.exchange import Exchange
from gateway.web.site import CatalogView

# Unit-named catalog prices that the list shows per single token, under the names clients know.
_PER_TOKEN = {
    "prompt": "input_per_mtok",
    "completion": "output_per_mtok",
    "input_cache_read": "cached_input_per_mtok",
    "input_cache_write": "cache_write_5m_per_mtok",
    "internal_reasoning": "reasoning_per_mtok",
    "audio": "audio_input_per_mtok",
    "audio_output": "audio_output_per_mtok",
}


async def models(exchange: Exchange) -> None:
    """Every route this key may use."""
    await _list(exchange, None)


async def embedding_models(exchange: Exchange) -> None:
    """The embedding models among them."""
    await _list(exchange, "embedding")


async def transcription_models(exchange: Exchange) -> None:
    """The transcription models among them."""
    await _list(exchange, "transcription")


async def model(exchange: Exchange) -> None:
    """One route by its slug, or a canonical model by its first route."""
    key = await exchange.key()
    name = unquote(exchange.rest)
    routes = exchange.site.catalog.current.candidates(name)
    routes = tuple(route for route in routes if _may(exchange, key, route))
    if not routes:
        raise Fault(
            errors.MODEL_NOT_FOUND,
            f"The model '{name[:200]}' does not exist here. GET /v1/models lists what does.",
            param="model",
        )
    exchange.answer({**_describe(routes[0]), "id": name})


async def providers(exchange: Exchange) -> None:
    """The providers behind the gateway, without their secrets."""
    await exchange.key()
    catalog = exchange.site.catalog.current
    exchange.page([_provider(exchange, catalog, item) for item in catalog.providers.values()])


async def _list(exchange: Exchange, kind: str | None) -> None:
    key = await exchange.key()
    day = day_of(exchange.site.services.clock.time())
    exchange.page(
        [
            _describe(route)
            for route in exchange.site.catalog.current.routes.values()
            if (kind is None or route.model.kind == kind)
            and _may(exchange, key, route)
            and not ended(route, day)
        ]
    )


def _may(exchange: Exchange, key: Key, route: Route) -> bool:
    """What is listed is what may be called: by the key, and by its account's group."""
    name = None if key.account is None else key.account.group
    if name is not None:
        group = exchange.site.services.catalog.current.groups.get(name)
        if group is None or not group.allows(route.slug):
            return False
    return allowed(key, route)


def _describe(route: Route) -> dict[str, Any]:
    model = route.model
    described: dict[str, Any] = {
        "id": route.slug,
        "object": "model",
        "created": model.created,
        "owned_by": model.vendor,
        "name": route.name or model.name,
        **_as_messages_clients_have_it(route),
        "kind": model.kind,
        "canonical_model": model.id,
        "provider": route.provider.name,
        "context_length": route.window,
        "max_output_tokens": route.longest,
        "capabilities": list(model.capabilities),
        "pricing": _pricing(route.price.lines),
        "free": route.price.free,
    }
    price = route.price
    extra: dict[str, Any] = {
        "pricing_at_size": {size: _pricing(row) for size, row in price.at_size.items()},
        "pricing_above_tokens": {str(most): _pricing(row) for most, row in price.above_tokens},
        "region": route.region,
        "tier": model.tier,
        "description": route.notes,
        "sunset": route.sunset,
        "successor": route.successor,
    }
    described.update({name: value for name, value in extra.items() if value})
    return described


def _as_messages_clients_have_it(route: Route) -> dict[str, Any]:
    """What clients of the Messages dialect look for in a model of a list."""
    made = datetime.fromtimestamp(route.model.created, UTC)
    return {
        "type": "model",
        "display_name": route.name or route.model.name,
        "created_at": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "max_input_tokens": route.window,
        "max_tokens": route.longest,
    }


def _pricing(lines: Mapping[str, Decimal]) -> dict[str, str]:
    shown = {
        name: _decimal(value / 1_000_000)
        for name, line in _PER_TOKEN.items()
        if (value := lines.get(line)) is not None
    }
    rest = {
        name: _decimal(value) for name, value in lines.items() if name not in _PER_TOKEN.values()
    }
    return shown | rest


def _decimal(value: Decimal) -> str:
    return format(value.normalize(), "f")


def _provider(exchange: Exchange, catalog: CatalogView, provider: Provider) -> dict[str, Any]:
    routes = [route for route in catalog.routes.values() if route.provider.name == provider.name]
    return {
        "id": provider.name,
        "object": "provider",
        "name": provider.name,
        "models": len(routes),
        "kinds": sorted({route.model.kind for route in routes}),
        "configured": provider.configured,
        "implemented": provider.adapter in exchange.site.services.adapters,
        "health": exchange.site.health.of(provider.name),
    }
