"""What a host's own codes mean, in the gateway's terms: a cause each, and the fault it makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gateway.sdk import (
    INVALID_REQUEST,
    NO_UPSTREAM,
    RATE_LIMIT_EXCEEDED,
    UPSTREAM_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    ProviderError,
    clean,
    fault_in_body,
    provider_fault,
    read_error,
)

EXHAUSTED: Final = "credential_exhausted"
REFUSED: Final = "credential_refused"
POLICY: Final = "content_policy"
INVALID: Final = "refused_by_provider"
RATE: Final = "provider_rate_limit"
BUSY: Final = "provider_busy"
TIMEOUT: Final = "provider_timeout"
FAILED: Final = "provider_code"

_KINDS: Final = {
    EXHAUSTED: UPSTREAM_ERROR,
    REFUSED: UPSTREAM_ERROR,
    POLICY: INVALID_REQUEST,
    INVALID: INVALID_REQUEST,
    RATE: RATE_LIMIT_EXCEEDED,
    BUSY: NO_UPSTREAM,
    TIMEOUT: UPSTREAM_TIMEOUT,
}
_NO_WORDS: Final = {
    POLICY: "The provider refused the content of the request.",
    INVALID: "The provider refused the request as invalid.",
    BUSY: "The provider has no capacity for this route just now. Try again.",
    TIMEOUT: "The provider gave up on the call after its own time limit.",
}

FaultOf = Callable[[int, Mapping[str, str], bytes], Fault]


def caused(cause: str, said: str, provider: ProviderError, wait: float | None = None) -> Fault:
    """The fault for a cause. What concerns the operator alone is not told in the host's words."""
    said = clean(said)
    if cause in (EXHAUSTED, REFUSED):
        message = provider_fault(401, {}, b"").message
    elif cause == RATE:
        message = provider_fault(429, {}, b"").message
    elif cause in _NO_WORDS:
        message = (said if cause in (POLICY, INVALID) else "") or _NO_WORDS[cause]
    else:
        message = f"The provider reported a failure: {said}" if said else "The provider failed."
    kind = _KINDS.get(cause, UPSTREAM_ERROR)
    return Fault(kind, message, retry_after=wait, cause=cause, provider=provider)


def by_code(causes: Mapping[str, str]) -> FaultOf:
    """Faults by the code or the type in the body of a refusal; by its status for all others."""

    def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        found = provider_fault(status, headers, body)
        said = read_error(body)
        cause = causes.get(said.code or "") or causes.get(said.type or "")
        cause = cause or causes.get(str(status))
        if cause is None or found.provider is None:
            return found
        return caused(cause, said.message, found.provider, found.retry_after)

    return fault


def inside_by_code(causes: Mapping[str, str]) -> Callable[[bytes], Fault | None]:
    """The same for an error object inside an answer, beside choices or without them."""

    def fault_in(body: bytes) -> Fault | None:
        found = fault_in_body(body)
        if found is None or found.provider is None:
            return found
        said = read_error(body)
        cause = causes.get(said.code or "") or causes.get(said.type or "")
        return found if cause is None else caused(cause, said.message, found.provider)

    return fault_in
