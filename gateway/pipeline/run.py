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
from gateway.core.routing.affinity import conversation_keys
from gateway.core.routing.causes import Outcome
from gateway.core.routing.preferences import NO_PREFERENCES
from gateway.errors import (
    CLIENT_CLOSED,
    INSUFFICIENT_SCOPE,
    INTERNAL_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    NotSentError,
)
from gateway.pipeline import relay, settle
from gateway.pipeline.admit import authenticate, limited
from gateway.pipeline.attempt import NOTHING_HEARD, Attempt, Order, attempt, heard
from gateway.pipeline.candidates import (
    Wanted,
    candidates,
    fallbacks,
    known_candidates,
    warning_of,
)
from gateway.pipeline.costs import cost_in_body
from gateway.pipeline.desk import Standing
from gateway.pipeline.record import Record
from gateway.pipeline.serve import Attempts, Try, outcome_of
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.till import Till
from gateway.pipeline.wishes import Asked, Wishes, ceiling, wishes_of, without_ours
from gateway.ports import Headers, Sink

_USUAL_ANSWER = 1_024
_CEILINGS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


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
    asked: JsonBody  # the body as the route at hand is sent it
    ticket: Ticket | None = None
    keep: Callable[[bytes], None] | None = None
    heard: Mapping[str, str] = NOTHING_HEARD
    candidates: list[Candidate] = []
    wanted: Wanted | None = None
    keys: tuple[int, ...] = ()

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
        await _serve(services, job, operation, sink, record)
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
    tokens_in = input_tokens(body.raw)
    wanted = Wanted.by(standing, ask.operation, body, wishes.preferences, tokens_in)
    found = None
    if wanted.preferences is NO_PREFERENCES:
        found = known_candidates(services, standing, ask.operation, record.model)
    if found is None:
        found = await candidates(services, standing, wanted, record.model)
        warning = warning_of(services, record.model)
        if warning is not None:
            record.headers = (*record.headers, ("Warning", warning))
    candidate = found[0]
    job = _job(services, standing, candidate, body, wishes, record, tokens_in)
    job.candidates, job.wanted = found, wanted
    if len(found) > 1 or len(candidate.route.provider.credentials) > 1:
        session = ask.headers.get("x-session-id") or key.session
        job.keys = conversation_keys(body.raw, (standing.who[0], record.model), session)
    if standing.limits.any or not key.n:
        job.ticket = limited(services, standing, candidate, job.tokens, ask.address, record)
    job.keep = ask.keep
    job.heard = _heard(found, ask.headers)
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
    tokens_in: int,
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
        tokens_in,
        most,
        purses,
        most,
    )
    theirs = without_ours(body, wishes) if wishes.ours else body
    return Job(theirs, wishes, standing, candidate, till, theirs)


def _lowered(job: Job, record: Record, affordable: int) -> JsonBody:
    """The body with the ceiling that its money allows, if that is lower than what was asked."""
    wishes = job.wishes
    each = max(1, affordable // wishes.answers)
    record.headers = (*record.headers, ("x-gateway-max-tokens", str(each)))
    asked = {name: None for name in _CEILINGS if name in job.body} | dict(wishes.ceilings)
    lower = {
        name: b"%d" % (each if most is None else min(each, most)) for name, most in asked.items()
    }
    return job.body.replace(lower)


def _heard(found: list[Candidate], headers: Mapping[str, str]) -> Mapping[str, str]:
    """What any of the adapters that may be asked wants to hear."""
    if len(found) == 1:
        return heard(found[0], headers)
    return {name: told for one in found for name, told in heard(one, headers).items()}


async def _serve(services: Services, job: Job, operation: str, sink: Sink, record: Record) -> None:
    """Try one route and credential after the other, until the call is answered or lost."""
    attempts = Attempts(
        services, job.candidates, job.tokens, record, lambda: _more(services, job), job.keys
    )
    meter = relay.Meter()
    try:
        tried = await attempts.next()
        while True:
            try:
                await _tried(services, job, operation, tried, attempts, meter, sink, record)
                return
            except Fault as fault:
                if not attempts.failed(tried, fault, sent=sink.started):
                    raise
                meter = relay.Meter()
                tried = await attempts.next(fault)
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


async def _more(services: Services, job: Job) -> list[Candidate]:
    assert job.wanted is not None
    return await fallbacks(services, job.standing, job.wanted, job.candidates[0])


async def _tried(
    services: Services,
    job: Job,
    operation: str,
    tried: Try,
    attempts: Attempts,
    meter: relay.Meter,
    sink: Sink,
    record: Record,
) -> None:
    """One try: its money, its request, its answer. Whatever ends it, its credential is told."""
    sent: Attempt | None = None
    over: Outcome | None = "unknown"
    try:
        await _turn_to(job, tried.candidate, record)
        order = Order(operation, job.asked, record.stream, job.strict, job.heard)
        async with _patience(tried, attempts, record) as guard:
            sent = await attempt(services, tried.candidate, tried.credential, order, record)

            def begun() -> None:
                guard.reschedule(None)
                attempts.answered(tried)

            await _answer(services, job, sent, meter, sink, record, begun)
        over = "ok" if record.fault is None else outcome_of(record.fault)
    except TimeoutError:
        over = None
        raise Fault(
            UPSTREAM_TIMEOUT,
            "The provider did not begin its answer in time.",
            cause="slow_start",
        ) from None
    except Fault:
        over = None  # told by who decides what comes next
        raise
    finally:
        if sent is not None:
            # An unfinished answer is cut here, whether the client left or something failed.
            sent.reply.close()
            record.upstream_done = services.clock.monotonic()
        if over is not None:
            attempts.done(tried, over)


class _NoHurry:
    """What a timeout is where there is none: every call passes here, so it does nothing."""

    async def __aenter__(self) -> _NoHurry:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let whatever ends it pass."""

    def reschedule(self, when: float | None) -> None:
        """There is nothing to put off."""


_NO_HURRY = _NoHurry()


def _patience(tried: Try, attempts: Attempts, record: Record) -> asyncio.Timeout | _NoHurry:
    """How long a stream may keep everybody waiting for its first piece, if another is there."""
    limit = tried.candidate.route.provider.timeouts.first_token
    patient = limit is None or not record.stream or not attempts.others
    return _NO_HURRY if patient else asyncio.timeout(limit)


async def _turn_to(job: Job, candidate: Candidate, record: Record) -> None:
    """Set aside what this route may cost, and ask for no longer an answer than that pays for."""
    till = job.till
    if candidate is not job.candidate:
        await till.move(candidate, ceiling(job.wishes, candidate.route), record.stream)
        job.candidate = candidate
    job.asked = job.body
    most = till.most(record.stream)
    if most < till.ceiling:
        job.asked = _lowered(job, record, most)


async def _answer(
    services: Services,
    job: Job,
    tried: Attempt,
    meter: relay.Meter,
    sink: Sink,
    record: Record,
    begun: Callable[[], None],
) -> None:
    headers: Headers = (("x-gateway-route", job.candidate.route.slug), *record.headers)
    if record.tries:
        headers = (*headers, ("x-gateway-attempts", str(len(record.tries) + 1)))
    if tried.fidelity:
        headers = (*headers, ("x-gateway-fidelity", tried.fidelity))
    till = job.till
    if record.stream and await relay.is_stream(tried):
        stream = relay.Stream(
            tried, sink, headers, job.wishes, till, meter, record, services.clock, begun
        )
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
    begun()
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
