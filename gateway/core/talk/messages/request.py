"""A client's request in the Messages dialect, read into the form."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from gateway.core.body import JsonBody
from gateway.core.talk.messages.blocks import read_parts
from gateway.core.talk.messages.wire import (
    DIALECT,
    Members,
    cache_of,
    items,
    members,
    string,
    value,
)
from gateway.core.talk.model import (
    Foreign,
    Format,
    Losses,
    Message,
    Own,
    Role,
    Talk,
    Tool,
    ToolChoice,
)
from gateway.errors import invalid

_READ: Final = frozenset(
    {
        "model", "messages", "max_tokens", "system", "temperature", "top_p", "top_k",
        "stop_sequences", "stream", "tools", "tool_choice", "thinking", "output_config",
        "output_format", "metadata", "service_tier",
    }
)  # fmt: skip
_ROLES: Final[dict[str, Role]] = {"system": "system", "user": "user", "assistant": "assistant"}
_MODES: Final[dict[str, Literal["auto", "any", "none", "tool"]]] = {
    "auto": "auto",
    "any": "any",
    "none": "none",
    "tool": "tool",
}
_THINKING: Final = {"enabled": "on", "adaptive": "adaptive", "disabled": "off"}
_TOOL: Final = frozenset({"type", "name", "description", "input_schema", "strict", "cache_control"})


def read_request(body: JsonBody, losses: Losses) -> Talk:
    """All that the request says; what the form can't hold is noted or kept as it is."""
    talk = Talk(
        DIALECT,
        model=string(body.get("model")),
        messages=_system(body, losses) + _messages(body, losses),
        tools=_tools(body, losses),
        max_tokens=_integer(body, "max_tokens"),
        temperature=_number(body, "temperature"),
        top_p=_number(body, "top_p"),
        top_k=_integer(body, "top_k"),
        stop=_strings(body, "stop_sequences"),
        service_tier=string(body.get("service_tier")),
        stream=body.value("stream") is True,
        extra={name: body.get(name) or b"" for name in body.names() if name not in _READ},
    )
    _choose(talk, members(body.get("tool_choice")), losses)
    _think(talk, members(body.get("thinking")), losses)
    _output(talk, members(body.get("output_config")), body.get("output_format"), losses)
    _metadata(talk, body.get("metadata"))
    return talk


def _system(body: JsonBody, losses: Losses) -> list[Message]:
    raw = body.get("system")
    if raw is not None and raw[:1] not in (b'"', b"[") and raw != b"null":
        raise invalid("'system' must be a string or a list.", "system")
    parts = read_parts(msgspec.Raw(raw), "system", losses) if raw is not None else []
    return [Message("system", parts)] if parts else []


def _messages(body: JsonBody, losses: Losses) -> list[Message]:
    raw = body.get("messages")
    if raw is None:
        raise invalid("'messages' is required.", "messages")
    if raw[:1] != b"[":
        raise invalid("'messages' must be a list.", "messages")
    return [_message(said, index, losses) for index, said in enumerate(items(raw))]


def _message(raw: msgspec.Raw, index: int, losses: Losses) -> Message:
    path = f"messages[{index}]"
    said = members(raw)
    role = _ROLES.get(string(said.get("role")))
    if role is None:
        raise invalid(f"'{path}.role' must be user, assistant or system.", f"{path}.role")
    for name in said:
        if name not in ("role", "content"):
            losses.lose(f"{path}.{name}")
    content = said.get("content")
    if content is None or bytes(content)[:1] not in (b'"', b"["):
        raise invalid(f"'{path}.content' must be a string or a list.", f"{path}.content")
    return Message(role, read_parts(content, f"{path}.content", losses))


def _tools(body: JsonBody, losses: Losses) -> list[Tool | Foreign]:
    said = body.get("tools")
    if said is not None and said[:1] != b"[" and said != b"null":
        raise invalid("'tools' must be a list.", "tools")
    return [_tool(raw, index, losses) for index, raw in enumerate(items(body.get("tools")))]


def _tool(raw: msgspec.Raw, index: int, losses: Losses) -> Tool | Foreign:
    """A tool of the client's; the provider's own ones stay as they are."""
    said = members(raw)
    kind = string(said.get("type"))
    if kind not in ("", "custom"):
        return Foreign(DIALECT, kind, bytes(raw))
    cache = cache_of(said.get("cache_control"))
    strict = value(said.get("strict"))
    tool = Tool(
        string(said.get("name")),
        description=string(said["description"]) if "description" in said else None,
        schema=bytes(said["input_schema"]) if "input_schema" in said else b"",
        strict=strict if isinstance(strict, bool) else None,
        cache=cache or "",
    )
    unread = [name for name in said if name not in _TOOL]
    if cache is None:
        unread.append("cache_control")
    if unread:
        tool.own = Own(DIALECT, bytes(raw), tuple(f"tools[{index}].{name}" for name in unread))
        for name in tool.own.names:
            losses.lose(name)
    return tool


def _choose(talk: Talk, said: Members, losses: Losses) -> None:
    mode = _MODES.get(string(said.get("type")))
    if mode is None:
        if said:
            losses.lose("tool_choice")
        return
    talk.choice = ToolChoice(mode, string(said.get("name")))
    alone = value(said.get("disable_parallel_tool_use"))
    talk.parallel = not alone if isinstance(alone, bool) else None


def _think(talk: Talk, said: Members, losses: Losses) -> None:
    talk.thinking = _THINKING.get(string(said.get("type")), "")
    if said and not talk.thinking:
        losses.lose("thinking")
    budget = value(said.get("budget_tokens"))
    talk.budget = budget if isinstance(budget, int) and not isinstance(budget, bool) else None
    talk.summary = string(said.get("display"))
    for name in said:
        if name not in ("type", "budget_tokens", "display"):
            losses.lose(f"thinking.{name}")


def _output(talk: Talk, said: Members, older: bytes | None, losses: Losses) -> None:
    """Effort, and structured output in its present place or the one it had before."""
    talk.effort = string(said.get("effort"))
    for name in said:
        if name not in ("effort", "format"):
            losses.lose(f"output_config.{name}")
    form = members(said.get("format") or older)
    if string(form.get("type")) == "json_schema" and "schema" in form:
        talk.format = Format("schema", schema=bytes(form["schema"]))
    elif form:
        losses.lose("output_config.format" if "format" in said else "output_format")


def _metadata(talk: Talk, raw: bytes | None) -> None:
    said = members(raw)
    talk.user = string(said.get("user_id"))
    if raw is not None and said.keys() - {"user_id"}:
        talk.metadata = raw


def _integer(body: JsonBody, name: str) -> int | None:
    found = body.value(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int):
        raise invalid(f"'{name}' must be an integer.", name)
    return found


def _number(body: JsonBody, name: str) -> float | None:
    found = body.value(name)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise invalid(f"'{name}' must be a number.", name)
    return found


def _strings(body: JsonBody, name: str) -> list[str]:
    found: Any = body.value(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise invalid(f"'{name}' must be a list of strings.", name)
    return found
