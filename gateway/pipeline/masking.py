"""What providers say of failures, without the credential that they were called with."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import structs

from gateway.domain import Credential
from gateway.errors import Fault
from gateway.pipeline.mishaps import Mishaps, sound_fault
from gateway.pipeline.services import Candidate

SHORTEST_SECRET = 6


def refusal(
    candidate: Candidate,
    credential: Credential,
    mishaps: Mishaps,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
) -> Fault:
    """What an answer stands for that is no success."""
    try:
        fault = sound_fault(candidate.operation.fault(status, headers, body))
    except (Exception, SystemExit) as error:
        return mishaps.failed(candidate.route.provider.adapter, error)
    return scrubbed(fault, credential)


def told(fault: Fault, candidate: Candidate, credential: Credential, mishaps: Mishaps) -> Fault:
    """A fault that an adapter raised, fit to show."""
    try:
        return scrubbed(sound_fault(fault), credential)
    except (Exception, SystemExit) as error:
        return mishaps.failed(candidate.route.provider.adapter, error)


def masked(out: bytes, credential: Credential) -> bytes:
    """Events that tell of a provider's failure, without the credential's secrets."""
    for secret in credential.secrets.values():
        if len(secret) < SHORTEST_SECRET:
            continue
        for form in (secret.encode(), msgspec.json.encode(secret)[1:-1]):
            out = out.replace(form, b"[redacted]")
    return out


def scrubbed(fault: Fault, credential: Credential) -> Fault:
    """No text of a provider's ever shows the credential it was called with."""
    said = fault.provider
    for secret in credential.secrets.values():
        if len(secret) < SHORTEST_SECRET:
            continue
        fault.message = fault.message.replace(secret, "[redacted]")
        if fault.param is not None:
            fault.param = fault.param.replace(secret, "[redacted]")
        if said is not None and secret in f"{said.code} {said.type}":
            fault.provider = said = structs.replace(said, code=None, type=None)
    return fault
