"""A realtime session from top to bottom: admit, open at a provider, relay both ways, settle once.

The order is that of any call (see run.py). What differs is that a session has no answer to wait
for: the client's websocket is opened as soon as a provider has agreed to one, and from then on
everything is an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from msgspec import Struct

from gateway.core.routing.causes import Outcome
from gateway.core.websocket import FAILED
from gateway.domain import Credential, Usage
from gateway.errors import CLIENT_CLOSED, INTERNAL_ERROR, Fault, upstream_error
from gateway.pipeline import settle
from gateway.pipeline.admission import Admitted, Ask, admitted
from gateway.pipeline.attempt import Order, fidelity, logged_in, written
from gateway.pipeline.conversation import Conversation
from gateway.pipeline.greeting import greeted
from gateway.pipeline.keeping import watch
from gateway.pipeline.masking import guarded, refusal, told
from gateway.pipeline.record import Record
from gateway.pipeline.serve import Attempts, Try, outcome_of
from gateway.pipeline.services import Candidate, Services
from gateway.ports import Declined, Headers, Socket
from gateway.sdk import Dialogue

# What a session sets aside at first: an answer of five seconds to five seconds of speech.
_FIRST_TOKENS = 256
_FIRST = Usage(audio_input_ms=5_000, audio_output_ms=5_000)


class Door(Struct, frozen=True):
    """The edge of a session: how its client is let in, and whether the gateway is closing."""

    open: Callable[[Headers], Socket]
    closing: Callable[[], bool]


class Opened(Struct, frozen=True):
    """A provider's websocket, and who speaks over it."""

    candidate: Candidate
    credential: Credential
    socket: Socket
    dialogue: Dialogue
    fidelity: str
    early: list[bytes]  # what the provider said before the client was let in


async def converse(services: Services, ask: Ask, door: Door, record: Record) -> None:
    """Serve one session; what goes wrong before it is open is raised as a Fault."""
    job = await admitted(services, ask, record)
    job.till.ceiling = job.till.affords = _FIRST_TOKENS
    job.till.expect(_FIRST)
    try:
        await job.till.open(False)
        await _served(services, job, ask, door, record)
    finally:
        if job.ticket is not None:
            job.standing.limits.release()
            job.standing.limits.settle(job.ticket, 0)  # what was used was counted as it passed


async def _served(services: Services, job: Admitted, ask: Ask, door: Door, record: Record) -> None:
    attempts = Attempts.of(services, job.candidates, job.tokens, record, job.more, job.keys)
    try:
        tried = attempts.begin(attempts.began) or await attempts.next()
        while True:
            try:
                opened = await _opened(services, job, tried, attempts, record)
                break
            except Fault as fault:
                if not attempts.failed(tried, fault, sent=False):
                    raise
                tried = await attempts.next(fault)
    except BaseException as error:
        durable = settle.session(job.till, record, None, _status_of(error))
        if not isinstance(error, asyncio.CancelledError):
            await durable
        raise
    await _relayed(services, job, ask, door, opened, tried, attempts, record)


async def _opened(
    services: Services, job: Admitted, tried: Try, attempts: Attempts, record: Record
) -> Opened:
    """A websocket at the provider, or the fault that its refusal stands for."""
    candidate, mishaps = tried.candidate, services.mishaps
    try:
        if candidate is not job.candidate:
            await job.till.move(candidate, _FIRST_TOKENS, False, _FIRST)
            job.candidate = candidate
        order = Order("realtime", job.body, True, job.strict, job.heard)
        credential = tried.credential
        if candidate.adapter.login is not None:
            credential = await logged_in(services, candidate, credential)
        call, request = written(services, candidate, credential, order, record)
        begin = candidate.operation.session
        dialogue = None
        if begin is not None:
            dialogue = guarded(candidate, credential, mishaps, lambda: begin(call, credential))
        if dialogue is None:
            raise upstream_error("The adapter has no sessions for this model.", "no_session")
        record.sent_upstream = services.clock.monotonic()
        channel = candidate.channels[credential.name]
        answer = await services.upstream.connect(request, channel)
        if isinstance(answer, Declined):
            raise _declined(candidate, credential, services, answer, record)
        record.upstream_status = 101
        seconds = candidate.route.provider.timeouts.first_byte
        try:
            early = await greeted(answer, dialogue, seconds)
        except Fault as fault:
            raise told(fault, candidate, credential, mishaps) from None
        except Exception as error:
            raise mishaps.failed(candidate.route.provider.adapter, error) from error
    except Fault:
        raise
    except BaseException:
        attempts.done(tried, "unknown")
        raise
    return Opened(candidate, credential, answer, dialogue, fidelity(request), early)


def _declined(
    candidate: Candidate,
    credential: Credential,
    services: Services,
    answer: Declined,
    record: Record,
) -> Fault:
    record.upstream_status = status = answer.status
    if 200 <= status < 300:
        return upstream_error(f"The provider answered {status} and no websocket.", "bad_response")
    operation, adapter = candidate.operation, candidate.route.provider.adapter
    return refusal(
        operation, adapter, credential, services.mishaps, status, answer.headers, answer.body
    )


async def _relayed(
    services: Services,
    job: Admitted,
    ask: Ask,
    door: Door,
    opened: Opened,
    tried: Try,
    attempts: Attempts,
    record: Record,
) -> None:
    """Let client and provider talk until one of them ends it or the gateway must."""
    over: Outcome = "unknown"
    conversation: Conversation | None = None
    try:
        attempts.answered(tried)
        client = door.open(_headers(job, opened, record))
        conversation = Conversation(services, job, opened.dialogue, client, opened.socket,
            opened.credential, record, opened.early)  # fmt: skip
        ending = await watch(services, conversation, ask, door.closing, job.standing)
        fault = ending.fault
        record.cause = ending.cause
        if ending.failed:
            record.fault = fault
        over = "ok" if record.fault is None else outcome_of(record.fault)
        opened.socket.close(1000)
        conversation.tell(fault)
        await conversation.settled(ending.status, ending.flag)
        await conversation.parted(ending.code, ending.reason)
    except BaseException as error:
        if conversation is None:
            settle.session(job.till, record, None, _status_of(error))
        elif not job.till.settled:
            conversation.settled(_status_of(error), "abandoned")
        elif isinstance(error, asyncio.CancelledError):
            return  # all was said and charged: the client did not wait for the goodbye
        if conversation is not None:
            conversation.client.close(FAILED, INTERNAL_ERROR.code)
        raise
    finally:
        opened.socket.close(1000)
        record.upstream_done = services.clock.monotonic()
        attempts.done(tried, over)


def _headers(job: Admitted, opened: Opened, record: Record) -> Headers:
    headers: Headers = (("x-gateway-route", opened.candidate.route.slug), *record.headers)
    if record.tries:
        headers = (*headers, ("x-gateway-attempts", str(len(record.tries) + 1)))
    if opened.fidelity:
        headers = (*headers, ("x-gateway-fidelity", opened.fidelity))
    return headers


def _status_of(error: BaseException) -> int:
    if isinstance(error, asyncio.CancelledError):
        return CLIENT_CLOSED.status
    return error.kind.status if isinstance(error, Fault) else INTERNAL_ERROR.status
