"""GET realtime opens a session over a websocket; POST realtime/client_secrets lets a browser."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.body import JsonBody, check_values, decode_as, object_body
from gateway.domain import Key
from gateway.errors import INSUFFICIENT_SCOPE, Fault, invalid
from gateway.pipeline.admission import Ask
from gateway.pipeline.candidates import Wanted, candidates
from gateway.pipeline.session import Door, converse
from gateway.ports import Headers, Socket
from gateway.schemas import realtime
from gateway.store.client_secrets import is_client_secret
from gateway.web.exchange import JSON, Exchange
from gateway.web.sockets import ClientSocket, accepted, check_handshake, secret_offered

_LIMIT = 1 << 20
_USUAL_SECONDS = 600


async def connect(exchange: Exchange) -> None:
    """Open a session, and serve it until it ends."""
    request, site = exchange.request, exchange.site
    check_handshake(request)
    secret = exchange.secret() or secret_offered(request)
    preset = None
    if secret is not None and is_client_secret(secret):
        preset = await site.store.client_secrets.session(secret)

    def opened(headers: Headers) -> Socket:
        return ClientSocket(exchange.connection, exchange.sink, (*accepted(request), *headers))

    ask = Ask(
        operation="realtime",
        secret=secret,
        decoder=realtime.decoder,
        body=_asked(exchange, preset),
        address=exchange.address,
        headers=request.headers,
        scope="inference" if preset is None else "realtime",
    )
    await converse(site.services, ask, Door(opened, lambda: site.draining), exchange.record)


async def client_secrets(exchange: Exchange) -> None:
    """Make a secret that opens sessions as the caller, for a while."""
    key = await exchange.key("inference")
    _may_make(key)
    raw = await exchange.body_reader(_LIMIT)()
    check_values(raw)
    body = JsonBody.parse(raw)
    asked = decode_as(raw, realtime.secret_decoder)
    session = body.get("session")
    if session in (None, b"null"):
        session = b"{}"
    preset = object_body(session, "session").replace({"type": b'"realtime"'})
    model = None if asked.session is None else asked.session.model
    if model is not None:
        await _check_model(exchange, key, model)
    seconds = _USUAL_SECONDS if asked.expires_after is None else asked.expires_after.seconds
    made = await exchange.site.store.client_secrets.make(key.id, preset.raw, seconds)
    answer = {
        "value": made.value,
        "expires_at": made.expires_at,
        "session": msgspec.Raw(preset.raw),
    }
    exchange.sink.reply(200, (JSON,), msgspec.json.encode(answer))


def _asked(exchange: Exchange, preset: bytes | None) -> bytes:
    """The session that is asked for, as the body that a call would have."""
    query = exchange.query
    if "call_id" in query:
        raise invalid("Sessions are opened over websockets here; there are no calls.", "call_id")
    if query.get("intent", "conversation") == "transcription":
        raise invalid("Sessions that only transcribe are not served here.", "intent")
    model, body = query.get("model"), {}
    if preset is not None:
        session = JsonBody(preset)
        told: Any = session.value("model")
        if told is not None and model not in (None, told):
            raise invalid(f"This client secret is for '{told}'.", "model")
        model = told or model
        body["session"] = msgspec.Raw(preset)
    if not model:
        raise invalid("Name a model in the query: realtime?model=...", "model")
    return msgspec.json.encode({"model": model, **body})


def _may_make(key: Key) -> None:
    if not key.n or key.children:
        raise Fault(
            INSUFFICIENT_SCOPE,
            "Client secrets are made with an API key of the gateway, not with a derived key.",
            cause="derived_key",
        )


async def _check_model(exchange: Exchange, key: Key, model: str) -> None:
    """A secret for a model that its key may not use would only fail later."""
    services = exchange.site.services
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    try:
        await candidates(services, standing, Wanted("realtime", JsonBody(b"{}")), model)
    except Fault as fault:
        fault.param = "session.model"
        raise
