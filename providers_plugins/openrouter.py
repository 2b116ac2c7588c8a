"""OpenRouter: OpenAI's wire before many hosts; errors may come beside choices, or inside one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from gateway.sdk import (
    Call,
    Credential,
    Fault,
    JsonBody,
    ProviderError,
    Quirks,
    Spelling,
    UpstreamRequest,
    bearer,
    compatible,
    fault_in_body,
    normalise,
    provider_fault,
    read_error,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import EXHAUSTED, FAILED, POLICY, RATE, TIMEOUT, caused
from providers_plugins.openrouter_images import IMAGES

# Inside an answer the code is the status it would have had.
_CAUSES = {
    "402": EXHAUSTED,
    "408": TIMEOUT,
    "429": RATE,
}
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Choice(msgspec.Struct):
    error: dict[str, Any] | None = None


class _Choices(msgspec.Struct):
    choices: list[_Choice] = []


def fault_in(body: bytes) -> Fault | None:
    """An error beside the choices, or in one of them. Of the host behind, nothing is told."""
    if b'"error"' not in body:
        return None
    found = fault_in_body(body)
    if found is not None and found.provider is not None:
        cause = _CAUSES.get(found.provider.code or "")
        return found if cause is None else caused(cause, found.message, found.provider)
    try:
        choices = msgspec.json.decode(body, type=_Choices).choices
    except _BAD:
        return None
    for choice in choices:
        if choice.error:
            said = read_error(msgspec.json.encode({"error": choice.error}))
            provider = ProviderError(status=200, code=said.code, type=said.type)
            return caused(_CAUSES.get(said.code or "", FAILED), said.message, provider)
    return None


class _Metadata(msgspec.Struct):
    reasons: list[str] | None = None


class _Error(msgspec.Struct):
    metadata: _Metadata | None = None


class _Refusal(msgspec.Struct):
    error: _Error | None = None


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """402 is an account without credit; a 403 with reasons is the moderation of a text."""
    found = provider_fault(status, headers, body)
    if found.provider is None:
        return found
    if status == 403 and _moderated(body):
        return caused(POLICY, read_error(body).message, found.provider)
    cause = _CAUSES.get(str(status))
    if cause is None:
        return found
    return caused(cause, read_error(body).message, found.provider, found.retry_after)


def _moderated(body: bytes) -> bool:
    if len(body) > 65536:
        return False
    try:
        error = msgspec.json.decode(body, type=_Refusal).error
    except _BAD:
        return False
    return error is not None and error.metadata is not None and bool(error.metadata.reasons)


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """All that concerns thinking stands in `reasoning`."""
    del call
    asked = normalise.asked(body)
    if not asked or "reasoning" in asked:
        extra = [name for name in asked if name != "reasoning"]
        for name in extra:
            losses.lose(name)
        return body.replace(dict.fromkeys(extra)) if extra else body
    wish = normalise.wish(body)
    told: dict[str, object] = {}
    if wish.effort:
        told["effort"] = wish.effort
    elif wish.budget:
        told["max_tokens"] = wish.budget
    elif wish.on is not None:
        told["enabled"] = wish.on
    else:
        return body
    if wish.effort and wish.budget:
        losses.lose("thinking.budget_tokens")
    return body.replace({**dict.fromkeys(asked), "reasoning": normalise.encoded(told)})


def probe(call: Call, credential: Credential) -> UpstreamRequest:
    """The key's own page: the list of models is there for everybody."""
    url = call.base_url + (call.upstream or "/key")
    return UpstreamRequest("GET", url, bearer(credential))


CHAT = compatible(
    "openrouter",
    quirks=Quirks(
        steps=(
            normalise.tools_only,
            normalise.renamed_in_messages("reasoning_content", "reasoning"),
            thinking,
        ),
    ),
    operations=("chat", "completions", "embeddings", "rerank", "speech", "transcriptions"),
    fault_in=fault_in,
    fault=fault,
    spelling=Spelling(thoughts=("reasoning",), details=True, broken=frozenset({"error"})),
    probe=probe,
)


def _paints(model: str) -> bool:
    """All of its models of pictures are talked with as well."""
    return bool(model)


ADAPTER = structs.replace(CHAT, operations={**CHAT.operations, **IMAGES}, paints=_paints)
