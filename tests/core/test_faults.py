"""What a provider's refusal means, and that nothing secret in it reaches a client."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.faults import (
    MAX_RETRY_AFTER,
    ErrorBody,
    clean,
    fault_in_body,
    provider_fault,
    read_error,
    retry_after,
)

SHAPES = {
    "openai": (
        b'{"error":{"message":"m","type":"t","param":"p","code":"c"}}',
        ErrorBody("m", "c", "t", "p"),
    ),
    "nulls": (b'{"error":{"message":"m","type":null,"param":null,"code":null}}', ErrorBody("m")),
    "number code": (b'{"error":{"message":"m","code":404}}', ErrorBody("m", "404")),
    "google": (
        b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[]}}',
        ErrorBody("m", "400", "INVALID_ARGUMENT"),
    ),
    "array of one": (b'[{"error":{"message":"m"}}]', ErrorBody("m")),
    "string": (b'{"error":"m","code":"c"}', ErrorBody("m", "c")),
    "flat": (b'{"message":"m","type":"t","code":"c"}', ErrorBody("m", "c", "t")),
    "detail": (b'{"detail":"m"}', ErrorBody("m")),
    "anthropic": (
        b'{"type":"error","error":{"type":"t","message":"m"}}',
        ErrorBody("m", None, "t"),
    ),
    "trailing newline": (b'{"error":{"message":"m"}}\n', ErrorBody("m")),
    "empty": (b"", ErrorBody()),
    "html": (b"<html><body><h1>502 Bad Gateway</h1></body></html>", ErrorBody()),
    "array of two": (b'[{"error":{"message":"m"}},1]', ErrorBody()),
    "number": (b"5", ErrorBody()),
    "null": (b"null", ErrorBody()),
    "error null": (b'{"error":null}', ErrorBody()),
    "error false": (b'{"error":false}', ErrorBody()),
    "error empty": (b'{"error":""}', ErrorBody()),
    "error list": (b'{"error":["m"]}', ErrorBody()),
    "wrong types": (b'{"error":{"message":{},"type":[],"param":1.5,"code":true}}', ErrorBody()),
    "not utf-8": (b'{"error":{"message":"\xff"}}', ErrorBody()),
    "lone surrogate": (rb'{"error":{"message":"\ud800"}}', ErrorBody()),
    "deep": (b'{"error":' * 20_000, ErrorBody()),
    "10 MB": (b'{"error":{"message":"' + b"x" * 10_000_000 + b'"}}', ErrorBody()),
    "cut": (b'{"error":{"message":"m"', ErrorBody()),
}
STATUSES = {
    300: ("upstream_error", "redirect"),
    307: ("upstream_error", "redirect"),
    400: ("invalid_request", "refused_by_provider"),
    401: ("upstream_error", "credential_refused"),
    402: ("upstream_error", "credential_refused"),
    403: ("upstream_error", "credential_refused"),
    404: ("upstream_error", "status_404"),
    408: ("upstream_error", "status_408"),
    413: ("request_too_large", "refused_by_provider"),
    422: ("invalid_request", "refused_by_provider"),
    429: ("rate_limit_exceeded", "provider_rate_limit"),
    500: ("upstream_error", "status_500"),
    502: ("upstream_error", "status_502"),
    503: ("upstream_error", "status_503"),
    529: ("upstream_error", "status_529"),
    600: ("upstream_error", "status_600"),
    999: ("upstream_error", "status_999"),
}
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
WAITS = [
    ({}, None),
    ({"retry-after": "5"}, 5),
    ({"retry-after": " 5 "}, 5),
    ({"retry-after": "0"}, 0),
    ({"retry-after": "1.5"}, 1.5),
    ({"retry-after": "1000000000"}, MAX_RETRY_AFTER),
    ({"retry-after": "9" * 400}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "1e3"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": ""}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "5, 6"}, None),
    ({"retry-after-ms": "1500"}, 1.5),
    ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
    ({"retry-after-ms": "x", "retry-after": "9"}, 9),
    ({"retry-after-ms": "99999999999"}, MAX_RETRY_AFTER),
    ({"retry-after": DATE}, None),
    ({"retry-after": DATE, "date": "Wed, 21 Oct 2015 07:27:30 GMT"}, 30),
    ({"retry-after": DATE, "date": "Wed, 21 Oct 2015 09:00:00 GMT"}, 0),
    ({"retry-after": DATE, "date": "Wed, 21 Oct 1915 09:00:00 GMT"}, MAX_RETRY_AFTER),
    ({"retry-after": DATE, "date": "nonsense"}, None),
    ({"retry-after": "Wed, 21 Oct 2015 07:28:00", "date": DATE}, None),
    ({"retry-after": "Wed, 99 Oct 99999 07:28:00 GMT", "date": DATE}, None),
]
SECRETS = [
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-abcdefghijklmnop",
    "xai-abcdefghijklmnopqrst",
    "gsk_abcdefghijklmnopqrst",
    "AIzaSyA-bcdefghijklmnopqrstu",
    "ya29.abcdefghijklmnopqrst",
    "AKIAABCDEFGHIJKLMNOP",
]


@pytest.mark.parametrize(("body", "expected"), SHAPES.values(), ids=SHAPES)
def test_error_bodies(body: bytes, expected: ErrorBody) -> None:
    """Every shape of error body gives its message and codes; nonsense gives none."""
    assert read_error(body) == expected
    for status in STATUSES:
        assert provider_fault(status, {}, body).message


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"error":{"message":"no","code":"model_not_found"}}']
)
def test_the_status_decides(status: int, expected: tuple[str, str], body: bytes) -> None:
    """The kind follows from the status alone, whatever the prose."""
    fault = provider_fault(status, {"retry-after": "7"}, body)
    assert (fault.kind.code, fault.cause) == expected
    assert fault.retry_after == 7
    assert fault.provider.status == status


@pytest.mark.parametrize("field", ["code", "type"])
@pytest.mark.parametrize("code", ["insufficient_quota", "exceeded_current_quota_error"])
def test_an_exhausted_account_is_no_rate_limit(field: str, code: str) -> None:
    """A 429 that says the account ran dry is the operator's to mend."""
    body = json.dumps({"error": {"message": "pay", field: code}}).encode()
    fault = provider_fault(429, {}, body)
    assert (fault.kind.code, fault.cause) == ("upstream_error", "credential_exhausted")
    assert "pay" not in fault.message


def test_only_a_bad_request_names_a_param() -> None:
    """`param` is the client's business on a 400 alone."""
    body = b'{"error":{"message":"m","param":"messages[0]"}}'
    assert provider_fault(400, {}, body).param == "messages[0]"
    assert provider_fault(500, {}, body).param is None


@pytest.mark.parametrize(("headers", "expected"), WAITS, ids=repr)
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    """Seconds, milliseconds and dates are read and bounded; nonsense is no advice."""
    assert retry_after(headers) == expected


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "text",
    ["Incorrect API key provided: {}.", "{}", "key={}", "Bearer {}", '"api_key": "{}"', "({})"],
)
def test_secrets_are_scrubbed(secret: str, text: str) -> None:
    """No spelling of a key survives in any fault's text, code, type or param."""
    said = text.format(secret)
    body = json.dumps({"error": dict.fromkeys(("message", "code", "type", "param"), said)}).encode()
    for status in STATUSES:
        fault = provider_fault(status, {}, body)
        shown = f"{fault.message} {fault.param} {fault.provider} {fault!r}"
        assert secret not in shown
        assert secret[:14] not in shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("see https://x.example/a?key=abc&b=c#d now", "see https://x.example/a now"),
        ("token=abc123 rest", "[redacted] rest"),
        ("authorization: secretvalue", "[redacted]"),
        ("a\r\nb\x00c\x1b[31m", "a b c [31m"),
        ("  spaced  ", "spaced"),
        ("plain words stay; max_tokens must be < 5", "plain words stay; max_tokens must be < 5"),
    ],
)
def test_clean(said: str, shown: str) -> None:
    """One line, no query strings, no credentials."""
    assert clean(said) == shown


def test_long_text_is_cut() -> None:
    """A message of any length is shown in 400 characters."""
    assert len(clean("x" * 100_000)) == 400


def test_html_is_never_shown() -> None:
    """An HTML page is summed up by its status."""
    fault = provider_fault(503, {}, b"<html>" + b"secret" * 9000)
    assert fault.message == "The provider answered with status 503."


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"error":{"message":"m"}}', True),
        (b'{"error":"m"}', True),
        (b'{"error":{"code":5}}', True),
        (b'{"error":null,"choices":[]}', False),
        (b'{"error":{}}', False),
        (b'{"object":"list","data":[]}', False),
        (b'{"data":"\\"error\\""}', False),
        (b"nonsense", False),
    ],
)
def test_an_error_inside_a_success(body: bytes, found: bool) -> None:
    """A 200 that carries an error object is a fault; one that doesn't is none."""
    fault = fault_in_body(body)
    assert (fault is not None) is found
    if fault is not None:
        assert fault.cause == "error_in_answer"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "param", "detail", "status"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.integers(100, 999), st.binary(max_size=60) | JSON.map(lambda v: json.dumps(v).encode()))
def test_nothing_makes_it_raise(status: int, body: bytes) -> None:
    """Any status with any body gives a fault with one line of text."""
    fault = provider_fault(status, {}, body)
    assert fault.message
    assert not any(ord(c) < 32 for c in fault.message)
    read_error(body)
    fault_in_body(b'{"error":' + body + b"}")


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_no_header_makes_it_raise(headers: dict[str, str]) -> None:
    """Any header text gives a wait within bounds, or none."""
    wait = retry_after(headers)
    assert wait is None or 0 <= wait <= MAX_RETRY_AFTER
