"""Where calls go, and with what proof."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk.talk import Losses, Talk
from providers_plugins.bedrock import WIRE
from tests.adapters.bedrock.asking import HELLO
from tests.adapters.bedrock.calls import KEY, SIGNING, call


@pytest.mark.parametrize(
    ("said_of", "url", "region"),
    [
        ({}, "https://bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ({"region": "eu-west-3"}, "https://bedrock-runtime.eu-west-3.amazonaws.com", "eu-west-3"),
        ({"options": {"region": "cn-north-1"}},
         "https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ({"base_url": "http://127.0.0.1:9", "region": "eu-west-3"}, "http://127.0.0.1:9",
         "eu-west-3"),
        ({"base_url": "https://v.bedrock-runtime.ap-south-1.vpce.amazonaws.com/"},
         "https://v.bedrock-runtime.ap-south-1.vpce.amazonaws.com", "ap-south-1"),
        ({"base_url": "https://proxy.example/aws"}, "https://proxy.example/aws", "us-east-1"),
    ],
)  # fmt: skip
def test_regions(said_of: dict[str, Any], url: str, region: str) -> None:
    request = WIRE.build(call("a.b", **said_of), SIGNING, Talk("chat", messages=HELLO), Losses())
    assert request.url == f"{url}/model/a.b/converse"
    assert f"/{region}/bedrock/aws4_request" in dict(request.headers)["Authorization"]


def test_an_arn_is_called_in_its_own_region() -> None:
    arn = "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-x-v1:0"
    request = WIRE.build(call(arn), SIGNING, Talk("chat", messages=HELLO), Losses())
    assert request.url == (
        "https://bedrock-runtime.us-west-2.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aus-west-2%3A"
        "123456789012%3Ainference-profile%2Fus.anthropic.claude-x-v1%3A0/converse"
    )


def test_a_session_is_told() -> None:
    session = Credential("s", {**SIGNING.secrets, "session_token": "tok"})
    headers = dict(WIRE.build(call(), session, Talk("chat"), Losses()).headers)
    assert headers["X-Amz-Security-Token"] == "tok"
    assert "x-amz-security-token" in headers["Authorization"]


def test_without_a_credential_the_operator_is_told() -> None:
    with pytest.raises(Fault, match="operator") as raised:
        WIRE.build(call(), Credential("none"), Talk("chat"), Losses())
    assert raised.value.cause == "credential_refused"
    with pytest.raises(Fault, match="region"):
        WIRE.build(call(region="evil.example/"), KEY, Talk("chat"), Losses())
