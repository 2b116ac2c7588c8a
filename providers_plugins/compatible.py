"""Hosts that speak OpenAI's wire: a row each, and what sets each apart.

A host that needs more than its row can say graduates to a module of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.sdk import (
    INVALID_REQUEST,
    RATE_LIMIT_EXCEEDED,
    UPSTREAM_ERROR,
    UPSTREAM_TIMEOUT,
    Fault,
    ProviderError,
    Quirks,
    clean,
    compatible,
    fault_in_body,
    provider_fault,
    read_error,
)

_SYSTEM_ONLY = {"developer": "system"}
_OLD_CEILING = {"max_completion_tokens": "max_tokens"}

# 429 at this host also means that the operator's account ran dry or its plan is spent.
_ZHIPU_EXHAUSTED = frozenset({"1113", "1304", "1308", "1309", "1310", "1311"})
_ZHIPU_REFUSED_CONTENT = frozenset({"1300", "1301"})

# code -> kind, cause; what is not listed is the provider's failure.
_MINIMAX_CODES: Mapping[str, tuple[str, str]] = {
    "1001": ("timeout", "provider_timeout"),
    "1002": ("rate", "provider_rate_limit"),
    "1039": ("rate", "provider_rate_limit"),
    "1026": ("invalid", "content_policy"),
    "1027": ("invalid", "content_policy"),
    "1042": ("invalid", "refused_by_provider"),
    "2013": ("invalid", "refused_by_provider"),
    "1004": ("credential", "credential_refused"),
    "1008": ("credential", "credential_exhausted"),
    "2038": ("credential", "credential_refused"),
    "2049": ("credential", "credential_refused"),
    "2056": ("credential", "credential_exhausted"),
}


class _BaseResponse(msgspec.Struct):
    status_code: int | str | None = None
    status_msg: str | None = None


class _MiniMaxHead(msgspec.Struct):
    base_resp: _BaseResponse | None = None


_decode_minimax = msgspec.json.Decoder(_MiniMaxHead).decode


def minimax_fault_in(body: bytes) -> Fault | None:
    """This host reports failures in `base_resp` under a 200."""
    if b'"base_resp"' not in body:
        return fault_in_body(body)
    try:
        said = _decode_minimax(body).base_resp
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    code = "0" if said is None else str(said.status_code or 0)
    if said is None or code == "0":
        return None
    provider = ProviderError(status=200, code=code)
    meaning, cause = _MINIMAX_CODES.get(code, ("", "provider_code"))
    text = clean(said.status_msg or "")
    if meaning == "invalid":
        text = text or "The provider refused the request as invalid."
        return Fault(INVALID_REQUEST, text, cause=cause, provider=provider)
    if meaning == "rate":
        message = "The provider is limiting the rate of this route. Slow down and retry."
        return Fault(RATE_LIMIT_EXCEEDED, message, cause=cause, provider=provider)
    if meaning == "timeout":
        message = "The provider gave up on the call after its own time limit."
        return Fault(UPSTREAM_TIMEOUT, message, cause=cause, provider=provider)
    if meaning == "credential":
        refused = provider_fault(401, {}, b"")
        return Fault(UPSTREAM_ERROR, refused.message, cause=cause, provider=provider)
    message = f"The provider reported failure {clean(code)[:20]}: {text}".rstrip(": ")
    return Fault(UPSTREAM_ERROR, message, cause=cause, provider=provider)


def zhipu_fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """This host's business code tells a full queue from an unpaid bill."""
    fault = provider_fault(status, headers, body)
    code = read_error(body).code
    if status == 429 and code in _ZHIPU_EXHAUSTED:
        refused = provider_fault(402, headers, b"")
        return Fault(
            UPSTREAM_ERROR, refused.message, cause="credential_exhausted", provider=fault.provider
        )
    if code in _ZHIPU_REFUSED_CONTENT:
        return Fault(
            INVALID_REQUEST, fault.message, cause="content_policy", provider=fault.provider
        )
    return fault


ALIBABA = compatible(
    "alibaba",
    quirks=Quirks(rename=_OLD_CEILING, roles=_SYSTEM_ONLY),
    operations=("chat", "embeddings"),
)

DEEPSEEK = compatible(
    "deepseek",
    quirks=Quirks(rename=_OLD_CEILING, roles=_SYSTEM_ONLY),
    operations=("chat",),
)

MINIMAX = compatible(
    "minimax",
    quirks=Quirks(clamp={"temperature": (0.01, 1.0)}, roles=_SYSTEM_ONLY),
    operations=("chat",),
    fault_in=minimax_fault_in,
)

MOONSHOT = compatible(
    "moonshot",
    quirks=Quirks(rename=_OLD_CEILING, clamp={"temperature": (0.0, 1.0)}, roles=_SYSTEM_ONLY),
    operations=("chat",),
)

ZHIPU = compatible(
    "zhipu",
    quirks=Quirks(
        rename={**_OLD_CEILING, "user": "user_id"},
        roles=_SYSTEM_ONLY,
        headers=(("Accept-Language", "en-US,en"),),
    ),
    operations=("chat", "embeddings"),
    fault=zhipu_fault,
)

# Any other host: vLLM, llama.cpp, a colleague's server. It gets what the client sent.
GENERIC = compatible("openai-compatible")
