"""What a provider's failure means: by status first, body code second, its prose never.

Written for OpenAI's wire and its many accents; adapters with other accents add rows of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from gateway import errors
from gateway.errors import Fault, Kind, ProviderError

MAX_RETRY_AFTER = 3600.0
_MAX_TEXT = 400
_MAX_BODY = 64 * 1024

# The provider's own account has run dry: another credential may help, waiting will not.
EXHAUSTED_CODES = frozenset(
    {"insufficient_quota", "exceeded_current_quota_error", "billing_hard_limit_reached"}
)

_SECRETS = re.compile(
    r"(?i)\b(?:sk|pk|rk|gsk|key|AIza|ya29|AKIA|ASIA)[-_.A-Za-z0-9]{12,}"
    r"|\b[a-z]{2,8}-[A-Za-z0-9]{20,}"
    r"|bearer\s+\S+"
    r"|(?:api[-_ ]?key(?:\s+\w+)?|token|secret|signature|authorization)[\"']?"
    r"\s*[=:]\s*[\"']?[^\s\"'&,}]+"
)
_QUERY = re.compile(r"(https?://[^\s?\"']+)\?[^\s\"']*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class ErrorBody(msgspec.Struct, frozen=True):
    """What an error body says, whatever shape it says it in."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    param: str | None = None


def provider_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """Turn an unsuccessful answer into one of our faults."""
    said = read_error(body)
    provider = ProviderError(status=status, code=said.code, type=said.type)
    kind, cause, text = _meaning(status, said)
    return Fault(
        kind,
        text,
        param=said.param if kind is errors.INVALID_REQUEST else None,
        retry_after=retry_after(headers),
        cause=cause,
        provider=provider,
    )


def fault_in_body(body: bytes) -> Fault | None:
    """An error object inside an answer that claimed success."""
    if b'"error"' not in body:
        return None
    said = read_error(body)
    if not said.message and not said.code and not said.type:
        return None
    return Fault(
        errors.UPSTREAM_ERROR,
        _with_reason("The provider reported an error inside its answer", said.message),
        cause="error_in_answer",
        provider=ProviderError(status=200, code=said.code, type=said.type),
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from seconds, milliseconds or a date; nonsense is None, excess bounded."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None:
        return _bounded(seconds)
    return _bounded_date(value, headers.get("date"))


def read_error(body: bytes) -> ErrorBody:
    """Find the message and codes in any of the shapes providers use; empty when there are none."""
    if len(body) > _MAX_BODY:
        return ErrorBody()
    try:
        found: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ErrorBody()
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict):
        return ErrorBody()
    inner = found.get("error")
    if isinstance(inner, dict):
        return _read_fields(inner)
    if isinstance(inner, str) and inner:
        return ErrorBody(message=clean(inner), code=_text(found.get("code")))
    if inner is None and ("message" in found or "detail" in found):
        return _read_fields(found)
    return ErrorBody()


def clean(text: str) -> str:
    """A provider's words, fit to show: one line, no secrets, no query strings, not too long."""
    text = _CONTROL.sub(" ", text[: 4 * _MAX_TEXT])
    text = _SECRETS.sub("[redacted]", _QUERY.sub(r"\1", text)).strip()
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _meaning(status: int, said: ErrorBody) -> tuple[Kind, str, str]:
    if status in (400, 422):
        text = said.message or "The provider refused the request as invalid."
        return errors.INVALID_REQUEST, "refused_by_provider", text
    if status == 413:
        return (
            errors.REQUEST_TOO_LARGE,
            "refused_by_provider",
            said.message or "The provider refused the request as too large.",
        )
    if status == 429 and not EXHAUSTED_CODES.isdisjoint((said.code, said.type)):
        return _refused_credential("credential_exhausted")
    if status == 429:
        return (
            errors.RATE_LIMIT_EXCEEDED,
            "provider_rate_limit",
            "The provider is limiting the rate of this route. Slow down and retry.",
        )
    if status in (401, 402, 403):
        return _refused_credential("credential_refused")
    if 300 <= status < 400:
        return (
            errors.UPSTREAM_ERROR,
            "redirect",
            "The provider answered with a redirect, which the gateway never follows.",
        )
    text = _with_reason(f"The provider answered with status {status}", said.message)
    return errors.UPSTREAM_ERROR, f"status_{status}", text


def _refused_credential(cause: str) -> tuple[Kind, str, str]:
    return (
        errors.UPSTREAM_ERROR,
        cause,
        "The provider does not accept the gateway's credential for this route. "
        "This is for the gateway's operator to mend; your key is fine.",
    )


def _with_reason(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else f"{what}."


def _read_fields(fields: dict[str, Any]) -> ErrorBody:
    message = fields.get("message") or fields.get("detail")
    return ErrorBody(
        message=clean(message) if isinstance(message, str) else "",
        code=_text(fields.get("code")),
        type=_text(fields.get("type")) or _text(fields.get("status")),
        param=_text(fields.get("param")),
    )


def _text(value: object) -> str | None:
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return clean(str(value))[:100] or None
    return None


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d{1,15}(?:\.\d{1,9})?\s*", value):
        return None
    return float(value)


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _bounded_date(value: str | None, now: str | None) -> float | None:
    """A date counts from the provider's own clock, as its answer gives it."""
    if not value or not now:
        return None
    try:
        return _bounded((parsedate_to_datetime(value) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
