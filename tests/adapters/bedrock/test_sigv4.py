"""Signatures are the vendor's own, byte for byte."""

from __future__ import annotations

import datetime as dt
from unittest import mock
from urllib.parse import quote

import pytest
from botocore import auth, awsrequest, credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from providers_plugins.bedrock.sigv4 import Keys, signed

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKENS = st.text(alphabet="abcXYZ019+/=", max_size=30)
MODELS = st.one_of(
    st.sampled_from(
        [
            "anthropic.claude-3-5-sonnet-20241022-v2:0",
            "us.anthropic.claude-opus-4-1-20250805-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x-v1:0",
            "arn:aws-us-gov:bedrock:us-gov-west-1:1:application-inference-profile/ab12",
        ]
    ),
    st.text(min_size=1, max_size=30),
)
SEGMENTS = st.lists(st.sampled_from(["", ".", "..", "a", "%3A", "b~c", "x_y-z", "é"]), max_size=5)


def vendors(method, url, headers, body, keys, region, service, now) -> dict[str, str]:
    request = awsrequest.AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    moment = dt.datetime.fromtimestamp(now, dt.UTC).replace(tzinfo=None)
    held = credentials.Credentials(keys.access_key, keys.secret_key, keys.session_token or None)
    signer = auth.SigV4Auth(held, service, region)
    with mock.patch.object(auth, "get_current_datetime", return_value=moment):
        signer.add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def ours(method, url, headers, body, keys, region, service, now) -> dict[str, str]:
    found = signed(method, url, headers, body, keys, region=region, service=service, now=now)
    return {name.lower(): value for name, value in found}


@settings(max_examples=300, deadline=None)
@given(
    model=MODELS,
    prefix=SEGMENTS,
    action=st.sampled_from(["converse", "invoke", "converse-stream", ""]),
    query=st.sampled_from(["", "?b=2&a=1", "?Action=X&Action=A&Version="]),
    host=st.sampled_from(["bedrock-runtime.us-east-1.amazonaws.com", "X.example:8443", "h:443"]),
    value=st.text(alphabet="ab  \tc,;=", max_size=20),
    body=st.binary(max_size=60),
    token=TOKENS,
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
    now=st.floats(0, 4e9),
)
def test_as_the_vendor_signs(
    model, prefix, action, query, host, value, body, token, region, now
) -> None:
    lead = "".join(f"/{quote(segment, safe='%~')}" for segment in prefix)
    url = f"https://{host}{lead}/model/{quote(model, safe='-._~')}/{action}{query}"
    headers = (("Content-Type", "application/json"), ("X-Amzn-Note", value))
    keys = Keys("AKIDEXAMPLE", SECRET, token)
    arguments = ("POST", url, headers, body, keys, region, "bedrock", now)
    assert ours(*arguments) == vendors(*arguments)


@pytest.mark.parametrize("path", ["", "/", "//", "/./", "/a/..", "/a/../", "/a/", "/%20/b"])
def test_paths_as_the_vendor_sees_them(path: str) -> None:
    keys = Keys("AKIDEXAMPLE", SECRET)
    arguments = ("POST", f"https://h.example{path}", (), b"", keys, "us-east-1", "sts", 1e9)
    assert ours(*arguments) == vendors(*arguments)


def test_the_known_vector() -> None:
    url = (
        "https://bedrock-runtime.us-east-1.amazonaws.com"
        "/model/us.anthropic.claude-opus-4-1-20250805-v1%3A0/invoke"
    )
    headers = (("content-type", "application/json"),)
    keys = Keys("AKIDEXAMPLE", SECRET)
    now = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC).timestamp()
    found = ours("POST", url, headers, b"{}", keys, "us-east-1", "bedrock", now)
    assert found["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/bedrock/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=b21bf14605d01f7fe152b6f65b12057492cb0216a17248c898b8c2ec83077609"
    )


@pytest.mark.parametrize("changed", ["method", "url", "body", "token", "now"])
def test_whatever_changes_changes_the_signature(changed: str) -> None:
    said = {"method": "POST", "url": "https://h/a", "body": b"x", "token": "t", "now": 1e9}
    other = said | {
        changed: {"method": "GET", "url": "https://h/b", "body": b"y", "token": "u", "now": 2e9}[
            changed
        ]
    }
    signatures = {
        ours(a["method"], a["url"], (), a["body"], Keys("A", "S", a["token"]), "r", "s", a["now"])[
            "authorization"
        ].rpartition("=")[2]
        for a in (said, other)
    }
    assert len(signatures) == 2
