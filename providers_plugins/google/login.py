"""How the gateway logs in: a service account, a user's own login, or the machine it runs on."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from gateway.sdk import Credential, Fault, UpstreamRequest, provider_fault
from gateway.sdk.talk import ReadFile, Token

WELL_KNOWN = "~/.config/gcloud/application_default_credentials.json"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address, no secret
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_METADATA = "http://metadata.google.internal/computeMetadata/v1"
_METADATA_TOKEN = f"{_METADATA}/instance/service-accounts/default/token"
_METADATA_PROJECT = f"{_METADATA}/project/project-id"
_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME = 3600
_LONGEST = 86_400.0

Answers = tuple[bytes | None, ...]
Step = UpstreamRequest | ReadFile | Token


class Account(Struct):
    """What a file of credentials says, whichever kind it is."""

    type: str = ""
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    project_id: str = ""
    token_uri: str = TOKEN_URL
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    quota_project_id: str = ""


class _Granted(Struct):
    access_token: str
    expires_in: float = _LIFETIME


def step(credential: Credential, now: float, answers: Answers) -> Step:
    """The next step to a token, given the answers to those before."""
    secrets = credential.secrets
    if secrets.get("api_key") or secrets.get("access_token"):
        return Token({})  # what the operator gave is enough
    given = secrets.get("service_account")
    if given:
        return _by_account(_account(given.encode()), secrets, now, answers)
    if not answers:
        return ReadFile(secrets.get("adc_file") or WELL_KNOWN)
    if answers[0] is not None:
        return _by_account(_account(answers[0]), secrets, now, answers[1:])
    if secrets.get("adc_file"):
        raise _refused("its file of credentials is absent")
    return _by_machine(secrets, now, answers[1:])


def _by_account(account: Account, secrets: dict[str, str], now: float, answers: Answers) -> Step:
    if answers:
        project = account.project_id or account.quota_project_id
        return _token(answers[0], secrets, project, now)
    if account.type == "authorized_user":
        return _asked(TOKEN_URL, {
            "grant_type": "refresh_token",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
            "refresh_token": account.refresh_token,
        })  # fmt: skip
    if account.type not in ("", "service_account") or not account.private_key:
        raise _refused("its credentials are of a kind that is not known here")
    url = _trusted(account.token_uri)
    return _asked(url, {"grant_type": _GRANT, "assertion": assertion(account, now)})


def _by_machine(secrets: dict[str, str], now: float, answers: Answers) -> Step:
    """The metadata server of the machine that the gateway runs on."""
    if not answers:
        return _metadata(_METADATA_TOKEN)
    if answers[0] is None:
        raise _refused("it has no service account, no file of credentials, and no metadata server")
    if secrets.get("project"):
        return _token(answers[0], secrets, "", now)
    if len(answers) == 1:
        return _metadata(_METADATA_PROJECT)
    project = (answers[1] or b"").decode("ascii", errors="ignore").strip()
    return _token(answers[0], secrets, project, now)


def assertion(account: Account, now: float) -> str:
    """A signed statement of who the service account is."""
    claims = {
        "iss": account.client_email,
        "scope": _SCOPE,
        "aud": account.token_uri,
        "iat": int(now),
        "exp": int(now) + _LIFETIME,
    }
    header = {"alg": "RS256", "typ": "JWT"}
    if account.private_key_id:
        header["kid"] = account.private_key_id
    signed = b".".join(_base64(msgspec.json.encode(part)) for part in (header, claims))
    return (signed + b"." + _base64(_signature(account.private_key, signed))).decode()


def _signature(pem: str, message: bytes) -> bytes:
    # Imported late: most gateways never log in so.
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), password=None)
        if isinstance(key, RSAPrivateKey):
            return key.sign(message, PKCS1v15(), hashes.SHA256())
    except Exception:  # noqa: S110 - whatever it says may quote the key
        pass
    raise _refused("its private key cannot be used")


def _account(raw: bytes) -> Account:
    try:
        return msgspec.json.decode(raw, type=Account)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused("its credentials cannot be read") from None


def _trusted(url: str) -> str:
    """Only the provider's own hosts are told who the account is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    trusted = host == "googleapis.com" or host.endswith(".googleapis.com")
    plain = parts.username is None and parts.password is None and port in (None, 443)
    if parts.scheme != "https" or not trusted or not plain or not url.isascii():
        raise _refused("its token_uri is not an address of the provider's")
    return url


def _asked(url: str, form: dict[str, str]) -> UpstreamRequest:
    return UpstreamRequest("POST", url, _FORM, urlencode(form).encode())


def _metadata(url: str) -> UpstreamRequest:
    return UpstreamRequest("GET", url, (("Metadata-Flavor", "Google"),))


def _token(answer: bytes | None, secrets: dict[str, str], project: str, now: float) -> Token:
    if answer is None:
        raise provider_fault(401, {}, b"")
    try:
        granted = msgspec.json.decode(answer, type=_Granted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused("the answer to its login cannot be read") from None
    if not granted.access_token or not granted.access_token.isascii():
        raise _refused("the answer to its login holds no token")
    told: dict[str, Any] = {"access_token": granted.access_token}
    project = secrets.get("project") or project
    if project:
        told["project"] = project
    lifetime = min(max(granted.expires_in, 0.0), _LONGEST)
    return Token(told, expires_at=now + lifetime)


def _refused(why: str) -> Fault:
    """Like any credential that is refused; what it holds is never said."""
    fault = provider_fault(401, {}, b"")
    return Fault(
        fault.kind,
        f"The gateway can't log in with its credential for this route: {why}. "
        "This is for the gateway's operator to mend; your key is fine.",
        cause=fault.cause,
        provider=None,
    )


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
