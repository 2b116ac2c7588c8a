"""A call from top to bottom: admit, attempt, relay, settle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial

from gateway.core.body import JsonBody
from gateway.core.money.amounts import NANOS
from gateway.errors import (
    CLIENT_CLOSED,
    INTERNAL_ERROR,
    NOT_SENT,
    UPSTREAM_TIMEOUT,
    Fault,
    upstream_error,
)
from gateway.pipeline import relay, settle
from gateway.pipeline.admission import Admitted, Ask, admitted, expects_on
from gateway.pipeline.attempt import Attempt, Order, asked, fidelity, logged_in
from gateway.pipeline.costs import cost_in_body
from gateway.pipeline.operations import NOTHING
from gateway.pipeline.record import Record
from gateway.pipeline.serve import Attempts, Try, outcome_of
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.tasks.submitting import answered, in_doubt, submit
from gateway.pipeline.wishes import ceiling
from gateway.ports import Headers, Sink

_CEILINGS = ("max_tokens", "max_completion_tokens", "max_output_tokens")


async def run(services: Services, ask: Ask, sink: Sink, record: Record) -> None:
    """Serve one call; whatever goes wrong is raised as a Fault after it was settled."""
    job = await admitted(services, ask, record)
    operation = ask.operation
    del ask  # a long stream need not carry what only its start needed
    try:
        if job.candidate.operation.job is not None:
            serve = partial(_serve, services, job, operation, sink, record)
            await submit(services, job, operation, sink, record, serve)
            return
        written = job.till.hold(record.stream and job.talks)
        try:  # as `open` has it, without its coroutine: every call waits here
            error = await written
        except asyncio.CancelledError:
            job.till.left(written)
            raise
        if error is not None:
            raise job.till.unheld()
        del written
        await _serve(services, job, operation, sink, record)
    finally:
        if job.ticket is not None:
            limits, usage = job.standing.limits, record.usage
            limits.release()
            if usage is not None:
                limits.settle(job.ticket, usage.input + usage.output)


async def _serve(
    services: Services, job: Admitted, operation: str, sink: Sink, record: Record
) -> None:
    """Try one route and credential after the other, until the call is answered or lost.

    Each try is made right here and no coroutine deeper: every call waits at its bottom twice.
    """
    attempts = Attempts.of(services, job.candidates, job.tokens, record, job.more, job.keys)
    meter = relay.Meter()
    try:
        tried = attempts.begin(attempts.began) or await attempts.next()
        while True:
            try:
                if tried.candidate is not job.candidate:
                    await _turn_to(services, job, operation, tried.candidate, record)
                body = job.body
                if job.talks and job.till.affords < job.till.ceiling:
                    body = _affordable(job, record)
                order = Order(operation, body, record.stream, job.strict, job.heard, job.form)
                if record.stream and _may_not_linger(tried, attempts):
                    await _in_time(services, job, order, attempts, tried, meter, sink, record)
                else:
                    await _try(services, job, order, attempts, tried, meter, sink, record)
            except (Fault, TimeoutError) as fault:
                if not isinstance(fault, Fault):
                    fault = _too_slow()
                final = sink.started or (job.handed is not None and in_doubt(fault))
                if not attempts.failed(tried, fault, sent=final):
                    raise fault from None
                meter = relay.Meter()
                tried = await attempts.next(fault)
            except BaseException:
                attempts.done(tried, "unknown")
                raise
            else:
                attempts.done(tried, "ok" if record.fault is None else outcome_of(record.fault))
                return
    except BaseException as error:
        durable = _broken(job, record, meter, error)
        if not (durable is None or isinstance(error, asyncio.CancelledError)):
            await durable
        raise


def _broken(
    job: Admitted, record: Record, meter: relay.Meter, error: BaseException
) -> Awaitable[Exception | None] | None:
    """Settle a call that came to nothing good, unless that was done."""
    if isinstance(error, asyncio.CancelledError) and (
        NOT_SENT in error.args or len(record.tries) > record.failed_before
    ):
        record.sent_upstream = 0.0  # nothing is under way, and what failed costs nothing
    if job.till.settled:
        return None
    status = _status_of(error)
    if job.handed is not None:  # nothing came of it, as far as anybody will ever know
        return job.till.release(status)
    return settle.broken(
        job.till, record, job.candidate, meter.usage, meter.events, meter.produced, status
    )


def _may_not_linger(tried: Try, attempts: Attempts) -> bool:
    """Whether a stream may not keep everybody waiting for its first piece: another is there."""
    return tried.candidate.route.provider.timeouts.first_token is not None and attempts.others


async def _in_time(
    services: Services,
    job: Admitted,
    order: Order,
    attempts: Attempts,
    tried: Try,
    meter: relay.Meter,
    sink: Sink,
    record: Record,
) -> None:
    """A try that must have begun to answer by then."""
    async with asyncio.timeout(tried.candidate.route.provider.timeouts.first_token) as hurry:
        tried.hurry = hurry
        await _try(services, job, order, attempts, tried, meter, sink, record)


def _too_slow() -> Fault:
    return Fault(
        UPSTREAM_TIMEOUT, "The provider did not begin its answer in time.", cause="slow_start"
    )


async def _turn_to(
    services: Services, job: Admitted, operation: str, candidate: Candidate, record: Record
) -> None:
    """Set aside what another route may cost."""
    used = NOTHING if job.talks else expects_on(services, job, operation, candidate, record)
    sliced = record.stream and job.talks
    await job.till.move(candidate, ceiling(job.wishes, candidate), sliced, used)
    job.candidate = candidate


def _affordable(job: Admitted, record: Record) -> JsonBody:
    """The body with the ceiling that its money allows, if that is lower than what was asked."""
    wishes, till = job.wishes, job.till
    most = till.most(record.stream)
    if most >= till.ceiling:
        return job.body
    each = max(1, most // wishes.answers)
    record.headers = (*record.headers, ("x-gateway-max-tokens", str(each)))
    asked = {name: None for name in _CEILINGS if name in job.body} | dict(wishes.ceilings)
    lower = {
        name: b"%d" % (each if most is None else min(each, most)) for name, most in asked.items()
    }
    return job.body.replace(lower)


async def _try(
    services: Services,
    job: Admitted,
    order: Order,
    attempts: Attempts,
    tried: Try,
    meter: relay.Meter,
    sink: Sink,
    record: Record,
) -> None:
    """Ask a provider, and pass on what it answers."""
    candidate, credential, till = tried.candidate, tried.credential, job.till
    if candidate.adapter.login is not None:
        credential = await logged_in(services, candidate, credential)
    call, request, answering = asked(services, candidate, credential, order, record)
    answer = await answering
    record.upstream_status = answer.status
    told = fidelity(request) if request.adapted or request.translated else ""
    del request  # a long stream need not carry it
    tried.sent = sent = Attempt(candidate, credential, call, answer, services.mishaps)
    headers: Headers = (("x-gateway-route", candidate.route.slug),)
    if record.headers:
        headers = (*headers, *record.headers)
    if record.tries:
        headers = (*headers, ("x-gateway-attempts", str(len(record.tries) + 1)))
    if told:
        headers = (*headers, ("x-gateway-fidelity", told))
    media = None if candidate.operation.media is None else relay.media_type(sent)
    if media is not None or (record.stream and await relay.is_stream(sent)):
        begun = partial(attempts.answered, tried)
        stream = relay.Stream(
            sent, sink, headers, job.wishes, till, meter, record, services.clock, begun, media
        )
        await stream.run()
        await _paid(job, stream, meter, record)
        sink.end()
        return
    reply = relay.at_hand(sent) or await relay.whole(sent, services.upstream)
    attempts.answered(tried)
    if job.handed is not None:
        if reply.progress is None:
            raise upstream_error("The provider did not say how far its work is.", "bad_answer")
        await answered(job, sent, reply.progress, headers)
        return
    size = len(reply.body)
    produced = size - settle.ENVELOPE if size > settle.ENVELOPE else 0
    await settle.finished(till, record, candidate, reply.usage, 0, produced)
    record.first_byte = services.clock.monotonic()
    if job.keep is not None:
        job.keep(reply.body)
    body = cost_in_body(reply.body, till.charged) if job.wishes.show_cost else reply.body
    cost = ("x-gateway-cost", f"{till.charged // NANOS}.{str(till.charged % NANOS).zfill(9)}")
    sink.reply(200, [("Content-Type", reply.content_type), *headers, cost], body)


async def _paid(job: Admitted, stream: relay.Stream, meter: relay.Meter, record: Record) -> None:
    """Settle a stream by how it came to its end."""
    till, candidate, fault = job.till, job.candidate, record.fault
    usage, events, produced = meter.usage, meter.events, meter.produced
    if fault is not None:
        status = fault.kind.status
        await settle.broken(till, record, candidate, usage, events, produced, status)
    elif stream.stopped:
        await settle.stopped(till, record, events, produced)
    else:
        await settle.finished(till, record, candidate, usage, events, produced)
        if job.keep is not None:
            job.keep(meter.final)


def _status_of(error: BaseException) -> int:
    if isinstance(error, asyncio.CancelledError):
        return CLIENT_CLOSED.status
    return error.kind.status if isinstance(error, Fault) else INTERNAL_ERROR.status
