"""Hosts whose failures need a table of their own."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers_plugins.minimax.chat import fault_in as minimax_fault_in
from providers_plugins.zhipu.chat import fault as zhipu_fault

MINIMAX = {
    1000: ("upstream_error", "provider_code"),
    1001: ("upstream_timeout", "provider_timeout"),
    1002: ("rate_limit_exceeded", "provider_rate_limit"),
    1004: ("upstream_error", "credential_refused"),
    1008: ("upstream_error", "credential_exhausted"),
    1024: ("upstream_error", "provider_code"),
    1026: ("invalid_request", "content_policy"),
    1027: ("invalid_request", "content_policy"),
    1033: ("upstream_error", "provider_code"),
    1039: ("rate_limit_exceeded", "provider_rate_limit"),
    1042: ("invalid_request", "refused_by_provider"),
    2013: ("invalid_request", "refused_by_provider"),
    2038: ("upstream_error", "credential_refused"),
    2049: ("upstream_error", "credential_refused"),
    2056: ("upstream_error", "credential_exhausted"),
    9999: ("upstream_error", "provider_code"),
    -1: ("upstream_error", "provider_code"),
}
ZHIPU = [
    (401, "1000", "upstream_error", "credential_refused"),
    (429, "1302", "rate_limit_exceeded", "provider_rate_limit"),
    (429, "1305", "rate_limit_exceeded", "provider_rate_limit"),
    (429, "1113", "upstream_error", "credential_exhausted"),
    (429, "1304", "upstream_error", "credential_exhausted"),
    (429, "1308", "upstream_error", "credential_exhausted"),
    (429, "1309", "upstream_error", "credential_exhausted"),
    (429, "1310", "upstream_error", "credential_exhausted"),
    (429, "1311", "upstream_error", "credential_exhausted"),
    (400, "1301", "invalid_request", "content_policy"),
    (400, "1300", "invalid_request", "content_policy"),
    (400, "1210", "invalid_request", "refused_by_provider"),
    (500, "500", "upstream_error", "status_500"),
    (429, None, "rate_limit_exceeded", "provider_rate_limit"),
]


@pytest.mark.parametrize(("code", "expected"), MINIMAX.items())
@pytest.mark.parametrize("message", ["said so", "", None, ...])
@pytest.mark.parametrize("spelling", [int, str])
def test_minimax_codes(code: int, expected: tuple[str, str], message: object, spelling) -> None:
    """Each code under a 200 has its meaning, however the rest of the object is spelled."""
    said = {"status_code": spelling(code)} | ({} if message is ... else {"status_msg": message})
    fault = minimax_fault_in(json.dumps({"choices": None, "base_resp": said}).encode())
    assert (fault.kind.code, fault.cause) == expected
    assert fault.message
    assert fault.provider.code == str(code)


@pytest.mark.parametrize(
    "body",
    [
        b'{"base_resp":{"status_code":0,"status_msg":"success"},"choices":[]}',
        b'{"base_resp":{"status_code":"0"}}',
        b'{"base_resp":null}',
        b'{"base_resp":{}}',
        b'{"base_resp":{"status_code":null}}',
        b'{"choices":[]}',
        b'{"text":"\\"base_resp\\""}',
        b'{"base_resp":{"status_code":1004},"a":' + b"[" * 100_000,
    ],
)
def test_minimax_success(body: bytes) -> None:
    """Code zero, and anything unreadable, is no fault."""
    assert minimax_fault_in(body) is None


def test_minimax_hides_secrets() -> None:
    """The host's own words are scrubbed."""
    said = {
        "status_code": 2013,
        "status_msg": "bad key sk-abcdefghijklmnop123\nsee https://a/b?t=1",
    }
    fault = minimax_fault_in(json.dumps({"base_resp": said}).encode())
    assert fault.message == "bad key [redacted] see https://a/b"


def test_minimax_reports_plain_errors_too() -> None:
    """An OpenAI-shaped error is found as everywhere."""
    assert minimax_fault_in(b'{"error":{"message":"m"}}').cause == "error_in_answer"


@given(st.binary(max_size=40))
def test_minimax_never_raises(body: bytes) -> None:
    """Arbitrary bytes are no reason to raise."""
    minimax_fault_in(b'{"base_resp":' + body)
    minimax_fault_in(b'{"base_resp":' + body + b"}")


@pytest.mark.parametrize(("status", "code", "kind", "cause"), ZHIPU)
@pytest.mark.parametrize("spelling", [str, int])
def test_zhipu_codes(status: int, code: str | None, kind: str, cause: str, spelling) -> None:
    """The business code tells a full queue from an unpaid bill, and refused content."""
    error = {"message": "said so"} | ({} if code is None else {"code": spelling(code)})
    fault = zhipu_fault(status, {}, json.dumps({"error": error}).encode())
    assert (fault.kind.code, fault.cause) == (kind, cause)
    assert fault.message
    assert fault.provider.status == status
    assert fault.provider.code == code


@given(st.integers(100, 999), st.binary(max_size=60))
def test_zhipu_never_raises(status: int, body: bytes) -> None:
    """Arbitrary bytes are no reason to raise."""
    assert zhipu_fault(status, {}, body).message
