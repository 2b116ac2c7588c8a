"""What providers say of failures, without the credential that they were called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec
from msgspec import structs

from gateway.domain import Credential
from gateway.errors import Fault
from gateway.pipeline.mishaps import Mishaps, sound_fault
from gateway.pipeline.services import Candidate
from gateway.ports import UpstreamReply
from gateway.sdk import Operation

T = TypeVar("T")

_SHORTEST_SECRET = 6
_MAX_ERROR = 1 << 20


def refusal(
    operation: Operation,
    adapter: str,
    credential: Credential,
    mishaps: Mishaps,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> Fault:
    """What an answer stands for that is no success."""
    try:
        fault = sound_fault(operation.fault(status, headers, body))
    except (Exception, SystemExit) as error:
        return mishaps.failed(adapter, error)
    return scrubbed(fault, credential)


async def refused(
    reply: UpstreamReply,
    operation: Operation,
    adapter: str,
    credential: Credential,
    mishaps: Mishaps,
) -> Fault:
    """The same for one whose body has still to come."""
    try:
        body = await reply.read(_MAX_ERROR)
    except Fault:
        body = b""  # the status alone says enough
    return refusal(operation, adapter, credential, mishaps, reply.status, reply.headers, body)


def guarded(
    candidate: Candidate, credential: Credential, mishaps: Mishaps, work: Callable[[], T]
) -> T:
    """What an adapter's function gives that has seen a provider's words; its faults fit to show."""
    try:
        return mishaps.guarded(candidate.route.provider.adapter, work)
    except Fault as fault:
        scrubbed(fault, credential)
        raise


def told(fault: Fault, candidate: Candidate, credential: Credential, mishaps: Mishaps) -> Fault:
    """A fault that an adapter raised, fit to show."""
    try:
        return scrubbed(sound_fault(fault), credential)
    except (Exception, SystemExit) as error:
        return mishaps.failed(candidate.route.provider.adapter, error)


def cleared(text: str, credential: Credential) -> str:
    """A provider's words without the credential's secrets."""
    for secret in _secrets(credential):
        text = text.replace(secret, "[redacted]")
    return text


def masked(out: bytes, credential: Credential) -> bytes:
    """The same for events that tell of a provider's failure."""
    for secret in _secrets(credential):
        for form in (secret.encode(), msgspec.json.encode(secret)[1:-1]):
            out = out.replace(form, b"[redacted]")
    return out


def scrubbed(fault: Fault, credential: Credential) -> Fault:
    """No text of a provider's ever shows the credential it was called with."""
    fault.message = cleared(fault.message, credential)
    if fault.param is not None:
        fault.param = cleared(fault.param, credential)
    said = fault.provider
    if said is not None and any(one in f"{said.code} {said.type}" for one in _secrets(credential)):
        fault.provider = structs.replace(said, code=None, type=None)
    return fault


def _secrets(credential: Credential) -> list[str]:
    """Those long enough to be told from words."""
    return [one for one in credential.secrets.values() if len(one) >= _SHORTEST_SECRET]
