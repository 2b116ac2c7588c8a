"""What a failure on the Messages wire means, whole or in the middle of a stream.

The type decides where there is one; two things are only ever said in prose, and are known by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from gateway.core.faults import EXHAUSTED_CODES, provider_fault, read_error, retry_after
from gateway.errors import (
    INVALID_REQUEST,
    UPSTREAM_ERROR,
    Fault,
    ProviderError,
)

_STATUS: Final = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TOO_LONG: Final = re.compile(r"(?i)prompt is too long|exceeds? (?:the )?context (?:limit|window)")
_NO_MONEY: Final = re.compile(r"(?i)credit balance is too low")


def messages_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Turn an unsuccessful answer into one of our faults."""
    said = read_error(body)
    provider = ProviderError(status=status, code=said.code, type=said.type)
    if said.type == "billing_error" or (status == 400 and _NO_MONEY.search(said.message)):
        return _exhausted(provider, headers)
    if status == 529 or said.type == "overloaded_error":
        return Fault(
            UPSTREAM_ERROR,
            "The provider is overloaded. Retry in a while.",
            retry_after=retry_after(headers),
            cause="provider_overloaded",
            provider=provider,
        )
    if status == 400 and _TOO_LONG.search(said.message):
        return Fault(
            INVALID_REQUEST,
            said.message,
            param="messages",
            cause="context_length",
            provider=provider,
        )
    return provider_fault(status, headers, body)


def _exhausted(provider: ProviderError, headers: Mapping[str, str]) -> Fault:
    """The provider's own account has run dry: as the other wires say it."""
    code = min(EXHAUSTED_CODES)
    fault = provider_fault(429, headers, b'{"error":{"code":"%s"}}' % code.encode())
    fault.provider = provider
    return fault


def fault_in_event(body: bytes) -> Fault:
    """An error that came inside a stream or an answer that had begun with 200."""
    said = read_error(body)
    fault = messages_fault(_STATUS.get(said.type or "", 500), {}, body)
    fault.provider = ProviderError(status=200, code=said.code, type=said.type)
    if fault.kind is UPSTREAM_ERROR and fault.cause.startswith("status_"):
        reason = f": {said.message}" if said.message else "."
        fault.message = f"The provider reported an error inside its answer{reason}"
        fault.cause = "error_in_answer"
    return fault


def fault_in_answer(body: bytes) -> Fault | None:
    """An error object where an answer was due."""
    if b'"error"' not in body:
        return None
    said = read_error(body)
    if not said.message and not said.code and not said.type:
        return None
    return fault_in_event(body)
