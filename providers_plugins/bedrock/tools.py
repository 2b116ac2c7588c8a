"""Tools, and the choice among them, as Converse takes them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.sdk.talk import Talk, Tool, ToolResult, ToolUse
from providers_plugins.bedrock.models import Traits
from providers_plugins.bedrock.naming import Naming

_NO_SCHEMA = (b"", b"null", b"{}")  # the provider wants at least an object's type
_ANY_OBJECT = msgspec.Raw(b'{"type":"object","properties":{}}')


def tool_config(talk: Talk, traits: Traits, naming: Naming) -> dict[str, Any] | None:
    """The tools in their order, their schemas verbatim; None where there is nothing to say.

    There is no way to forbid calls but to offer no tools, and no way to offer none to a
    conversation that has called some.
    """
    called = _called(talk)
    forbidden = talk.choice is not None and talk.choice.mode == "none"
    if forbidden and not called:
        return None
    tools = _tools(talk, traits, naming)
    if not tools:
        tools = [_spec(name, _ANY_OBJECT) for name in called]
    if not tools:
        return None
    config: dict[str, Any] = {"tools": tools}
    choice = _choice(talk, naming)
    if choice is not None:
        config["toolChoice"] = choice
    if talk.parallel is False:
        naming.lose("parallel")
    return config


def _tools(talk: Talk, traits: Traits, naming: Naming) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for number, tool in enumerate(talk.tools):
        if not isinstance(tool, Tool):
            naming.lose(f"tools[{number}]")
            continue
        schema = _ANY_OBJECT if tool.schema in _NO_SCHEMA else msgspec.Raw(tool.schema)
        block = _spec(tool.name, schema, tool.description or "")
        if tool.strict and traits.claude and traits.schema:
            block["toolSpec"]["strict"] = True
        elif tool.strict:
            naming.lose(f"tools[{number}].strict")
        written.append(block)
        if tool.cache and traits.claude:
            ttl = {"ttl": "1h"} if tool.cache == "1h" else {}
            written.append({"cachePoint": {"type": "default", **ttl}})
        elif tool.cache:
            naming.lose(f"tools[{number}].cache_control")
    return written


def _spec(name: str, schema: msgspec.Raw, description: str = "") -> dict[str, Any]:
    said = {"description": description} if description else {}
    return {"toolSpec": {"name": name, **said, "inputSchema": {"json": schema}}}


def _choice(talk: Talk, naming: Naming) -> dict[str, Any] | None:
    """Nothing for "auto": that is what it is, and not every model takes a choice."""
    if talk.choice is None or talk.choice.mode == "auto":
        return None
    if talk.choice.mode == "any":
        return {"any": {}}
    if talk.choice.mode == "tool":
        return {"tool": {"name": talk.choice.name}}
    naming.lose("tool_choice")
    return None


def _called(talk: Talk) -> list[str]:
    """The names of tools that the conversation has called, in order."""
    names: dict[str, None] = {}
    for message in talk.messages:
        for part in message.parts:
            if isinstance(part, ToolUse) or (isinstance(part, ToolResult) and part.name):
                names[part.name] = None
    return list(names)
