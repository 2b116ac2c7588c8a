"""Requests on the Messages wire, written from what a client of another dialect said."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.talk.messages.blocks import FAMILY, input_of
from gateway.core.talk.messages.schema import cleaned
from gateway.core.talk.model import (
    Foreign,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
)
from gateway.errors import invalid

_NO_SCHEMA = b'{"type":"object","properties":{}}'
_LEAST_BUDGET = 1_024
_SHARES = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.9, "max": 0.95}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
# What this wire has no word for, by the names of a talk's fields and of the client's.
_UNKNOWN = {
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
    "metadata": "metadata",
    "verbosity": "verbosity",
    "cache_key": "prompt_cache_key",
}


class Traits(Struct, frozen=True):
    """What a model of this wire takes: it differs from one generation to the next."""

    max_output: int = 8_192
    thinks: bool = True
    adaptive: bool = False
    budgets: bool = True
    sampling: bool = True
    schemas: bool = True
    xhigh: bool = False


def write_request(talk: Talk, losses: Losses, traits: Traits) -> bytes:
    """The request's body. The same talk always makes the same bytes."""
    most = talk.max_tokens or traits.max_output
    body: dict[str, Any] = {"model": talk.model, "max_tokens": most}
    system, turns = _split(talk, losses)
    output = _thought(talk, losses, traits, most, body)
    if talk.format is not None:
        _form(talk, losses, traits, output, system)
    if output:
        body["output_config"] = output
    if system:
        plain = len(system) == 1 and set(system[0]) == {"type", "text"}
        body["system"] = system[0]["text"] if plain else system
    tools = [made for made in (_tool(tool, losses) for tool in talk.tools) if made is not None]
    if tools:
        body["tools"] = tools
        _choose(talk, body, losses)
    body["messages"] = turns
    _sample(talk, losses, traits, body)
    if talk.stream:
        body["stream"] = True
    body |= {name: Raw(raw) for name, raw in talk.extra.items()}
    return msgspec.json.encode(body)


def _split(talk: Talk, losses: Losses) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What stands before the conversation, and its turns. A later instruction is a user's turn."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in talk.messages:
        blocks = [block for part in message.parts for block in _block(part, losses)]
        if message.role == "system" and not turns:
            system += [block for block in blocks if block["type"] == "text"]
            continue
        if message.role == "system":
            losses.lose("messages.role")
        if message.name:
            losses.lose("messages.name")
        _turn(turns, message, blocks)
    return system, turns


def _turn(turns: list[dict[str, Any]], message: Message, blocks: list[dict[str, Any]]) -> None:
    role = "assistant" if message.role == "assistant" else "user"
    if role == "user":
        blocks.sort(key=lambda block: block["type"] != "tool_result")
    if not blocks:
        return
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _block(part: Part, losses: Losses) -> list[dict[str, Any]]:
    """A part as a block; nothing where the wire has none for it, or it is empty."""
    if isinstance(part, Text | Refusal):
        if not part.text:
            return []
        block: dict[str, Any] = {"type": "text", "text": part.text}
        return [block | (_cache(part.cache) if isinstance(part, Text) else {})]
    if isinstance(part, Media):
        return [_media(part)]
    if isinstance(part, Thinking):
        return _thinking(part, losses)
    if isinstance(part, ToolUse):
        raw, wrapped = input_of(part.arguments)
        if wrapped:
            losses.lose("tool_calls.arguments")
        use = {"type": "tool_use", "id": part.id, "name": part.name, "input": Raw(raw)}
        return [use | _cache(part.cache)]
    if isinstance(part, ToolResult):
        return [_result(part)]
    if part.dialect == FAMILY:
        return [msgspec.json.decode(part.raw, type=dict[str, Any])]
    losses.lose(f"content.{part.kind}")
    return []


def _cache(mark: str) -> dict[str, Any]:
    if not mark:
        return {}
    return {"cache_control": {"type": "ephemeral"} | ({"ttl": mark} if mark != "5m" else {})}


def _thinking(part: Thinking, losses: Losses) -> list[dict[str, Any]]:
    if part.family == FAMILY and part.data:
        return [{"type": "redacted_thinking", "data": part.data}]
    if part.family == FAMILY and part.signature:
        return [{"type": "thinking", "thinking": part.text, "signature": part.signature}]
    losses.lose("messages.reasoning_content")
    return []


def _result(part: ToolResult) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    for one in part.parts:
        if isinstance(one, Media):
            blocks.append(_media(one))
        elif one.text:
            blocks.append({"type": "text", "text": one.text})
    plain = len(blocks) == 1 and blocks[0]["type"] == "text"
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": part.id}
    if blocks:
        result["content"] = blocks[0]["text"] if plain else blocks
    if part.error:
        result["is_error"] = True
    return result | _cache(part.cache)


def _media(part: Media) -> dict[str, Any]:
    if part.kind in ("audio", "video"):
        raise invalid(f"This model takes no {part.kind} input.", "messages")
    if part.data:
        mime = part.mime or ("image/png" if part.kind == "image" else "application/pdf")
        source: dict[str, Any] = {"type": "base64", "media_type": mime, "data": part.data}
    elif part.text:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.file_id:
        source = {"type": "file", "file_id": part.file_id}
    else:
        source = {"type": "url", "url": part.url}
    block: dict[str, Any] = {"type": part.kind, "source": source}
    if part.kind == "document":
        given = {"title": part.name, "context": part.context}
        block |= {name: value for name, value in given.items() if value}
        if part.cite:
            block["citations"] = {"enabled": True}
    return block | _cache(part.cache)


def _tool(tool: Tool | Foreign, losses: Losses) -> dict[str, Any] | Raw | None:
    if isinstance(tool, Foreign):
        if tool.dialect == FAMILY:
            return Raw(tool.raw)
        losses.lose(f"tools.{tool.kind}")
        return None
    if tool.custom:
        losses.lose("tools.custom")
    made: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    made["input_schema"] = Raw(tool.schema or _NO_SCHEMA)
    if tool.strict:
        made["strict"] = True
    return made | _cache(tool.cache)


def _choose(talk: Talk, body: dict[str, Any], losses: Losses) -> None:
    choice = talk.choice
    made: dict[str, Any] = {}
    if choice is not None:
        made = {"type": choice.mode} | ({"name": choice.name} if choice.mode == "tool" else {})
    if made.get("type") in ("any", "tool") and body.get("thinking", {}).get("type") == "enabled":
        losses.lose("tool_choice")  # refused while thinking
        made = {}
    if talk.parallel is False and made.get("type") != "none":
        made = {"type": "auto"} | made | {"disable_parallel_tool_use": True}
    if made:
        body["tool_choice"] = made


def _thought(
    talk: Talk, losses: Losses, traits: Traits, most: int, body: dict[str, Any]
) -> dict[str, Any]:
    """How hard to think, in the form that the model takes; what belongs to its output."""
    effort, mode = talk.effort, talk.thinking
    if effort == "none" or mode == "off":
        if traits.thinks:
            body["thinking"] = {"type": "disabled"}
        return {}
    if not (effort or mode or talk.budget):
        return {}
    if not traits.thinks:
        losses.lose("reasoning_effort")
        return {}
    if traits.adaptive and not (talk.budget and traits.budgets and not effort):
        shown = "omitted" if talk.summary == "none" else "summarized"
        body["thinking"] = {"type": "adaptive", "display": shown}
        if talk.budget and not effort:
            losses.lose("thinking.budget_tokens")
            effort = (
                "low" if talk.budget <= 4_096 else "medium" if talk.budget <= 16_384 else "high"
            )
        return {"effort": _effort(effort, traits, losses)} if effort else {}
    budget = talk.budget or int(most * _SHARES.get(effort, 0.5))
    budget = min(max(budget, _LEAST_BUDGET), most - 1)
    if budget < _LEAST_BUDGET:
        losses.lose("reasoning_effort")  # thinking needs more tokens than the answer may have
        return {}
    if talk.budget and budget != talk.budget:
        losses.lose("thinking.budget_tokens")
    body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return {}


def _effort(effort: str, traits: Traits, losses: Losses) -> str:
    if effort == "minimal":
        losses.lose("reasoning_effort")
        return "low"
    if effort == "xhigh" and not traits.xhigh:
        losses.lose("reasoning_effort")
        return "max"
    return effort


def _form(
    talk: Talk,
    losses: Losses,
    traits: Traits,
    output: dict[str, Any],
    system: list[dict[str, Any]],
) -> None:
    """Structured output as the model enforces it, else as an instruction."""
    wanted = talk.format
    assert wanted is not None
    if wanted.kind == "schema" and wanted.schema and traits.schemas:
        schema, changed = cleaned(wanted.schema)
        if changed:
            losses.lose("response_format.json_schema.schema")
        output["format"] = {"type": "json_schema", "schema": Raw(schema)}
        return
    losses.lose("response_format")
    hint = "Answer with one JSON object and nothing else."
    if wanted.schema:
        hint += f" It must match this JSON schema: {wanted.schema.decode()}"
    system.append({"type": "text", "text": hint})


def _sample(talk: Talk, losses: Losses, traits: Traits, body: dict[str, Any]) -> None:
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    if thinks or not traits.sampling:
        given = (talk.temperature, talk.top_p, talk.top_k)
        for name, value in zip(("temperature", "top_p", "top_k"), given, strict=True):
            if value is not None:
                losses.lose(name)
    else:
        _vary(talk, losses, body)
    stops = [stop for stop in talk.stop if stop.strip()]
    if len(stops) < len(talk.stop):
        losses.lose("stop")
    if stops:
        body["stop_sequences"] = stops
    if talk.user:
        body["metadata"] = {"user_id": talk.user}
    if talk.service_tier in _TIERS:
        body["service_tier"] = _TIERS[talk.service_tier]
    elif talk.service_tier:
        losses.lose("service_tier")
    if talk.n is not None and talk.n > 1:
        losses.lose("n")
    for field, name in _UNKNOWN.items():
        if getattr(talk, field):
            losses.lose(name)


def _vary(talk: Talk, losses: Losses, body: dict[str, Any]) -> None:
    if talk.temperature is not None:
        body["temperature"] = min(talk.temperature, 1)
        if talk.temperature > 1:
            losses.lose("temperature")
    if talk.top_p is not None:
        if talk.temperature is None:
            body["top_p"] = talk.top_p
        else:
            losses.lose("top_p")  # refused beside a temperature
    if talk.top_k is not None:
        body["top_k"] = talk.top_k
