"""A conversation as Converse's request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk import Call, Credential, UpstreamRequest, invalid
from gateway.sdk.talk import Losses, Talk, as_functions
from providers_plugins.bedrock.endpoint import written
from providers_plugins.bedrock.models import Traits, traits_of
from providers_plugins.bedrock.naming import Naming
from providers_plugins.bedrock.parts import PartWriter
from providers_plugins.bedrock.thinking import Thought, thought
from providers_plugins.bedrock.tools import tool_config

_EXTRA = "additionalModelRequestFields"
# What this wire knows by the same name, and what it can't say at all: the rest is the model's own.
_NATIVE = frozenset({
    "additionalModelResponseFieldPaths", "guardrailConfig", "outputConfig", "performanceConfig",
    "promptVariables", "requestMetadata", "serviceTier",
})  # fmt: skip
_CEILINGS = frozenset({
    "max_tokens", "maxTokens", "max_new_tokens", "max_gen_len", "maxTokenCount",
    "max_completion_tokens", "max_tokens_to_sample",
})  # fmt: skip
_UNSAYABLE = frozenset({
    "access_programs", "audio", "background", "cache_control", "client_metadata", "container",
    "conversation", "fallbacks", "include", "inference_geo", "max_tool_calls", "mcp_servers",
    "modalities", "moderation",
    "prediction", "previous_response_id", "prompt", "prompt_cache_options",
    "prompt_cache_retention", "safety_identifier", "speed", "store", "stream_options",
    "truncation", "web_search_options",
})  # fmt: skip
_TIERS = {"default": "default", "flex": "flex", "priority": "priority", "reserved": "reserved",
          "standard_only": "default"}  # fmt: skip
_TAG = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_MAX_TAGS = 16


def build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
    """The request, with its proof."""
    body = msgspec.json.encode(converse(call, talk, losses))
    return written(call, credential, "converse-stream" if talk.stream else "converse", body)


def converse(call: Call, talk: Talk, losses: Losses) -> dict[str, Any]:
    """The request's members. Those that make the prefix of a prompt cache come first."""
    as_functions(talk, losses)
    naming = Naming(talk, losses)
    traits = traits_of(call.upstream, call.options)
    parts = PartWriter(traits, naming)
    thinking = thought(talk, traits, naming)
    said: dict[str, Any] = {
        "toolConfig": tool_config(talk, traits, naming),
        "system": parts.system(talk),
        "messages": parts.messages(talk),
        "inferenceConfig": _inference(talk, traits, thinking, naming),
        _EXTRA: _fields(talk, traits, thinking, naming),
        "outputConfig": _output(talk, traits, naming),
        "serviceTier": _tier(talk, naming),
        "requestMetadata": _tags(talk, naming),
    }
    _lose_rest(talk, naming)
    found = {name: value for name, value in said.items() if value}
    return found | {
        name: msgspec.Raw(raw)
        for name, raw in talk.extra.items()
        if name in _NATIVE and raw != b"null"
    }


def _inference(talk: Talk, traits: Traits, thinking: Thought, naming: Naming) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if talk.max_tokens is not None:
        config["maxTokens"] = talk.max_tokens
    stops = [stop for stop in talk.stop if stop.strip() or not traits.claude]
    if len(stops) < len(talk.stop):
        naming.lose("stop")  # blank ones are refused
    if stops:
        config["stopSequences"] = stops
    temperature, top_p = talk.temperature, talk.top_p
    if not _samples(traits, thinking):
        _lose_given(naming, temperature=temperature, top_p=top_p)
        return config
    if temperature is not None and temperature > 1:
        naming.lose("temperature")
        temperature = 1.0
    if traits.claude and temperature is not None and top_p is not None:
        naming.lose("top_p")  # these models take one of the two
        top_p = None
    if temperature is not None:
        config["temperature"] = temperature
    if top_p is not None:
        config["topP"] = top_p
    return config


def _samples(traits: Traits, thinking: Thought) -> bool:
    return traits.sampling and not thinking.strained and not (traits.claude and thinking.on)


def _fields(talk: Talk, traits: Traits, thinking: Thought, naming: Naming) -> dict[str, Any]:
    """The model's own fields: the client's, then those that follow from what it said."""
    fields: dict[str, Any] = _given_fields(talk)
    fields |= thinking.fields
    for name, raw in talk.extra.items():
        if name in _UNSAYABLE and raw != b"null":
            naming.lose(name)
        elif name not in _NATIVE and name not in _UNSAYABLE and name != _EXTRA and raw != b"null":
            fields[name] = msgspec.Raw(raw)
    _lose_ceilings(fields, losses=naming)
    if talk.top_k is None:
        return fields
    if traits.family in ("nova", "nova2") and not thinking.strained:
        fields.setdefault("inferenceConfig", {"topK": talk.top_k})
    elif traits.family == "cohere":
        fields["k"] = talk.top_k
    elif traits.family in ("anthropic", "mistral") and _samples(traits, thinking):
        fields["top_k"] = talk.top_k
    else:
        naming.lose("top_k")
    return fields


def _lose_ceilings(fields: dict[str, Any], losses: Naming) -> None:
    """The ceiling is said in its own place, and nowhere else: money is set aside for it."""
    for name in [*fields]:
        if name in _CEILINGS:
            del fields[name]
            losses.lose(name)
    nested = fields.get("inferenceConfig")
    if nested is not None:
        kept = _object(bytes(nested), "inferenceConfig")
        gone = [name for name in kept if name in _CEILINGS]
        for name in gone:
            losses.lose(f"inferenceConfig.{name}")
        fields["inferenceConfig"] = {n: raw for n, raw in kept.items() if n not in gone}


def _given_fields(talk: Talk) -> dict[str, Any]:
    return _object(talk.extra.get(_EXTRA, b"null"), _EXTRA)


def _object(raw: bytes, name: str) -> dict[str, Any]:
    try:
        found: Any = msgspec.json.decode(raw, type=dict[str, msgspec.Raw] | None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(f"'{name}' must be an object.", name) from None
    return found or {}


def _output(talk: Talk, traits: Traits, naming: Naming) -> dict[str, Any] | None:
    wanted = talk.format
    if wanted is None:
        return None
    if wanted.kind == "json" or not wanted.schema or not traits.schema:
        naming.lose("format")
        return None
    definition = {"schema": wanted.schema.decode("utf-8", "replace")}
    if wanted.name:
        definition["name"] = wanted.name
    if wanted.description:
        definition["description"] = wanted.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}


def _tier(talk: Talk, naming: Naming) -> dict[str, str] | None:
    if talk.service_tier in ("", "auto"):
        return None
    tier = _TIERS.get(talk.service_tier)
    if tier is None:
        naming.lose("service_tier")
        return None
    return {"type": tier}


def _tags(talk: Talk, naming: Naming) -> dict[str, str] | None:
    if talk.metadata in (b"", b"null", b"{}"):
        return None
    try:
        tags = msgspec.json.decode(talk.metadata, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tags = {}
    fit = all(name and _TAG.fullmatch(name) and _TAG.fullmatch(tags[name]) for name in tags)
    if not tags or not fit or len(tags) > _MAX_TAGS:
        naming.lose("metadata")
        return None
    return tags


def _lose_rest(talk: Talk, naming: Naming) -> None:
    """What this wire has no words for."""
    if talk.n is not None and talk.n != 1:
        naming.lose("n")
    _lose_given(
        naming,
        seed=talk.seed,
        presence_penalty=talk.presence_penalty or None,
        frequency_penalty=talk.frequency_penalty or None,
        logit_bias=None if talk.logit_bias in (b"", b"null", b"{}") else True,
        logprobs=talk.logprobs or None,
        top_logprobs=talk.top_logprobs or None,
        user=talk.user or None,
        verbosity=talk.verbosity or None,
        cache_key=talk.cache_key or None,
    )


def _lose_given(naming: Naming, **said: Mapping[str, Any] | float | str | None) -> None:
    for name, value in said.items():
        if value is not None:
            naming.lose(name)
