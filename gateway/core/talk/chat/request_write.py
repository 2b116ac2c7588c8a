"""Writes a request for a host that speaks the chat wire: the same talk, always the same bytes."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.core.talk.chat.messages_write import write_messages
from gateway.core.talk.chat.names import NAME, cache_control, encode, joined
from gateway.core.talk.fitting import passed_on, short_user
from gateway.core.talk.model import Foreign, Format, Losses, Talk, Tool, ToolChoice

MAX_STOPS: Final = 4
# A budget of thinking tokens as an effort: up to this many.
LOW_BUDGET: Final = 4096
MEDIUM_BUDGET: Final = 16384

# Fields of the form that are members of the request as they are, in the order they are written.
_PLAIN: Final = (
    ("max_completion_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("seed", "seed"),
    ("presence_penalty", "presence_penalty"),
    ("frequency_penalty", "frequency_penalty"),
    ("user", "user"),
    ("service_tier", "service_tier"),
    ("verbosity", "verbosity"),
    ("prompt_cache_key", "cache_key"),
)
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_CACHING: Final = frozenset({"cache_control"})
_SHOWN_ANYWAY: Final = frozenset({"", "auto"})

Members = list[tuple[str, bytes]]


def write_request(talk: Talk, losses: Losses, *, cache_marks: bool = False) -> bytes:
    """The request; `cache_marks` for hosts that take `cache_control` on parts and tools."""
    members: Members = [
        ("model", encode(talk.model)),
        ("messages", write_messages(talk.messages, losses, cache_marks=cache_marks)),
    ]
    members += _tools(talk, losses, cache_marks=cache_marks)
    members += _settings(talk, losses)
    members += _thinking(talk, losses)
    if talk.format is not None:
        members.append(("response_format", _format(talk.format)))
    if talk.stream:
        members += [("stream", b"true"), ("stream_options", b'{"include_usage":true}')]
    written = {name for name, _ in members}
    more = passed_on(talk, NAME, losses, _CACHING if cache_marks else frozenset())
    members += [(name, raw) for name, raw in more.items() if name not in written]
    return joined(members)


def effort_of(budget: int) -> str:
    """The effort that a budget of thinking tokens comes nearest to."""
    if budget <= LOW_BUDGET:
        return "low"
    return "medium" if budget <= MEDIUM_BUDGET else "high"


def _settings(talk: Talk, losses: Losses) -> Members:
    members: Members = []
    for name, field in _PLAIN:
        value = short_user(talk) if field == "user" else getattr(talk, field)
        if value is not None and value != "":
            members.append((name, encode(value)))
    if talk.stop:
        members.append(("stop", encode(talk.stop[:MAX_STOPS])))
    if len(talk.stop) > MAX_STOPS:
        losses.lose("stop" if talk.dialect == NAME else "stop_sequences")
    for name, raw in (("logit_bias", talk.logit_bias), ("metadata", talk.metadata)):
        if raw:
            members.append((name, raw))
    if talk.top_k is not None:
        losses.lose("top_k")
    for name, asked in (
        ("n", talk.n is not None and talk.n != 1),
        ("logprobs", talk.logprobs),
        ("top_logprobs", talk.top_logprobs),
    ):
        if asked:
            losses.lose(name)  # an answer in the form cannot hold it
    return members


def _thinking(talk: Talk, losses: Losses) -> Members:
    """Effort as it is said; else from the budget. Models that think need not be told to."""
    if talk.summary not in _SHOWN_ANYWAY:
        losses.lose("reasoning.summary")
    effort = talk.effort
    if not effort and talk.thinking == "off":
        losses.lose("thinking")  # hosts refuse an effort of models that cannot think
    elif not effort and talk.budget is not None:
        effort = effort_of(talk.budget)
    elif not effort and talk.thinking == "on":
        effort = "medium"
    return [("reasoning_effort", encode(effort))] if effort else []


def _tools(talk: Talk, losses: Losses, *, cache_marks: bool) -> Members:
    written: list[bytes] = []
    for tool in talk.tools:
        if isinstance(tool, Tool):
            written.append(_tool(tool, losses, cache_marks=cache_marks))
        elif tool.dialect == NAME:
            written.append(tool.raw)
        else:
            losses.lose(_foreign(tool))
    if not written:
        return []
    members = [("tools", b"[" + b",".join(written) + b"]")]
    if talk.choice is not None:
        members.append(("tool_choice", encode(_choice(talk.choice, talk.tools))))
    if talk.parallel is not None:
        members.append(("parallel_tool_calls", encode(talk.parallel)))
    return members


def _foreign(tool: Foreign) -> str:
    return f"tools.{tool.kind}"


def _tool(tool: Tool, losses: Losses, *, cache_marks: bool) -> bytes:
    kind = "custom" if tool.custom else "function"
    said: Members = [("name", encode(tool.name))]
    if tool.description is not None:
        said.append(("description", encode(tool.description)))
    if tool.schema and not tool.custom:
        said.append(("parameters", tool.schema))
    if tool.strict is not None and not tool.custom:
        said.append(("strict", encode(tool.strict)))
    if tool.format and tool.custom:
        said.append(("format", tool.format))
    members: Members = [("type", encode(kind)), (kind, joined(said))]
    if tool.cache and cache_marks:
        members.append(("cache_control", encode(cache_control(tool.cache))))
    elif tool.cache:
        losses.lose("cache_control")
    return joined(members)


def _choice(choice: ToolChoice, tools: list[Tool | Foreign]) -> Any:
    if choice.mode != "tool":
        return _CHOICES[choice.mode]
    custom = any(
        isinstance(tool, Tool) and tool.custom and tool.name == choice.name for tool in tools
    )
    kind = "custom" if custom else "function"
    return {"type": kind, kind: {"name": choice.name}}


def _format(wanted: Format) -> bytes:
    if wanted.kind == "json":
        return b'{"type":"json_object"}'
    schema: dict[str, Any] = {"name": wanted.name or "answer"}
    if wanted.description:
        schema["description"] = wanted.description
    if wanted.schema:
        schema["schema"] = msgspec.Raw(wanted.schema)
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return encode({"type": "json_schema", "json_schema": schema})
