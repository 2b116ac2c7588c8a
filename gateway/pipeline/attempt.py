"""One try at one route: a credential, the adapter's request, the provider's first answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping

from msgspec import Struct

from gateway.domain import Credential, File, UpstreamRequest, Usage
from gateway.errors import INVALID_REQUEST, Fault
from gateway.pipeline.mishaps import Mishaps, sound_request, sound_usage
from gateway.pipeline.operations import NOTHING, ONE_PICTURE, TALKS, expected
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services
from gateway.ports import UpstreamReply
from gateway.sdk import Call, JsonBody

NOTHING_HEARD: Mapping[str, str] = {}
_ODD = re.compile(r"[^A-Za-z0-9_.\[\]*-]")
_MOST_NAMED = 40


class Form(Struct, frozen=True):
    """A body that came in parts: its fields, its files, and what may part them when sent on."""

    body: JsonBody
    files: tuple[File, ...] = ()
    boundary: str = ""


class Order(Struct, frozen=True, gc=False):
    """What is wanted of a provider, whichever it will be."""

    operation: str
    body: JsonBody
    stream: bool = False
    strict: bool = False
    heard: Mapping[str, str] = NOTHING_HEARD
    form: Form | None = None


class Attempt(Struct, frozen=True):
    """A provider that has answered with headers."""

    candidate: Candidate
    credential: Credential
    call: Call
    reply: UpstreamReply
    mishaps: Mishaps


def heard(candidate: Candidate, headers: Mapping[str, str]) -> Mapping[str, str]:
    """Those of the client's headers that the adapter wants to see."""
    wanted = candidate.operation.hears
    if not wanted:
        return NOTHING_HEARD
    return {name: headers[name] for name in wanted if name in headers}


def logged_in(
    services: Services, candidate: Candidate, credential: Credential
) -> Awaitable[Credential]:
    """What requests are signed with, where the credential is no key but gives one."""
    now = services.clock.time()
    return services.logins.secrets(candidate.adapter, candidate.route.provider, credential, now)


def asked(
    services: Services,
    candidate: Candidate,
    credential: Credential,
    order: Order,
    record: Record,
) -> tuple[Call, UpstreamRequest, Awaitable[UpstreamReply]]:
    """What the provider is asked, and the wait for the headers of its answer."""
    call, request = written(services, candidate, credential, order, record)
    order.body.forget_places()
    record.sent_upstream = services.clock.monotonic()
    if record.tries:
        record.failed_before = len(record.tries)
    return call, request, services.upstream.send(request, candidate.channels[credential.name])


def written(
    services: Services,
    candidate: Candidate,
    credential: Credential,
    order: Order,
    record: Record,
) -> tuple[Call, UpstreamRequest]:
    """The request as the candidate's adapter writes it, and what that was told."""
    route = candidate.route
    provider = route.provider
    call = call_of(candidate, order, services.clock.time(), record.id)
    try:  # as `guarded` has it: every call passes here, so it is no function within another
        request = sound_request(candidate.operation.build(call, credential))
    except Fault as fault:
        raise services.mishaps.told(provider.adapter, fault) from None
    except (Exception, SystemExit) as error:
        raise services.mishaps.failed(provider.adapter, error) from error
    if order.strict and request.adapted:
        raise inexact(candidate, request)
    record.route, record.provider = route.slug, provider.name
    return call, request


def call_of(candidate: Candidate, order: Order, now: float, name: str = "") -> Call:
    """What the adapter is told."""
    route, form = candidate.route, order.form
    files, boundary = ((), "") if form is None else (form.files, form.boundary)
    return Call(
        order.operation,
        route.upstream,
        route.provider.base_url,
        order.body,
        order.stream,
        route.region,
        candidate.options,
        now,
        name,
        order.heard,
        files,
        boundary,
    )


def expects(
    candidate: Candidate, order: Order, mishaps: Mishaps, now: float, name: str = ""
) -> Usage:
    """What the call will use on this route that is not counted in tokens."""
    if candidate.talks:
        return NOTHING
    own = candidate.operation.expects
    if own is None and order.operation in TALKS:
        return ONE_PICTURE
    if own is None:
        return expected(order.operation, order.body, () if order.form is None else order.form.files)
    call = call_of(candidate, order, now, name)
    used = mishaps.guarded(candidate.route.provider.adapter, lambda: sound_usage(own(call)))
    return used or NOTHING


def fidelity(request: UpstreamRequest) -> str:
    """How true to the client's words the request is; nothing where they went through untouched."""
    if not request.adapted:
        return "exact" if request.translated else ""
    names = [_ODD.sub("_", name)[:80] for name in request.adapted[:_MOST_NAMED]]
    more = len(request.adapted) - len(names)
    return f"adapted; fields={','.join(names)}" + (f",and_{more}_more" if more else "")


def inexact(candidate: Candidate, request: UpstreamRequest) -> Fault:
    """Where nothing may be lost, what would be."""
    names = request.adapted
    listed = ", ".join([_ODD.sub("_", name)[:80] for name in names[:_MOST_NAMED]])
    return Fault(
        INVALID_REQUEST,
        f"'{candidate.route.slug}' cannot take all of this request as it was meant, and 'fidelity' "
        "is 'strict'. "
        f"These fields would be lost or changed: {listed}.",
        param=_ODD.sub("_", names[0])[:80],
        cause="not_exact",
    )
