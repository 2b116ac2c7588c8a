"""Azure OpenAI: OpenAI's wire at a deployment's own address, or at the resource's /openai/v1.

`options.api_version` chooses: "v1" (which is what no version means) sends the deployment's name as
the model; any other is a dated version, with the deployment in the path. An `api_key` is sent as
such, a `session_token` (of Entra ID) as a bearer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

import msgspec
from msgspec import structs

from gateway.sdk import (
    Call,
    Credential,
    Fault,
    Quirks,
    UpstreamRequest,
    Usage,
    adapted,
    compatible,
    hearing,
    openai_usage,
    provider_fault,
    read_error,
    reasoning_outside,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import EXHAUSTED, POLICY, RATE, caused, inside_by_code

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_CAUSES = {
    "content_filter": POLICY,
    "ResponsibleAIPolicyViolation": POLICY,
    "content_policy_violation": POLICY,
    "DeploymentNotFound": "deployment_not_found",
    "RateLimitReached": RATE,
    "insufficient_quota": EXHAUSTED,
}


class _Inner(msgspec.Struct):
    code: str | None = None


class _Error(msgspec.Struct):
    innererror: _Inner | None = None


class _Refusal(msgspec.Struct):
    error: _Error | None = None


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """By the code, or by the inner one, which tells a filtered prompt from a wrong request."""
    found = provider_fault(status, headers, body)
    said = read_error(body)
    cause = _CAUSES.get(said.code or "") or _CAUSES.get(_inner_code(body))
    if cause is None or found.provider is None:
        return found
    return caused(cause, said.message, found.provider, found.retry_after)


def _inner_code(body: bytes) -> str:
    if b'"innererror"' not in body or len(body) > 65536:
        return ""
    try:
        error = msgspec.json.decode(body, type=_Refusal).error
    except _BAD:
        return ""
    inner = None if error is None else error.innererror
    return "" if inner is None else inner.code or ""


def usage(raw: bytes) -> Usage:
    """Models of other makers are hosted as well: some count reasoning and cached tokens apart."""
    return reasoning_outside(raw) if b'"total_tokens"' in raw else openai_usage(raw)


def builder(path: str, quirks: Quirks) -> Callable[[Call, Credential], UpstreamRequest]:
    """Writes requests for one operation."""

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        losses = Losses()
        body = adapted(call, quirks, losses).raw
        return UpstreamRequest(
            method="POST",
            url=address(call, path),
            headers=(("Content-Type", "application/json"), *_login(credential)),
            body=body,
            adapted=losses.names,
        )

    return build


def address(call: Call, path: str) -> str:
    """Where a deployment is called. The base is the resource's, with or without /openai/v1."""
    base = call.base_url.rstrip("/")
    version = call.options.get("api_version", "v1")
    if version in ("", "v1", "preview", "latest"):
        root = base if base.endswith("/openai/v1") else f"{base}/openai/v1"
        suffix = f"?api-version={version}" if version in ("preview", "latest") else ""
        return f"{root}{path}{suffix}"
    root = base.removesuffix("/v1").removesuffix("/openai")
    deployment = quote(call.upstream, safe="")
    query = quote(version, safe="")
    return f"{root}/openai/deployments/{deployment}{path}?api-version={query}"


def probe(call: Call, credential: Credential) -> UpstreamRequest:
    """The resource's list of models."""
    base = call.base_url.rstrip("/")
    version = call.options.get("api_version", "v1")
    url = address(call, "/models")
    if call.upstream:
        url = base + call.upstream
    elif "/deployments/" in url:
        root = base.removesuffix("/v1").removesuffix("/openai")
        url = f"{root}/openai/models?api-version={quote(version, safe='')}"
    return UpstreamRequest("GET", url, _login(credential))


def _login(credential: Credential) -> tuple[tuple[str, str], ...]:
    token = credential.secrets.get("session_token")
    if token:
        return (("Authorization", f"Bearer {token}"),)
    return (("api-key", credential.api_key),) if credential.api_key else ()


_inside = inside_by_code(_CAUSES)

CHAT = compatible(
    "azure",
    operations=("chat", "completions", "embeddings", "speech"),
    usage=usage,
    fault_in=_inside,
    fault=fault,
    build=builder,
    probe=probe,
)

ADAPTER = structs.replace(
    CHAT,
    free_text=True,
    operations={
        **CHAT.operations,
        **{
            name: hearing.heard(path, url=address, key=_login, fault_in=_inside, fault=fault)
            for name, path in hearing.PATHS.items()
        },
    },
)
