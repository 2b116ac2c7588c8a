"""Who calls, what they may call, and which routes could serve it."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network

from msgspec import structs

from gateway import errors
from gateway.core.limits import Refusal, Ticket, address_key
from gateway.core.limits import headers as limit_headers
from gateway.core.money.rows import canonical, rows_of
from gateway.domain import ANONYMOUS, Account, Channel, Key, Provider, Route
from gateway.errors import Fault
from gateway.pipeline.desk import Standing
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services
from gateway.sdk.dialects import serving

# Which kind of model each operation serves, and the endpoint that each kind is for.
KIND_OF = {
    "chat": "chat",
    "messages": "chat",
    "responses": "chat",
    "count_tokens": "chat",
    "completions": "chat",
    "embeddings": "embedding",
}
ENDPOINT_OF = {
    "chat": "chat/completions",
    "embedding": "embeddings",
    "image": "images/generations",
    "video": "videos/generations",
    "speech": "audio/speech",
    "transcription": "audio/transcriptions",
    "music": "music/generations",
    "realtime": "realtime",
}
_SERVED_KINDS = frozenset(KIND_OF.values())
_HOW = "Send it as 'Authorization: Bearer <key>'."


async def authenticate(
    services: Services,
    secret: bytes | None,
    address: Callable[[], str | None],
    scope: str = "inference",
) -> Key:
    """The caller's key, or a refusal that says what is wrong with it."""
    if secret is None:
        anonymous = services.catalog.current.anonymous
        if anonymous is None or scope not in ("", "inference"):
            raise Fault(
                errors.AUTHENTICATION_ERROR, f"No API key was sent. {_HOW}", cause="missing_key"
            )
        return _nobody(anonymous.group.name)
    key = await services.keys.find(secret)
    if key is None:
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            f"The API key is not known to this gateway. {_HOW}",
            cause="unknown_key",
        )
    if key.revoked_at is not None:
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            "The API key has been revoked. Ask the gateway's operator for a new one.",
            cause="revoked_key",
        )
    if key.expires_at is not None and key.expires_at <= services.clock.time():
        raise Fault(
            errors.AUTHENTICATION_ERROR,
            "The API key has expired. Ask the gateway's operator for a new one.",
            cause="expired_key",
        )
    if key.ips:
        _check_address(key, address())
    if scope and scope not in key.scopes:
        raise Fault(
            errors.INSUFFICIENT_SCOPE,
            f"This API key lacks the scope '{scope}'. Use one that was made with it.",
        )
    assert key.account is not None
    if key.account.status != "active":
        raise Fault(
            errors.INSUFFICIENT_SCOPE,
            "This API key's account is suspended. Ask the gateway's operator.",
            cause="suspended",
        )
    return key


def limited(
    services: Services,
    standing: Standing,
    candidate: Candidate,
    tokens: int,
    address: Callable[[], str | None],
    record: Record,
) -> Ticket:
    """Count the call against its key's limits, or against its address where it has no key."""
    now = services.clock.monotonic()
    if standing.key.n == 0:
        _admit_nobody(services, candidate, address, now)
    limits = standing.limits
    answer = limits.admit(now, tokens)
    if limits.limited:
        record.headers = (*record.headers, *limit_headers(limits, now))
    if isinstance(answer, Refusal):
        raise _too_fast(answer, tokens)
    return answer


def known_candidates(
    services: Services, standing: Standing, operation: str, model: str
) -> list[Candidate] | None:
    """What `candidates` found before for a key that may use everything, if nothing has changed."""
    if standing.selective:
        return None
    if services.admitted_for is not services.catalog.current:
        return None
    return services.admitted.get((operation, model))


async def candidates(
    services: Services, standing: Standing, operation: str, model: str
) -> list[Candidate]:
    """The routes of `model` that this key may use and this gateway can serve now.

    What does not depend on the key is worked out once for each revision of the catalog.
    """
    catalog = services.catalog.current
    if services.admitted_for is not catalog:
        services.admitted_for = catalog
        services.admitted.clear()
    plain = not standing.selective
    found = _select(services, catalog.candidates(model), standing, operation, model)
    found = [await _entered(services, candidate) for candidate in found]
    if plain and services.admitted_for is catalog:
        services.admitted[operation, model] = found
    return found


async def _entered(services: Services, candidate: Candidate) -> Candidate:
    """The candidate under its number in the ledger, its price row kept for receipts."""
    route = candidate.route
    names = (route.slug, route.model.id, route.provider.name)
    way = services.ways.get(names)
    if way is None:
        way = services.ways[names] = await services.books.way(*names)
    if route.price.digest not in services.prices:
        await services.books.keep_price(route.price.digest, canonical(route.price))
        services.prices.add(route.price.digest)
    return structs.replace(candidate, way=way)


def _nobody(group: str) -> Key:
    """Whoever calls without a key."""
    account = Account(n=2, id="acc_anonymous", name="anonymous", created_at=0, group=group, floor=0)
    return Key(id="anonymous", name="anonymous", prefix="", created_at=0, account=account)


def _check_address(key: Key, address: str | None) -> None:
    if address is not None:
        here = ip_address(address)
        if any(here in ip_network(allowed) for allowed in key.ips):
            return
    raise Fault(
        errors.INSUFFICIENT_SCOPE,
        "This API key may not be used from this address.",
        cause="address_not_allowed",
    )


def _admit_nobody(
    services: Services, candidate: Candidate, address: Callable[[], str | None], now: float
) -> None:
    if not candidate.free:
        raise Fault(
            errors.PAID_MODEL_AUTH_REQUIRED,
            f"'{candidate.route.slug}' costs money, so it needs an API key. {_HOW}",
            param="model",
        )
    where = address_key(address() or "")
    if where is None:
        raise Fault(
            errors.MISSING_CLIENT_IP,
            "The gateway cannot tell where this call comes from, which it must for calls without "
            f"an API key. {_HOW}",
        )
    anonymous = services.catalog.current.anonymous
    assert anonymous is not None
    services.addresses.limit = anonymous.rpm
    refused = services.addresses.admit(now, where)
    if refused is not None:
        raise Fault(
            errors.PROMOTION_LIMIT_REACHED,
            f"Without an API key, {anonymous.rpm} calls a minute are free from one address, and "
            f"those are used up. {_HOW}",
            retry_after=refused.wait,
        )


def _too_fast(refusal: Refusal, tokens: int) -> Fault:
    if refusal.which == "concurrency":
        text = f"Concurrency exceeded - this key may have {refusal.limit} calls open at once."
    elif refusal.which == "rpm":
        text = f"RPM exceeded - {refusal.limit} requests in 60 seconds."
    elif refusal.which == "tpm":
        text = f"TPM exceeded - {refusal.limit} tokens in 60 seconds."
    else:
        text = (
            f"This call is estimated at {tokens} tokens, more than this key's whole limit of "
            f"{refusal.limit} tokens in 60 seconds. Send a shorter one."
        )
    return Fault(
        errors.RATE_LIMIT_EXCEEDED, text, retry_after=refusal.wait, cause=f"over_{refusal.which}"
    )


def allowed(key: Key, route: Route) -> bool:
    """An empty list allows everything; patterns match the slug or the canonical model."""
    return _matches(key.allow or None, route) and all(
        _matches(child.models, route) for child in key.children
    )


def _matches(patterns: tuple[str, ...] | None, route: Route) -> bool:
    if patterns is None:
        return True
    return any(fnmatchcase(route.slug, one) or fnmatchcase(route.model.id, one) for one in patterns)


def _select(
    services: Services,
    routes: tuple[Route, ...],
    standing: Standing,
    operation: str,
    model: str,
) -> list[Candidate]:
    if not routes and model in services.catalog.current.auto:
        raise Fault(
            errors.NOT_IMPLEMENTED,
            f"'{model}' is an auto model, and this gateway does not choose models itself yet. "
            "GET /v1/models lists those that can be asked by name.",
            param="model",
            cause="no_auto",
        )
    if not routes:
        raise Fault(
            errors.MODEL_NOT_FOUND,
            f"The model '{model}' does not exist here. GET /v1/models lists what does.",
            param="model",
        )
    routes = _permitted(standing, routes, model)
    _check_kind(routes[0], operation, model)
    found = _implemented(services, routes, operation)
    if not found:
        _check_loading(services, routes, model)
        raise Fault(
            errors.NOT_IMPLEMENTED,
            f"'{model}' is listed, but this gateway cannot yet serve "
            f"{ENDPOINT_OF[KIND_OF[operation]]} through its provider.",
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
    ready = [c for c in priced if _reachable(c.route)]
    if not ready:
        raise Fault(
            errors.NO_UPSTREAM,
            f"No provider credential is configured for '{model}'.",
            retry_after=60,
            cause="no_credential",
        )
    return ready


def _check_loading(services: Services, routes: tuple[Route, ...], model: str) -> None:
    """Adapters are imported beside the start: what is not there yet may be in a moment."""
    if any(route.provider.adapter in services.loading for route in routes):
        raise Fault(
            errors.NO_UPSTREAM,
            f"The adapter for '{model}' is still being loaded. Try again in a moment.",
            retry_after=1,
            cause="adapter_loading",
        )


def _permitted(standing: Standing, routes: tuple[Route, ...], model: str) -> tuple[Route, ...]:
    key, group = standing.key, standing.group
    mine = tuple(route for route in routes if allowed(key, route))
    if not mine:
        raise Fault(
            errors.MODEL_NOT_ALLOWED,
            f"The model '{model}' is not on this API key's allow-list.",
            param="model",
        )
    if group is None or key.n == 0:  # without a key, what costs money has an answer of its own
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


def _check_kind(route: Route, operation: str, model: str) -> None:
    kind = route.model.kind
    if kind == KIND_OF[operation]:
        return
    endpoint = ENDPOINT_OF[kind]
    if kind in _SERVED_KINDS:
        raise errors.invalid(
            f"'{model}' is a model of kind '{kind}': call POST /v1/{endpoint} instead.", "model"
        )
    raise Fault(
        errors.NOT_IMPLEMENTED,
        f"'{model}' is listed, but this gateway does not serve {endpoint} yet.",
        param="model",
        cause="no_operation",
    )


def _implemented(services: Services, routes: tuple[Route, ...], operation: str) -> list[Candidate]:
    found: list[Candidate] = []
    for route in routes:
        adapter = services.adapters.get(route.provider.adapter)
        if adapter is None:
            continue
        options = {**_longest(route), **route.provider.options, **route.options}
        serves = serving(adapter, operation, route.upstream, options)
        if serves is None:
            continue
        found.append(
            Candidate(
                route=route,
                operation=serves,
                adapter=adapter,
                channels=_channels(route.provider),
                options=options,
                rows=rows_of(route.price),
                digest=route.price.digest.encode(),
                free=route.price.free,
            )
        )
    return found


def _longest(route: Route) -> dict[str, str]:
    """What a wire says that wants to be told the longest answer: what money is set aside for."""
    known = route.max_output or route.model.max_output
    return {} if known is None else {"max_output": str(known)}


def _channels(provider: Provider) -> dict[str, Channel]:
    return {
        credential.name: Channel(
            provider=provider.name,
            credential=credential.name,
            timeouts=provider.timeouts,
            max_connections=provider.max_connections,
            ca_file=provider.ca_file,
        )
        for credential in (*provider.credentials, ANONYMOUS)
    }


def _reachable(route: Route) -> bool:
    return bool(route.provider.credentials) or not route.provider.needs_credential
