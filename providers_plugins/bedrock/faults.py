"""What this provider's failures mean: by its own name for them, in a header or in the body.

The same names stand in streams, as exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk import (
    INVALID_REQUEST,
    RATE_LIMIT_EXCEEDED,
    UPSTREAM_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    ProviderError,
    provider_fault,
    read_error,
    retry_after,
)
from providers_plugins.bedrock.eventstream import Message

_HEADER = "x-amzn-errortype"
_MAX_BODY = 64 << 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,79}")
_TOO_LONG = re.compile(
    r"(?i)input is too long|prompt is too long|too many (?:input )?tokens"
    r"|maximum context length|exceeds? the (?:model'?s )?context"
)
_CREDENTIAL = frozenset({
    "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
    "IncompleteSignature", "IncompleteSignatureException", "InvalidClientTokenId",
    "InvalidSignatureException", "MissingAuthenticationToken",
    "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired",
    "SignatureDoesNotMatch", "UnauthorizedException", "UnrecognizedClientException",
})  # fmt: skip
_RATE = "The provider is limiting the rate of this route. Slow down and retry."
_STATUS = {
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Turn an unsuccessful answer into one of the gateway's faults."""
    body = _plain(body)
    name = _name(headers, body)
    said = read_error(body).message
    provider = ProviderError(status=status, type=name or None)
    kind, cause, text = _meaning(name, said)
    if kind is None:
        known = provider_fault(status, headers, body)
        if known.kind is not INVALID_REQUEST or not _TOO_LONG.search(said):
            known.provider = provider
            return known
        kind, cause, text = INVALID_REQUEST, "context_length", known.message
    return Fault(kind, text, retry_after=retry_after(headers), cause=cause, provider=provider)


def failure_of(message: Message) -> Fault | None:
    """The failure that a message of a stream tells of, in any of the ways there are."""
    if message.header(":message-type") != "event":
        name = message.header(":exception-type") or message.header(":error-code")
        return fault_in_stream(name, message.payload)
    name = message.header(":event-type")
    return fault_in_stream(name, message.payload) if name.endswith("Exception") else None


def fault_in_stream(name: str, payload: bytes) -> Fault:
    """An exception that came inside a stream opened with 200."""
    name = name[:1].upper() + name[1:]
    status = _STATUS.get(name, 500)
    return fault(status, {_HEADER: name}, payload)


def broken(why: str) -> Fault:
    """A stream that cannot be read any further."""
    return Fault(UPSTREAM_ERROR, f"The provider's stream is damaged: {why}.", cause="broken_stream")


def _meaning(name: str, said: str) -> tuple[Any, str, str]:
    """Kind, cause and words of a failure by its name; no kind where the status says it all."""
    if name in _CREDENTIAL:
        return UPSTREAM_ERROR, "credential_refused", provider_fault(401, {}, b"").message
    if name == "ServiceQuotaExceededException":
        return UPSTREAM_ERROR, "credential_exhausted", provider_fault(401, {}, b"").message
    if name in ("ThrottlingException", "TooManyRequestsException"):
        return RATE_LIMIT_EXCEEDED, "provider_rate_limit", _RATE
    if name == "ModelNotReadyException":
        return UPSTREAM_ERROR, "model_not_ready", _with("The model is not ready yet", said)
    if name == "ModelTimeoutException":
        text = "The provider gave up on the call after its own time limit."
        return UPSTREAM_TIMEOUT, "provider_timeout", text
    if name in ("ModelErrorException", "ModelStreamErrorException"):
        return UPSTREAM_ERROR, "model_error", _with("The model failed", said)
    return None, "", ""


def _with(what: str, said: str) -> str:
    return f"{what}: {said}" if said else f"{what}."


def _name(headers: Mapping[str, str], body: bytes) -> str:
    """The failure's name: `ValidationException:http://...` or `com.amazon#ValidationException`."""
    said = headers.get(_HEADER) or _members(body).get("__type")
    if not isinstance(said, str):
        return ""
    found = _NAME.match(said.rpartition("#")[2] if "#" in said else said)
    return found[0] if found else ""


def _plain(body: bytes) -> bytes:
    """Some services write `Message` for `message`."""
    members = _members(body)
    if "message" in members or not isinstance(members.get("Message"), str):
        return body
    return msgspec.json.encode({**members, "message": members["Message"]})


def _members(body: bytes) -> dict[str, Any]:
    if len(body) > _MAX_BODY:
        return {}
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
