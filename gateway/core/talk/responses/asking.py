"""Writes a request of the Responses wire."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gateway.core.talk.fitting import passed_on, short_user
from gateway.core.talk.model import Losses, Talk, Tool
from gateway.core.talk.responses.telling import input_items
from gateway.core.talk.responses.wire import DIALECT

MIN_OUTPUT: Final = 16  # the wire takes no smaller ceiling
_TIERS: Final = frozenset({"auto", "default", "flex", "scale", "priority"})
_SHOWN: Final = {"summarized": "auto", "omitted": "", "none": ""}
# By the names that clients of each dialect know; else the name is the same in all.
_NAMES: Final = {
    ("max_tokens", "responses"): "max_output_tokens",
    ("stop", "messages"): "stop_sequences",
    ("effort", "chat"): "reasoning_effort",
    ("effort", "messages"): "output_config.effort",
    ("budget", "messages"): "thinking.budget_tokens",
}


def write_request(talk: Talk, losses: Losses) -> bytes:
    """A talk as a request that nobody keeps, and that seals what is thought into the answer."""
    said: dict[str, Any] = {"model": talk.model, "input": input_items(talk, losses)}
    _write_tools(talk, said, losses)
    _write_limits(talk, said, losses)
    _write_manner(talk, said, losses)
    _write_identity(talk, said, losses)
    _lose_rest(talk, losses)
    said["store"] = False
    said["include"] = ["reasoning.encrypted_content"]
    if talk.stream:
        said["stream"] = True
    for name, raw in passed_on(talk, DIALECT, losses).items():
        said.setdefault(name, Raw(raw))
    return msgspec.json.encode(said)


def _name(talk: Talk, member: str) -> str:
    return _NAMES.get((member, talk.dialect), member)


def _write_tools(talk: Talk, said: dict[str, Any], losses: Losses) -> None:
    tools: list[Any] = []
    for index, tool in enumerate(talk.tools):
        if isinstance(tool, Tool):
            tools.append(_tool(tool))
            if tool.cache:
                losses.lose(f"tools[{index}].cache_control")
        elif tool.dialect == DIALECT:
            tools.append(Raw(tool.raw))
        else:
            losses.lose(f"tools[{index}]")
    if tools:
        said["tools"] = tools
    if talk.choice is not None and (tools or talk.choice.mode == "none"):
        said["tool_choice"] = _choice(talk)
    if talk.parallel is not None:
        said["parallel_tool_calls"] = talk.parallel


def _tool(tool: Tool) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "custom" if tool.custom else "function", "name": tool.name}
    if tool.description is not None:
        said["description"] = tool.description
    if tool.custom:
        if tool.format:
            said["format"] = Raw(tool.format)
        return said
    said["parameters"] = Raw(tool.schema or b'{"type":"object","properties":{}}')
    # This wire is strict where nothing is said, the others are not.
    said["strict"] = bool(tool.strict)
    return said


def _choice(talk: Talk) -> str | dict[str, str]:
    choice = talk.choice
    if choice is None or choice.mode == "auto":
        return "auto"
    if choice.mode != "tool":
        return "required" if choice.mode == "any" else "none"
    custom = any(
        isinstance(tool, Tool) and tool.custom and tool.name == choice.name for tool in talk.tools
    )
    return {"type": "custom" if custom else "function", "name": choice.name}


def _write_limits(talk: Talk, said: dict[str, Any], losses: Losses) -> None:
    if talk.max_tokens is not None:
        said["max_output_tokens"] = max(talk.max_tokens, MIN_OUTPUT)
        if talk.max_tokens < MIN_OUTPUT:
            losses.lose(_name(talk, "max_tokens"))
    if talk.temperature is not None:
        said["temperature"] = talk.temperature
    if talk.top_p is not None:
        said["top_p"] = talk.top_p


def _write_manner(talk: Talk, said: dict[str, Any], losses: Losses) -> None:
    reasoning: dict[str, str] = {}
    effort = talk.effort or _effort_of(talk, losses)
    if effort == "max":
        losses.lose(_name(talk, "effort"))
        effort = "xhigh"
    if effort:
        reasoning["effort"] = effort
    wanted = talk.summary or ("auto" if talk.thinking in ("on", "adaptive") else "")
    summary = _SHOWN.get(wanted, wanted)
    if summary:
        reasoning["summary"] = summary
    if reasoning:
        said["reasoning"] = reasoning
    text: dict[str, Any] = {}
    if talk.format is not None:
        text["format"] = _format(talk)
    if talk.verbosity:
        text["verbosity"] = talk.verbosity
    if text:
        said["text"] = text


def _effort_of(talk: Talk, losses: Losses) -> str:
    """A budget of thought is an effort here, and not the same."""
    if talk.thinking == "off":
        losses.lose("thinking")
    if talk.budget is None:
        return ""
    losses.lose(_name(talk, "budget"))
    if talk.budget <= 2_048:
        return "low"
    return "medium" if talk.budget <= 16_384 else "high"


def _format(talk: Talk) -> dict[str, Any]:
    form = talk.format
    if form is None or form.kind == "json":
        return {"type": "json_object"}
    said: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer"}
    if form.description:
        said["description"] = form.description
    said["schema"] = Raw(form.schema or b"{}")
    said["strict"] = bool(form.strict)
    return said


def _write_identity(talk: Talk, said: dict[str, Any], losses: Losses) -> None:
    if talk.user:
        said["user"] = short_user(talk)
    if talk.metadata:
        said["metadata"] = Raw(talk.metadata)
    if talk.cache_key:
        said["prompt_cache_key"] = talk.cache_key
    if talk.service_tier in _TIERS:
        said["service_tier"] = talk.service_tier
    elif talk.service_tier:
        losses.lose("service_tier")


def _lose_rest(talk: Talk, losses: Losses) -> None:
    """What this wire has no member for."""
    given = {
        "top_k": talk.top_k,
        "stop": talk.stop or None,
        "n": None if talk.n == 1 else talk.n,
        "seed": talk.seed,
        "presence_penalty": talk.presence_penalty or None,
        "frequency_penalty": talk.frequency_penalty or None,
        "logit_bias": talk.logit_bias or None,
        "logprobs": talk.logprobs or None,
        "top_logprobs": talk.top_logprobs,
    }
    for member, value in given.items():
        if value is not None:
            losses.lose(_name(talk, member))
