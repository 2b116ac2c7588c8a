"""A call from top to bottom: admit, attempt, relay, settle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody, decode_as
from gateway.core.estimate import input_tokens
from gateway.core.limits import Ticket
from gateway.core.money.amounts import NANOS
from gateway.core.purse import Purse
from gateway.errors import CLIENT_CLOSED, INSUFFICIENT_SCOPE, INTERNAL_ERROR, Fault, NotSentError
from gateway.pipeline import relay, settle
from gateway.pipeline.admit import authenticate, candidates, known_candidates, limited
from gateway.pipeline.attempt import NOTHING_HEARD, Attempt, Order, attempt, heard
from gateway.pipeline.costs import cost_in_body
from gateway.pipeline.desk import Standing
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.till import Till
from gateway.pipeline.wishes import Asked, Wishes, ceiling, wishes_of, without_ours
from gateway.ports import Headers, Sink

_USUAL_ANSWER = 1_024


class Ask(Struct, frozen=True):
    """A call as the edge hands it in. The body is read only once the key is good."""

    operation: str
    secret: bytes | None
    decoder: msgspec.json.Decoder[Any]
    read_body: Callable[[], Awaitable[bytes]]
    address: Callable[[], str | None]
    headers: Mapping[str, str]
    keep: Callable[[bytes], None] | None = None  # is given the whole answer, once it is complete


class Job(Struct):
    """An admitted call on its way."""

    body: JsonBody
    wishes: Wishes
    standing: Standing
    candidate: Candidate
    till: Till
    ticket: Ticket | None = None
    keep: Callable[[bytes], None] | None = None
    heard: Mapping[str, str] = NOTHING_HEARD

    @property
    def strict(self) -> bool:
        """Whether the request or its key wants nothing lost."""
        return self.wishes.strict or self.standing.key.strict

    @property
    def tokens(self) -> int:
        """What the call is likely to use of its key's tokens a minute."""
        wishes = self.wishes
        most = _USUAL_ANSWER if wishes.max_tokens is None else wishes.max_tokens
        return self.till.tokens_in + min(most * wishes.answers, self.till.ceiling)


async def run(services: Services, ask: Ask, sink: Sink, record: Record) -> None:
    """Serve one call; whatever goes wrong is raised as a Fault after it was settled."""
    job = await _admitted(services, ask, record)
    operation = ask.operation
    del ask  # a long stream need not carry what only its start needed
    try:
        await job.till.open(record.stream)
        most = job.till.most(record.stream)
        if most < job.till.ceiling:
            job.body = _lowered(job, record, most)
        order = Order(operation, job.body, record.stream, job.strict, job.heard)
        await _serve(services, job, order, sink, record)
    finally:
        if job.ticket is not None:
            limits, usage = job.standing.limits, record.usage
            limits.release()
            if usage is not None:
                limits.settle(job.ticket, usage.input + usage.output)


async def _admitted(services: Services, ask: Ask, record: Record) -> Job:
    """The call, once its key, its body, its model and its limits allow it."""
    key = await authenticate(services, ask.secret, ask.address)
    record.key = key.id
    if key.session is not None and ask.headers.get("x-session-id") not in (None, key.session):
        raise Fault(
            INSUFFICIENT_SCOPE,
            "This derived key is for one session, and the request names another.",
            param="x-session-id",
            cause="other_session",
        )
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    body, wishes = _read(await ask.read_body(), ask, record)
    asked = (services, standing, ask.operation, record.model)
    candidate = (known_candidates(*asked) or await candidates(*asked))[0]
    job = _job(services, standing, candidate, body, wishes, record)
    if standing.limits.any or not key.n:
        job.ticket = limited(services, standing, candidate, job.tokens, ask.address, record)
    job.keep = ask.keep
    job.heard = heard(candidate, ask.headers)
    return job


def _read(raw: bytes, ask: Ask, record: Record) -> tuple[JsonBody, Wishes]:
    """The checked body, and what of it is meant for the gateway.

    What was decoded is let go here: a long stream need not carry it.
    """
    record.bytes_in = len(raw)
    body = JsonBody.parse(raw)
    known = decode_as(raw, ask.decoder)
    record.model = known.model
    record.stream = known.stream is True
    headers = ask.headers
    asked = Asked(headers.get("x-max-cost"), headers.get("x-gateway-fidelity"))
    return body, wishes_of(ask.operation, body, known, asked)


def _job(
    services: Services,
    standing: Standing,
    candidate: Candidate,
    body: JsonBody,
    wishes: Wishes,
    record: Record,
) -> Job:
    most = ceiling(wishes, candidate.route)
    purses = standing.purses
    if wishes.max_cost is not None:
        purses = (*purses, Purse("call", wishes.max_cost))
    till = Till(
        services,
        standing,
        candidate,
        record.number + services.first_call,
        input_tokens(body.raw),
        most,
        purses,
        most,
    )
    return Job(without_ours(body) if wishes.ours else body, wishes, standing, candidate, till)


def _lowered(job: Job, record: Record, most: int) -> JsonBody:
    """The body with the ceiling that its money allows, if that is lower than what was asked."""
    wishes = job.wishes
    each = max(1, most // wishes.answers)
    record.headers = (*record.headers, ("x-gateway-max-tokens", str(each)))
    lower = {
        name: b"%d" % (each if asked is None else min(each, asked))
        for name, asked in wishes.ceilings
    }
    return job.body.replace(lower)


async def _serve(services: Services, job: Job, order: Order, sink: Sink, record: Record) -> None:
    meter = relay.Meter()
    tried: Attempt | None = None
    try:
        tried = await attempt(services, job.candidate, order, record)
        await _answer(services, job, tried, meter, sink, record)
    except BaseException as error:
        if isinstance(error, NotSentError):
            record.sent_upstream = 0.0
        if not job.till.settled:
            durable = settle.broken(
                job.till, record, job.candidate, meter.usage, meter.events, meter.produced,
                _status_of(error),
            )  # fmt: skip
            if not isinstance(error, asyncio.CancelledError):
                await durable
        raise
    finally:
        if tried is not None:
            # An unfinished answer is cut here, whether the client left or something failed.
            tried.reply.close()
            record.upstream_done = services.clock.monotonic()


async def _answer(
    services: Services,
    job: Job,
    tried: Attempt,
    meter: relay.Meter,
    sink: Sink,
    record: Record,
) -> None:
    headers: Headers = (("x-gateway-route", job.candidate.route.slug), *record.headers)
    if tried.fidelity:
        headers = (*headers, ("x-gateway-fidelity", tried.fidelity))
    till = job.till
    if record.stream and await relay.is_stream(tried):
        stream = relay.Stream(tried, sink, headers, job.wishes, till, meter, record, services.clock)
        await stream.run()
        fault = record.fault
        if fault is not None:
            await settle.broken(
                till, record, job.candidate, meter.usage, meter.events, meter.produced,
                fault.kind.status,
            )  # fmt: skip
        elif stream.stopped:
            await settle.stopped(till, record, meter.events, meter.produced)
        else:
            await settle.finished(
                till, record, job.candidate, meter.usage, meter.events, meter.produced
            )
            if job.keep is not None:
                job.keep(meter.final)
        sink.end()
        return
    reply = await relay.whole(tried)
    produced = settle.answer_bytes(reply.body)
    await settle.finished(till, record, job.candidate, reply.usage, 0, produced)
    record.first_byte = services.clock.monotonic()
    if job.keep is not None:
        job.keep(reply.body)
    body = cost_in_body(reply.body, till.charged) if job.wishes.show_cost else reply.body
    cost = ("x-gateway-cost", f"{till.charged // NANOS}.{till.charged % NANOS:09d}")
    sink.reply(200, [("Content-Type", reply.content_type), *headers, cost], body)


def _status_of(error: BaseException) -> int:
    if isinstance(error, asyncio.CancelledError):
        return CLIENT_CLOSED.status
    return error.kind.status if isinstance(error, Fault) else INTERNAL_ERROR.status
