"""Tools of a chat request, and which of them the model may call."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.core.body import decode_as
from gateway.core.talk.chat.names import NAME, text_in
from gateway.core.talk.model import Foreign, Losses, Talk, Tool, ToolChoice
from gateway.core.usage import NOTHING
from gateway.errors import Fault, invalid

_MODES: dict[str, Literal["auto", "any", "none"]] = {
    "auto": "auto",
    "none": "none",
    "required": "any",
    "any": "any",
}


class _Said(Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = NOTHING
    strict: bool | None = None
    format: msgspec.Raw = NOTHING


class _Tool(Struct):
    type: str = "function"
    function: _Said | None = None
    custom: _Said | None = None
    cache_control: Any = None


_decode_tools = msgspec.json.Decoder(list[msgspec.Raw])
_decode_tool = msgspec.json.Decoder(_Tool)
_decode_said = msgspec.json.Decoder(_Said)


def read_tools(talk: Talk, raw: bytes, losses: Losses) -> None:
    """The tools in their order; kinds that this wire's other hosts offer are kept verbatim."""
    for number, item in enumerate(_each("tools", raw)):
        talk.tools.append(_tool(item, number))


def read_functions(talk: Talk, raw: bytes, losses: Losses) -> None:
    """The deprecated form of `tools`; its answers have room for one call."""
    for number, item in enumerate(_each("functions", raw)):
        talk.tools.append(_function(_decoded(item, _decode_said, f"functions[{number}]")))
        talk.parallel = False if talk.parallel is None else talk.parallel


def read_choice(talk: Talk, raw: bytes, losses: Losses) -> None:
    """`tool_choice`, a word or an object."""
    found = msgspec.json.decode(raw)
    if isinstance(found, str):
        talk.choice = _mode(found, "tool_choice", losses)
    elif isinstance(found, dict):
        talk.choice = _object_choice(found, losses)
    else:
        raise invalid("'tool_choice' must be a string or an object.", "tool_choice")


def read_function_call(talk: Talk, raw: bytes, losses: Losses) -> None:
    """The deprecated form of `tool_choice`; that wins where both are."""
    if talk.choice is not None:
        return
    found = msgspec.json.decode(raw)
    if isinstance(found, str):
        talk.choice = _mode(found, "function_call", losses)
    else:
        talk.choice = _named(found, "function_call")


def cache_of(control: object) -> str:
    """How long a `cache_control` asks to keep the prefix; empty for none."""
    if not isinstance(control, dict):
        return ""
    return "1h" if control.get("ttl") == "1h" else "5m"


def _tool(raw: bytes, number: int) -> Tool | Foreign:
    path = f"tools[{number}]"
    found: _Tool = _decoded(raw, _decode_tool, path)
    if found.type == "function":
        if found.function is None:
            raise invalid(f"'{path}.function' is required.", f"{path}.function")
        tool = _function(found.function)
    elif found.type == "custom" and found.custom is not None:
        said = found.custom
        tool = Tool(said.name, said.description, custom=True, format=_present(said.format))
    else:
        return Foreign(NAME, found.type, raw)
    tool.cache = cache_of(found.cache_control)
    return tool


def _function(said: _Said) -> Tool:
    return Tool(said.name, said.description, _present(said.parameters), said.strict)


def _present(raw: msgspec.Raw) -> bytes:
    value = bytes(raw)
    return b"" if value == b"null" else value


def _object_choice(found: dict[str, Any], losses: Losses) -> ToolChoice | None:
    kind = found.get("type")
    if kind == "allowed_tools":
        return _allowed(found.get("allowed_tools"), losses)
    if kind in ("function", "custom", "tool"):
        return _named(found.get(kind) if isinstance(found.get(kind), dict) else found)
    return _mode(text_in(kind), "tool_choice", losses)


def _allowed(found: object, losses: Losses) -> ToolChoice:
    """Of several allowed tools only how is kept: leaving others out would change the prefix."""
    allowed = found if isinstance(found, dict) else {}
    tools = allowed.get("tools")
    required = allowed.get("mode") == "required"
    if required and isinstance(tools, list) and len(tools) == 1 and isinstance(tools[0], dict):
        only = tools[0].get(text_in(tools[0].get("type")))
        if isinstance(only, dict):
            return _named(only)
    losses.lose("tool_choice.allowed_tools")
    return ToolChoice("any" if required else "auto")


def _named(found: object, param: str = "tool_choice") -> ToolChoice:
    name = found.get("name") if isinstance(found, dict) else None
    if not isinstance(name, str) or not name:
        raise invalid(f"'{param}' must name a tool.", param)
    return ToolChoice("tool", name)


def _mode(word: str, param: str, losses: Losses) -> ToolChoice | None:
    mode = _MODES.get(word)
    if mode is None:
        losses.lose(param)
        return None
    return ToolChoice(mode)


def _each(name: str, raw: bytes) -> list[bytes]:
    return [bytes(item) for item in _decoded(raw, _decode_tools, name)]


def _decoded(raw: bytes, decoder: msgspec.json.Decoder[Any], path: str) -> Any:
    """Decode one of several; a refusal names where it stands in the request."""
    try:
        return decode_as(raw, decoder)
    except Fault as fault:
        inner = f"{path}.{fault.param}" if fault.param else path
        raise invalid(f"'{inner}' is not valid.", inner) from None
