"""What a login is made of: service accounts, users' own, the machine's, or what is given."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from gateway.domain import Credential, UpstreamRequest
from gateway.errors import Fault
from gateway.upstream.logins import Logins
from providers_plugins.google import GOOGLE, VERTEX
from tests.upstream.logins.ready import (
    ACCOUNT,
    KEY,
    METADATA,
    NOW,
    PROVIDER,
    TOKEN_URL,
    Web,
    granted,
    requests,
    service_account,
)


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_service_account_signs_who_it_is(kept: Logins, web: Web) -> None:
    """The assertion's signature holds, its claims are right, and the token comes back."""
    web.post(TOKEN_URL, granted())
    got = await kept.secrets(VERTEX, PROVIDER, service_account(), NOW)
    assert got.secrets["access_token"] == "ya29.one"
    assert got.secrets["project"] == "project-1"
    assert got.secrets["service_account"]  # the union of both
    (call,) = requests(web, TOKEN_URL)
    form = parse_qs(call["data"].decode())
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    head, claims, signature = form["assertion"][0].split(".")
    KEY.public_key().verify(
        unpadded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(unpadded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert json.loads(unpadded(claims)) == {
        "iss": "robot@p.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": TOKEN_URL,
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
    }
    assert call["allow_redirects"] is False


async def test_an_operators_project_wins(kept: Logins, web: Web) -> None:
    """A service account may work for another project than its own."""
    web.post(TOKEN_URL, granted())
    given = Credential("c", {**service_account().secrets, "project": "billed"})
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW)
    assert got.secrets["project"] == "billed"


@pytest.mark.parametrize(
    "secrets", [{"api_key": "AIzaExpress"}, {"access_token": "ya29.given", "project": "p"}]
)
async def test_what_the_operator_gives_is_enough(
    kept: Logins, web: Web, secrets: dict[str, str]
) -> None:
    """An express key, or a token from elsewhere, asks nobody."""
    given = Credential("c", secrets)
    assert await kept.secrets(VERTEX, PROVIDER, given, NOW) == given
    assert await kept.secrets(GOOGLE, PROVIDER, given, NOW) is given
    assert not web.requests


async def test_a_users_own_login(kept: Logins, web: Web, tmp_path: Path) -> None:
    """A refresh token goes to the provider's one address, whatever the file says."""
    file = tmp_path / "adc.json"
    file.write_text(
        json.dumps(
            {
                "type": "authorized_user",
                "client_id": "id",
                "client_secret": "s",
                "refresh_token": "r",
                "quota_project_id": "quota-1",
                "token_uri": "https://evil.example/token",
            }
        )
    )
    web.post(TOKEN_URL, granted())
    given = Credential("c", {"adc_file": str(file)})
    got = await kept.secrets(VERTEX, PROVIDER, given, NOW)
    assert got.secrets["project"] == "quota-1"
    (call,) = requests(web, TOKEN_URL)
    assert parse_qs(call["data"].decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["id"],
        "client_secret": ["s"],
        "refresh_token": ["r"],
    }


async def test_a_file_may_hold_a_service_account(
    kept: Logins, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The well-known file is found in the home of whoever runs the gateway."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".config" / "gcloud"
    folder.mkdir(parents=True)
    (folder / "application_default_credentials.json").write_text(json.dumps(ACCOUNT))
    web.post(TOKEN_URL, granted())
    got = await kept.secrets(VERTEX, PROVIDER, Credential("none"), NOW)
    assert got.secrets == {"access_token": "ya29.one", "project": "project-1"}


async def test_the_machines_own_login(
    kept: Logins, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any file the metadata server is asked, under the header it wants."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"{METADATA}/instance/service-accounts/default/token"
    web.get(url, granted("ya29.machine"))
    web.get(f"{METADATA}/project/project-id", b"machine-project\n")
    got = await kept.secrets(VERTEX, PROVIDER, Credential("none"), NOW)
    assert got.secrets == {"access_token": "ya29.machine", "project": "machine-project"}
    assert requests(web, url)[0]["headers"] == {"Metadata-Flavor": "Google"}


async def test_nothing_to_log_in_with(
    kept: Logins, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere than on the provider's machines there is no metadata server."""
    monkeypatch.setenv("HOME", str(tmp_path))
    url = f"{METADATA}/instance/service-accounts/default/token"
    web.get(url, exception=aiohttp.ClientConnectionError("no such host"))
    with pytest.raises(Fault, match="metadata server") as caught:
        await kept.secrets(VERTEX, PROVIDER, Credential("none"), NOW)
    assert caught.value.cause == "credential_refused"


def test_a_request_step_is_plain_data() -> None:
    """The first step of a service account is one request, and holds no key."""
    assert VERTEX.login is not None
    first = VERTEX.login.step(service_account(), NOW, ())
    assert isinstance(first, UpstreamRequest)
    assert "PRIVATE" not in repr(first)
