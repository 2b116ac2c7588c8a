"""Requests in the chat dialect, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from gateway.core.body import JsonBody, decode_as
from gateway.core.talk.chat.parts import (
    FAMILY,
    FunctionPart,
    media_of,
    text_of,
    thought_of,
    tool_of,
)
from gateway.core.talk.chat.shapes import (
    Audio,
    CacheControl,
    Choice,
    Content,
    File,
    Reasoning,
    ResponseFormat,
    Said,
    ToolPart,
    Url,
)
from gateway.core.talk.model import (
    Foreign,
    Format,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Role,
    Talk,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.errors import invalid

_contents = msgspec.json.Decoder(list[Raw])
_members = msgspec.json.Decoder(dict[str, Raw])
_KNOWN = frozenset(Content.__struct_fields__)
_content = msgspec.json.Decoder(Content)
_messages = msgspec.json.Decoder(list[Said])
_tools = msgspec.json.Decoder(list[Raw])
_tool = msgspec.json.Decoder(ToolPart)
_functions = msgspec.json.Decoder(list[FunctionPart])
_choice = msgspec.json.Decoder(str | Choice)
_format = msgspec.json.Decoder(ResponseFormat)
_reasoning = msgspec.json.Decoder(Reasoning)
_url = msgspec.json.Decoder(str | Url)
_audio = msgspec.json.Decoder(Audio)
_file = msgspec.json.Decoder(File)
_whole = msgspec.json.Decoder(int)

_ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user"}
_RESULTS = ("tool", "function")


def read_request(body: JsonBody, losses: Losses) -> Talk:
    """The request as values. What only this dialect can say is noted as lost."""
    talk = Talk("chat")
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
    for place, said in enumerate(decode_as(raw, _messages)):
        if said.role in _RESULTS:
            _add(talk, "user", [_result(said, losses)], "")
        elif said.role == "assistant":
            _add(talk, "assistant", _answer(said, losses), said.name or "")
        elif said.role in _ROLES:
            parts = _parts(said.content, losses)
            _add(talk, _ROLES[said.role], parts, said.name or "")
        else:
            raise invalid(f"messages[{place}] has an unknown role.", f"messages[{place}].role")


def _add(talk: Talk, role: Role, parts: list[Part], name: str) -> None:
    """Messages of one role in a row are one."""
    before = talk.messages[-1] if talk.messages else None
    if before is not None and before.role == role and before.name == name:
        before.parts += parts
    else:
        talk.messages.append(Message(role, parts, name))


def _answer(said: Said, losses: Losses) -> list[Part]:
    parts: list[Part] = []
    thoughts = [thought_of(detail) for detail in said.reasoning_details or []]
    parts += [thought for thought in thoughts if thought is not None]
    shown = said.reasoning_content or said.reasoning
    if not parts and shown:
        parts.append(Thinking(shown, family=FAMILY))
    parts += _parts(said.content, losses)
    if said.refusal:
        parts.append(Refusal(said.refusal))
    parts += [tool_of(call, n) for n, call in enumerate(said.tool_calls or [])]
    old = said.function_call
    if old is not None and old.name:
        parts.append(ToolUse(f"call_{old.name}", old.name or "", text_of(old.arguments)))
    return parts


def _result(said: Said, losses: Losses) -> ToolResult:
    parts = [p for p in _parts(said.content, losses) if isinstance(p, Text | Media)]
    known = said.tool_call_id or f"call_{said.name}"
    return ToolResult(known, parts, said.name or "")


def _parts(raw: Raw, losses: Losses) -> list[Part]:
    """Content as a string or an array of parts."""
    found = bytes(raw)
    if not found or found == b"null":
        return []
    if found[:1] == b'"':
        return [Text(msgspec.json.decode(found, type=str))]
    return [_part(bytes(each), losses) for each in decode_as(found, _contents)]


def _part(raw: bytes, losses: Losses) -> Part:
    said = decode_as(raw, _content)
    cache = _cache(said.cache_control) or ("5m" if said.prompt_cache_breakpoint else "")
    for name, value in _members.decode(raw).items():
        if name not in _KNOWN and bytes(value) != b"null":
            losses.lose(f"content.{name}")
    if said.type in ("text", "input_text", "output_text"):
        return Text(said.text or "", cache)
    if said.type == "refusal":
        return Refusal(said.refusal or "")
    media: Media | None = None
    if said.type == "image_url" and said.image_url:
        media = _linked("image", bytes(said.image_url))
    elif said.type == "video_url" and said.video_url:
        media = _linked("video", bytes(said.video_url))
    elif said.type == "input_audio" and said.input_audio:
        audio = decode_as(bytes(said.input_audio), _audio)
        media = Media("audio", f"audio/{audio.format or 'wav'}", audio.data)
    elif said.type == "file" and said.file:
        media = _document(decode_as(bytes(said.file), _file))
    if media is None:
        return Foreign("chat", said.type, raw)
    media.cache = cache
    return media


def _linked(kind: Any, raw: bytes) -> Media:
    found = decode_as(raw, _url)
    if isinstance(found, str):
        return media_of(kind, found)
    media = media_of(kind, found.url)
    media.detail = found.detail or ""
    return media


def _document(found: File) -> Media:
    data = found.file_data or ""
    if data and not data.startswith("data:"):
        data = f"data:application/pdf;base64,{data}"
    media = media_of("document", data)
    media.name, media.file_id = found.filename or "", found.file_id or ""
    if media.mime.startswith("audio/"):
        media.kind = "audio"
    elif media.mime.startswith("image/"):
        media.kind = "image"
    return media


def _cache(control: CacheControl | None) -> str:
    if control is None or control.type != "ephemeral":
        return ""
    return "1h" if control.ttl == "1h" else "5m"


def _read_tools(talk: Talk, raw: bytes, losses: Losses) -> None:
    for each in decode_as(raw, _tools):
        said = decode_as(bytes(each), _tool)
        if said.function is not None and said.function.name:
            talk.tools.append(_function(said.function, _cache(said.cache_control)))
        elif said.custom is not None and said.custom.name:
            made = said.custom
            form = bytes(made.format)
            talk.tools.append(Tool(made.name or "", made.description, custom=True, format=form))
        else:
            talk.tools.append(Foreign("chat", said.type, bytes(each)))


def _function(said: FunctionPart, cache: str = "") -> Tool:
    schema = bytes(said.parameters)
    if schema == b"null":
        schema = b""
    return Tool(said.name or "", said.description, schema, said.strict, cache)


def _read_functions(talk: Talk, raw: bytes, losses: Losses) -> None:
    talk.tools += [_function(said) for said in decode_as(raw, _functions)]


def _read_choice(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _choice)
    if isinstance(said, str):
        modes: dict[str, Any] = {"auto": "auto", "none": "none", "required": "any", "any": "any"}
        if said not in modes:
            raise invalid(f"'tool_choice' cannot be '{said[:40]}'.", "tool_choice")
        talk.choice = ToolChoice(modes[said])
        return
    if said.allowed_tools is not None:
        losses.lose("tool_choice.allowed_tools")
        talk.choice = ToolChoice("any" if said.allowed_tools.mode == "required" else "auto")
        return
    made = said.function or said.custom
    name = said.name or (made.name if made is not None else None)
    if name:
        talk.choice = ToolChoice("tool", name)
    else:
        losses.lose("tool_choice")


def _read_format(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _format)
    if said.type == "json_object":
        talk.format = Format("json")
    elif said.type == "json_schema" and said.json_schema is not None:
        made = said.json_schema
        talk.format = Format(
            "schema", made.name, bytes(made.schema), made.strict, made.description or ""
        )
    elif said.type != "text":
        losses.lose("response_format")


def _read_stop(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = msgspec.json.decode(raw)
    talk.stop = [said] if isinstance(said, str) else [str(one) for one in said]


def _read_reasoning(talk: Talk, raw: bytes, losses: Losses) -> None:
    said = decode_as(raw, _reasoning)
    talk.effort = said.effort or talk.effort
    talk.budget = said.max_tokens or said.budget_tokens or talk.budget
    talk.summary = said.summary or talk.summary
    if said.type in ("enabled", "adaptive", "disabled"):
        talk.thinking = {"enabled": "on", "adaptive": "adaptive", "disabled": "off"}[said.type]
    elif said.enabled is not None:
        talk.thinking = "on" if said.enabled else "off"
    if said.exclude:
        losses.lose("reasoning.exclude")


def _read_modalities(talk: Talk, raw: bytes, losses: Losses) -> None:
    if msgspec.json.decode(raw) != ["text"]:
        losses.lose("modalities")


def _read_stored(talk: Talk, raw: bytes, losses: Losses) -> None:
    if raw == b"true":
        losses.lose("store")


def _read_top_k(talk: Talk, raw: bytes, losses: Losses) -> None:
    talk.top_k = decode_as(raw, _whole)


def _read_user(talk: Talk, raw: bytes, losses: Losses) -> None:
    talk.user = talk.user or msgspec.json.decode(raw, type=str)


def _set(name: str) -> Callable[[Talk, bytes, Losses], None]:
    """A member that is a field of its own; the schema has vouched for its type."""

    def read(talk: Talk, raw: bytes, losses: Losses) -> None:
        setattr(talk, name, msgspec.json.decode(raw))

    return read


def _keep(name: str) -> Callable[[Talk, bytes, Losses], None]:
    def read(talk: Talk, raw: bytes, losses: Losses) -> None:
        setattr(talk, name, raw)

    return read


def _text(name: str) -> Callable[[Talk, bytes, Losses], None]:
    def read(talk: Talk, raw: bytes, losses: Losses) -> None:
        if raw[:1] != b'"':
            raise invalid(f"'{name}' must be a string.", name)
        setattr(talk, _NAMES.get(name, name), msgspec.json.decode(raw, type=str))

    return read


_NAMES = {"reasoning_effort": "effort", "prompt_cache_key": "cache_key"}
_PLAIN = (
    "n", "seed", "temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs",
    "top_logprobs",
)  # fmt: skip
_READ: dict[str, Callable[[Talk, bytes, Losses], None]] = {
    "messages": _read_messages,
    "tools": _read_tools,
    "functions": _read_functions,
    "tool_choice": _read_choice,
    "function_call": _read_choice,
    "response_format": _read_format,
    "stop": _read_stop,
    "reasoning": _read_reasoning,
    "thinking": _read_reasoning,
    "modalities": _read_modalities,
    "store": _read_stored,
    "user": _read_user,
    "safety_identifier": _read_user,
    "top_k": _read_top_k,
    "max_tokens": _set("max_tokens"),
    "max_completion_tokens": _set("max_tokens"),
    "parallel_tool_calls": _set("parallel"),
    "logit_bias": _keep("logit_bias"),
    "metadata": _keep("metadata"),
    **{name: _set(name) for name in _PLAIN},
    **{name: _text(name) for name in ("service_tier", "verbosity", *_NAMES)},
}
_LOST = ("audio", "prediction", "web_search_options", "prompt_cache_retention")
# The gateway's own business.
_OURS = ("model", "stream", "stream_options")
