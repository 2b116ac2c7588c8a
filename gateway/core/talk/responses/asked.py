"""Reads a request of the Responses dialect."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.talk.model import Foreign, Format, Losses, Message, Talk, Text, Tool, ToolChoice
from gateway.core.talk.responses.history import read_input
from gateway.core.talk.responses.wire import DIALECT, NONE
from gateway.errors import invalid

# Members that mean something at the gateway alone, or nothing on any other wire.
_SILENT: Final = frozenset({"model", "store", "stream", "stream_options"})
# What only the provider's own store could resolve, and what to do instead.
_UNKEPT: Final = {
    "previous_response_id": "It is not among the responses that this gateway keeps.",
    "conversation": "The gateway keeps no conversations; send the whole input.",
    "prompt": "The gateway keeps no prompt templates; send instructions and input.",
}
_LOST: Final = ("max_tool_calls", "prompt_cache_retention")


class _Function(Struct, gc=False):
    """A function as it is said on the chat wire; some clients say it so here."""

    name: str = ""
    description: str | None = None
    parameters: Raw = NONE
    strict: bool | None = None


class _Tool(Struct, gc=False):
    type: str = "function"
    function: _Function | None = None
    name: str = ""
    description: str | None = None
    parameters: Raw = NONE
    strict: bool | None = None
    format: Raw = NONE
    defer_loading: bool | None = None


class _Format(Struct, gc=False):
    type: str = "text"
    name: str = ""
    schema: Raw = NONE
    strict: bool | None = None
    description: str | None = None


class _Text(Struct, gc=False):
    format: _Format | None = None
    verbosity: str | None = None


class _Reasoning(Struct, gc=False):
    effort: str | None = None
    summary: str | None = None
    generate_summary: str | None = None


class _Choice(Struct, gc=False):
    type: str = ""
    name: str = ""
    mode: str = "auto"


class _Asked(Struct, gc=False):
    """The members that are read; `None` and absent are the same."""

    model: str | None = None
    instructions: str | None = None
    input: Raw = NONE
    tools: list[Raw] | None = None
    tool_choice: str | _Choice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    text: _Text | None = None
    reasoning: _Reasoning | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: Raw = NONE
    service_tier: str | None = None
    include: list[str] | None = None
    truncation: str | None = None
    background: bool | None = None
    stream: bool | None = None


_READ: Final = frozenset(_Asked.__struct_fields__) | _SILENT | set(_UNKEPT) | set(_LOST)


def read_request(body: JsonBody, losses: Losses) -> Talk:
    """A request as a talk. What needs a provider's own store is refused, and says so."""
    for name, why in _UNKEPT.items():
        if body.get(name) not in (None, b"null"):
            raise invalid(f"'{name}' can't be resolved for this model. {why}", name)
    asked = _decoded(body.raw, _Asked, "")
    talk = Talk(
        DIALECT,
        model=asked.model or "",
        parallel=asked.parallel_tool_calls,
        max_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        user=asked.safety_identifier or asked.user or "",
        metadata=_given(asked.metadata),
        service_tier=asked.service_tier or "",
        cache_key=asked.prompt_cache_key or "",
        stream=bool(asked.stream),
        extra={name: body.get(name) or b"null" for name in body.names() if name not in _READ},
    )
    if asked.instructions:
        talk.messages.append(Message("system", [Text(asked.instructions)]))
    read_input(asked.input, talk.messages, losses)
    _read_tools(asked, talk, losses)
    _read_manner(asked, talk, losses)
    _lose_rest(asked, body, losses)
    return talk


def _decoded(raw: bytes, shape: type[Any], where: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        said = str(error)
        path = said.partition(" - at `$")[2].removesuffix("`").removeprefix(".")
        param = f"{where}.{path}".strip(".") if where and path else where or path
        what = f"'{param}'" if param else "The request"
        raise invalid(f"{what} is not what it must be: {said.partition(' - at')[0]}.", param) from (
            None
        )


def _given(raw: Raw) -> bytes:
    data = bytes(raw)
    return b"" if data == b"null" else data


def _read_tools(asked: _Asked, talk: Talk, losses: Losses) -> None:
    for index, raw in enumerate(asked.tools or ()):
        where = f"tools[{index}]"
        kept = bytes(raw)
        tool: _Tool = _decoded(kept, _Tool, where)
        if tool.type == "function":
            said = (
                tool.function if tool.function is not None and not bytes(tool.parameters) else tool
            )
            schema = _given(said.parameters)
            name = tool.name or said.name
            talk.tools.append(Tool(name, said.description, schema, said.strict))
        elif tool.type == "custom":
            talk.tools.append(
                Tool(tool.name, tool.description, custom=True, format=_given(tool.format))
            )
        else:
            talk.tools.append(Foreign(DIALECT, tool.type, kept))
        if tool.defer_loading and tool.type in ("function", "custom"):
            losses.lose(f"{where}.defer_loading")
    if asked.tool_choice is not None:
        talk.choice = _choice(asked.tool_choice, losses)


def _choice(given: str | _Choice, losses: Losses) -> ToolChoice | None:
    mode = given if isinstance(given, str) else given.mode
    if not isinstance(given, str):
        if given.type in ("function", "custom"):
            return ToolChoice("tool", given.name)
        losses.lose("tool_choice.tools" if given.type == "allowed_tools" else "tool_choice")
        if given.type != "allowed_tools":
            return None
    if mode == "required":
        return ToolChoice("any")
    if mode in ("auto", "none"):
        return ToolChoice("none" if mode == "none" else "auto")
    raise invalid("'tool_choice' must be auto, none, required, or name a tool.", "tool_choice")


def _read_manner(asked: _Asked, talk: Talk, losses: Losses) -> None:
    """How the model is to think and to shape its answer."""
    if asked.reasoning is not None:
        talk.effort = asked.reasoning.effort or ""
        talk.summary = asked.reasoning.summary or asked.reasoning.generate_summary or ""
    if asked.text is None:
        return
    talk.verbosity = asked.text.verbosity or ""
    form = asked.text.format
    if form is None or form.type == "text":
        return
    if form.type == "json_object":
        talk.format = Format("json")
    elif form.type == "json_schema":
        schema = _given(form.schema)
        talk.format = Format("schema", form.name, schema, form.strict, form.description or "")
    else:
        losses.lose("text.format")


_KNOWN: Final = {
    "reasoning": frozenset(_Reasoning.__struct_fields__),
    "text": frozenset(_Text.__struct_fields__),
}


def _lose_rest(asked: _Asked, body: JsonBody, losses: Losses) -> None:
    """What is understood and has no place elsewhere."""
    for name in _LOST:
        if body.get(name) not in (None, b"null"):
            losses.lose(name)
    if asked.background:
        losses.lose("background")
    if asked.truncation not in (None, "disabled"):
        losses.lose("truncation")
    if asked.top_logprobs:
        losses.lose("top_logprobs")
    if asked.safety_identifier and asked.user and asked.user != asked.safety_identifier:
        losses.lose("user")
    for index, name in enumerate(asked.include or ()):
        if name != "reasoning.encrypted_content":
            losses.lose(f"include[{index}]")
    for name, known in _KNOWN.items():
        given = body.value(name)
        if isinstance(given, dict):
            for member in given.keys() - known:
                losses.lose(f"{name}.{member}")
