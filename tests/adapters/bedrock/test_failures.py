"""Failures by the provider's own names for them."""

from __future__ import annotations

import json

import pytest

from providers_plugins.bedrock import WIRE
from providers_plugins.bedrock.faults import fault_in_stream


@pytest.mark.parametrize(
    ("status", "name", "message", "kind", "cause"),
    [
        (429, "ThrottlingException", "slow", "rate_limit_exceeded", "provider_rate_limit"),
        (403, "AccessDeniedException", "no", "upstream_error", "credential_refused"),
        (403, "UnrecognizedClientException", "no", "upstream_error", "credential_refused"),
        (400, "ExpiredTokenException", "old", "upstream_error", "credential_refused"),
        (403, "", "no", "upstream_error", "credential_refused"),
        (400, "ValidationException", "bad", "invalid_request", "refused_by_provider"),
        (400, "ValidationException", "Input is too long for requested model.", "invalid_request",
         "context_length"),
        (400, "ServiceQuotaExceededException", "q", "upstream_error", "credential_exhausted"),
        (429, "ModelNotReadyException", "wait", "upstream_error", "model_not_ready"),
        (408, "ModelTimeoutException", "late", "upstream_timeout", "provider_timeout"),
        (424, "ModelErrorException", "oh", "upstream_error", "model_error"),
        (404, "ResourceNotFoundException", "none", "upstream_error", "status_404"),
        (500, "InternalServerException", "x", "upstream_error", "status_500"),
        (503, "ServiceUnavailableException", "x", "upstream_error", "status_503"),
    ],
)  # fmt: skip
def test_each_has_its_meaning(status, name, message, kind, cause) -> None:
    header = {"x-amzn-errortype": f"{name}:http://internal.example/coral/"} if name else {}
    body = json.dumps({"message": message}).encode()
    fault = WIRE.fault(status, header, body)
    assert (fault.kind.code, fault.cause) == (kind, cause)
    assert fault.provider is not None
    assert (fault.provider.status, fault.provider.type) == (status, name or None)
    if name:
        spelled = {"__type": f"com.amazon.coral#{name}", "Message": message}
        other = WIRE.fault(status, {}, json.dumps(spelled).encode())
        assert (other.kind.code, other.cause, other.message) == (kind, cause, fault.message)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message":5}', b"\xff" * 70_000])
def test_a_body_that_says_nothing_still_is_a_failure(body: bytes) -> None:
    assert WIRE.fault(500, {"x-amzn-errortype": "\x00#"}, body).kind.code == "upstream_error"
    assert fault_in_stream("\x00", body).kind.code == "upstream_error"


def test_secrets_in_words_are_not_shown() -> None:
    body = json.dumps({"message": "key AKIAABCDEFGHIJKLMNOP is wrong"}).encode()
    assert "AKIAABC" not in WIRE.fault(400, {}, body).message
