"""Admission: a call's key, body, model and limits; what it asks for and what it may cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody
from gateway.core.estimate import may_have_parts, weighed
from gateway.core.limits import Ticket
from gateway.core.limits import headers as limit_headers
from gateway.core.purse import NO_END, Purse
from gateway.core.routing.affinity import conversation_keys
from gateway.core.routing.preferences import NO_PREFERENCES
from gateway.core.task import Task
from gateway.core.unseen import unseen_pieces
from gateway.domain import Key, Usage
from gateway.errors import AUTHENTICATION_ERROR, INSUFFICIENT_SCOPE, NO_UPSTREAM, Fault
from gateway.pipeline.admit import authenticate, limited, reading_files, recognised
from gateway.pipeline.attempt import NOTHING_HEARD, Form, Order, expects, heard
from gateway.pipeline.candidates import (
    Wanted,
    candidates,
    decoded,
    fallbacks,
    known_candidates,
    usual_model,
    warning_of,
)
from gateway.pipeline.desk import Standing
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services
from gateway.pipeline.till import Till
from gateway.pipeline.unpriced import within_price
from gateway.pipeline.wishes import Wishes, ceiling, wishes_of, without_ours
from gateway.ports import Headers

if TYPE_CHECKING:
    from gateway.pipeline.tasks import Live, Tasks

# What the edge has at hand already, or what reads it.
Body = bytes | Form | Callable[[], Awaitable[bytes | Form]]
_USUAL_ANSWER = 1_024
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Fault)


class Ask(Struct, frozen=True):
    """A call as the edge hands it in. A body that is yet to be read is so once the key is good."""

    operation: str
    secret: bytes | None
    decoder: msgspec.json.Decoder[Any]
    body: Body
    address: Callable[[], str | None]
    headers: Mapping[str, str]
    keep: Callable[[bytes], None] | None = None  # is given the whole answer, once it is complete
    files: bool = False  # the body is a form, which may be as long as files are
    scope: str = "inference"
    shown: Callable[[Task], bytes] | None = None  # how a task is shown that the call began
    digest: bytes | None = None  # of the secret, where it is at hand


class Handed(Struct):
    """What is known of a task while its call is on its way to a provider."""

    tasks: Tasks
    operation: str
    webhook: str | None = None
    live: Live | None = None
    headers: Headers = ()


class Admitted(Struct):
    """An admitted call on its way."""

    body: JsonBody
    wishes: Wishes
    standing: Standing
    candidate: Candidate
    till: Till
    candidates: list[Candidate]
    wanted: Wanted
    tokens: int = 0  # what it is likely to use of its key's tokens a minute
    strict: bool = False  # the request or its key wants nothing lost
    ticket: Ticket | None = None
    keep: Callable[[bytes], None] | None = None
    heard: Mapping[str, str] = NOTHING_HEARD
    keys: tuple[int, ...] = ()
    talks: bool = True
    form: Form | None = None
    model: str = ""
    shown: Callable[[Task], bytes] | None = None
    handed: Handed | None = None

    def more(self) -> Awaitable[list[Candidate]]:
        """Where it may go when all that its name means has failed."""
        return fallbacks(self.till.services, self.standing, self.wanted, self.candidates[0])


async def admitted(services: Services, ask: Ask, record: Record) -> Admitted:
    """The call, once its key, its body, its model and its limits allow it."""
    standing = recognised(services, record, ask.digest, ask.address, ask.scope)
    if standing is None:
        key = await authenticate(services, record, ask.secret, ask.address, ask.scope)
    else:
        key = standing.key
    if ask.files or key.session is not None:
        _check_bounds(ask, key)
    catalog, operation = services.catalog.current, ask.operation
    standing = (
        standing or services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    )
    given = ask.body
    if not isinstance(given, bytes):
        given = await (_read_files(services, standing, given) if ask.files else read(given))
    body, wishes = _read(services, given, ask, record)
    tokens_in, media = weighed(body.raw)
    if standing.preferences is NO_PREFERENCES:
        wanted = Wanted(operation, body, wishes.preferences, tokens_in)
    else:
        wanted = Wanted.by(standing, operation, body, wishes.preferences, tokens_in)
    found = known_candidates(services, standing, wanted, record.model) or await _found(
        services, standing, wanted, record
    )
    if not standing.unlimited:
        wanted, found = within_price(standing, wanted, found)
    candidate = found[0]
    job = _job(services, standing, found, wanted, wishes, record, media)
    if not candidate.talks:
        job.model, job.shown = record.model, ask.shown
        _measure(services, job, operation, given, record)
    several = len(found) > 1
    if several or len(candidate.route.provider.credentials) > 1:
        session = ask.headers.get("x-session-id") or key.session
        job.keys = conversation_keys(body.raw, (standing.who[0], record.model), session)
    if standing.limits.any or not key.n:
        job.ticket = limited(services, standing, candidate, job.tokens, ask.address, record)
    if ask.keep is not None:
        job.keep = ask.keep
    if several or candidate.operation.hears:
        job.heard = _heard(found, ask.headers)
    return job


async def _read_files(services: Services, standing: Standing, body: Body) -> bytes | Form:
    with reading_files(services, standing):
        return await read(body)


async def read(body: Body) -> bytes | Form:
    """The body, however it is given."""
    return await body() if callable(body) else body


def _check_bounds(ask: Ask, key: Key) -> None:
    """What a call may not do with no key, or with one that is for a single session."""
    if ask.files and not key.n:
        raise Fault(
            AUTHENTICATION_ERROR,
            "Files are taken with an API key only. Send it as 'Authorization: Bearer <key>'.",
            cause="anonymous_files",
        )
    if key.session is not None and ask.headers.get("x-session-id") not in (None, key.session):
        raise Fault(
            INSUFFICIENT_SCOPE,
            "This derived key is for one session, and the request names another.",
            param="x-session-id",
            cause="other_session",
        )


async def _found(
    services: Services, standing: Standing, wanted: Wanted, record: Record
) -> list[Candidate]:
    try:
        found = await candidates(services, standing, wanted, record.model)
    except Fault as fault:
        if fault.kind is NO_UPSTREAM:  # which says when to come back, and so how much there is left
            left = limit_headers(standing.limits, services.clock.monotonic())
            record.headers = (*record.headers, *left)
        raise
    warning = warning_of(services, record.model)
    if warning is not None:
        record.headers = (*record.headers, ("Warning", warning))
    return found


def _read(
    services: Services, given: bytes | Form, ask: Ask, record: Record
) -> tuple[JsonBody, Wishes]:
    """The checked body, and what of it is meant for the gateway.

    What was decoded is let go here: a long stream need not carry it.
    """
    if isinstance(given, bytes):
        body = JsonBody.parse(given)
        record.bytes_in = len(given)
    else:
        body = given.body
        record.bytes_in = len(body.raw) + sum(file.size for file in given.files)
    try:
        known = ask.decoder.decode(body.raw)
    except _UNREADABLE:
        known = decoded(services, ask.operation, body, ask.decoder)  # it says what is wrong
    record.model = known.model
    record.stream = known.stream is True
    wishes = wishes_of(ask.operation, body, known, ask.headers)
    if not record.model:
        record.model = usual_model(services.catalog.current, ask.operation)
    return body, wishes


def _job(
    services: Services,
    standing: Standing,
    found: list[Candidate],
    wanted: Wanted,
    wishes: Wishes,
    record: Record,
    media: bool,
) -> Admitted:
    candidate, body, tokens_in = found[0], wanted.body, wanted.tokens_in
    most = ceiling(wishes, candidate)
    usual = (_USUAL_ANSWER if wishes.max_tokens is None else wishes.max_tokens) * wishes.answers
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
    if not standing.unlimited or wishes.max_cost is not None:
        till.unseen = _unseen(wanted, media)
    if wishes.answers > 1:  # each has a token at least
        till.least = max(till.least, wishes.answers)
    return Admitted(
        without_ours(body, wishes) if wishes.ours else body,
        wishes,
        standing,
        candidate,
        till,
        found,
        wanted,
        tokens_in + (usual if usual < most else most),
        wishes.strict or standing.key.strict,
    )


def _unseen(wanted: Wanted, media: bool) -> int:
    """How much it brings that is of any length; looked for where anything speaks for it."""
    body = wanted.body
    template = wanted.operation == "responses" and "prompt" in body  # it may be filled with files
    return unseen_pieces(body.raw) if media or template or may_have_parts(body.raw) else 0


def _measure(
    services: Services, job: Admitted, operation: str, given: bytes | Form, record: Record
) -> None:
    """For what is no talk of words: its files, and what it uses that is not counted in tokens."""
    job.talks = False
    job.tokens = job.till.tokens_in
    job.form = given if isinstance(given, Form) else None
    job.till.least = NO_END
    job.till.expect(expects_on(services, job, operation, job.candidate, record))


def expects_on(
    services: Services, job: Admitted, operation: str, candidate: Candidate, record: Record
) -> Usage:
    order = Order(operation, job.body, record.stream, heard=job.heard, form=job.form)
    return expects(candidate, order, services.mishaps, services.clock.time(), record.id)


def _heard(found: list[Candidate], headers: Mapping[str, str]) -> Mapping[str, str]:
    """What any of the adapters that may be asked wants to hear."""
    told: dict[str, str] = {}
    for one in found:
        if one.operation.hears:
            told.update(heard(one, headers))
    return told or NOTHING_HEARD
