"""Logins, step by step: files, roles, containers and machines become keys that expire."""

from __future__ import annotations

import datetime as dt
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.domain import Credential, UpstreamRequest
from gateway.errors import Fault
from gateway.sdk.talk import Login, ReadFile, Token
from providers_plugins.bedrock import ADAPTER
from tests.adapters.bedrock.calls import NOW

LATER = "2026-01-02T04:04:05Z"
LATER_SECONDS = dt.datetime(2026, 1, 2, 4, 4, 5, tzinfo=dt.UTC).timestamp()
GRANTED = f"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>
<SecretAccessKey>role/secret+</SecretAccessKey><SessionToken>role&amp;token==</SessionToken>
<Expiration>{LATER}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>""".encode()
ROLE = {"access_key": "ASIAROLE", "secret_key": "role/secret+", "session_token": "role&token=="}
HANDED = (
    b'{"AccessKeyId":"ASIAM","SecretAccessKey":"ms","Token":"mt","Expiration":"%s"}'
    % LATER.encode()
)
MACHINE = {"access_key": "ASIAM", "secret_key": "ms", "session_token": "mt"}
ARN = "arn:aws:iam::1:role/r"


def play(secrets: dict[str, str], *answers: bytes | None) -> list[Any]:
    """Every step that a login takes, given these answers to them."""
    login = ADAPTER.login
    assert isinstance(login, Login)
    credential = Credential("c", secrets)
    return [login.step(credential, NOW + n, answers[:n]) for n in range(len(answers) + 1)]


def refused(secrets: dict[str, str], *answers: bytes | None) -> str:
    with pytest.raises(Fault) as raised:
        play(secrets, *answers)
    assert raised.value.cause == "login_failed"
    for word in (*secrets.values(), *(a.decode("utf-8", "replace") for a in answers if a)):
        assert len(word) < 5 or word not in raised.value.message
    return raised.value.message


def form(request: Any) -> dict[str, str]:
    assert isinstance(request, UpstreamRequest)
    assert request.method == "POST"
    return {name: values[0] for name, values in parse_qs(request.body.decode()).items()}


@pytest.mark.parametrize(
    "secrets",
    [
        {"api_key": "k"},
        {"access_key": "a", "secret_key": "s"},
        {"access_key": "a", "secret_key": "s", "session_token": "t"},
    ],
)
def test_what_is_ready_needs_no_step(secrets: dict[str, str]) -> None:
    assert play(secrets) == [Token(secrets)]


def test_a_profile_of_the_shared_file() -> None:
    credentials = b"[default]\naws_access_key_id=A\naws_secret_access_key = s/+=:#x\n"
    one, two, token = play({}, credentials, None)
    assert (one, two) == (ReadFile("~/.aws/credentials"), ReadFile("~/.aws/config"))
    assert token == Token({"access_key": "A", "secret_key": "s/+=:#x"})
    named = {"profile": "p", "credentials_file": "/c", "config_file": "/d"}
    config = b"[profile p]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n"
    one, two, token = play(named, credentials, config)
    assert (one, two) == (ReadFile("/c"), ReadFile("/d"))
    assert token.secrets == {"access_key": "B", "secret_key": "t", "session_token": "u"}


def test_a_profile_with_a_role() -> None:
    credentials = b"[base]\naws_access_key_id=A\naws_secret_access_key=s\n"
    config = (
        b"[profile p]\nrole_arn=" + ARN.encode() + b"\nsource_profile=base\nregion=eu-west-3\n"
        b"external_id=e x\nrole_session_name=n\nduration_seconds=900\n"
    )
    _, _, request, token = play({"profile": "p"}, credentials, config, GRANTED)
    assert request.url == "https://sts.eu-west-3.amazonaws.com/"
    assert form(request) == {
        "Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ARN, "ExternalId": "e x",
        "RoleSessionName": "n", "DurationSeconds": "900",
    }  # fmt: skip
    proof = dict(request.headers)["Authorization"]
    assert "Credential=A/" in proof
    assert "/eu-west-3/sts/aws4_request" in proof
    assert token == Token(ROLE, LATER_SECONDS)


def test_a_role_may_be_taken_on_with_its_own_profiles_keys_and_roles_may_chain() -> None:
    own = b"[p]\naws_access_key_id=A\naws_secret_access_key=s\nrole_arn=r1\nsource_profile=p\n"
    *_, request, token = play({"profile": "p"}, own, None, GRANTED)
    assert form(request)["RoleArn"] == "r1"
    assert token.secrets == ROLE
    chain = own + b"[q]\nrole_arn=r2\nsource_profile=p\n"
    *_, first, second, token = play({"profile": "q"}, chain, None, GRANTED, GRANTED)
    assert [form(first)["RoleArn"], form(second)["RoleArn"]] == ["r1", "r2"]
    assert "Credential=ASIAROLE/" in dict(second.headers)["Authorization"]
    assert dict(second.headers)["X-Amz-Security-Token"] == "role&token=="


def test_a_role_with_keys_in_the_catalog() -> None:
    secrets = {"access_key": "A", "secret_key": "s", "role_arn": ARN, "region": "cn-north-1"}
    request, token = play(secrets, GRANTED)
    assert request.url == "https://sts.cn-north-1.amazonaws.com.cn/"
    assert token == Token(ROLE, LATER_SECONDS)


def test_a_web_identity() -> None:
    secrets = {"web_identity_token_file": "/var/token", "role_arn": ARN, "region": "us-west-2"}
    file, request, token = play(secrets, b"jwt.token.here\n", GRANTED)
    assert file == ReadFile("/var/token")
    assert request.url == "https://sts.us-west-2.amazonaws.com/"
    assert "Authorization" not in dict(request.headers)
    said = form(request)
    assert said["Action"] == "AssumeRoleWithWebIdentity"
    assert (said["WebIdentityToken"], said["RoleArn"]) == ("jwt.token.here", ARN)
    assert token == Token(ROLE, LATER_SECONDS)
    config = b"[default]\nrole_arn=r\nweb_identity_token_file=/t\n"
    assert play({}, None, config, b"jwt", GRANTED)[2:4] != []
    assert play({}, None, config, b"jwt", GRANTED)[-1].secrets == ROLE


def test_a_container() -> None:
    secrets = {"container_uri": "/v2/credentials/x"}
    request, token = play(secrets, HANDED)
    assert (request.method, request.url) == ("GET", "http://169.254.170.2/v2/credentials/x")
    assert request.headers == ()
    assert token == Token(MACHINE, LATER_SECONDS)
    pod = {"container_uri": "http://169.254.170.23/v1", "container_token_file": "/t"}
    file, request, token = play(pod, b"tok\n", HANDED)
    assert file == ReadFile("/t")
    assert request.headers == (("Authorization", "tok"),)
    assert token.secrets == MACHINE


@pytest.mark.parametrize(
    "uri",
    ["http://evil.example/x", "http://169.254.170.2.evil.example/", "ftp://127.0.0.1/", "http://[",
     "x@y", "http://169.254.170.2@evil.example/"],
)  # fmt: skip
def test_a_containers_keys_come_from_nowhere_else(uri: str) -> None:
    assert "host" in refused({"container_uri": uri})


def test_the_machine_is_the_last_resort() -> None:
    steps = play({}, None, None, b"session", b"my-role\n", HANDED)
    ask, listed, keys, token = steps[2:]
    assert (ask.method, ask.url) == ("PUT", "http://169.254.169.254/latest/api/token")
    assert ask.headers == (("X-aws-ec2-metadata-token-ttl-seconds", "21600"),)
    assert listed.headers == keys.headers == (("X-aws-ec2-metadata-token", "session"),)
    assert keys.url == listed.url + "my-role"
    assert token == Token(MACHINE, LATER_SECONDS)
    source = b"[p]\nrole_arn=r\ncredential_source=Ec2InstanceMetadata\n"
    steps = play({"profile": "p"}, source, None, b"session", b"my-role", HANDED, GRANTED)
    assert steps[-1].secrets == ROLE


@pytest.mark.parametrize(
    "answers",
    [
        (None, None, None),
        (b"not an [ini", b"\xff\xfe", None),
        (None, None, b"tok en\r\nX: y"),
        (None, None, b"session", b"../../evil?x"),
        (None, None, b"session", b""),
        (None, None, b"session", b"role", b"{}"),
        (None, None, b"session", b"role", b"\xff"),
        (None, None, b"session", b"role",
         b'{"AccessKeyId":"A","SecretAccessKey":"s","Expiration":"soon"}'),
        (b"[default]\naws_access_key_id=A\n", None),
        (b"[default]\nrole_arn=r\nsource_profile=gone\n", None),
        (b"[default]\nrole_arn=r\nsource_profile=b\n[b]\nrole_arn=r\nsource_profile=default\n",
         None),
        (b"[default]\nrole_arn=r\ncredential_source=Environment\n", None),
        (b"[default]\naws_access_key_id=A\naws_secret_access_key=topsecret\nrole_arn=r\n"
         b"source_profile=default\n", None, None),
        (b"[default]\naws_access_key_id=A\naws_secret_access_key=topsecret\nrole_arn=r\n"
         b"source_profile=default\n", None, b"<AccessKeyId>only</AccessKeyId>"),
    ],
)  # fmt: skip
def test_what_leads_nowhere_is_refused_without_a_word_of_it(answers: tuple[Any, ...]) -> None:
    assert "operator" in refused({}, *answers)


def test_a_profile_that_is_named_must_be_there() -> None:
    assert "profile" in refused({"profile": "gone-profile"}, b"[default]\n", None)


def test_a_program_in_a_profile_is_not_run() -> None:
    told = refused({"profile": "p"}, b"[p]\ncredential_process=/bin/keys\n", None)
    assert "not supported" in told


def test_tokens_of_a_file_hold_no_line() -> None:
    assert "token" in refused(
        {"web_identity_token_file": "/t-file", "role_arn": ARN}, b"one\ntwo two"
    )
