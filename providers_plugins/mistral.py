"""Mistral: OpenAI's wire for a strict reader, with thinking as a part of the content."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.sdk import (
    Call,
    Fault,
    JsonBody,
    Quirks,
    Spelling,
    Usage,
    clean,
    compatible,
    normalise,
    openai_usage,
    provider_fault,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import EXHAUSTED, INVALID, caused
from providers_plugins.mistral_hearing import transcriptions
from providers_plugins.mistral_speech import mistral_speech


class _Detail(msgspec.Struct):
    loc: list[str | int] = []
    msg: str = ""


class _Details(msgspec.Struct):
    detail: list[_Detail]


class _Wrapped(msgspec.Struct):
    message: _Details


_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def fault(status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    """A refusal of members comes as a list of places and reasons, plain or wrapped."""
    found = provider_fault(status, headers, body)
    if found.provider is None:
        return found
    if status == 402:
        return caused(EXHAUSTED, "", found.provider)
    details = _details(body) if status in (400, 422) else []
    if not details:
        return found
    places = [".".join(str(step) for step in one.loc if step != "body") for one in details]
    told = "; ".join(f"{at}: {one.msg}" for at, one in zip(places, details, strict=True))
    worded = caused(INVALID, told, found.provider)
    worded.param = clean(places[0])[:100] or None
    return worded


def _details(body: bytes) -> list[_Detail]:
    if len(body) > 65536:
        return []
    try:
        return msgspec.json.decode(body, type=_Details).detail[:5]
    except _BAD:
        pass
    try:
        return msgspec.json.decode(body, type=_Wrapped).message.detail[:5]
    except _BAD:
        return []


class _Cached(msgspec.Struct):
    num_cached_tokens: int = 0


def usage(raw: bytes) -> Usage:
    """The usual spelling, and an older one for cached tokens."""
    found = openai_usage(raw)
    if found.cached or b'"num_cached_tokens"' not in raw:
        return found
    try:
        cached = msgspec.json.decode(raw, type=_Cached).num_cached_tokens
    except _BAD:
        return msgspec.structs.replace(found, problem="'num_cached_tokens' is not a count")
    if not 0 <= cached <= found.input:
        return msgspec.structs.replace(found, problem="'num_cached_tokens' is beyond the input")
    return msgspec.structs.replace(found, cached=cached)


def thinking(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """High or not at all; the magistral models are told by `prompt_mode`."""
    wish = normalise.wish(body)
    asked = normalise.asked(body)
    changes: dict[str, bytes | None] = dict.fromkeys(asked)
    if asked and wish.on is None:
        losses.lose(asked[0])
    if wish.budget is not None or wish.effort not in ("", "none", "high"):
        losses.lose(asked[0])
    if wish.on is not None and "magistral" in call.upstream:
        if "prompt_mode" not in body:
            changes["prompt_mode"] = b'"reasoning"' if wish.on else b"null"
    elif wish.on is not None:
        changes["reasoning_effort"] = b'"high"' if wish.on else b'"none"'
    return body.replace(changes)


def thoughts(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """What was thought before goes back as it came: as a part of the content."""
    del call

    def put(place: int, message: JsonBody) -> JsonBody:
        thought = message.value("reasoning_content")
        if "reasoning_content" not in message or message.value("role") != "assistant":
            return message
        content = message.value("content")
        if not isinstance(thought, str) or not thought or not isinstance(content, str | None):
            if thought:
                losses.lose(f"messages[{place}].reasoning_content")
            return message.replace({"reasoning_content": None})
        thinking = [{"type": "text", "text": thought}]
        parts: list[dict[str, object]] = [{"type": "thinking", "thinking": thinking}]
        if content:
            parts.append({"type": "text", "text": content})
        changes = {"reasoning_content": None, "content": normalise.encoded(parts)}
        return message.replace(changes)

    return normalise.each_message(body, put, b'"reasoning_content"')


def no_stream_options(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Usage comes with the last chunk, asked for or not."""
    del call, losses
    return body.replace({"stream_options": None}) if "stream_options" in body else body


CHAT = compatible(
    "mistral",
    quirks=Quirks(
        rename={
            "max_completion_tokens": "max_tokens",
            "seed": "random_seed",
            "dimensions": "output_dimension",
        },
        roles={"developer": "system"},
        drop=frozenset({"user"}),  # refused with embeddings as well
        stream_usage=False,
        steps=(
            normalise.tools_only,
            normalise.without(
                "logit_bias",
                "logprobs",
                "top_logprobs",
                "store",
                "service_tier",
                "verbosity",
                "safety_identifier",
                "modalities",
                "audio",
                "web_search_options",
            ),
            thinking,
            thoughts,
            no_stream_options,
        ),
    ),
    operations=("chat", "embeddings", "moderations"),
    usage=usage,
    fault=fault,
    spelling=Spelling(parts=True, finish={"model_length": "length"}, broken=frozenset({"error"})),
)

ADAPTER = msgspec.structs.replace(
    CHAT,
    operations={
        **CHAT.operations,
        "speech": mistral_speech(fault),
        "transcriptions": transcriptions(fault),
    },
)
