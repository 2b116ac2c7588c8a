"""A call from top to bottom: admit, attempt, relay, settle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.core.body import JsonBody
from gateway.core.money.amounts import NANOS
from gateway.core.routing.causes import Outcome
from gateway.errors import (
    CLIENT_CLOSED,
    INTERNAL_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    NotSentError,
    upstream_error,
)
from gateway.pipeline import relay, settle
from gateway.pipeline.admission import Admitted, Ask, admitted, expects_on
from gateway.pipeline.attempt import Attempt, Order, attempt
from gateway.pipeline.candidates import fallbacks
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
            await submit(
                services, job, operation, sink, record,
                lambda: _serve(services, job, operation, sink, record),
            )  # fmt: skip
            return
        await job.till.open(record.stream and job.talks)
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
                final = sink.started or (job.handed is not None and in_doubt(fault))
                if not attempts.failed(tried, fault, sent=final):
                    raise
                meter = relay.Meter()
                tried = await attempts.next(fault)
    except BaseException as error:
        if isinstance(error, NotSentError):
            record.sent_upstream = 0.0
        if not job.till.settled:
            durable = _broken(job, record, meter, _status_of(error))
            if not isinstance(error, asyncio.CancelledError):
                await durable
        raise


def _broken(
    job: Admitted, record: Record, meter: relay.Meter, status: int
) -> Awaitable[Exception | None]:
    if job.handed is not None:  # nothing came of it, as far as anybody will ever know
        return job.till.release(status)
    return settle.broken(
        job.till, record, job.candidate, meter.usage, meter.events, meter.produced, status
    )


async def _more(services: Services, job: Admitted) -> list[Candidate]:
    assert job.wanted is not None
    return await fallbacks(services, job.standing, job.wanted, job.candidates[0])


async def _tried(
    services: Services,
    job: Admitted,
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
        await _turn_to(services, job, operation, tried.candidate, record)
        order = Order(operation, job.asked, record.stream, job.strict, job.heard, job.form)
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


async def _turn_to(
    services: Services, job: Admitted, operation: str, candidate: Candidate, record: Record
) -> None:
    """Set aside what this route may cost, and ask for no longer an answer than that pays for."""
    till = job.till
    sliced = record.stream and job.talks
    if candidate is not job.candidate:
        used = NOTHING if job.talks else expects_on(services, job, operation, candidate, record)
        await till.move(candidate, ceiling(job.wishes, candidate.route), sliced, used)
        job.candidate = candidate
    job.asked = job.body
    if job.talks:
        most = till.most(sliced)
        if most < till.ceiling:
            job.asked = _lowered(job, record, most)


def _lowered(job: Admitted, record: Record, affordable: int) -> JsonBody:
    """The body with the ceiling that its money allows, if that is lower than what was asked."""
    wishes = job.wishes
    each = max(1, affordable // wishes.answers)
    record.headers = (*record.headers, ("x-gateway-max-tokens", str(each)))
    asked = {name: None for name in _CEILINGS if name in job.body} | dict(wishes.ceilings)
    lower = {
        name: b"%d" % (each if most is None else min(each, most)) for name, most in asked.items()
    }
    return job.body.replace(lower)


async def _answer(
    services: Services,
    job: Admitted,
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
    media = relay.media_type(tried)
    if media is not None or (record.stream and await relay.is_stream(tried)):
        stream = relay.Stream(
            tried, sink, headers, job.wishes, till, meter, record, services.clock, begun, media
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
    reply = await relay.whole(tried, services.upstream)
    begun()
    if job.handed is not None:
        if reply.progress is None:
            raise upstream_error("The provider did not say how far its work is.", "bad_answer")
        await answered(job, tried, reply.progress, headers)
        return
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
