"""One try at one route: a credential, the adapter's request, the provider's first answer."""

from __future__ import annotations

from msgspec import Struct

from gateway.domain import ANONYMOUS, Credential, Provider, UpstreamRequest
from gateway.errors import Fault
from gateway.pipeline.mishaps import Mishaps, sound_fault, sound_request
from gateway.pipeline.record import Record
from gateway.pipeline.services import Candidate, Services
from gateway.ports import UpstreamReply
from gateway.sdk import Call, JsonBody


class Attempt(Struct, frozen=True):
    """A provider that has answered with headers."""

    candidate: Candidate
    credential: Credential
    call: Call
    reply: UpstreamReply
    mishaps: Mishaps


async def attempt(
    services: Services,
    candidate: Candidate,
    operation: str,
    body: JsonBody,
    stream: bool,
    record: Record,
) -> Attempt:
    """Send the call to the candidate's provider and wait for the headers of its answer."""
    route = candidate.route
    provider = route.provider
    credential = pick(services, provider)
    call = Call(
        operation=operation,
        upstream=route.upstream,
        base_url=provider.base_url,
        body=body,
        stream=stream,
        region=route.region,
        options=candidate.options,
    )
    request = _build(candidate, call, credential, services.mishaps)
    body.forget_places()
    record.route = route.slug
    record.provider = provider.name
    record.sent_upstream = services.clock.monotonic()
    reply = await services.upstream.send(request, candidate.channels[credential.name])
    record.upstream_status = reply.status
    return Attempt(candidate, credential, call, reply, services.mishaps)


def pick(services: Services, provider: Provider) -> Credential:
    """Take turns among the provider's credentials, each as often as its weight says."""
    credentials = provider.credentials
    if len(credentials) == 1:
        return credentials[0]
    if not credentials:
        return ANONYMOUS
    turn = services.turns.get(provider.name, 0)
    services.turns[provider.name] = turn + 1
    place = turn % sum(credential.weight for credential in credentials)
    for credential in credentials:
        place -= credential.weight
        if place < 0:
            return credential
    return credentials[-1]


def _build(
    candidate: Candidate, call: Call, credential: Credential, mishaps: Mishaps
) -> UpstreamRequest:
    """The adapter's request; one that raises or gives anything else fails its own route alone."""
    try:
        try:
            return sound_request(candidate.operation.build(call, credential))
        except Fault as fault:
            raise sound_fault(fault) from None
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        raise mishaps.failed(candidate.route.provider.adapter, error) from error
