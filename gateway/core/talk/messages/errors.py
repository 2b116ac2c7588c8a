"""Failures as clients of the Messages dialect expect them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.core import sse
from gateway.errors import TABLE, Fault

_BY_STATUS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_type(status: int, kind: str) -> str:
    """The dialect's name for a failure: by our stable code, else by the status."""
    row = TABLE.get(kind)
    if row is not None:
        return row.messages_type
    return _BY_STATUS.get(status, "api_error" if status >= 500 else "invalid_request_error")


def write_error(fault: Fault, request_id: str = "") -> bytes:
    """The body of a failed call."""
    kind = error_type(fault.kind.status, fault.kind.code)
    if fault.provider is not None and fault.provider.type == "overloaded_error":
        kind = "overloaded_error"
    said: dict[str, Any] = {"type": "error", "error": {"type": kind, "message": fault.message}}
    said["request_id"] = request_id or None
    return msgspec.json.encode(said)


def error_event(fault: Fault, request_id: str = "") -> bytes:
    """The same in the middle of a stream."""
    return sse.event(write_error(fault, request_id), "error")
