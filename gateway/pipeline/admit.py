"""Who calls, what they may call, and which routes could serve it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from gateway import errors
from gateway.domain import ANONYMOUS, Channel, Key, Provider, Route
from gateway.errors import Fault
from gateway.pipeline.services import Candidate, Services

# Which kind of model each operation serves, and the endpoint that each kind is for.
KIND_OF = {"chat": "chat", "completions": "chat", "embeddings": "embedding"}
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


async def authenticate(services: Services, secret: bytes | None) -> Key:
    """The caller's key, or a 401 that says what is wrong with it."""
    if secret is None:
        raise Fault(
            errors.AUTHENTICATION_ERROR, f"No API key was sent. {_HOW}", cause="missing_key"
        )
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
    return key


def candidates(services: Services, key: Key, operation: str, model: str) -> list[Candidate]:
    """The routes of `model` that this key may use and this gateway can serve now.

    What does not depend on the key is worked out once for each revision of the catalog.
    """
    catalog = services.catalog.current
    if services.admitted_for is not catalog:
        services.admitted_for = catalog
        services.admitted.clear()
    if not key.allow:
        known = services.admitted.get((operation, model))
        if known is not None:
            return known
    found = _select(services, catalog.candidates(model), key, operation, model)
    if not key.allow:
        services.admitted[operation, model] = found
    return found


def allowed(key: Key, route: Route) -> bool:
    """An empty list allows everything; patterns match the slug or the canonical model."""
    return not key.allow or any(
        fnmatchcase(route.slug, pattern) or fnmatchcase(route.model.id, pattern)
        for pattern in key.allow
    )


def _select(
    services: Services, routes: tuple[Route, ...], key: Key, operation: str, model: str
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
    if key.allow:
        routes = tuple(route for route in routes if allowed(key, route))
        if not routes:
            raise Fault(
                errors.MODEL_NOT_ALLOWED,
                f"The model '{model}' is not on this API key's allow-list.",
                param="model",
            )
    _check_kind(routes[0], operation, model)
    found = _implemented(services, routes, operation)
    if not found:
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
        if adapter is None or operation not in adapter.operations:
            continue
        found.append(
            Candidate(
                route=route,
                operation=adapter.operations[operation],
                channels=_channels(route.provider),
                options={**route.provider.options, **route.options},
                cached_inside=adapter.cached_inside_input,
            )
        )
    return found


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
