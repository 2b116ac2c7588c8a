"""POST quote: what a body would cost on every route that may serve it, without calling any."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.body import JsonBody, decode_as
from gateway.core.estimate import input_tokens
from gateway.core.money.amounts import dollars
from gateway.core.money.quote import quote as price_quote
from gateway.core.money.quote import units_of
from gateway.domain import Usage
from gateway.errors import invalid
from gateway.pipeline.admit import authenticate
from gateway.pipeline.attempt import Order, expects
from gateway.pipeline.candidates import Wanted, quotable
from gateway.pipeline.operations import NOTHING, OPERATIONS
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.wishes import Wishes, ceiling, wishes_of
from gateway.schemas import (
    chat,
    completions,
    embeddings,
    images,
    messages,
    moderations,
    music,
    rerank,
    responses,
    speech,
    videos,
)
from gateway.web.exchange import Exchange

_LIMIT = 32 << 20
# What takes JSON alone can be told beforehand. What needs a file cannot: nobody knows its length
# before it has come.
DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "chat": chat.decoder,
    "messages": messages.decoder,
    "responses": responses.decoder,
    "completions": completions.decoder,
    "embeddings": embeddings.decoder,
    "images": images.decoder,
    "speech": speech.decoder,
    "moderations": moderations.decoder,
    "rerank": rerank.decoder,
    "videos": videos.decoder,
    "music": music.decoder,
}
# What a body asks for by the kind of its model.
_USUAL: dict[str, str] = {}
for _name in DECODERS:
    _USUAL.setdefault(OPERATIONS[_name].model, _name)


async def quote(exchange: Exchange) -> None:
    """Price the body of a call that has not been made."""
    services = exchange.site.services
    record = exchange.record
    key = await authenticate(services, record, exchange.secret(), exchange.address)
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    raw = await exchange.body_reader(_LIMIT)()
    body = JsonBody.parse(raw)
    operation = operation_of(services, body)
    known = decode_as(raw, DECODERS[operation])
    wishes = wishes_of(operation, body, known, {})
    tokens = input_tokens(raw)
    wanted = Wanted.by(standing, operation, body, wishes.preferences, tokens)
    order = Order(operation, body)
    now = services.clock.time()
    quotes = []
    for candidate in quotable(services, standing, wanted, known.model):
        used = expects(candidate, order, services.mishaps, now)
        one = priced(candidate, standing.scale, tokens, wishes, used)
        quotes.append(one | {"available": candidate.route.provider.configured})
    quotes.sort(key=lambda one: float(one["max_cost"]))
    exchange.answer({"object": "quote", "currency": "usd", "model": known.model, "routes": quotes})


def priced(
    candidate: Candidate, scale: int, tokens: int, wishes: Wishes, expected: Usage = NOTHING
) -> dict[str, Any]:
    """What a call of so many tokens costs on one route, at least and at most."""
    most = ceiling(wishes, candidate)
    rows = candidate.rows
    units = units_of(rows, expected)
    return {
        "route": candidate.route.slug,
        "provider": candidate.route.provider.name,
        "input_tokens": tokens,
        "max_output_tokens": most if rows.base.dearest_output else 0,
        "input_cost": dollars(price_quote(rows, tokens, 0, scale)),
        "max_cost": dollars(price_quote(rows, tokens, most, scale, units)),
    }


def operation_of(services: Services, body: JsonBody) -> str:
    """What a body asks for, by its members and the kind of its model."""
    if "messages" in body:
        return "chat"
    model = body.value("model")
    routes = services.catalog.current.candidates(model) if isinstance(model, str) else ()
    kind = routes[0].model.kind if routes else "chat"
    if kind not in _USUAL:
        raise invalid(
            f"What is asked of a model of kind '{kind}' can only be told by a call.", "model"
        )
    if kind != "chat":
        return _USUAL[kind]
    return "responses" if "input" in body else "completions" if "prompt" in body else "chat"
