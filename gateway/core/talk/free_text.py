"""Calls of tools that take free text, answered by providers that know functions alone.

Such a provider was told of a function of one text, `input`; the client waits for the text itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from gateway.core.body import JsonBody
from gateway.core.talk.events import Closed, Event, Grew, Opened, Stopped, Writer
from gateway.core.talk.model import Losses, Part, Talk, Tool, ToolResult, ToolUse

_ONE_TEXT = (
    b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],'
    b'"additionalProperties":false}'
)


class _OneText(Struct, forbid_unknown_fields=True):
    input: str


class _Named(Struct):
    name: Annotated[str, Meta(min_length=1)]


def free_text_tools(body: JsonBody) -> frozenset[str]:
    """The names of the client's tools that take free text, in the spelling of either dialect."""
    tools = body.value("tools") if b'"custom"' in (body.get("tools") or b"") else None
    return frozenset(_names(tools) if isinstance(tools, list) else ())


def _names(tools: list[Any]) -> Iterator[str]:
    for tool in tools:
        if isinstance(tool, dict) and tool.get("type") == "custom":
            try:
                yield msgspec.convert(tool.get("custom", tool), _Named).name
            except msgspec.ValidationError:
                continue


def as_free_text(part: Part, names: frozenset[str]) -> Part:
    """A call of such a tool, with the text in place of the arguments it came in."""
    if not isinstance(part, ToolUse) or part.custom or part.name not in names:
        return part
    return structs.replace(part, custom=True, arguments=_text(part.arguments))


def _text(arguments: str) -> str:
    """What stands in `input`; a model that heeded no schema said the text itself."""
    try:
        return msgspec.json.decode(arguments.encode("utf-8", "replace"), type=_OneText).input
    except (msgspec.DecodeError, RecursionError):
        return arguments


def as_functions(talk: Talk, losses: Losses) -> None:
    """Such tools, and what was said with them, as functions of one text."""
    for tool in talk.tools:
        if isinstance(tool, Tool) and tool.custom:
            if tool.format:
                losses.lose("tools.format")
            tool.custom, tool.schema, tool.format, tool.own = False, _ONE_TEXT, b"", None
    for message in talk.messages:
        for part in message.parts:
            if isinstance(part, ToolUse) and part.custom:
                part.custom = False
                part.arguments = msgspec.json.encode(_OneText(part.arguments)).decode()
            elif isinstance(part, ToolResult):
                part.custom = False


class FreeTextWriter:
    """A writer that is given such calls as free text.

    Their arguments wait for the end of the call: where the text ends in them is known only then.
    """

    def __init__(self, writer: Writer, names: frozenset[str]) -> None:
        self._writer = writer
        self._names = names
        self._held: dict[int, str] = {}

    @property
    def sequence(self) -> int:
        """As the writer's own."""
        return getattr(self._writer, "sequence", 0)

    @property
    def final(self) -> bytes:
        """As the writer's own."""
        return getattr(self._writer, "final", b"")

    def write(self, event: Event) -> bytes:
        """The bytes that the client is due for the event."""
        return b"".join(self._writer.write(told) for told in self._told(event))

    def _told(self, event: Event) -> Iterator[Event]:
        if isinstance(event, Opened):
            yield self._opened(event)
        elif isinstance(event, Grew) and event.index in self._held:
            self._held[event.index] += event.text
        else:
            if isinstance(event, Closed):
                yield from self._let_go(event.index)
            elif isinstance(event, Stopped):
                for index in list(self._held):
                    yield from self._let_go(index)
            yield event

    def _opened(self, event: Opened) -> Opened:
        part, free = event.part, as_free_text(event.part, self._names)
        if free is part or not isinstance(part, ToolUse) or not isinstance(free, ToolUse):
            return event
        self._held[event.index] = part.arguments
        return Opened(event.index, structs.replace(free, arguments=""))

    def _let_go(self, index: int) -> Iterator[Event]:
        held = self._held.pop(index, "")
        if held:
            yield Grew(index, _text(held))
