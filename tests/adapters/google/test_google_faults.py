"""What the provider's refusals mean, and how long to wait."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import RATE_LIMIT_EXCEEDED, UPSTREAM_ERROR, UPSTREAM_TIMEOUT, Fault
from providers_plugins.google.faults import wire_fault
from tests.adapters.google.answering import VALUES


def error(status: int, name: str, message: str = "m", *details: Any) -> bytes:
    told = {"code": status, "message": message, "status": name, "details": list(details)}
    return json.dumps({"error": told}).encode()


def test_how_long_to_wait() -> None:
    """The provider says it in the body; a header comes first, nonsense is nothing."""
    delays = [("17s", 17.0), ("1.5s", 1.5), ("99999s", 3600.0), ("-1s", None), (7, None)]
    for told, wanted in delays:
        retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": told}
        fault = wire_fault(429, {}, error(429, "RESOURCE_EXHAUSTED", "m", "x", {}, retry))
        assert fault.kind is RATE_LIMIT_EXCEEDED
        assert fault.retry_after == wanted
        assert wire_fault(429, {"retry-after": "3"}, error(429, "", "m", retry)).retry_after == 3


@pytest.mark.parametrize("shape", [b"%b", b"[%b]", b"[%b\n]"])
def test_refused_keys_are_not_the_clients_fault(shape: bytes) -> None:
    """Though the provider says 400."""
    for body in (
        error(400, "INVALID_ARGUMENT", "API key not valid.", {"reason": "API_KEY_INVALID"}),
        error(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        error(403, "PERMISSION_DENIED"),
        error(401, "UNAUTHENTICATED"),
    ):
        fault = wire_fault(json.loads(body)["error"]["code"], {}, shape % body)
        assert (fault.kind, fault.cause) == (UPSTREAM_ERROR, "credential_refused")
        assert "key is fine" in fault.message


def test_other_failures() -> None:
    """By their status; a deadline is a timeout."""
    assert wire_fault(504, {}, error(504, "DEADLINE_EXCEEDED")).kind is UPSTREAM_TIMEOUT
    assert wire_fault(503, {}, error(503, "UNAVAILABLE")).cause == "status_503"
    assert wire_fault(404, {}, error(404, "NOT_FOUND")).cause == "status_404"
    long = "The input token count (1250074) exceeds the maximum number of tokens allowed (9)."
    assert wire_fault(400, {}, error(400, "INVALID_ARGUMENT", long)).cause == "context_length"


@settings(max_examples=200, deadline=None)
@given(
    st.integers(300, 599), st.binary(max_size=60) | VALUES.map(lambda it: json.dumps(it).encode())
)
def test_any_failure_is_a_fault(status: int, body: bytes) -> None:
    """Whatever its body says."""
    assert isinstance(wire_fault(status, {}, body), Fault)
