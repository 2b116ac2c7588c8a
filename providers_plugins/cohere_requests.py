"""Conversations written for Cohere's v2 wire."""

from __future__ import annotations

import msgspec

from gateway.sdk import Call, Credential, UpstreamRequest, bearer
from gateway.sdk.talk import (
    Foreign,
    Losses,
    Media,
    Message,
    Refusal,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    as_functions,
    passed_on,
)

_STOPS = 5
# What the wire has no word for, by the name it has in OpenAI's dialect.
_UNSAID = {
    "n": "n",
    "parallel": "parallel_tool_calls",
    "logit_bias": "logit_bias",
    "top_logprobs": "top_logprobs",
    "user": "user",
    "metadata": "metadata",
    "service_tier": "service_tier",
    "verbosity": "verbosity",
    "cache_key": "prompt_cache_key",
    "summary": "reasoning.summary",
}


def build_chat(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
    """One request; what can't be said is among the losses."""
    as_functions(talk, losses)
    ask: dict[str, object] = {"model": call.upstream, "messages": _messages(talk, losses)}
    _put_tools(ask, talk, losses)
    _put_sampling(ask, talk, losses)
    _put_thinking(ask, talk, losses)
    if talk.format is not None:
        ask["response_format"] = _format(talk)
    for field, name in _UNSAID.items():
        if getattr(talk, field) not in (None, "", b"") and (field, talk.n) != ("n", 1):
            losses.lose(name)
    if call.stream:
        ask["stream"] = True
    for name, raw in passed_on(talk, "cohere", losses).items():
        ask.setdefault(name, msgspec.Raw(raw))
    return UpstreamRequest(
        method="POST",
        url=f"{call.base_url}/v2/chat",
        headers=bearer(credential),
        body=msgspec.json.encode(ask),
    )


def _put_sampling(ask: dict[str, object], talk: Talk, losses: Losses) -> None:
    plain = {
        "max_tokens": talk.max_tokens,
        "k": talk.top_k,
        "seed": talk.seed,
        "logprobs": talk.logprobs or None,
    }
    ask.update({name: value for name, value in plain.items() if value is not None})
    ranges = (
        ("temperature", "temperature", talk.temperature, 0.0, 1.0),
        ("p", "top_p", talk.top_p, 0.01, 0.99),
        ("presence_penalty", "presence_penalty", talk.presence_penalty, 0.0, 1.0),
        ("frequency_penalty", "frequency_penalty", talk.frequency_penalty, 0.0, 1.0),
    )
    for name, theirs, value, low, high in ranges:
        if value is None:
            continue
        ask[name] = min(max(value, low), high)
        if ask[name] != value and (name, value) != ("p", 1):
            losses.lose(theirs)
    if talk.stop:
        ask["stop_sequences"] = talk.stop[:_STOPS]
        if len(talk.stop) > _STOPS:
            losses.lose(f"stop[{_STOPS}]")


def _put_thinking(ask: dict[str, object], talk: Talk, losses: Losses) -> None:
    if talk.thinking == "off" or talk.effort == "none":
        ask["thinking"] = {"type": "disabled"}
    elif talk.thinking or talk.effort or talk.budget is not None:
        told: dict[str, object] = {"type": "enabled"}
        if talk.budget is not None:
            told["token_budget"] = talk.budget
        ask["thinking"] = told
        if talk.effort:
            losses.lose("reasoning_effort")


def _format(talk: Talk) -> dict[str, object]:
    told: dict[str, object] = {"type": "json_object"}
    if talk.format is not None and talk.format.kind == "schema" and talk.format.schema:
        told["json_schema"] = msgspec.Raw(talk.format.schema)
    return told


def _put_tools(ask: dict[str, object], talk: Talk, losses: Losses) -> None:
    tools: list[dict[str, object]] = []
    for place, tool in enumerate(talk.tools):
        if isinstance(tool, Foreign):
            losses.lose(f"tools[{place}]")
        else:
            tools.append(_tool(tool))
    if tools:
        ask["tools"] = tools
        _put_strictness(ask, talk, losses)
    choice = talk.choice
    if choice is None or choice.mode == "auto":
        return
    if not tools and choice.mode != "none":
        losses.lose("tool_choice")
        return
    ask["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    if choice.mode == "tool" and len(tools) > 1:
        losses.lose("tool_choice.function")


def _put_strictness(ask: dict[str, object], talk: Talk, losses: Losses) -> None:
    """Strict is one switch for all tools."""
    strict = [isinstance(tool, Tool) and tool.strict is True for tool in talk.tools]
    if all(strict):
        ask["strict_tools"] = True
        return
    for place, one in enumerate(strict):
        if one:
            losses.lose(f"tools[{place}].function.strict")


def _tool(tool: Tool) -> dict[str, object]:
    told: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        told["description"] = tool.description
    told["parameters"] = msgspec.Raw(tool.schema or b'{"type":"object","properties":{}}')
    return {"type": "function", "function": told}


def _messages(talk: Talk, losses: Losses) -> list[dict[str, object]]:
    told: list[dict[str, object]] = []
    for place, message in enumerate(talk.messages):
        where = f"messages[{place}]"
        if message.role == "assistant":
            told.append(_assistant(message, where, losses))
        else:
            told += _spoken(message, where, losses)
        if message.name:
            losses.lose(f"{where}.name")
    return told


def _assistant(message: Message, where: str, losses: Losses) -> dict[str, object]:
    content: list[dict[str, object]] = []
    calls: list[dict[str, object]] = []
    for place, part in enumerate(message.parts):
        if isinstance(part, Text | Refusal):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Thinking) and part.text and not part.family:
            content.append({"type": "thinking", "thinking": part.text})
        elif isinstance(part, ToolUse):
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            calls.append({"id": part.id, "type": "function", "function": function})
        else:
            losses.lose(f"{where}.content[{place}]")
    told: dict[str, object] = {"role": "assistant"}
    if content:
        told["content"] = content
    if calls:
        told["tool_calls"] = calls
    if not content and not calls:
        told["content"] = ""
    return told


def _spoken(message: Message, where: str, losses: Losses) -> list[dict[str, object]]:
    """A system's or a user's turn; results of tools are messages of their own, in front."""
    results: list[dict[str, object]] = []
    content: list[dict[str, object]] = []
    for place, part in enumerate(message.parts):
        at = f"{where}.content[{place}]"
        if isinstance(part, ToolResult):
            results.append(_result(part, at, losses))
        elif isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, Media):
            shown = _media(part)
            if shown is None:
                losses.lose(at)
            else:
                content.append(shown)
        else:
            losses.lose(at)
    if content or not results:
        results.append({"role": message.role, "content": content or ""})
    return results


def _result(part: ToolResult, at: str, losses: Losses) -> dict[str, object]:
    texts = []
    for inner in part.parts:
        if isinstance(inner, Text) or inner.text:
            texts.append(inner.text)
        else:
            losses.lose(f"{at}.content")
    return {"role": "tool", "tool_call_id": part.id, "content": "\n".join(texts)}


def _media(part: Media) -> dict[str, object] | None:
    if part.text:
        return {"type": "text", "text": part.text}
    if part.kind != "image" or not (part.url or part.data):
        return None
    url = part.url or f"data:{part.mime or 'image/png'};base64,{part.data}"
    image: dict[str, object] = {"url": url}
    if part.detail:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}
