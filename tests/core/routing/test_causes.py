"""What is done about each kind of failure."""

from __future__ import annotations

import pytest

from gateway import errors
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.routing.causes import classify
from gateway.core.talk.messages.fault import fault_in_event, messages_fault
from gateway.errors import TABLE, Fault, ProviderError, upstream_error, upstream_timeout


def said(status: int, code: str = "", kind: str = "") -> Fault:
    return provider_fault(
        status, {}, b'{"error":{"message":"no","code":"%s","type":"%s"}}'
        % (code.encode(), kind.encode())
    )  # fmt: skip


def event(kind: str) -> Fault:
    return fault_in_event(b'{"error":{"message":"no","type":"%s"}}' % kind.encode())


def inside(code: str) -> Fault:
    fault = fault_in_body(b'{"error":{"message":"no","code":"%s"}}' % code.encode())
    assert fault is not None
    return fault


CASES = {
    "rate limit": (said(429), "credential", "rate_limited"),
    "no money at the provider": (said(429, "insufficient_quota"), "credential", "exhausted"),
    "key refused": (said(401), "credential", "refused"),
    "key unpaid": (said(402), "credential", "refused"),
    "key not for this model": (said(403), "credential", "forbidden"),
    "server error": (said(500), "credential", "failed"),
    "bad gateway": (said(502), "credential", "failed"),
    "unavailable": (said(503), "route", "overloaded"),
    "overloaded": (said(529), "route", "overloaded"),
    "overloaded by type": (said(500, kind="overloaded_error"), "route", "overloaded"),
    "overloaded, messages": (messages_fault(529, {}, b""), "route", "overloaded"),
    "overloaded in a stream": (event("overloaded_error"), "route", "overloaded"),
    "limited in a stream": (event("rate_limit_error"), "credential", "rate_limited"),
    "failed in a stream": (event("api_error"), "credential", "failed"),
    "limited in an answer": (inside("rate_limit_exceeded"), "credential", "rate_limited"),
    "no money in an answer": (inside("insufficient_quota"), "credential", "exhausted"),
    "failed in an answer": (inside("server_error"), "credential", "failed"),
    "too long": (said(400, "context_length_exceeded"), "larger", "rejected"),
    "too long in an answer": (inside("context_length_exceeded"), "larger", "rejected"),
    "too long, messages": (
        messages_fault(400, {}, b'{"error":{"message":"prompt is too long: 9 tokens"}}'),
        "larger", "rejected",
    ),
    "content": (said(400, "content_filter"), "asked", "rejected"),
    "content, by cause": (
        Fault(errors.INVALID_REQUEST, "no", cause="content_policy"), "asked", "rejected",
    ),
    "invalid": (said(400), "never", "rejected"),
    "too large": (said(413), "never", "rejected"),
    "unknown model there": (said(404), "route", "failed"),
    "redirect": (said(302), "route", "failed"),
    "gateway timeout": (said(504), "route", "timed_out"),
    "timeout": (upstream_timeout("slow", "first_byte_timeout"), "route", "timed_out"),
    "reset": (upstream_error("gone", "reset"), "credential", "failed"),
    "no name": (upstream_error("gone", "dns"), "route", "failed"),
    "unreadable": (upstream_error("odd", "bad_answer"), "route", "failed"),
    "adapter": (upstream_error("bug", "adapter_failed:KeyError"), "route", "failed"),
    "our connections": (
        Fault(errors.NO_UPSTREAM, "full", cause="pool_exhausted"), "route", "unknown",
    ),
    "our storage": (errors.storage_fault(), "never", "unknown"),
    "our limit": (Fault(errors.RATE_LIMIT_EXCEEDED, "slow", cause="over_rpm"), "never", "unknown"),
    "not exact": (Fault(errors.INVALID_REQUEST, "no", cause="not_exact"), "never", "unknown"),
    "not implemented": (Fault(errors.NOT_IMPLEMENTED, "no"), "route", "unknown"),
    "client left": (Fault(errors.CLIENT_CLOSED, "bye", cause="closed"), "never", "unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_to_do(name: str):
    fault, again, outcome = CASES[name]
    verdict = classify(fault)
    assert (verdict.again, verdict.outcome) == (again, outcome)


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_tried_again_once_something_was_sent(name: str):
    fault, _, outcome = CASES[name]
    verdict = classify(fault, sent=True)
    assert (verdict.again, verdict.outcome) == ("never", outcome)


@pytest.mark.parametrize("code", sorted(TABLE))
def test_no_fault_is_tried_again_against_the_table(code: str):
    """A cause nobody has thought of: the table of errors decides."""
    kind = TABLE[code]
    again = classify(Fault(kind, "odd", cause="new", provider=ProviderError(418))).again
    assert again in ({"credential", "route"} if kind.fall_back or kind.retry else {"never"})
    assert (again == "credential") <= kind.retry
