"""Which routes could serve a call: what its name means, who may use it, what is here to do it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway import errors
from gateway.core.body import JsonBody, decode_as
from gateway.core.money.rows import canonical, rows_of
from gateway.core.routing.needs import NO_NEEDS, Needs, needs_of
from gateway.core.routing.plan import Plan
from gateway.core.routing.preferences import NO_PREFERENCES, Preferences, merged
from gateway.domain import ANONYMOUS, Key, Route
from gateway.errors import Fault
from gateway.pipeline.admit import costs_money
from gateway.pipeline.catalogs import Routes
from gateway.pipeline.desk import Standing
from gateway.pipeline.operations import ENDPOINT_OF, OPERATIONS, TALKS
from gateway.pipeline.reaching import channels_of, options_of
from gateway.pipeline.services import Candidate, Services, Several
from gateway.sdk.dialects import serving

# Output tokens, where nothing is known of a model: for who asks for no length, and for who does.
_USUAL_CEILING = 16_384
_MOST_EVER = 1_000_000


class Wanted(Struct, frozen=True, gc=False):
    """What of a request decides where it may go."""

    operation: str
    body: JsonBody
    preferences: Preferences = NO_PREFERENCES
    tokens_in: int = 0
    extras: tuple[str, ...] = ()  # beside what is priced, for a key with limited money

    @classmethod
    def by(
        cls, standing: Standing, operation: str, body: JsonBody, asked: Preferences, tokens_in: int
    ) -> Wanted:
        """What a request wants, over what its key wants as a rule."""
        usual = standing.preferences
        wishes = asked if usual is NO_PREFERENCES else merged(usual, asked)
        return cls(operation, body, wishes, tokens_in)

    @property
    def needs(self) -> Needs:
        """What it needs of a model."""
        return needs_of(self.operation, self.body, self.tokens_in)


def known_candidates(
    services: Services, standing: Standing, wanted: Wanted, model: str
) -> list[Candidate] | None:
    """What `candidates` found before for the same order of routes, if nothing has changed."""
    known, operation = services.known, wanted.operation
    if wanted.preferences is not NO_PREFERENCES:
        return None
    if standing.selective and (operation, model) not in standing.whole:
        return None
    if known.catalog is not services.catalog.current:
        return None
    found = known.named.get((operation, model))
    if isinstance(found, list) or found is None:
        return found
    needs = NO_NEEDS
    if operation != "count_tokens":
        needs = needs_of(operation, wanted.body, wanted.tokens_in)
    routes = services.routing.order(found.plan, NO_PREFERENCES, needs, standing)
    kept = known.drawn.get((operation, id(routes)))
    if kept is not None and kept[0] is routes:
        return kept[1]
    ready = found.ready
    drawn = [ready[route.slug] for route in routes if route.slug in ready]
    if drawn:
        known.keep(operation, routes, drawn)
    return drawn or None


async def candidates(
    services: Services, standing: Standing, wanted: Wanted, model: str
) -> list[Candidate]:
    """The routes of `model` that this key may use and this gateway can serve now, best first.

    A name of one route means the same to each call of a key that may use everything.
    """
    catalog = services.catalog.current
    known = services.known
    if known.catalog is not catalog:
        known.forget(catalog)
    plan, allowed_routes, routes = _meant(services, standing, wanted, model)
    # A key that may use all that a name stands for is served as one that may use everything.
    whole = not standing.selective or (standing.key.n and allowed_routes == plan.routes)
    lasting = whole and wanted.preferences is NO_PREFERENCES
    # A name that has an end means something else on another day.
    endless = lasting and all(route.sunset is None for route in plan.routes)
    if endless:
        standing.whole.add((wanted.operation, model))
    drawn = wanted.operation, id(routes)
    kept = known.drawn.get(drawn) if lasting else None
    if kept is not None and kept[0] is routes:
        return kept[1]
    found = [
        await _entered(services, candidate, wanted.operation)
        for candidate in _ready(services, standing, routes, wanted.operation, model)
    ]
    if lasting and known.catalog is catalog:
        if endless:
            known.named[wanted.operation, model] = (
                found
                if len(plan.routes) == 1 and not plan.choice
                else await _several(services, standing, plan, wanted.operation, model)
            )
        known.keep(wanted.operation, routes, found)
    return found


def quotable(services: Services, standing: Standing, wanted: Wanted, model: str) -> list[Candidate]:
    """Those that this key could use if their providers' credentials were all here."""
    _, _, routes = _meant(services, standing, wanted, model)
    return _priced(services, routes, wanted.operation, model)


def _meant(
    services: Services, standing: Standing, wanted: Wanted, model: str
) -> tuple[Plan, tuple[Route, ...], tuple[Route, ...]]:
    """What a name stands for, which of it this key may use, and in what order."""
    plan = services.routing.plan(model, services.catalog.current)
    allowed_routes = _permitted(standing, plan, model)
    _check_kind(allowed_routes[0], wanted.operation, model)
    return plan, allowed_routes, _ordered(services, standing, plan, allowed_routes, wanted)


async def _several(
    services: Services, standing: Standing, plan: Plan, operation: str, model: str
) -> Several:
    """All routes of a name that can be served, whichever of them this call could use."""
    ready = _ready(services, standing, plan.routes, operation, model)
    return Several(
        plan, {one.route.slug: await _entered(services, one, operation) for one in ready}
    )


def usual_model(catalog: Routes, operation: str) -> str:
    """The model for who names none: the first of its kind in the catalog."""
    kind = OPERATIONS[operation].model
    for name, routes in catalog.by_model.items():
        if routes and routes[0].model.kind == kind:
            return name
    raise errors.invalid(
        "'model' is required: this gateway offers none for this endpoint.", "model"
    )


def warning_of(services: Services, model: str) -> str | None:
    """What is to be said of a name that will not be there for long."""
    warning = services.routing.plan(model, services.catalog.current).warning
    return None if warning is None else warning.header


async def fallbacks(
    services: Services, standing: Standing, wanted: Wanted, first: Candidate
) -> list[Candidate]:
    """Where a call may go when all that its name means has failed: other routes of the model, the
    models that the client named, those of the catalog."""
    model, catalog = first.route.model, services.catalog.current
    names: list[tuple[str, bool]] = []
    if wanted.preferences.allow_fallbacks is not False:
        siblings = catalog.by_model.get(model.id, ())
        names += [(route.slug, False) for route in siblings]
    names += [(name, True) for name in wanted.preferences.models]
    if wanted.preferences.allow_fallbacks is not False:
        names += [(name, False) for name in model.fallbacks]
    found: dict[str, Candidate] = {}
    for name, asked in names:
        try:
            more = await candidates(services, standing, wanted, name)
        except Fault:
            continue
        for candidate in more:
            if (standing.key.n or candidate.free) and candidate.route.gives(wanted.extras):
                found.setdefault(candidate.route.slug, structs.replace(candidate, asked=asked))
    found.pop(first.route.slug, None)
    return list(found.values())


def _ordered(
    services: Services,
    standing: Standing,
    plan: Plan,
    allowed_routes: tuple[Route, ...],
    wanted: Wanted,
) -> tuple[Route, ...]:
    if standing.key.n == 0:  # whoever sends no key gets what is free, where a choice is to be made
        allowed_routes = tuple(r for r in allowed_routes if r.price.free) or allowed_routes
    if len(plan.routes) == 1 and wanted.preferences is NO_PREFERENCES and not plan.choice:
        return allowed_routes
    needs = NO_NEEDS if wanted.operation == "count_tokens" else wanted.needs
    may = None
    if len(allowed_routes) < len(plan.routes):
        slugs = {route.slug for route in allowed_routes}
        may = lambda route: route.slug in slugs  # noqa: E731 - it is a value here
    return services.routing.order(plan, wanted.preferences, needs, standing, may)


async def _entered(services: Services, candidate: Candidate, operation: str) -> Candidate:
    """The candidate under its number in the ledger, its price row kept for receipts."""
    route = candidate.route
    names = (route.slug, route.model.id, route.provider.name)
    way = services.ways.get(names)
    if way is None:
        way = services.ways[names] = await services.books.way(*names)
    if route.price.digest not in services.prices:
        await services.books.keep_price(route.price.digest, canonical(route.price))
        services.prices.add(route.price.digest)
    if candidate.way != way:
        candidate = structs.replace(candidate, way=way)
        services.known.built[operation, route.slug] = candidate
    return candidate


def allowed(key: Key, route: Route) -> bool:
    """An empty list allows everything; patterns match the slug or the canonical model."""
    return _matches(key.allow or None, route) and all(
        _matches(child.models, route) for child in key.children
    )


def _matches(patterns: tuple[str, ...] | None, route: Route) -> bool:
    if patterns is None:
        return True
    return any(fnmatchcase(route.slug, one) or fnmatchcase(route.model.id, one) for one in patterns)


def _priced(
    services: Services, routes: tuple[Route, ...], operation: str, model: str
) -> list[Candidate]:
    found = _implemented(services, routes, operation)
    if not found:
        _check_loading(services, routes, model)
        _check_usual(services, routes, operation, model)
        raise Fault(
            errors.NOT_IMPLEMENTED,
            f"'{model}' is listed, but this gateway cannot yet serve "
            f"{OPERATIONS[operation].path} through its provider.",
            cause="no_adapter",
        )
    priced = [c for c in found if not c.route.price.unpriced]
    if not priced:
        raise Fault(
            errors.NO_UPSTREAM,
            f"'{model}' has no price in this gateway's catalog yet, so it cannot be called.",
            retry_after=60,
            cause="no_price",
        )
    return priced


def _ready(
    services: Services,
    standing: Standing,
    routes: tuple[Route, ...],
    operation: str,
    model: str,
) -> list[Candidate]:
    priced = _priced(services, routes, operation, model)
    ready = [c for c in priced if c.route.provider.configured]
    if not ready:
        if standing.key.n == 0 and not any(c.free for c in priced):
            raise costs_money(priced[0])  # what is missing here is not the caller's to wait for
        raise Fault(
            errors.NO_UPSTREAM,
            f"No provider credential is configured for '{model}'. The gateway's operator sets it "
            "in the environment before the start.",
            retry_after=60,
            cause="no_credential",
        )
    return ready


def _check_usual(services: Services, routes: tuple[Route, ...], operation: str, model: str) -> None:
    """A provider may serve what its model is mostly asked for, and not this."""
    path = ENDPOINT_OF[routes[0].model.kind]
    usual = next(name for name, kind in OPERATIONS.items() if kind.path == path)
    if usual != operation and _implemented(services, routes, usual):
        raise errors.invalid(
            f"'{model}' cannot be asked for {OPERATIONS[operation].path}: call /v1/{path} instead.",
            "model",
        )


def _check_loading(services: Services, routes: tuple[Route, ...], model: str) -> None:
    """Adapters are imported beside the start: what is not there yet may be in a moment."""
    if any(route.provider.adapter in services.loading for route in routes):
        raise Fault(
            errors.NO_UPSTREAM,
            f"The adapter for '{model}' is still being loaded. Try again in a moment.",
            retry_after=1,
            cause="adapter_loading",
        )


def _permitted(standing: Standing, plan: Plan, model: str) -> tuple[Route, ...]:
    """The plan's routes that are open to a key; a choice that is open is so with all its routes."""
    key, group = standing.key, standing.group
    if group is None and not key.allow and not key.children:
        return plan.routes
    named = plan.choice and all(
        patterns is None or any(fnmatchcase(model, one) for one in patterns)
        for patterns in (key.allow or None, *(child.models for child in key.children))
    )
    mine = tuple(route for route in plan.routes if named or allowed(key, route))
    if not mine:
        raise Fault(
            errors.MODEL_NOT_ALLOWED,
            f"The model '{model}' is not on this API key's allow-list.",
            param="model",
        )
    if group is None or key.n == 0:  # without a key, what costs money has an answer of its own
        return mine
    if plan.choice and group.allows(model):
        return mine
    open_to_group = tuple(route for route in mine if group.allows(route.slug))
    if not open_to_group:
        raise Fault(
            errors.MODEL_NOT_ALLOWED,
            f"The model '{model}' is not open to the group '{group.name}' of this key's account.",
            param="model",
            cause="group_not_allowed",
        )
    return open_to_group


def decoded(
    services: Services, operation: str, body: JsonBody, decoder: msgspec.json.Decoder[Any]
) -> Any:
    """The members that an endpoint knows. What a body lacks here it may have for another endpoint:
    where its model is asked there, the refusal says so."""
    try:
        return decode_as(body.raw, decoder)
    except Fault:
        model = body.value("model")
        routes = services.catalog.current.candidates(model) if isinstance(model, str) else ()
        if routes:
            _check_kind(routes[0], operation, str(model))
        raise


def _check_kind(route: Route, operation: str, model: str) -> None:
    kind, asked = route.model.kind, OPERATIONS[operation]
    if kind != asked.model and kind not in asked.also:
        raise errors.invalid(
            f"'{model}' is a model of kind '{kind}': call /v1/{ENDPOINT_OF[kind]} instead.", "model"
        )


def _implemented(services: Services, routes: tuple[Route, ...], operation: str) -> list[Candidate]:
    found: list[Candidate] = []
    for route in routes:
        known = services.known.built.get((operation, route.slug))
        if known is None or known.route is not route:
            known = _made(services, route, operation)
        if known is not None:
            found.append(known)
    return found


def _made(services: Services, route: Route, operation: str) -> Candidate | None:
    adapter = services.adapters.get(route.provider.adapter)
    if adapter is None:
        return None
    options = options_of(route)
    serves = serving(adapter, operation, route.upstream, options, route.model.kind)
    if serves is None:
        return None
    return Candidate(
        route=route,
        operation=serves,
        adapter=adapter,
        credentials={one.name: one for one in (ANONYMOUS, *route.provider.credentials)},
        channels=channels_of(route.provider),
        options=options,
        rows=rows_of(route.price),
        digest=route.price.digest.encode(),
        free=route.price.free,
        talks=TALKS.get(operation) == route.model.kind,
        usual_answer=route.longest or _USUAL_CEILING,
        longest_answer=route.longest or route.window or _MOST_EVER,
    )
