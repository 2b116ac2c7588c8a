"""How long a request is: the provider's own count, or the gateway's estimate. Costs nothing."""

from __future__ import annotations

import msgspec
from msgspec import structs

from gateway.core.body import JsonBody
from gateway.core.estimate import input_tokens
from gateway.errors import Fault
from gateway.pipeline import relay
from gateway.pipeline.admission import Ask, read
from gateway.pipeline.admit import authenticate, limited
from gateway.pipeline.attempt import Attempt, Order, asked, heard, logged_in
from gateway.pipeline.candidates import Wanted, candidates, decoded
from gateway.pipeline.record import Record
from gateway.pipeline.serve import Attempts
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.wishes import Wishes, without_ours
from gateway.ports import Headers, Sink
from gateway.sdk.dialects import own_operation

_JSON = ("Content-Type", "application/json")
_ESTIMATED = ("x-gateway-fidelity", "adapted; fields=input_tokens")


async def count(services: Services, ask: Ask, sink: Sink, record: Record) -> None:
    """Answer with the number of tokens that the request would be."""
    key = await authenticate(services, record, ask.secret, ask.address)
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    raw = await read(ask.body)
    assert isinstance(raw, bytes)
    record.bytes_in = len(raw)
    body = without_ours(JsonBody.parse(raw), Wishes())
    record.model = decoded(services, ask.operation, body, ask.decoder).model
    wanted = Wanted("messages", body)
    candidate = (await candidates(services, standing, wanted, record.model))[0]
    ticket = limited(services, standing, candidate, 0, ask.address, record)
    try:
        told, content = await _counted(services, candidate, ask, body, record)
    finally:
        standing.limits.release()
        standing.limits.settle(ticket, 0)
    route = ("x-gateway-route", candidate.route.slug)
    sink.reply(200, [_JSON, route, *record.headers, *told], content)


async def _counted(
    services: Services, candidate: Candidate, ask: Ask, body: JsonBody, record: Record
) -> tuple[Headers, bytes]:
    route = candidate.route
    own = own_operation(candidate.adapter, "count_tokens", route.upstream, candidate.options)
    if own is None:
        estimate = input_tokens(body.raw)
        return (_ESTIMATED,), msgspec.json.encode({"input_tokens": estimate})
    counting = structs.replace(candidate, operation=own)
    attempts = Attempts.of(services, [counting], 0, record, _nothing_more)
    order = Order("count_tokens", body, heard=heard(counting, ask.headers))
    tried = attempts.begin(attempts.began) or await attempts.next()
    try:
        credential = tried.credential
        if counting.adapter.login is not None:
            credential = await logged_in(services, counting, credential)
        call, _, answering = asked(services, counting, credential, order, record)
        reply = await answering
        record.upstream_status = reply.status
        try:
            sent = Attempt(counting, credential, call, reply, services.mishaps)
            counted = (await relay.whole(sent, services.upstream)).body
        finally:
            reply.close()
            record.upstream_done = services.clock.monotonic()
    except Fault as fault:
        attempts.failed(tried, fault, sent=True)
        raise
    except BaseException:
        attempts.done(tried, "unknown")
        raise
    attempts.done(tried, "ok")
    return (), counted


async def _nothing_more() -> list[Candidate]:
    return []
