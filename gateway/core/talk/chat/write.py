"""Requests on the chat wire, written from what a client of another dialect said."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.talk.chat.parts import FAMILY, detail_of, url_of
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

_NO_SCHEMA = b'{"type":"object","properties":{}}'
# Families whose proofs this wire can carry back: what hosts show without one.
_MINE = ("", FAMILY)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
_LOW, _MEDIUM = 2_048, 8_192
_TIERS = {"standard_only": "default"}


def write_request(talk: Talk, losses: Losses) -> bytes:
    """The request's body. The same talk always makes the same bytes."""
    body: dict[str, Any] = {"model": talk.model, "messages": _messages(talk, losses)}
    tools = [made for made in (_tool(tool, losses) for tool in talk.tools) if made is not None]
    if tools:
        body["tools"] = tools
        _choose(talk, body)
    body |= _sampling(talk, losses)
    effort = _effort(talk, losses)
    if effort:
        body["reasoning_effort"] = effort
    if talk.format is not None:
        body["response_format"] = _format(talk.format)
    if talk.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    body |= {name: Raw(raw) for name, raw in talk.extra.items()}
    return msgspec.json.encode(body)


def _sampling(talk: Talk, losses: Losses) -> dict[str, Any]:
    if talk.top_k is not None:
        losses.lose("top_k")
    if talk.summary:
        losses.lose("reasoning.summary")
    given: dict[str, Any] = {
        "max_completion_tokens": talk.max_tokens,
        "temperature": talk.temperature,
        "top_p": talk.top_p,
        "stop": talk.stop or None,
        "n": talk.n,
        "seed": talk.seed,
        "presence_penalty": talk.presence_penalty,
        "frequency_penalty": talk.frequency_penalty,
        "logit_bias": Raw(talk.logit_bias) if talk.logit_bias else None,
        "logprobs": talk.logprobs,
        "top_logprobs": talk.top_logprobs,
        "verbosity": talk.verbosity or None,
        "user": talk.user or None,
        "metadata": Raw(talk.metadata) if talk.metadata else None,
        "service_tier": _TIERS.get(talk.service_tier, talk.service_tier) or None,
        "prompt_cache_key": talk.cache_key or None,
    }
    return {name: value for name, value in given.items() if value is not None}


def _choose(talk: Talk, body: dict[str, Any]) -> None:
    choice = talk.choice
    if choice is not None:
        if choice.mode == "tool":
            body["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
        else:
            body["tool_choice"] = "required" if choice.mode == "any" else choice.mode
    if talk.parallel is not None:
        body["parallel_tool_calls"] = talk.parallel


def _effort(talk: Talk, losses: Losses) -> str:
    """How hard to think: as said, or what a budget of tokens comes closest to."""
    if talk.effort:
        if talk.effort in _EFFORTS:
            return talk.effort
        losses.lose("effort")
        return "xhigh" if talk.effort == "max" else "medium"
    if talk.thinking == "off":
        return ""
    if talk.budget is not None:
        losses.lose("thinking.budget_tokens")
        return "low" if talk.budget <= _LOW else "medium" if talk.budget <= _MEDIUM else "high"
    return ""


def _format(given: Format) -> dict[str, Any]:
    if given.kind == "json":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": given.name or "answer"}
    if given.description:
        schema["description"] = given.description
    if given.schema:
        schema["schema"] = Raw(given.schema)
    if given.strict is not None:
        schema["strict"] = given.strict
    return {"type": "json_schema", "json_schema": schema}


def _tool(tool: Tool | Foreign, losses: Losses) -> dict[str, Any] | Raw | None:
    if isinstance(tool, Foreign):
        if tool.dialect == "chat":
            return Raw(tool.raw)
        losses.lose(f"tools.{tool.kind}")
        return None
    made: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    if tool.custom:
        if tool.format:
            made["format"] = Raw(tool.format)
        return {"type": "custom", "custom": made}
    made["parameters"] = Raw(tool.schema or _NO_SCHEMA)
    if tool.strict is not None:
        made["strict"] = tool.strict
    if tool.cache:
        losses.lose("tools.cache_control")
    return {"type": "function", "function": made}


def _messages(talk: Talk, losses: Losses) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for message in talk.messages:
        if message.role == "assistant":
            written.append(_answer(message, losses))
            continue
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        others: list[Part] = [part for part in message.parts if not isinstance(part, ToolResult)]
        written += [_result(result, others, losses) for result in results]
        if others or not results:
            written.append(_turn(message, others, losses))
    return written


def _turn(message: Message, parts: list[Part], losses: Losses) -> dict[str, Any]:
    said: dict[str, Any] = {"role": message.role, "content": _content(parts, losses)}
    return said | ({"name": message.name} if message.name else {})


def _result(result: ToolResult, others: list[Part], losses: Losses) -> dict[str, Any]:
    """A tool's result is text on this wire: its pictures follow in what the user says."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    shown = [part for part in result.parts if isinstance(part, Media)]
    if shown:
        losses.lose(f"tool_result.{shown[0].kind}")
        others[:0] = [Text(f"From the tool call {result.id}:"), *shown]
    if result.error:
        losses.lose("tool_result.is_error")
    if result.cache:
        losses.lose("cache_control")
    return {"role": "tool", "tool_call_id": result.id, "content": "".join(texts)}


def _answer(message: Message, losses: Losses) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant"}
    calls = [_call(part) for part in message.parts if isinstance(part, ToolUse)]
    shown: list[Part] = [p for p in message.parts if isinstance(p, Text | Media | Foreign)]
    content = _content(shown, losses) if shown else None
    said["content"] = content if content or not calls else None
    refusal = "".join([part.text for part in message.parts if isinstance(part, Refusal)])
    if refusal:
        said["refusal"] = refusal
    _think(said, [part for part in message.parts if isinstance(part, Thinking)], losses)
    if calls:
        said["tool_calls"] = calls
    return said | ({"name": message.name} if message.name else {})


def _think(said: dict[str, Any], thoughts: list[Thinking], losses: Losses) -> None:
    mine = [one for one in thoughts if one.family in _MINE]
    if len(mine) < len(thoughts):
        losses.lose("messages.thinking")
    text = "".join([one.text for one in mine])
    if text:
        said["reasoning_content"] = text
    proofs = [one for one in mine if one.data or one.signature]
    if proofs:
        said["reasoning_details"] = [detail_of(one, n) for n, one in enumerate(proofs)]


def _call(part: ToolUse) -> dict[str, Any]:
    if part.custom:
        custom = {"name": part.name, "input": part.arguments}
        return {"id": part.id, "type": "custom", "custom": custom}
    function = {"name": part.name, "arguments": part.arguments or "{}"}
    return {"id": part.id, "type": "function", "function": function}


def _content(parts: list[Part], losses: Losses) -> Any:
    """A string where words are all there is, else an array of parts."""
    written: list[dict[str, Any]] = []
    for part in parts:
        one = _part(part, losses)
        if one is not None:
            written.append(one)
    if not written:
        return ""
    if len(written) == 1 and set(written[0]) == {"type", "text"}:
        return written[0]["text"]
    return written


def _part(part: Part, losses: Losses) -> dict[str, Any] | None:
    if isinstance(part, Text):
        if part.cache:
            losses.lose("cache_control")
        return {"type": "text", "text": part.text}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Media):
        return _media(part, losses)
    if isinstance(part, Foreign):
        if part.dialect == "chat":
            return msgspec.json.decode(part.raw, type=dict[str, Any])
        losses.lose(f"content.{part.kind}")
    return None


def _media(part: Media, losses: Losses) -> dict[str, Any] | None:
    if part.cache:
        losses.lose("cache_control")
    if part.kind == "image" and (part.data or part.url):
        image = {"url": url_of(part)} | ({"detail": part.detail} if part.detail else {})
        return {"type": "image_url", "image_url": image}
    if part.kind == "video" and (part.data or part.url):
        return {"type": "video_url", "video_url": {"url": url_of(part)}}
    if part.kind == "audio" and part.data:
        form = part.mime.rpartition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    if part.text:
        if part.context or part.cite:
            losses.lose("content.document")
        head = f"{part.name}:\n" if part.name else ""
        return {"type": "text", "text": head + part.text}
    if part.data or part.file_id:
        return {"type": "file", "file": _file(part)}
    losses.lose(f"content.{part.kind}.url")
    return None


def _file(part: Media) -> dict[str, Any]:
    if part.file_id:
        return {"file_id": part.file_id}
    return {"filename": part.name or "document.pdf", "file_data": url_of(part)}
