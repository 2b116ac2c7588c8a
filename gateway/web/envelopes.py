"""How errors look: each surface and each dialect has its envelope, all from one table."""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.core import sse
from gateway.core.talk.responses import error_event as numbered_event
from gateway.errors import Fault
from gateway.ports import Headers

Style = Literal["openai", "error_type"]
Dialect = Literal["", "messages", "responses"]

# SDKs retry by status alone; a header tells them when that is hopeless.
_NEVER_RETRY = frozenset({"budget_exhausted", "not_implemented", "internal_error"})
_NEVER_RETRY_CAUSES = frozenset(
    {
        "no_credential",
        "no_price",
        "credential_refused",
        "credential_exhausted",
        "outcome_unknown",
        "not_kept",
        "over_tpm_too_large",
    }
)


class Manner(Struct, frozen=True):
    """The surface's style, and the dialect that its endpoint speaks beside the usual."""

    style: Style = "openai"
    dialect: Dialect = ""


USUAL = Manner()


def error_body(fault: Fault, manner: Manner = USUAL, request: str = "") -> bytes:
    """The error as a whole answer."""
    kind = fault.kind
    code = kind.code.upper() if manner.style == "error_type" else kind.code
    error: dict[str, Any] = {
        "message": fault.message,
        "type": kind.type,
        "code": code,
        "param": fault.param,
    }
    if fault.provider is not None:
        error["provider_error"] = fault.provider
    envelope: dict[str, Any] = {"error": error}
    if manner.dialect == "messages":
        error["type"] = kind.messages_type
        envelope = {"type": "error", "error": error, "request_id": request}
    if manner.style == "error_type":
        envelope["error_type"] = kind.error_type
    return msgspec.json.encode(envelope)


def error_event(
    fault: Fault, manner: Manner = USUAL, request: str = "", sequence: int = 0
) -> bytes:
    """The error inside a stream that has begun."""
    if manner.dialect == "messages":
        return sse.event(error_body(fault, manner, request), "error")
    if manner.dialect == "responses":
        return numbered_event(fault, sequence)
    return sse.event(error_body(fault, manner, request))


def error_headers(fault: Fault) -> Headers:
    """When to come back, and whether it is worth it."""
    headers: list[tuple[str, str]] = []
    if fault.kind.status in (429, 503):
        seconds = 1.0 if fault.retry_after is None else fault.retry_after
        headers.append(("Retry-After", str(max(1, math.ceil(seconds)))))
    elif fault.retry_after is not None:
        headers.append(("Retry-After", str(max(1, math.ceil(fault.retry_after)))))
    if fault.kind.code in _NEVER_RETRY or fault.cause in _NEVER_RETRY_CAUSES:
        headers.append(("x-should-retry", "false"))
    return headers
