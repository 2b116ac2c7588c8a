"""POST explain: where a call would go and what would be sent there, without sending it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import structs

from gateway.core.body import JsonBody, check_text
from gateway.core.estimate import input_tokens
from gateway.domain import ANONYMOUS, Credential, UpstreamRequest
from gateway.errors import Fault, invalid
from gateway.pipeline.attempt import (
    Order,
    call_of,
    expects,
    fidelity,
    heard,
    inexact,
)
from gateway.pipeline.candidates import Wanted, candidates, decoded, usual_model
from gateway.pipeline.mishaps import sound_request
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.unpriced import within_price
from gateway.pipeline.wishes import wishes_of, without_ours
from gateway.web.endpoints.account import holder
from gateway.web.endpoints.quote import DECODERS, operation_of, priced
from gateway.web.exchange import JSON, Exchange

_LIMIT = 32 << 20
_MASK = "***"


async def explain(exchange: Exchange) -> None:
    """Show the route, the provider's request with its secrets masked, the fidelity, the quote.

    Its host is for operators.
    """
    services = exchange.site.services
    key = await holder(exchange, "inference")  # it is work for nothing
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    raw = await exchange.body_reader(_LIMIT)()
    body = JsonBody.parse(raw)
    operation = _operation(exchange, body)
    known = decoded(services, operation, body, DECODERS[operation])
    headers = exchange.request.headers
    wishes = wishes_of(operation, body, known, headers)
    wanted = Wanted.by(standing, operation, body, wishes.preferences, input_tokens(raw))
    model = known.model or usual_model(catalog, operation)
    found = await candidates(services, standing, wanted, model)
    if not standing.unlimited:
        wanted, found = within_price(standing, wanted, found)
    candidate = found[0]
    order = Order(
        operation,
        without_ours(body, wishes) if wishes.ours else body,
        getattr(known, "stream", None) is True,
        wishes.strict or key.strict,
        heard(candidate, headers),
    )
    request = _request(candidate, order, services)
    used = expects(candidate, order, services.mishaps, services.clock.time())
    if order.strict and request.adapted:
        raise inexact(candidate, request)
    route = candidate.route
    explanation = {
        "object": "explanation",
        "endpoint": operation,
        "model": route.model.id,
        "route": route.slug,
        "provider": route.provider.name,
        "others": [other.route.slug for other in found[1:]],
        "fidelity": fidelity(request) or "untouched",
        "adapted": list(request.adapted),
        "request": _shown(request, whole="admin" in key.scopes),
        "quote": priced(candidate, standing.scale, input_tokens(raw), wishes, used),
    }
    exchange.sink.reply(200, (JSON,), msgspec.json.encode(explanation))


def _operation(exchange: Exchange, body: JsonBody) -> str:
    given = exchange.query.get("endpoint")
    if given is None:
        return operation_of(exchange.site.services, body)
    if given not in DECODERS:
        raise invalid(f"'endpoint' must be one of {', '.join(DECODERS)}.", "endpoint")
    return given


def _request(candidate: Candidate, order: Order, services: Services) -> UpstreamRequest:
    """What would be sent, written with masks where secrets belong: none can show."""
    credentials = candidate.route.provider.credentials
    credential = credentials[0] if credentials else ANONYMOUS
    secrets = dict.fromkeys(credential.secrets, _MASK)
    login = candidate.adapter.login
    if login is not None:
        secrets |= dict.fromkeys(login.gives, _MASK)
    masked: Credential = structs.replace(credential, secrets=secrets)
    call = call_of(candidate, order, services.clock.time())
    build = candidate.operation.build
    adapter = candidate.route.provider.adapter
    return services.mishaps.guarded(adapter, lambda: sound_request(build(call, masked)))


def _shown(request: UpstreamRequest, *, whole: bool) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.url if whole else _without_host(request.url),
        "headers": dict(request.headers),
        "body": _body(request.body),
    }


def _without_host(url: str) -> str:
    """Where a provider is, is the operator's business alone."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=_MASK)) if parts.netloc else url


def _body(raw: bytes) -> msgspec.Raw | str:
    """The body byte for byte where it is JSON, so that no number is too great to be shown."""
    try:
        check_text(raw)
        return msgspec.json.decode(raw, type=msgspec.Raw).copy()
    except (Fault, ValueError, RecursionError):
        return raw.decode(errors="replace")
