"""Requests in the Messages dialect, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody, decode_as
from gateway.core.talk.messages.blocks import (
    FAMILY,
    NOTHING,
    Block,
    CacheControl,
    media_of,
    said_of,
    thought_of,
    tool_of,
)
from gateway.core.talk.model import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Part,
    Talk,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
)


class _Said(Struct, gc=False):
    role: Literal["user", "assistant", "system"]
    content: Raw = NOTHING


class _ToolPart(Struct, gc=False):
    name: str = ""
    type: str | None = None
    description: str | None = None
    input_schema: Raw = NOTHING
    strict: bool | None = None
    cache_control: CacheControl | None = None


class _Choice(Struct, gc=False):
    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct, gc=False):
    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: int | None = None
    display: str | None = None


class _Form(Struct, gc=False):
    type: str = ""
    schema: Raw = NOTHING


class _Output(Struct, gc=False):
    effort: str | None = None
    format: _Form | None = None


_messages = msgspec.json.Decoder(list[_Said])
_raws = msgspec.json.Decoder(list[Raw])
_block = msgspec.json.Decoder(Block)
_tool = msgspec.json.Decoder(_ToolPart)
_choice = msgspec.json.Decoder(_Choice)
_thinking = msgspec.json.Decoder(_Thinking)
_output = msgspec.json.Decoder(_Output)
_form = msgspec.json.Decoder(_Form)
_members = msgspec.json.Decoder(dict[str, Raw])
_MODES: dict[str, str] = {"enabled": "on", "adaptive": "adaptive", "disabled": "off"}


def read_request(body: JsonBody, losses: Losses) -> Talk:
    """The request as values. What only this dialect can say is noted as lost."""
    talk = Talk("messages")
    system = body.get("system")
    if system is not None and system != b"null":
        talk.messages.append(Message("system", _parts(Raw(system), losses)))
    for name in body.names():
        raw = body.get(name)
        if raw is None or raw == b"null":
            continue
        known = _READ.get(name)
        if known is not None:
            known(talk, raw, losses)
        elif name in _LOST:
            losses.lose(name)
        elif name not in _OURS:
            talk.extra[name] = raw
    return talk


def _read_messages(talk: Talk, raw: bytes, losses: Losses) -> None:
    for said in decode_as(raw, _messages):
        parts = _parts(said.content, losses)
        before = talk.messages[-1] if talk.messages else None
        if before is not None and before.role == said.role:
            before.parts += parts
        else:
            talk.messages.append(Message(said.role, parts))


def _parts(raw: Raw, losses: Losses) -> list[Part]:
    """Content as a string or an array of blocks."""
    found = bytes(raw)
    if not found or found == b"null":
        return []
    if found[:1] == b'"':
        return [Text(msgspec.json.decode(found, type=str))]
    return [_part(bytes(each), losses) for each in decode_as(found, _raws)]


def _part(raw: bytes, losses: Losses) -> Part:
    block = decode_as(raw, _block)
    if block.type == "text":
        return said_of(block)
    if block.type in ("thinking", "redacted_thinking"):
        return thought_of(block)
    if block.type == "tool_use":
        use = tool_of(block)
        use.cache = block.mark
        return use
    if block.type == "tool_result":
        return _result(block, losses)
    media = media_of(block)
    return Foreign(FAMILY, block.type, raw) if media is None else media


def _result(block: Block, losses: Losses) -> ToolResult:
    result = ToolResult(block.tool_use_id or "", error=block.is_error is True, cache=block.mark)
    for part in _parts(block.content, losses):
        if isinstance(part, Text | Media):
            result.parts.append(part)
        else:
            kind = part.kind if isinstance(part, Foreign) else "block"
            losses.lose(f"tool_result.{kind}")
    return result


def _read_tools(talk: Talk, raw: bytes, losses: Losses) -> None:
    for each in decode_as(raw, _raws):
        said = decode_as(bytes(each), _tool)
        if said.type not in (None, "custom"):
            talk.tools.append(Foreign(FAMILY, said.type or "", bytes(each)))
            continue
        for name in _members.decode(each):
            if name not in _TOOL_MEMBERS:
                losses.lose(f"tools.{name}")
        cache = "" if said.cache_control is None else said.cache_control.mark
        schema = bytes(said.input_schema)
        talk.tools.append(Tool(said.name, said.description, schema, said.strict, cache))


def _read_choice(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _choice)
    talk.choice = ToolChoice(said.type, said.name or "")
    if said.disable_parallel_tool_use is not None:
        talk.parallel = not said.disable_parallel_tool_use


def _read_thinking(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _thinking)
    talk.thinking = _MODES[said.type]
    talk.budget = said.budget_tokens
    talk.summary = {"summarized": "auto", "omitted": "none"}.get(said.display or "", "")


def _read_output(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _output)
    talk.effort = said.effort or ""
    if said.format is not None:
        _use_form(talk, said.format, losses)
    for name in _members.decode(raw):
        if name not in ("effort", "format"):
            losses.lose(f"output_config.{name}")


def _read_form(talk: Talk, raw: bytes, losses: Losses) -> None:
    _use_form(talk, decode_as(raw, _form), losses)


def _use_form(talk: Talk, said: _Form, losses: Losses) -> None:
    if said.type == "json_schema":
        talk.format = Format("schema", schema=bytes(said.schema), strict=True)
    else:
        losses.lose("output_config.format")


def _read_metadata(talk: Talk, raw: bytes, losses: Losses) -> None:
    for name, value in decode_as(raw, _members).items():
        if name == "user_id" and bytes(value)[:1] == b'"':
            talk.user = msgspec.json.decode(value, type=str)
        elif bytes(value) != b"null":
            losses.lose(f"metadata.{name}")


def _set(name: str, kind: Any) -> Callable[[Talk, bytes, Losses], None]:
    decoder = msgspec.json.Decoder(kind)

    def read(talk: Talk, raw: bytes, losses: Losses) -> None:
        setattr(talk, name, decode_as(raw, decoder))

    return read


_TOOL_MEMBERS = frozenset(_ToolPart.__struct_fields__)
_READ: dict[str, Callable[[Talk, bytes, Losses], None]] = {
    "messages": _read_messages,
    "tools": _read_tools,
    "tool_choice": _read_choice,
    "thinking": _read_thinking,
    "output_config": _read_output,
    "output_format": _read_form,
    "metadata": _read_metadata,
    "max_tokens": _set("max_tokens", int),
    "temperature": _set("temperature", float),
    "top_p": _set("top_p", float),
    "top_k": _set("top_k", int),
    "stop_sequences": _set("stop", list[str]),
    "service_tier": _set("service_tier", str),
}
# What only providers of this dialect can do.
_LOST = (
    "cache_control", "container", "context_management", "mcp_servers", "inference_geo", "speed",
    "fallbacks", "betas",
)  # fmt: skip
_OURS = ("model", "stream", "system")
