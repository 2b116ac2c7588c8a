"""Turns as messages of the chat wire: a tool's result is a message there, and holds words alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.core.talk.chat.answer import call_of
from gateway.core.talk.chat.media import part_of
from gateway.core.talk.chat.names import NAME, WIRES, cache_control, encode
from gateway.core.talk.chat.thoughts import details_of
from gateway.core.talk.model import (
    Foreign,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)

_BELOW = "The result is in the next message."


def write_messages(turns: list[Message], losses: Losses, *, cache_marks: bool) -> bytes:
    """The conversation as a JSON array of messages."""
    writer = _Writer(losses, cache_marks=cache_marks)
    return encode([message for turn in turns for message in writer.messages(turn)])


class _Writer:
    """Writes turns, and notes what they lose."""

    def __init__(self, losses: Losses, *, cache_marks: bool) -> None:
        self._losses = losses
        self._marks = cache_marks

    def messages(self, turn: Message) -> list[dict[str, Any]]:
        """The messages of one turn."""
        if turn.role == "assistant":
            return [self._assistant(turn)]
        below: list[Part] = []
        results = (part for part in turn.parts if isinstance(part, ToolResult))
        written = [self._result(part, below) for part in results]
        said = below + [part for part in turn.parts if not isinstance(part, ToolResult)]
        if said or not written:
            written.append(self._named(turn, {"role": turn.role, "content": self._content(said)}))
        return written

    def _named(self, turn: Message, message: dict[str, Any]) -> dict[str, Any]:
        return message | {"name": turn.name} if turn.name else message

    def _assistant(self, turn: Message) -> dict[str, Any]:
        calls = [part for part in turn.parts if isinstance(part, ToolUse)]
        said = [part for part in turn.parts if isinstance(part, Text | Refusal | Foreign)]
        for part in turn.parts:
            if isinstance(part, Media):
                self._losses.lose(f"content.{part.kind}")  # an assistant's message holds none
        refusals = [part.text for part in said if isinstance(part, Refusal)]
        message: dict[str, Any] = {"role": "assistant", "content": None}
        if said and len(refusals) == len(said):
            message["refusal"] = "".join(refusals)
        elif said:
            message["content"] = self._content(said)
        elif not calls:
            message["content"] = ""
        message |= self._thoughts([part for part in turn.parts if isinstance(part, Thinking)])
        if calls:
            message["tool_calls"] = [self._call(part) for part in calls]
        return self._named(turn, message)

    def _thoughts(self, thoughts: list[Thinking]) -> dict[str, Any]:
        """What a host of this wire thought, or nobody signed; other families' is theirs alone."""
        own = [thought for thought in thoughts if thought.family not in WIRES]
        if len(own) < len(thoughts):
            self._losses.lose("thinking")
        said: dict[str, Any] = {}
        if any(thought.text for thought in own):
            said["reasoning_content"] = "".join(thought.text for thought in own)
        if details := details_of(own):
            said["reasoning_details"] = details
        return said

    def _call(self, part: ToolUse) -> dict[str, Any]:
        call = call_of(part)
        if not part.arguments and not part.custom:
            call["function"]["arguments"] = "{}"  # hosts read them as JSON
        if part.signature and part.family in WIRES:
            self._losses.lose("tool_calls.signature")
            del call["signature"], call["signature_family"]
        self._mark(call, part.cache)
        return call

    def _result(self, part: ToolResult, below: list[Part]) -> dict[str, Any]:
        """A result's words; its pictures follow in the user's message, which alone may have any."""
        words: list[Part] = [inner for inner in part.parts if isinstance(inner, Text)]
        media = [inner for inner in part.parts if isinstance(inner, Media)]
        if media:
            self._losses.lose("tool_result.content")
            below.append(Text(f"Result of the tool call {part.id}:"))
            below += media
        if part.error:
            self._losses.lose("tool_result.is_error")
        content = self._content(words) if words else (_BELOW if media else "")
        message: dict[str, Any] = {"role": "tool", "tool_call_id": part.id, "content": content}
        self._mark(message, part.cache)
        return message

    def _content(self, parts: Sequence[Part]) -> str | list[Any]:
        """One plain text as a string, which every host takes; else a list of parts."""
        only = parts[0] if len(parts) == 1 else None
        if isinstance(only, Text) and not (only.cache and self._marks):
            self._mark({}, only.cache)
            return only.text
        written = [self._part(part) for part in parts]
        return [part for part in written if part is not None] or ""

    def _part(self, part: Part) -> Any:
        written: Any = None
        if isinstance(part, Text):
            written = {"type": "text", "text": part.text}
        elif isinstance(part, Refusal):
            written = {"type": "refusal", "refusal": part.text}
        elif isinstance(part, Media):
            written = self._media(part)
        elif isinstance(part, Foreign) and part.dialect == NAME:
            return msgspec.Raw(part.raw)
        elif isinstance(part, Foreign):
            self._losses.lose(f"content.{part.kind}")
        if written is not None and isinstance(part, Text | Media):
            self._mark(written, part.cache)
        return written

    def _media(self, part: Media) -> dict[str, Any] | None:
        written = part_of(part)
        if written is None:
            self._losses.lose(f"content.{part.kind}")
            return None
        if part.context or part.cite:
            self._losses.lose("content.citations" if part.cite else "content.context")
        return written

    def _mark(self, written: dict[str, Any], cache: str) -> None:
        if not cache:
            return
        if not self._marks:
            self._losses.lose("cache_control")
        else:
            written["cache_control"] = cache_control(cache)
