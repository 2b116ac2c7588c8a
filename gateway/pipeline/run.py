"""A call from top to bottom: admit, attempt, relay, settle."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody, decode_as, object_body
from gateway.domain import Usage
from gateway.pipeline import relay
from gateway.pipeline.admit import authenticate, candidates
from gateway.pipeline.attempt import Attempt, attempt
from gateway.pipeline.record import Record
from gateway.pipeline.services import Services
from gateway.ports import Headers, Sink


class Ask(Struct, frozen=True):
    """A call as the edge hands it in. The body is read only once the key is good."""

    operation: str
    secret: bytes | None
    decoder: msgspec.json.Decoder[Any]
    read_body: Callable[[], Awaitable[bytes]]


async def run(services: Services, ask: Ask, sink: Sink, record: Record) -> None:
    """Serve one call; whatever goes wrong is raised as a Fault after it was settled."""
    key = await authenticate(services, ask.secret)
    record.key = key.id
    body, show_usage = _read(await ask.read_body(), ask, record)
    candidate = candidates(services, key, ask.operation, record.model)[0]
    tried = await attempt(services, candidate, ask.operation, body, record.stream, record)
    try:
        await _answer(services, tried, sink, record, show_usage)
    finally:
        # An unfinished answer is cut here, whether the client left or something failed.
        tried.reply.close()
        record.upstream_done = services.clock.monotonic()


def _read(raw: bytes, ask: Ask, record: Record) -> tuple[JsonBody, bool]:
    """The checked body, and whether the client wants to see usage in a stream.

    What was decoded is let go here: a long stream need not carry it.
    """
    record.bytes_in = len(raw)
    body = JsonBody.parse(raw)
    known = decode_as(raw, ask.decoder)
    record.model = known.model
    record.stream = known.stream is True
    return body, _shows_usage(body, known)


async def _answer(
    services: Services, tried: Attempt, sink: Sink, record: Record, show_usage: bool
) -> None:
    headers: Headers = (("x-gateway-route", tried.candidate.route.slug),)
    if record.stream and await relay.is_stream(tried):
        stream = relay.Stream(tried, sink, headers, show_usage, record, services.clock)
        try:
            await stream.run()
        finally:
            settle(record, tried, stream.usage)
        sink.end()
        return
    reply = await relay.whole(tried)
    settle(record, tried, reply.usage)
    record.first_byte = services.clock.monotonic()
    sink.reply(200, [("Content-Type", reply.content_type), *headers], reply.body)


def settle(record: Record, tried: Attempt, usage: Usage | None) -> None:
    """Note what was used, before the client sees the end. Runs exactly once a dispatched call."""
    if usage is not None and not tried.candidate.cached_inside:
        whole = usage.input + usage.cached + usage.cache_write
        usage = msgspec.structs.replace(usage, input=whole)
    record.usage = usage


def _shows_usage(body: JsonBody, known: Any) -> bool:
    options = body.get("stream_options")
    if options is None or options == b"null":
        return False
    object_body(options, "stream_options")
    return known.stream_options.include_usage is True
