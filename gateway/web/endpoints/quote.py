"""POST quote: what a body would cost on every route that may serve it, without calling any."""

from __future__ import annotations

from typing import Any

from gateway.core.body import JsonBody, decode_as
from gateway.core.estimate import input_tokens
from gateway.core.money.amounts import dollars
from gateway.core.money.quote import quote as price_quote
from gateway.pipeline.admit import authenticate
from gateway.pipeline.candidates import Wanted, candidates
from gateway.pipeline.services import Candidate
from gateway.pipeline.wishes import Asked, Wishes, ceiling, wishes_of
from gateway.schemas import chat, completions, embeddings
from gateway.web.exchange import Exchange

_LIMIT = 32 << 20


async def quote(exchange: Exchange) -> None:
    """Price a chat, completion or embedding body."""
    services = exchange.site.services
    key = await authenticate(services, exchange.secret(), exchange.address)
    exchange.record.key = key.id
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    raw = await exchange.body_reader(_LIMIT)()
    body = JsonBody.parse(raw)
    operation, decoder = _operation(body)
    known = decode_as(raw, decoder)
    wishes = wishes_of(operation, body, known, Asked())
    tokens = input_tokens(raw)
    wanted = Wanted.by(standing, operation, body, wishes.preferences, tokens)
    quotes = [
        priced(candidate, standing.scale, tokens, wishes)
        for candidate in await candidates(services, standing, wanted, known.model)
    ]
    quotes.sort(key=lambda one: float(one["max_cost"]))
    exchange.answer({"object": "quote", "currency": "usd", "model": known.model, "routes": quotes})


def priced(candidate: Candidate, scale: int, tokens: int, wishes: Wishes) -> dict[str, Any]:
    """What a call of so many tokens costs on one route, at least and at most."""
    most = ceiling(wishes, candidate.route)
    return {
        "route": candidate.route.slug,
        "provider": candidate.route.provider.name,
        "input_tokens": tokens,
        "max_output_tokens": most,
        "input_cost": dollars(price_quote(candidate.rows, tokens, 0, scale)),
        "max_cost": dollars(price_quote(candidate.rows, tokens, most, scale)),
    }


def _operation(body: JsonBody) -> tuple[str, Any]:
    if "input" in body and "messages" not in body:
        return "embeddings", embeddings.decoder
    if "prompt" in body and "messages" not in body:
        return "completions", completions.decoder
    return "chat", chat.decoder
