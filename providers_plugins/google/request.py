"""A conversation as the body of `generateContent`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gateway.sdk import invalid
from gateway.sdk.talk import Foreign, Losses, Talk, Tool
from providers_plugins.google.contents import contents
from providers_plugins.google.home import FAMILY, Home
from providers_plugins.google.sizes import picture_config
from providers_plugins.google.thinking import thinking_config

_ONE_TEXT = b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
_NATIVE_TOOLS = frozenset(
    name
    for camel, snake in (
        ("googleSearch", "google_search"),
        ("googleSearchRetrieval", "google_search_retrieval"),
        ("codeExecution", "code_execution"),
        ("urlContext", "url_context"),
        ("googleMaps", "google_maps"),
        ("fileSearch", "file_search"),
        ("computerUse", "computer_use"),
        ("enterpriseWebSearch", "enterprise_web_search"),
        ("retrieval", "retrieval"),
    )
    for name in (camel, snake)
)
# Names that other dialects share with this one but mean something else by, as types of tools.
_SHARED_TYPES = frozenset({"file_search", "retrieval"})
# Members of other dialects, which this provider would refuse by name.
_UNKNOWN_HERE = frozenset({
    "access_programs", "audio", "background", "client_metadata", "container", "context_management",
    "conversation", "extra_body",
    "functions", "function_call", "include", "inference_geo", "max_tool_calls", "mcp_servers",
    "prediction", "previous_response_id", "prompt", "prompt_cache_options",
    "prompt_cache_retention", "provider", "safety_identifier", "store", "stream_options",
    "speed", "truncation", "web_search_options",
})  # fmt: skip
_OURS = frozenset({"contents", "systemInstruction", "system_instruction", "model"})
_CAMEL = {
    "generation_config": "generationConfig",
    "tool_config": "toolConfig",
    "safety_settings": "safetySettings",
    "cached_content": "cachedContent",
}
_MERGED = ("generationConfig", "toolConfig")
# How much is answered is said in the client's own dialect alone: money is set aside for that.
_AMOUNTS = frozenset({"maxOutputTokens", "max_output_tokens", "candidateCount", "candidate_count"})
_NESTED = ("thinkingConfig", "functionCallingConfig")


def body(talk: Talk, home: Home, base_url: str, losses: Losses) -> bytes:
    """The whole body; members stand in one fixed order, so equal calls are equal bytes."""
    written: dict[str, Any] = {}
    system, turns = contents(talk, home, base_url, losses)
    if system:
        written["systemInstruction"] = {"parts": system}
    written["contents"] = turns
    tools = _tools(talk, losses)
    if tools:
        written["tools"] = tools
    config = _tool_config(talk, losses)
    if config:
        written["toolConfig"] = {"functionCallingConfig": config}
    generation = _generation(talk, losses)
    if generation:
        written["generationConfig"] = generation
    tier = _tier(talk, losses)
    if tier and home.tier:
        written["serviceTier"] = tier
    _name_losses(talk, losses)
    _pass_on(talk, written, losses)
    return msgspec.json.encode(written)


def tier_headers(talk: Talk) -> tuple[tuple[str, str], ...]:
    """Where the tier is no member of the body, it is a header."""
    tier = _tier(talk, Losses())
    return (("X-Vertex-AI-LLM-Shared-Request-Type", tier),) if tier else ()


def _tier(talk: Talk, losses: Losses) -> str:
    if talk.service_tier in ("flex", "priority"):
        return talk.service_tier
    if talk.service_tier not in ("", "auto", "default", "standard", "standard_only"):
        losses.lose("service_tier")
    return ""


def _tools(talk: Talk, losses: Losses) -> list[Any]:
    """All functions in one declaration, and the provider's own tools as they came."""
    functions = [_function(tool, losses) for tool in talk.tools if isinstance(tool, Tool)]
    written: list[Any] = [{"functionDeclarations": functions}] if functions else []
    for tool in talk.tools:
        if isinstance(tool, Foreign):
            native = _native(tool)
            if native is None:
                losses.lose(f"tools.{tool.kind}" if tool.kind else "tools")
            else:
                written.append(native)
    return written


def _function(tool: Tool, losses: Losses) -> dict[str, Any]:
    if tool.cache:
        losses.lose("cache_control")
    written: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.custom:
        losses.lose("tools.custom")
        written["parametersJsonSchema"] = Raw(_ONE_TEXT)
    elif tool.schema:
        written["parametersJsonSchema"] = Raw(tool.schema)
    return written


def _native(tool: Foreign) -> Any:
    """`{"googleSearch": {}}` as it is; `{"type": "google_search", ...}` under its name."""
    if tool.dialect == FAMILY:
        return Raw(tool.raw)
    try:
        members = msgspec.json.decode(tool.raw, type=dict[str, Raw])
        kind = msgspec.json.decode(members.pop("type", Raw(b'""')), type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not kind and members and _NATIVE_TOOLS.issuperset(members):
        return members
    if kind not in _NATIVE_TOOLS or kind in _SHARED_TYPES:
        return None
    return members if list(members) == [kind] else {kind: members}


def _tool_config(talk: Talk, losses: Losses) -> dict[str, Any]:
    functions = [tool for tool in talk.tools if isinstance(tool, Tool)]
    choice = talk.choice
    if talk.parallel is False:
        losses.lose("parallel_tool_calls")
    if not functions:
        if choice is not None and choice.mode not in ("auto", "none"):
            losses.lose("tool_choice")
        return {}
    if choice is None or choice.mode == "auto":
        if any(tool.strict for tool in functions):
            return {"mode": "VALIDATED"}
        return {} if choice is None else {"mode": "AUTO"}
    if choice.mode == "none":
        return {"mode": "NONE"}
    config: dict[str, Any] = {"mode": "ANY"}
    if choice.mode == "tool":
        config["allowedFunctionNames"] = [choice.name]
    return config


def _generation(talk: Talk, losses: Losses) -> dict[str, Any]:
    known = {
        "maxOutputTokens": talk.max_tokens,
        "temperature": talk.temperature,
        "topP": talk.top_p,
        "topK": talk.top_k,
        "stopSequences": talk.stop or None,
        "seed": talk.seed,
        "presencePenalty": talk.presence_penalty,
        "frequencyPenalty": talk.frequency_penalty,
    }
    written: dict[str, Any] = {name: value for name, value in known.items() if value is not None}
    if talk.format is not None:
        written["responseMimeType"] = "application/json"
        if talk.format.schema:
            written["responseJsonSchema"] = Raw(talk.format.schema)
        if talk.format.description:
            losses.lose("response_format.json_schema.description")
    modalities = _modalities(talk.extra.get("modalities"))
    if modalities:
        written["responseModalities"] = modalities
    if talk.extra.get("image_config", b"null") != b"null":
        written["imageConfig"] = picture_config(msgspec.json.decode(talk.extra["image_config"]))
    thinking = thinking_config(talk, losses)
    if thinking:
        written["thinkingConfig"] = thinking
    return written


def _modalities(raw: bytes | None) -> list[str]:
    try:
        found = msgspec.json.decode(raw, type=list[str] | None) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("'modalities' must be a list of strings.", "modalities") from None
    return [] if found in (None, ["text"]) else [name.upper() for name in found or ()]


def _name_losses(talk: Talk, losses: Losses) -> None:
    """What the wire has no word for. An answer has one choice and shows no probabilities."""
    said = {
        "n": talk.n not in (None, 1),
        "logit_bias": talk.logit_bias not in (b"", b"null", b"{}"),
        "logprobs": bool(talk.logprobs),
        "top_logprobs": bool(talk.top_logprobs),
        "user": bool(talk.user),
        "metadata": talk.metadata not in (b"", b"null", b"{}"),
        "verbosity": talk.verbosity not in ("", "medium"),
        "prompt_cache_key": bool(talk.cache_key),
    }
    for name, is_said in said.items():
        if is_said:
            losses.lose(name)


def _pass_on(talk: Talk, written: dict[str, Any], losses: Losses) -> None:
    """What no reader knows goes through; members of ours are added to, the client's word wins."""
    for given, raw in talk.extra.items():
        name = _CAMEL.get(given, given)
        if given in ("modalities", "image_config") or raw == b"null":
            continue
        if name in _UNKNOWN_HERE or name in _OURS or (name == "tools" and name in written):
            losses.lose(given)
        elif name in _MERGED:
            written[name] = _merged(written.get(name, {}), raw, given, losses)
        else:
            written[name] = Raw(raw)


def _merged(ours: dict[str, Any], raw: bytes, name: str, losses: Losses) -> dict[str, Any]:
    try:
        theirs = msgspec.json.decode(raw, type=dict[str, Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(f"'{name}' must be an object.", name) from None
    for amount in [found for found in theirs if found in _AMOUNTS and bytes(theirs[found]) != b"1"]:
        losses.lose(f"{name}.{amount}")
        del theirs[amount]
    merged = {**ours, **theirs}
    for nested in _NESTED:
        if isinstance(ours.get(nested), dict) and nested in theirs:
            merged[nested] = _merged(ours[nested], bytes(theirs[nested]), nested, losses)
    return merged
