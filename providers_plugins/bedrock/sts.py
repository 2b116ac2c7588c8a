"""The vendor's token service: a role's short-lived keys, for those who may take it on."""

from __future__ import annotations

import re
from datetime import datetime
from html import unescape
from urllib.parse import urlencode

from gateway.sdk import UpstreamRequest
from gateway.sdk.talk import Token
from providers_plugins.bedrock.sigv4 import Keys, signed

_FORM = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
_VERSION = "2011-06-15"
_SESSION = "isthmus-gateway"


def assume_role(
    keys: Keys,
    region: str,
    now: float,
    role: str,
    *,
    external_id: str = "",
    session: str = "",
    seconds: str = "",
) -> UpstreamRequest:
    """The request, signed with what the operator has, for what the role has."""
    said = {
        "Action": "AssumeRole",
        "Version": _VERSION,
        "RoleArn": role,
        "RoleSessionName": session or _SESSION,
    }
    if external_id:
        said["ExternalId"] = external_id
    if seconds:
        said["DurationSeconds"] = seconds
    url, body = _host(region), urlencode(said).encode()
    headers = signed("POST", url, (_FORM,), body, keys, region=region, service="sts", now=now)
    return UpstreamRequest("POST", url, headers, body)


def assume_role_with_web_identity(
    region: str, role: str, token: str, session: str = ""
) -> UpstreamRequest:
    """The request, proved by a token of the operator's own cluster; it needs no signature."""
    said = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": _VERSION,
        "RoleArn": role,
        "RoleSessionName": session or _SESSION,
        "WebIdentityToken": token,
    }
    return UpstreamRequest("POST", _host(region), (_FORM,), urlencode(said).encode())


def token_of(body: bytes) -> Token | None:
    """The keys in an answer of the token service; None when there are none."""
    said = body.decode("utf-8", "replace")
    return keys_token(
        _member(said, "AccessKeyId"),
        _member(said, "SecretAccessKey"),
        _member(said, "SessionToken"),
        _member(said, "Expiration"),
    )


def keys_token(access: str, secret: str, session: str, expiration: str) -> Token | None:
    """What requests are signed with, until it expires."""
    expires_at = _seconds(expiration)
    if not access or not secret or expires_at is None:
        return None
    secrets = {"access_key": access, "secret_key": secret}
    if session:
        secrets["session_token"] = session
    return Token(secrets, expires_at)


def _host(region: str) -> str:
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://sts.{region}.{suffix}/"


def _member(said: str, name: str) -> str:
    found = re.search(rf"<{name}>\s*([^<>]{{1,8192}}?)\s*</{name}>", said)
    return unescape(found[1]) if found else ""


def _seconds(moment: str) -> float | None:
    """A date as unix seconds; keys without one never expire."""
    if not moment:
        return float("inf")
    try:
        found = datetime.fromisoformat(moment)
        return found.timestamp() if found.tzinfo else None
    except (ValueError, OverflowError):
        return None
