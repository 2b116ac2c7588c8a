"""What to do about a fault: where the call may be tried again, and whose record it counts on."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from gateway.core.faults import EXHAUSTED_CODES
from gateway.errors import (
    INVALID_REQUEST,
    REQUEST_TOO_LARGE,
    UPSTREAM_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
)

# How a try ended, as the pool counts it. "rejected": the provider answered, and the request was at
# fault. "unknown" says nothing: the client left, or the gateway itself was in the way.
Outcome = Literal[
    "ok", "rejected", "unknown", "failed", "timed_out", "overloaded", "rate_limited",
    "refused", "exhausted", "forbidden",
]  # fmt: skip

# Where the call may go next. "credential": another credential of the route, else another route;
# "route": another route; "larger": another route with room for more tokens; "asked": only a model
# that the client itself named as a fallback.
Again = Literal["credential", "route", "larger", "asked", "never"]


class Verdict(Struct, frozen=True):
    """What a fault means for the call and for those who were to serve it."""

    again: Again
    outcome: Outcome


_FAILED: Final = Verdict("credential", "failed")
_FAILED_ROUTE: Final = Verdict("route", "failed")
_OVERLOADED: Final = Verdict("route", "overloaded")
_TIMED_OUT: Final = Verdict("route", "timed_out")
_REFUSED: Final = Verdict("credential", "refused")
_FORBIDDEN: Final = Verdict("credential", "forbidden")
_EXHAUSTED: Final = Verdict("credential", "exhausted")
_RATE_LIMITED: Final = Verdict("credential", "rate_limited")
_TOO_LONG: Final = Verdict("larger", "rejected")
_POLICY: Final = Verdict("asked", "rejected")
_OTHER_ROUTE: Final = Verdict("route", "unknown")
_REJECTED: Final = Verdict("never", "rejected")
_NEVER: Final = Verdict("never", "unknown")

_BY_CAUSE: Final = {
    "credential_refused": _REFUSED,
    "credential_exhausted": _EXHAUSTED,
    "provider_rate_limit": _RATE_LIMITED,
    "provider_overloaded": _OVERLOADED,
    "provider_busy": _OVERLOADED,
    "provider_timeout": _TIMED_OUT,
    "status_408": _TIMED_OUT,
    "status_503": _OVERLOADED,
    "status_504": _TIMED_OUT,
    "status_529": _OVERLOADED,
    "context_length": _TOO_LONG,
    "content_policy": _POLICY,
    # Whichever credential is sent along: the same host answers, or the same name is not there.
    "dns": _FAILED_ROUTE,
    "tls": _FAILED_ROUTE,
    "proxy": _FAILED_ROUTE,
    "redirect": _FAILED_ROUTE,
    "bad_answer": _FAILED_ROUTE,
    "bad_response": _FAILED_ROUTE,
    "bad_region": _FAILED_ROUTE,
    "oversize": _FAILED_ROUTE,
    "unreadable_answer": _FAILED_ROUTE,
    "unreadable_stream": _FAILED_ROUTE,
    "status_404": _FAILED_ROUTE,
    "status_501": _FAILED_ROUTE,
    "deployment_not_found": _FAILED_ROUTE,
    # The gateway's own: no provider is to blame, and no other would change it.
    "storage": _NEVER,
    "draining": _NEVER,
    # Our own connections are in use, which says nothing of the provider.
    "pool_exhausted": _OTHER_ROUTE,
}

_OVERLOAD_TYPES: Final = frozenset({"overloaded_error", "engine_overloaded_error", "overloaded"})
_RATE_TYPES: Final = frozenset({"rate_limit_error", "rate_limit_exceeded", "too_many_requests"})
_TOO_LONG_CODES: Final = frozenset({
    "context_length_exceeded", "model_context_window_exceeded", "string_above_max_length",
})  # fmt: skip
_POLICY_CODES: Final = frozenset({"content_filter", "content_policy_violation"})
_OUR_LIMITS: Final = "over_"
_ADAPTER: Final = "adapter_failed:"


def classify(fault: Fault, *, sent: bool = False) -> Verdict:
    """What is to be done; where something has been `sent` to the client, nothing can be again."""
    verdict = _meaning(fault)
    return Verdict("never", verdict.outcome) if sent and verdict.again != "never" else verdict


def _meaning(fault: Fault) -> Verdict:
    if _says(fault, _OVERLOAD_TYPES):
        return _OVERLOADED
    if fault.cause == "error_in_answer":
        return _inside(fault)
    found = _BY_CAUSE.get(fault.cause)
    if found is not None:
        return _FORBIDDEN if found is _REFUSED and _status(fault) == 403 else found
    if fault.kind is INVALID_REQUEST or fault.kind is REQUEST_TOO_LARGE:
        return _of_request(fault)
    if fault.cause.startswith(_OUR_LIMITS):
        return _NEVER
    if fault.kind is UPSTREAM_TIMEOUT:
        return _TIMED_OUT
    if fault.cause.startswith(_ADAPTER):
        return _FAILED_ROUTE
    if fault.kind is UPSTREAM_ERROR:
        return _FAILED
    return _OTHER_ROUTE if fault.kind.fall_back else _NEVER


def _inside(fault: Fault) -> Verdict:
    """What was reported after a 200: the codes that have a meaning of their own keep it."""
    if _says(fault, EXHAUSTED_CODES):
        return _EXHAUSTED
    if _says(fault, _RATE_TYPES):
        return _RATE_LIMITED
    if _says(fault, _TOO_LONG_CODES):
        return _TOO_LONG
    return _POLICY if _says(fault, _POLICY_CODES) else _FAILED


def _of_request(fault: Fault) -> Verdict:
    """The request's own fault: another model may take it where it is too long or not allowed."""
    if _says(fault, _TOO_LONG_CODES):
        return _TOO_LONG
    if _says(fault, _POLICY_CODES):
        return _POLICY
    # Without the provider's word it was refused before it was sent.
    return _NEVER if fault.provider is None else _REJECTED


def _says(fault: Fault, codes: frozenset[str]) -> bool:
    said = fault.provider
    return said is not None and (said.code in codes or said.type in codes)


def _status(fault: Fault) -> int:
    return 0 if fault.provider is None else fault.provider.status
