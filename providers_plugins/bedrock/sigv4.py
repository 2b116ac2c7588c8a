"""AWS Signature Version 4, in headers: what a request says is proved by its sender's secret.

Pure: the time is an argument. Checked against the vendor's own signer in the tests.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from msgspec import Struct

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Keys(Struct, frozen=True):
    """What a request is signed with; sessions have a token as well."""

    access_key: str
    secret_key: str
    session_token: str = ""


def signed(
    method: str,
    url: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
    keys: Keys,
    *,
    region: str,
    service: str,
    now: float,
) -> tuple[tuple[str, str], ...]:
    """The headers with those that prove them. Every one of them is signed, and the host."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    added: tuple[tuple[str, str], ...] = (("X-Amz-Date", moment),)
    if keys.session_token:
        added += (("X-Amz-Security-Token", keys.session_token),)
    sent = headers + added
    parts = urlsplit(url)
    told = _canonical_headers((*sent, ("host", _host(parts.scheme, parts.netloc))))
    names = ";".join(name for name, _ in told)
    canonical = "\n".join(
        (
            method.upper(),
            _canonical_path(parts.path),
            _canonical_query(parts.query),
            "".join(f"{name}:{value}\n" for name, value in told),
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _signature(keys.secret_key, scope, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}")
    proof = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return (*sent, ("Authorization", proof))


def _signature(secret: str, scope: str, text: str) -> str:
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _host(scheme: str, netloc: str) -> str:
    """The Host header as it is sent: a port only where it is not the scheme's own."""
    suffix = f":{_DEFAULT_PORTS.get(scheme, 0)}"
    return netloc.lower().removesuffix(suffix)


def _canonical_headers(headers: tuple[tuple[str, str], ...]) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.lower().strip(), []).append(" ".join(value.split()))
    return [(name, ",".join(values)) for name, values in sorted(found.items())]


def _canonical_path(path: str) -> str:
    """The path as it is sent, without detours, and encoded once more: `%3A` becomes `%253A`."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    tail = "/" if kept and path.endswith("/") else ""
    return quote("/" + "/".join(kept) + tail, safe="/~")


def _canonical_query(query: str) -> str:
    pairs = (pair.partition("=") for pair in query.split("&") if query)
    return "&".join(f"{name}={value}" for name, _, value in sorted(pairs))
