"""Errors as providers of the Messages wire tell them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.core.faults import provider_fault
from gateway.errors import Fault

# The status that each kind of error has when it comes with one.
_STATUSES = {
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


class _Error(Struct):
    type: str | None = None


class _Envelope(Struct):
    type: str | None = None
    error: _Error | None = None


_decode = msgspec.json.Decoder(_Envelope).decode


def messages_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """What a refusal means: its envelope is read like any other host's."""
    return provider_fault(status, headers, body)


def fault_in_answer(body: bytes) -> Fault | None:
    """An error object under a 200."""
    if b'"error"' not in body:
        return None
    try:
        said = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return fault_in_event(body) if said.type == "error" else None


def fault_in_event(payload: bytes) -> Fault:
    """An error inside a stream, as the status it would have had."""
    kind: str | None = None
    try:
        error = _decode(payload).error
        kind = None if error is None else error.type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        kind = None
    return provider_fault(_STATUSES.get(kind or "", 500), {}, payload)
