"""Every way a call can fail, in one table.

Columns: kind (Miavo's stable code) | HTTP status | error_type on /api/gateway | type in the
Messages dialect | may the same route be tried again | may another route be tried | whose fault |
log level.
`type` follows from the status (Aivene's names). Every surface renders from this table alone.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Blame = Literal["client", "operator", "provider", "gateway"]
Level = Literal["debug", "info", "warning", "error"]

_TYPE_BY_STATUS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class Kind(Struct, frozen=True):
    """One row of the table."""

    code: str
    status: int
    error_type: str
    messages_type: str
    retry: bool
    fall_back: bool
    blame: Blame
    level: Level

    @property
    def type(self) -> str:
        """Aivene's name for the class of failure."""
        if self.status >= 500:
            return "upstream_error"
        return _TYPE_BY_STATUS.get(self.status, "invalid_request_error")


def _client(code: str, status: int, error_type: str = "", messages: str = "") -> Kind:
    return Kind(
        code=code,
        status=status,
        error_type=error_type or code,
        messages_type=messages or "invalid_request_error",
        retry=False,
        fall_back=False,
        blame="client",
        level="info",
    )


INVALID_REQUEST = _client("invalid_request", 400)
MISSING_CLIENT_IP = _client("missing_client_ip", 400)
AUTHENTICATION_ERROR = _client(
    "authentication_error", 401, "authentication_required", "authentication_error"
)
PAID_MODEL_AUTH_REQUIRED = _client("paid_model_auth_required", 401, messages="authentication_error")
PROMOTION_LIMIT_REACHED = _client("promotion_limit_reached", 401, messages="authentication_error")
BUDGET_EXHAUSTED = _client("budget_exhausted", 402, messages="billing_error")
MODEL_NOT_ALLOWED = _client("model_not_allowed", 403, messages="permission_error")
INSUFFICIENT_SCOPE = _client("insufficient_scope", 403, messages="permission_error")
MODEL_NOT_FOUND = _client("model_not_found", 404, messages="not_found_error")
NOT_FOUND = _client("not_found", 404, messages="not_found_error")
METHOD_NOT_ALLOWED = _client("method_not_allowed", 405)
REQUEST_TIMEOUT = _client("request_timeout", 408)
REQUEST_TOO_LARGE = _client("request_too_large", 413, messages="request_too_large")
UNSUPPORTED_MEDIA_TYPE = _client("unsupported_media_type", 415)
IDEMPOTENCY_IN_USE = _client("idempotency_in_use", 409)
IDEMPOTENCY_MISMATCH = _client("idempotency_mismatch", 422)
RATE_LIMIT_EXCEEDED = Kind(
    "rate_limit_exceeded",
    429,
    "rate_limit_exceeded",
    "rate_limit_error",
    retry=False,
    fall_back=True,
    blame="client",
    level="info",
)
CLIENT_CLOSED = _client("client_closed", 499)
INTERNAL_ERROR = Kind(
    "internal_error",
    500,
    "internal_error",
    "api_error",
    retry=False,
    fall_back=False,
    blame="gateway",
    level="error",
)
NOT_IMPLEMENTED = Kind(
    "not_implemented",
    501,
    "not_implemented",
    "invalid_request_error",
    retry=False,
    fall_back=True,
    blame="operator",
    level="info",
)
UPSTREAM_ERROR = Kind(
    "upstream_error",
    502,
    "upstream_error",
    "api_error",
    retry=True,
    fall_back=True,
    blame="provider",
    level="warning",
)
NO_UPSTREAM = Kind(
    "no_upstream",
    503,
    "temporarily_unavailable",
    "overloaded_error",
    retry=False,
    fall_back=True,
    blame="operator",
    level="warning",
)
UPSTREAM_TIMEOUT = Kind(
    "upstream_timeout",
    504,
    "upstream_timeout",
    "timeout_error",
    retry=False,
    fall_back=True,
    blame="provider",
    level="warning",
)

TABLE: dict[str, Kind] = {kind.code: kind for kind in list(vars().values()) if type(kind) is Kind}


class ProviderError(Struct, frozen=True):
    """What the provider itself said of a failure; shown to the client beside our stable code."""

    status: int
    code: str | None = None
    type: str | None = None


class Fault(Exception):  # noqa: N818 - a fault is data first: it is rendered, logged and counted
    """A failed call: a row of the table and what this instance of it has to say."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        cause: str = "",
        provider: ProviderError | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.cause = cause or kind.code
        self.provider = provider
        self.detail = detail  # for the log alone: hosts, say, that are nobody else's business

    def forget_frames(self) -> None:
        """Let go of the stack it was raised on: what is kept of a call must not keep its frames."""
        self.__traceback__ = self.__context__ = self.__cause__ = None

    def __repr__(self) -> str:
        return f"Fault({self.kind.code}, {self.message!r}, cause={self.cause!r})"


# What a cancellation says that came before anything of its call went to a provider. It has no class
# of its own: a timeout tells by the very class that what ended was its own doing.
NOT_SENT = "nothing was sent"


def invalid(message: str, param: str | None = None) -> Fault:
    """A 400 that names the field at fault."""
    return Fault(INVALID_REQUEST, message, param=param)


def upstream_error(message: str, cause: str, detail: str = "") -> Fault:
    """A 502 for a provider that broke the wire; `cause` is what logs and metrics say."""
    return Fault(UPSTREAM_ERROR, message, cause=cause, detail=detail)


def upstream_timeout(message: str, cause: str, detail: str = "") -> Fault:
    """A 504 for a provider that took too long at one named step."""
    return Fault(UPSTREAM_TIMEOUT, message, cause=cause, detail=detail)


def storage_fault() -> Fault:
    """A 503 for a call that was not made, since the gateway could not have recorded it."""
    return Fault(
        NO_UPSTREAM,
        "The gateway cannot record this call just now, so it was not made. Try again.",
        retry_after=5,
        cause="storage",
    )
