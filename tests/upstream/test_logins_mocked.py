"""A service account's login through aiohttp's own session, with a real RSA key made here."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import ClientResponse
from aioresponses import CallbackResult, aioresponses
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.domain import Credential, Provider
from gateway.errors import Fault
from gateway.upstream.logins import MARGIN, Logins
from providers_plugins.google import VERTEX

NOW = 1_800_000_000.0
TOKEN_URL = "https://oauth2.googleapis.com/token"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = {
    "type": "service_account",
    "client_email": "robot@p.iam.gserviceaccount.com",
    "private_key": PEM,
    "private_key_id": "key-1",
    "project_id": "project-1",
    "token_uri": TOKEN_URL,
}
PROVIDER = Provider("v", "vertex", "https://aiplatform.googleapis.com")
CREDENTIAL = Credential("main", {"service_account": json.dumps(ACCOUNT)})


class Response(ClientResponse):
    """aioresponses does not know of an argument that newer versions of aiohttp want."""

    def __init__(self, *given: Any, **more: Any) -> None:
        more.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*given, **more)


def claims_of(data: bytes) -> dict[str, Any]:
    """What the assertion claims, once its signature has been checked with the public key."""
    form = parse_qs(data.decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, body, signature = form["assertion"][0].split(".")
    signed = base64.urlsafe_b64decode(signature + "==")
    KEY.public_key().verify(signed, f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA256())
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {
        "alg": "RS256",
        "typ": "JWT",
        "kid": "key-1",
    }
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=="))
    return read


async def test_a_token_is_kept_and_renewed_before_it_expires() -> None:
    """One exchange serves until shortly before the token's end; then the old one still serves
    while the next is asked for."""
    asked: list[dict[str, Any]] = []

    def grant(url: Any, **sent: Any) -> CallbackResult:
        asked.append(claims_of(sent["data"]))
        token = {"access_token": f"ya29.{len(asked)}", "expires_in": 3600}
        return CallbackResult(payload=token, response_class=Response)

    logins = Logins()
    with aioresponses() as mocked:
        mocked.post(TOKEN_URL, callback=grant, repeat=True, response_class=Response)
        first = await logins.secrets(VERTEX, PROVIDER, CREDENTIAL, NOW)
        again = await logins.secrets(VERTEX, PROVIDER, CREDENTIAL, NOW + 3600 - MARGIN - 60)
        assert first.secrets["access_token"] == again.secrets["access_token"] == "ya29.1"
        assert first.secrets["project"] == "project-1"
        late = await logins.secrets(VERTEX, PROVIDER, CREDENTIAL, NOW + 3600 - MARGIN / 2)
        assert late.secrets["access_token"] == "ya29.1"
        over = await logins.secrets(VERTEX, PROVIDER, CREDENTIAL, NOW + 3601)
        assert over.secrets["access_token"] == "ya29.2"
        await logins.close()
    assert len(asked) == 2
    assert (asked[0]["iss"], asked[0]["aud"]) == (ACCOUNT["client_email"], TOKEN_URL)
    assert asked[0]["iat"] == int(NOW)
    assert asked[0]["exp"] <= int(NOW) + 3600


async def test_a_refused_account_is_no_fault_of_the_caller() -> None:
    """The fault names the operator's credential, and nothing of what the key server said."""
    logins = Logins()
    with aioresponses() as mocked:
        said = {"error": "invalid_grant", "error_description": "robot@p is disabled"}
        mocked.post(TOKEN_URL, status=400, payload=said, response_class=Response)
        with pytest.raises(Fault) as caught:
            await logins.secrets(VERTEX, PROVIDER, CREDENTIAL, NOW)
        await logins.close()
    assert caught.value.cause in ("credential_refused", "login_failed")
    assert "robot" not in caught.value.message
