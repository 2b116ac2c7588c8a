"""Requests in the Responses dialect, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody, decode_as
from gateway.core.talk.model import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Part,
    Role,
    Talk,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
)
from gateway.core.talk.responses.items import (
    FAMILY,
    NOTHING,
    Item,
    content,
    item,
    part_of,
    raws,
    thought_of,
    tool_of,
)
from gateway.errors import invalid


class _ToolPart(Struct, gc=False):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None
    format: Raw = NOTHING


class _Choice(Struct, gc=False):
    type: str = ""
    name: str | None = None
    mode: str | None = None


class _Form(Struct, gc=False):
    type: str = "text"
    name: str | None = None
    schema: Raw = NOTHING
    strict: bool | None = None
    description: str | None = None


class _TextOptions(Struct, gc=False):
    format: _Form | None = None
    verbosity: str | None = None


class _Reasoning(Struct, gc=False):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


_tool = msgspec.json.Decoder(_ToolPart)
_choice = msgspec.json.Decoder(str | _Choice)
_text = msgspec.json.Decoder(_TextOptions)
_reasoning = msgspec.json.Decoder(_Reasoning)
_names = msgspec.json.Decoder(list[str])
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def read_request(body: JsonBody, losses: Losses) -> Talk:
    """The request as values. What only this dialect can say is noted as lost, or refused."""
    talk = Talk("responses")
    told = body.value("instructions")
    if told:
        talk.messages.append(Message("system", [Text(told)]))
    for name in body.names():
        raw = body.get(name)
        if raw is None or raw == b"null":
            continue
        known = _READ.get(name)
        if known is not None:
            known(talk, raw, losses)
        elif name in _LOST:
            losses.lose(name)
        elif name in _REFUSED:
            raise invalid(f"'{name}' {_REFUSED[name]}", name)
        elif name not in _OURS:
            talk.extra[name] = raw
    return talk


def _read_input(talk: Talk, raw: bytes, losses: Losses) -> None:
    if raw[:1] == b'"':
        _add(talk, "user", [Text(msgspec.json.decode(raw, type=str))])
        return
    for each in decode_as(raw, raws):
        _read_item(talk, bytes(each), losses)


def _read_item(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, item)
    kind = said.type or "message"
    if kind == "message":
        role = _ROLES.get(said.role or "")
        if role is None:
            raise invalid("An item of 'input' has an unknown role.", "input")
        _add(talk, role, _parts(said.content))
    elif kind == "function_call":
        _add(talk, "assistant", [tool_of(said)])
    elif kind == "custom_tool_call":
        _add(talk, "assistant", [tool_of(said, custom=True)])
    elif kind in ("function_call_output", "custom_tool_call_output"):
        _add(talk, "user", [_result(said, custom=kind.startswith("custom"))])
    elif kind == "reasoning":
        _add(talk, "assistant", [thought_of(said)])
    elif kind == "item_reference":
        raise invalid("Items cannot be referred to by id here: send them whole.", "input")
    else:
        _add(talk, "assistant", [Foreign(FAMILY, kind, raw)])


def _add(talk: Talk, role: Role, parts: list[Part]) -> None:
    """Items of one role in a row are one message."""
    if talk.messages and talk.messages[-1].role == role:
        talk.messages[-1].parts += parts
    else:
        talk.messages.append(Message(role, parts))


def _parts(raw: Raw) -> list[Part]:
    found = bytes(raw)
    if not found or found == b"null":
        return []
    if found[:1] == b'"':
        return [Text(msgspec.json.decode(found, type=str))]
    return [
        part_of(decode_as(bytes(each), content), bytes(each)) for each in decode_as(found, raws)
    ]


def _result(said: Item, *, custom: bool) -> ToolResult:
    parts = [part for part in _parts(said.output) if isinstance(part, Text | Media)]
    return ToolResult(said.call_id or "", parts, custom=custom)


def _read_tools(talk: Talk, raw: bytes, losses: Losses) -> None:
    for each in decode_as(raw, raws):
        said = decode_as(bytes(each), _tool)
        if said.type == "function":
            schema = bytes(said.parameters)
            schema = b"" if schema == b"null" else schema
            talk.tools.append(Tool(said.name or "", said.description, schema, said.strict))
        elif said.type == "custom":
            form = bytes(said.format)
            talk.tools.append(Tool(said.name or "", said.description, custom=True, format=form))
        else:
            talk.tools.append(Foreign(FAMILY, said.type, bytes(each)))


def _read_choice(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _choice)
    modes: dict[str, Any] = {"auto": "auto", "none": "none", "required": "any"}
    if isinstance(said, str):
        if said not in modes:
            raise invalid(f"'tool_choice' cannot be '{said[:40]}'.", "tool_choice")
        talk.choice = ToolChoice(modes[said])
    elif said.type in ("function", "custom") and said.name:
        talk.choice = ToolChoice("tool", said.name)
    else:
        losses.lose("tool_choice")
        if said.mode in modes:
            talk.choice = ToolChoice(modes[said.mode])


def _read_text(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _text)
    talk.verbosity = said.verbosity or ""
    form = said.format
    if form is None or form.type == "text":
        return
    if form.type == "json_object":
        talk.format = Format("json")
    elif form.type == "json_schema":
        talk.format = Format(
            "schema", form.name or "", bytes(form.schema), form.strict, form.description or ""
        )
    else:
        losses.lose("text.format")


def _read_reasoning(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _reasoning)
    talk.effort = said.effort or ""
    talk.summary = said.summary or said.generate_summary or ""


def _read_include(talk: Talk, raw: bytes, losses: Losses) -> None:
    if set(decode_as(raw, _names)) - {"reasoning.encrypted_content"}:
        losses.lose("include")


def _read_truncation(talk: Talk, raw: bytes, losses: Losses) -> None:
    if raw != b'"disabled"':
        losses.lose("truncation")


def _read_user(talk: Talk, raw: bytes, losses: Losses) -> None:
    talk.user = talk.user or decode_as(raw, msgspec.json.Decoder(str))


def _set(name: str, kind: Any) -> Callable[[Talk, bytes, Losses], None]:
    decoder = msgspec.json.Decoder(kind)

    def read(talk: Talk, raw: bytes, losses: Losses) -> None:
        setattr(talk, name, decode_as(raw, decoder))

    return read


def _read_metadata(talk: Talk, raw: bytes, losses: Losses) -> None:
    if raw != b"{}":
        talk.metadata = raw


_READ: dict[str, Callable[[Talk, bytes, Losses], None]] = {
    "input": _read_input,
    "tools": _read_tools,
    "tool_choice": _read_choice,
    "text": _read_text,
    "reasoning": _read_reasoning,
    "include": _read_include,
    "truncation": _read_truncation,
    "user": _read_user,
    "safety_identifier": _read_user,
    "metadata": _read_metadata,
    "max_output_tokens": _set("max_tokens", int),
    "temperature": _set("temperature", float),
    "top_p": _set("top_p", float),
    "top_logprobs": _set("top_logprobs", int),
    "parallel_tool_calls": _set("parallel", bool),
    "service_tier": _set("service_tier", str),
    "prompt_cache_key": _set("cache_key", str),
}
_LOST = ("max_tool_calls", "context_management", "moderation", "prompt_cache_retention")
_REFUSED = {
    "previous_response_id": "cannot be looked up: this gateway keeps no responses, or no longer "
    "this one. Send the whole conversation as 'input'.",
    "conversation": "is kept by no provider of this route. Send the conversation as 'input'.",
    "prompt": "names a template that this route's provider does not have. Send its text.",
}
# The gateway's own business.
_OURS = ("model", "stream", "stream_options", "instructions", "store", "background")
