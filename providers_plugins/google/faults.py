"""What this provider's failures mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk import (
    INVALID_REQUEST,
    UPSTREAM_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    ProviderError,
    clean,
    provider_fault,
    read_error,
)

_MAX_BODY = 64 * 1024
_MAX_RETRY = 3600.0
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_REFUSED_KEY = frozenset({
    "API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED", "ACCESS_TOKEN_EXPIRED",
    "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    "BILLING_DISABLED", "SERVICE_DISABLED", "CONSUMER_INVALID", "CONSUMER_SUSPENDED",
})  # fmt: skip
_TOO_LONG = re.compile(
    r"(?i)token count.{0,40}exceeds the maximum|exceeds the maximum.{0,40}tokens"
)
_NO_CACHE = "CachedContent not found"


def wire_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """An unsuccessful answer as one of our faults: status first, then reasons, details last."""
    error = error_in(body) or {}
    details = _details(error)
    reasons = {it.get("reason") for it in details if isinstance(it.get("reason"), str)}
    meant = status
    if not reasons.isdisjoint(_REFUSED_KEY) or _of_the_account(status, error):
        meant = 401
    fault = provider_fault(meant, headers, body)
    said = read_error(body)
    fault.provider = ProviderError(status=status, code=said.code, type=said.type)
    if status == 504 and meant == 504:
        fault = _changed(fault, UPSTREAM_TIMEOUT, "provider_timeout")
    elif status == 403 and said.message.startswith(_NO_CACHE):
        # The client's own mistake: it must not count against the gateway's credential.
        fault = _changed(fault, INVALID_REQUEST, "refused_by_provider", said.message)
    elif fault.kind is INVALID_REQUEST and _TOO_LONG.search(said.message):
        fault.cause = "context_length"
    if fault.retry_after is None:
        fault.retry_after = _delay(details)
    return fault


def fault_within(body: bytes) -> Fault | None:
    """An error where an answer, or a piece of a stream, should be."""
    error = error_in(body)
    if error is None:
        return None
    status = error.get("code")
    if isinstance(status, int) and 400 <= status <= 599:
        return wire_fault(status, {}, body)
    message = error.get("message")
    reason = f": {clean(message)}" if isinstance(message, str) and message else "."
    return Fault(
        UPSTREAM_ERROR,
        f"The provider reported an error inside its answer{reason}",
        cause="error_in_answer",
        provider=ProviderError(status=200),
    )


def error_in(body: bytes) -> dict[str, Any] | None:
    """The error object, alone or as the one entry of an array."""
    if len(body) > _MAX_BODY:
        return None
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if isinstance(found, list) and found:
        found = found[0]
    error = found.get("error") if isinstance(found, dict) else None
    return error if isinstance(error, dict) else None


def _of_the_account(status: int, error: dict[str, Any]) -> bool:
    """No billing, or a place where this account may not be used: another one may be served."""
    return status == 400 and error.get("status") == "FAILED_PRECONDITION"


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    details = error.get("details")
    return [it for it in details if isinstance(it, dict)] if isinstance(details, list) else []


def _delay(details: list[dict[str, Any]]) -> float | None:
    for detail in details:
        value = detail.get("retryDelay")
        found = _DELAY.fullmatch(value) if isinstance(value, str) else None
        if found:
            return min(float(found[1]), _MAX_RETRY)
    return None


def _changed(fault: Fault, kind: Any, cause: str, message: str = "") -> Fault:
    return Fault(
        kind,
        message or fault.message,
        retry_after=fault.retry_after,
        cause=cause,
        provider=fault.provider,
    )
