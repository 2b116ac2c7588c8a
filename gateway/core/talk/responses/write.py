"""Requests on the Responses wire, written from what a client of another dialect said."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.talk.model import (
    Foreign,
    Format,
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
from gateway.core.talk.responses.items import FAMILY, shown_media

_NO_SCHEMA = b'{"type":"object","properties":{}}'
_LOW, _MEDIUM = 2_048, 8_192
_UNKNOWN = {
    "top_k": "top_k",
    "stop": "stop",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "logit_bias": "logit_bias",
    "logprobs": "logprobs",
    "top_logprobs": "top_logprobs",
}


def write_request(talk: Talk, losses: Losses) -> bytes:
    """The request's body. Nothing is stored at the provider: what it thought comes sealed."""
    turns = list(talk.messages)
    body: dict[str, Any] = {"model": talk.model, "store": False}
    told = _instructions(turns, losses)
    if told:
        body["instructions"] = told
    body["input"] = [item for turn in turns for item in _items(turn, losses)]
    body["include"] = ["reasoning.encrypted_content"]
    tools = [made for made in (_tool(tool, losses) for tool in talk.tools) if made is not None]
    if tools:
        body["tools"] = tools
        _choose(talk, body)
    body |= _options(talk, losses)
    if talk.stream:
        body["stream"] = True
    body |= {name: Raw(raw) for name, raw in talk.extra.items()}
    return msgspec.json.encode(body)


def _instructions(turns: list[Message], losses: Losses) -> str:
    """What stands before the conversation; it is taken out of it."""
    told: list[str] = []
    while turns and turns[0].role == "system":
        parts = turns.pop(0).parts
        told += [part.text for part in parts if isinstance(part, Text)]
        if any(isinstance(part, Text) and part.cache for part in parts):
            losses.lose("cache_control")
    return "\n\n".join(told)


def _items(turn: Message, losses: Losses) -> list[Any]:
    if turn.name:
        losses.lose("messages.name")
    results = [_result(part, losses) for part in turn.parts if isinstance(part, ToolResult)]
    items: list[Any] = list(results)
    said: list[dict[str, Any]] = []
    role = "developer" if turn.role == "system" else turn.role
    for part in turn.parts:
        if isinstance(part, ToolResult):
            continue
        if isinstance(part, Thinking | ToolUse) or _is_mine(part):
            if said:
                items.append({"type": "message", "role": role, "content": said})
                said = []
            items += _apart(part, losses)
            continue
        made = _content(part, turn.role, losses)
        said += [] if made is None else [made]
    if said:
        items.append({"type": "message", "role": role, "content": said})
    return items


def _is_mine(part: Part) -> bool:
    return isinstance(part, Foreign) and part.dialect == FAMILY


def _apart(part: Part, losses: Losses) -> list[Any]:
    """What is an item of its own."""
    if isinstance(part, Foreign):
        return [Raw(part.raw)]
    if isinstance(part, ToolUse):
        if part.cache:
            losses.lose("cache_control")
        if part.custom:
            call = {"call_id": part.id, "name": part.name, "input": part.arguments}
            return [{"type": "custom_tool_call", **call}]
        call = {"call_id": part.id, "name": part.name, "arguments": part.arguments or "{}"}
        return [{"type": "function_call", **call}]
    assert isinstance(part, Thinking)
    proof = part.signature or part.data
    if part.family != FAMILY or not proof:
        losses.lose("messages.reasoning_content")
        return []
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    item = {"type": "reasoning", "summary": summary, "encrypted_content": proof}
    return [item | ({"id": part.id} if part.id else {})]


def _result(part: ToolResult, losses: Losses) -> dict[str, Any]:
    if part.error:
        losses.lose("tool_result.is_error")
    if part.cache:
        losses.lose("cache_control")
    kind = "custom_tool_call_output" if part.custom else "function_call_output"
    texts = [one.text for one in part.parts if isinstance(one, Text)]
    if len(texts) == len(part.parts):
        return {"type": kind, "call_id": part.id, "output": "".join(texts)}
    shown = [_content(one, "user", losses) for one in part.parts]
    return {"type": kind, "call_id": part.id, "output": [one for one in shown if one]}


def _content(part: Part, role: str, losses: Losses) -> dict[str, Any] | None:
    if isinstance(part, Text):
        if part.cache:
            losses.lose("cache_control")
        kind = "output_text" if role == "assistant" else "input_text"
        return {"type": kind, "text": part.text}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Media):
        if part.cache:
            losses.lose("cache_control")
        made = shown_media(part)
        if made is None:
            losses.lose(f"content.{part.kind}")
        return made
    if isinstance(part, Foreign):
        losses.lose(f"content.{part.kind}")
    return None


def _tool(tool: Tool | Foreign, losses: Losses) -> dict[str, Any] | Raw | None:
    if isinstance(tool, Foreign):
        if tool.dialect == FAMILY:
            return Raw(tool.raw)
        losses.lose(f"tools.{tool.kind}")
        return None
    if tool.cache:
        losses.lose("tools.cache_control")
    made: dict[str, Any] = {"type": "custom" if tool.custom else "function", "name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    if tool.custom:
        return made | ({"format": Raw(tool.format)} if tool.format else {})
    made["parameters"] = Raw(tool.schema or _NO_SCHEMA)
    made["strict"] = tool.strict is True  # left out, this wire would take it for true
    return made


def _choose(talk: Talk, body: dict[str, Any]) -> None:
    choice = talk.choice
    if choice is not None:
        if choice.mode == "tool":
            body["tool_choice"] = {"type": "function", "name": choice.name}
        else:
            body["tool_choice"] = "required" if choice.mode == "any" else choice.mode
    if talk.parallel is not None:
        body["parallel_tool_calls"] = talk.parallel


def _options(talk: Talk, losses: Losses) -> dict[str, Any]:
    for field, name in _UNKNOWN.items():
        if getattr(talk, field):
            losses.lose(name)
    if talk.n is not None and talk.n > 1:
        losses.lose("n")
    text: dict[str, Any] = {"verbosity": talk.verbosity} if talk.verbosity else {}
    if talk.format is not None:
        text["format"] = _form(talk.format)
    given: dict[str, Any] = {
        "max_output_tokens": talk.max_tokens,
        "temperature": talk.temperature,
        "top_p": talk.top_p,
        "reasoning": _reasoning(talk, losses) or None,
        "text": text or None,
        "user": talk.user or None,
        "metadata": Raw(talk.metadata) if talk.metadata else None,
        "service_tier": talk.service_tier or None,
        "prompt_cache_key": talk.cache_key or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _reasoning(talk: Talk, losses: Losses) -> dict[str, Any]:
    effort = talk.effort
    if not effort and talk.budget is not None:
        losses.lose("thinking.budget_tokens")
        effort = "low" if talk.budget <= _LOW else "medium" if talk.budget <= _MEDIUM else "high"
    if effort == "max":
        losses.lose("effort")
        effort = "xhigh"
    made = {"effort": effort} if effort else {}
    if talk.summary != "none" and (talk.summary or talk.thinking in ("on", "adaptive") or effort):
        made["summary"] = talk.summary or "auto"
    return made


def _form(given: Format) -> dict[str, Any]:
    if given.kind == "json":
        return {"type": "json_object"}
    form: dict[str, Any] = {"type": "json_schema", "name": given.name or "answer"}
    form["schema"] = Raw(given.schema or b"{}")
    if given.description:
        form["description"] = given.description
    if given.strict is not None:
        form["strict"] = given.strict
    return form
