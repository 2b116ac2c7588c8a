"""From what the operator has to keys that sign: files, roles, containers, machines.

A login is a conversation: files are asked for, requests made. It is written as one generator for
each way, and replayed with the answers so far, so that it keeps nothing between two steps.

Not done: `credential_process` and single sign-on, which would have the gateway run programs or
keep a browser's session. A profile that has nothing else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from gateway.sdk import UPSTREAM_ERROR, Credential, Fault, UpstreamRequest
from gateway.sdk.talk import Login, ReadFile, Token
from providers_plugins.bedrock import sts
from providers_plugins.bedrock.endpoint import DEFAULT_REGION, keys_of
from providers_plugins.bedrock.lenient import members, text
from providers_plugins.bedrock.profiles import Profiles, profiles_of
from providers_plugins.bedrock.sigv4 import Keys

Steps: TypeAlias = Generator[UpstreamRequest | ReadFile, bytes | None, Token]

CREDENTIALS_FILE = "~/.aws/credentials"
CONFIG_FILE = "~/.aws/config"
_CONTAINERS = "http://169.254.170.2"
_MACHINE = "http://169.254.169.254/latest"
_ROLE_PATH = f"{_MACHINE}/meta-data/iam/security-credentials/"
_MACHINE_SECONDS = "21600"
_PLAIN = frozenset({
    "127.0.0.1", "169.254.170.2", "169.254.170.23", "::1", "fd00:ec2::23", "localhost",
})  # fmt: skip
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_LINE = re.compile(r"[\x21-\x7e]{1,16384}")
_ROLE_NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
_MAX_CHAIN = 5


def step(
    credential: Credential, now: float, answers: tuple[bytes | None, ...]
) -> UpstreamRequest | ReadFile | Token:
    """The next thing to do, or the keys."""
    steps = _login(credential, now)
    try:
        wanted = next(steps)
        for answer in answers:
            wanted = steps.send(answer)
    except StopIteration as done:
        token: Token = done.value
        return token
    return wanted


LOGIN = Login(step, gives=("access_key", "secret_key"))


def _login(credential: Credential, now: float) -> Steps:
    secrets = credential.secrets
    region = _region(secrets.get("region", ""), DEFAULT_REGION)
    if credential.api_key:
        return Token(dict(secrets))
    if secrets.get("web_identity_token_file") and secrets.get("role_arn"):
        return (yield from _web_identity(secrets, region))
    keys = keys_of(secrets)
    if keys is not None and not secrets.get("role_arn"):
        return Token(dict(secrets))
    token = None if keys is None else _token(keys)
    if token is None:
        token = yield from _found(secrets, region, now)
    if not secrets.get("role_arn"):
        return token
    return (yield from _role(token, secrets, region, now))


def _found(secrets: Mapping[str, str], region: str, now: float) -> Steps:
    """The container's keys if one is named, a profile's, or the machine's own."""
    if secrets.get("container_uri"):
        return (yield from _container(secrets))
    credentials = yield ReadFile(secrets.get("credentials_file") or CREDENTIALS_FILE)
    config = yield ReadFile(secrets.get("config_file") or CONFIG_FILE)
    profiles = profiles_of(credentials, config)
    named = secrets.get("profile", "")
    if named or _usable(profiles.get("default", {})):
        return (yield from _profile(profiles, named or "default", region, now, 0))
    return (yield from _machine())


def _usable(profile: Mapping[str, str]) -> bool:
    return "role_arn" in profile or "aws_access_key_id" in profile


def _profile(profiles: Profiles, name: str, region: str, now: float, depth: int) -> Steps:
    """A profile's keys, or those of a role that another profile may take on."""
    profile = profiles.get(name)
    if profile is None:
        raise _refused("the profile that its credential names is in neither shared file")
    if depth > _MAX_CHAIN:
        raise _refused("its profiles refer to each other in a circle")
    region = _region(profile.get("region", ""), region)
    role = profile.get("role_arn")
    source = profile.get("source_profile", "")
    if not role:
        return _static(profile)
    if profile.get("web_identity_token_file"):
        return (yield from _web_identity(profile, region))
    if source == name:  # the role is taken on with the profile's own keys
        token = _static(profile)
    elif source:
        token = yield from _profile(profiles, source, region, now, depth + 1)
    elif profile.get("credential_source") == "Ec2InstanceMetadata":
        token = yield from _machine()
    else:
        raise _refused("its profile has a role, and no source of keys that the gateway knows")
    return (yield from _role(token, profile, region, now))


def _static(profile: Mapping[str, str]) -> Token:
    access = profile.get("aws_access_key_id", "")
    secret = profile.get("aws_secret_access_key", "")
    token = sts.keys_token(access, secret, profile.get("aws_session_token", ""), "")
    if token is None:
        raise _refused("its profile holds no keys; programs and single sign-on are not supported")
    return token


def _role(token: Token, said: Mapping[str, str], region: str, now: float) -> Steps:
    keys = keys_of(token.secrets)
    if keys is None:
        raise _refused("there are no keys to take on its role with")
    answer = yield sts.assume_role(
        keys,
        region,
        now,
        said.get("role_arn", ""),
        external_id=said.get("external_id", ""),
        session=said.get("role_session_name", ""),
        seconds=said.get("duration_seconds", ""),
    )
    return _answered(answer, "its role was not granted")


def _web_identity(said: Mapping[str, str], region: str) -> Steps:
    raw = yield ReadFile(said.get("web_identity_token_file", ""))
    token = (raw or b"").decode("utf-8", "replace").strip()
    if not _LINE.fullmatch(token):
        raise _refused("the file of its web identity holds no token")
    answer = yield sts.assume_role_with_web_identity(
        region, said.get("role_arn", ""), token, said.get("role_session_name", "")
    )
    return _answered(answer, "its role was not granted to its web identity")


def _answered(answer: bytes | None, why: str) -> Token:
    token = None if answer is None else sts.token_of(answer)
    if token is None:
        raise _refused(why)
    return token


def _container(secrets: Mapping[str, str]) -> Steps:
    """Keys that a container's host hands out, at a place it tells its containers."""
    uri = secrets.get("container_uri", "")
    url = _CONTAINERS + uri if uri.startswith("/") else uri
    if not _trusted(url):
        raise _refused("its container's keys would come from a host that is not to be trusted")
    token = secrets.get("container_token", "")
    if secrets.get("container_token_file"):
        raw = yield ReadFile(secrets["container_token_file"])
        token = (raw or b"").decode("utf-8", "replace").strip()
        if not _LINE.fullmatch(token):
            raise _refused("the file of its container's token holds none")
    answer = yield UpstreamRequest("GET", url, (("Authorization", token),) if token else ())
    return _handed_out(answer, "its container was given no keys")


def _trusted(url: str) -> bool:
    """Keys come under TLS, or from this machine and the addresses reserved for its host."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _PLAIN)
    except ValueError:
        return False


def _machine() -> Steps:
    """Keys of the machine's role. A token is asked for first, so that nobody can be sent here."""
    ask = (("X-aws-ec2-metadata-token-ttl-seconds", _MACHINE_SECONDS),)
    session = yield UpstreamRequest("PUT", f"{_MACHINE}/api/token", ask)
    token = (session or b"").decode("utf-8", "replace").strip()
    if not _LINE.fullmatch(token):
        raise _refused("it names no keys, there are none in the shared files, nor on this machine")
    shown = (("X-aws-ec2-metadata-token", token),)
    listed = yield UpstreamRequest("GET", _ROLE_PATH, shown)
    role = (listed or b"").decode("utf-8", "replace").strip().partition("\n")[0].strip()
    if not _ROLE_NAME.fullmatch(role):
        raise _refused("this machine has no role")
    answer = yield UpstreamRequest("GET", _ROLE_PATH + role, shown)
    return _handed_out(answer, "this machine's role has no keys")


def _handed_out(answer: bytes | None, why: str) -> Token:
    """Keys in JSON, as machines and containers hand them out."""
    found = members(answer)
    token = sts.keys_token(
        text(found.get("AccessKeyId")),
        text(found.get("SecretAccessKey")),
        text(found.get("Token")),
        text(found.get("Expiration")),
    )
    if token is None:
        raise _refused(why)
    return token


def _token(keys: Keys) -> Token | None:
    return sts.keys_token(keys.access_key, keys.secret_key, keys.session_token, "")


def _region(said: str, default: str) -> str:
    return said if _REGION.fullmatch(said) else default


def _refused(why: str) -> Fault:
    """No word of any file, answer or secret."""
    return Fault(
        UPSTREAM_ERROR,
        "The gateway could not log in at the provider. "
        f"This is for the gateway's operator to mend: {why}.",
        cause="login_failed",
    )
