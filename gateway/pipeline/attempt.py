"""One try at one route: a credential, the adapter's request, the provider's first answer."""

from __future__ import annotations

from msgspec import Struct

from gateway.domain import ANONYMOUS, Credential, Provider, UpstreamRequest
from gateway.errors import UPSTREAM_ERROR, Fault
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
    request = _build(candidate, call, credential)
    body.forget_places()
    record.route = route.slug
    record.provider = provider.name
    record.sent_upstream = services.clock.monotonic()
    reply = await services.upstream.send(request, candidate.channels[credential.name])
    record.upstream_status = reply.status
    return Attempt(candidate, credential, call, reply)


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


def adapter_failed(adapter: str, error: BaseException) -> Fault:
    """An adapter that raised anything but a Fault broke its contract: its own route fails."""
    return Fault(
        UPSTREAM_ERROR,
        f"The adapter '{adapter}' failed on this call. Other routes are not affected.",
        cause=f"adapter_failed:{type(error).__name__}",
    )


def _build(candidate: Candidate, call: Call, credential: Credential) -> UpstreamRequest:
    try:
        request = candidate.operation.build(call, credential)
        if not isinstance(request, UpstreamRequest) or not isinstance(request.body, bytes):
            raise TypeError("build owes an UpstreamRequest with a body of bytes")
        return request
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        raise adapter_failed(candidate.route.provider.adapter, error) from error
