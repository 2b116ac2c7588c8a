"""Figures and failures of the Messages wire."""

from __future__ import annotations

import json

import pytest

from gateway import errors
from gateway.core.talk.messages import (
    error_event,
    error_type,
    fault_in_answer,
    messages_fault,
    messages_usage,
    write_error,
)
from gateway.errors import Fault


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"[]", "it is not an object"),
        (b"{", "it cannot be read"),
        (b"{}", "it has no count of tokens"),
        (b'{"input_tokens":-1,"output_tokens":1}', "'input_tokens' is not a count"),
        (b'{"input_tokens":1.5,"output_tokens":1}', "'input_tokens' is not a count"),
        (b'{"input_tokens":true,"output_tokens":1}', "'input_tokens' is not a count"),
        (b'{"input_tokens":1,"output_tokens":9007199254740992}', "'output_tokens' is not a count"),
        (b'{"input_tokens":1,"output_tokens":1e400}', "it cannot be read"),
        (
            b'{"input_tokens":1,"cache_creation_input_tokens":3,'
            b'"cache_creation":{"ephemeral_1h_input_tokens":4}}',
            "'cache_creation' is 4, more than the 3 tokens that were written",
        ),
        (
            b'{"output_tokens":1,"output_tokens_details":{"thinking_tokens":2}}',
            "'thinking_tokens' is more than the output",
        ),
    ],
)
def test_figures_that_cannot_be(raw: bytes, problem: str) -> None:
    usage = messages_usage(raw)
    assert usage.problem == problem
    assert usage.raw == raw


def test_parts_of_the_input_are_added_up() -> None:
    raw = (
        b'{"input_tokens":1,"cache_read_input_tokens":10,"cache_creation_input_tokens":100,'
        b'"cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":70},'
        b'"output_tokens":5,"output_tokens_details":{"thinking_tokens":4}}'
    )
    usage = messages_usage(raw)
    assert (usage.input, usage.output, usage.reasoning) == (111, 5, 4)
    assert (usage.cached, usage.cache_write, usage.cache_write_1h) == (10, 30, 70)
    assert usage.problem == ""


def test_writes_that_only_the_split_tells_of_count() -> None:
    raw = b'{"input_tokens":1,"cache_creation":{"ephemeral_5m_input_tokens":30}}'
    assert (messages_usage(raw).input, messages_usage(raw).cache_write) == (31, 30)


def test_condensing_the_context_counts_though_the_top_leaves_it_out() -> None:
    steps = [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 10},
        {"type": "message", "input_tokens": 5, "output_tokens": 2},
        {"type": "advisor_message", "input_tokens": 7, "output_tokens": 7},
    ]
    found = {"input_tokens": 5, "output_tokens": 2, "iterations": steps}
    usage = messages_usage(json.dumps(found).encode())
    assert (usage.input, usage.output) == (105, 12)
    found["iterations"] = steps[1:]
    assert messages_usage(json.dumps(found).encode()).input == 5


def envelope(kind: str, message: str = "why") -> bytes:
    said = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "r"}
    return json.dumps(said).encode()


@pytest.mark.parametrize(
    ("status", "kind", "message", "code", "cause"),
    [
        (400, "invalid_request_error", "bad", "invalid_request", "refused_by_provider"),
        (400, "invalid_request_error", "prompt is too long: 3 tokens > 2 maximum",
         "invalid_request", "context_length"),
        (400, "invalid_request_error", "Your credit balance is too low to access the API",
         "upstream_error", "credential_exhausted"),
        (401, "authentication_error", "x", "upstream_error", "credential_refused"),
        (402, "billing_error", "x", "upstream_error", "credential_exhausted"),
        (403, "permission_error", "x", "upstream_error", "credential_refused"),
        (404, "not_found_error", "x", "upstream_error", "status_404"),
        (413, "request_too_large", "x", "request_too_large", "refused_by_provider"),
        (429, "rate_limit_error", "x", "rate_limit_exceeded", "provider_rate_limit"),
        (500, "api_error", "x", "upstream_error", "status_500"),
        (529, "overloaded_error", "x", "upstream_error", "provider_overloaded"),
    ],
)  # fmt: skip
def test_failures(status: int, kind: str, message: str, code: str, cause: str) -> None:
    fault = messages_fault(status, {"retry-after": "7"}, envelope(kind, message))
    assert (fault.kind.code, fault.cause) == (code, cause)
    assert fault.provider is not None
    assert (fault.provider.status, fault.provider.type) == (status, kind)
    if status in (429, 529):
        assert fault.retry_after == 7


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":5}', b"\xff"])
def test_a_failure_without_an_envelope(body: bytes) -> None:
    assert messages_fault(529, {}, body).cause == "provider_overloaded"
    assert messages_fault(500, {}, body).cause == "status_500"
    assert fault_in_answer(body) is None


def test_an_error_in_a_200() -> None:
    fault = fault_in_answer(envelope("api_error"))
    assert fault is not None
    assert fault.cause == "error_in_answer"


@pytest.mark.parametrize("kind", errors.TABLE.values(), ids=lambda kind: kind.code)
def test_our_failures_in_this_dialect(kind: errors.Kind) -> None:
    fault = Fault(kind, "why")
    assert json.loads(write_error(fault, "req_1")) == {
        "type": "error",
        "error": {"type": kind.messages_type, "message": "why"},
        "request_id": "req_1",
    }
    assert error_event(fault) == b"event: error\ndata: " + write_error(fault) + b"\n\n"


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "invalid_request_error"), (418, "invalid_request_error"), (404, "not_found_error"),
     (413, "request_too_large"), (500, "api_error"), (529, "overloaded_error")],
)  # fmt: skip
def test_a_failure_that_has_only_a_status(status: int, name: str) -> None:
    assert error_type(status, "") == name


def test_an_overloaded_provider_stays_overloaded() -> None:
    fault = messages_fault(529, {}, envelope("overloaded_error"))
    assert json.loads(write_error(fault))["error"]["type"] == "overloaded_error"
