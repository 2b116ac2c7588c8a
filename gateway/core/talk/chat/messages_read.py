"""Messages of a chat request, brought into turns: results of tools in front of the user's words."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.core.body import decode_as
from gateway.core.talk.chat.calls import pieces_in
from gateway.core.talk.chat.media import audio_in, media_in
from gateway.core.talk.chat.names import NAME, UNREADABLE, text_in
from gateway.core.talk.chat.thoughts import thoughts_in
from gateway.core.talk.chat.tools_read import cache_of
from gateway.core.talk.model import (
    Foreign,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Role,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from gateway.core.usage import NOTHING
from gateway.errors import Fault, invalid

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
    "function": "user",
}


class _Message(Struct):
    role: str
    content: msgspec.Raw = NOTHING
    name: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None
    tool_calls: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING
    refusal: Any = None
    audio: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    thinking: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    prefix: Any = None
    partial: Any = None
    cache_control: Any = None


_decode_messages = msgspec.json.Decoder(list[msgspec.Raw])
_decode_message = msgspec.json.Decoder(_Message)
_decode_parts = msgspec.json.Decoder(list[msgspec.Raw])


class _Conversation:
    """The turns so far, what was called in the last of the assistant's, and the ids of calls that
    were made without any. Nothing is looked for twice: a conversation may have 100,000 calls.
    """

    def __init__(self, losses: Losses) -> None:
        self.losses = losses
        self.turns: list[Message] = []
        self.unnamed: dict[str, str] = {}
        self.calls: dict[str, ToolUse] = {}
        self._open: dict[str, None] = {}  # of these, those that have no result yet
        self._results: list[ToolResult] = []  # of the last turn
        self._made = 0

    def new_id(self, name: str) -> str:
        """An id for a call in the deprecated form; its result will be found by its name."""
        self._made += 1
        self.unnamed[name] = f"call_{self._made}"
        return self.unnamed[name]

    def unanswered(self) -> str:
        """The first call that has no result yet, for clients that leave ids out."""
        return next(iter(self._open), "")

    def add(self, role: Role, parts: list[Part], name: str = "") -> None:
        """Another message: part of the last turn if that was the same one's."""
        last = self.turns[-1] if self.turns else None
        if last is None or last.role != role or (last.name and name and last.name != name):
            self._begin(Message(role, parts, name))
        else:
            last.name = last.name or name
            last.parts += parts
        if role == "assistant":
            for part in parts:
                if isinstance(part, ToolUse):
                    self.calls.setdefault(part.id, part)
                    self._open[part.id] = None

    def add_result(self, result: ToolResult) -> None:
        """A tool's result: in front of what the user says, behind earlier results."""
        if not self.turns or self.turns[-1].role != "user":
            self._begin(Message("user", []))
        self._results.append(result)
        self._open.pop(result.id, None)

    def whole(self) -> list[Message]:
        """All turns, each with its results."""
        if self._results:
            self.turns[-1].parts[:0] = self._results
            self._results = []
        return self.turns

    def _begin(self, turn: Message) -> None:
        self.whole().append(turn)
        if turn.role == "assistant":
            self.calls, self._open = {}, {}


def read_messages(raw: bytes, losses: Losses) -> list[Message]:
    """The conversation as turns."""
    talk = _Conversation(losses)
    for number, item in enumerate(_decoded(raw, _decode_messages, "messages")):
        path = f"messages[{number}]"
        message: _Message = _decoded(bytes(item), _decode_message, path)
        role = _ROLES.get(message.role)
        if role is None:
            raise invalid(f"'{path}.role' is not a known role.", f"{path}.role")
        if message.role in ("tool", "function"):
            talk.add_result(_result(talk, message, path))
            continue
        if role == "assistant":
            parts = _assistant_parts(talk, message, path)
        else:
            parts = _content(bytes(message.content), path, losses)
        _mark(parts, message.cache_control)
        talk.add(role, parts, message.name or "")
    return talk.whole()


def _assistant_parts(talk: _Conversation, message: _Message, path: str) -> list[Part]:
    plain = (
        text_in(message.reasoning_content)
        or text_in(message.reasoning)
        or text_in(message.thinking)
    )
    parts: list[Part] = [*thoughts_in(plain, message.reasoning_details, message.thinking_blocks)]
    parts += _content(bytes(message.content), path, talk.losses)
    if text_in(message.refusal):
        parts.append(Refusal(message.refusal))
    audio = audio_in(message.audio)
    if audio is not None:
        parts.append(audio)
    parts += _calls(talk, message, path)
    for name, value in (("prefix", message.prefix), ("partial", message.partial)):
        if value:
            talk.losses.lose(f"{path}.{name}")
    return parts


def _calls(talk: _Conversation, message: _Message, path: str) -> list[Part]:
    raw = bytes(message.tool_calls)
    try:
        pieces = pieces_in(raw, bytes(message.function_call))
    except UNREADABLE:
        raise invalid(f"'{path}.tool_calls' is not valid.", f"{path}.tool_calls") from None
    if raw not in (b"", b"null") and raw[:1] != b"[":
        raise invalid(f"'{path}.tool_calls' must be a list.", f"{path}.tool_calls")
    return [
        ToolUse(
            id=piece.id or talk.new_id(piece.name),
            name=piece.name,
            arguments=piece.arguments,
            custom=piece.custom,
            signature=piece.signature,
            family=piece.family,
        )
        for piece in pieces
    ]


def _result(talk: _Conversation, message: _Message, path: str) -> ToolResult:
    name = message.name or message.tool_name or ""
    given = _content(bytes(message.content), path, talk.losses)
    parts = [part for part in given if isinstance(part, Text | Media)]
    if len(parts) < len(given):
        talk.losses.lose(f"{path}.content")
    call = message.tool_call_id or talk.unnamed.get(name) or talk.unanswered()
    if not call:
        raise invalid(f"'{path}.tool_call_id' is required.", f"{path}.tool_call_id")
    used = talk.calls.get(call)
    result = ToolResult(call, parts, name=name or (used.name if used else ""))
    result.custom = used.custom if used else False
    result.cache = cache_of(message.cache_control)
    return result


def _content(raw: bytes, path: str, losses: Losses) -> list[Part]:
    """Content: a string, or a list of parts."""
    if not raw or raw == b"null":
        return []
    if raw[:1] == b'"':
        text = str(msgspec.json.decode(raw))
        return [Text(text)] if text else []
    parts: list[Part] = []
    for number, item in enumerate(_decoded(raw, _decode_parts, f"{path}.content")):
        parts += _part(bytes(item), f"{path}.content[{number}]")
    return parts


def _part(raw: bytes, path: str) -> list[Part]:
    found = msgspec.json.decode(raw)
    if isinstance(found, str):
        return [Text(found)]
    if not isinstance(found, dict):
        raise invalid(f"'{path}' must be an object.", path)
    kind = text_in(found.get("type"))
    parts = _known_part(kind, found, path)
    if not parts:
        media = media_in(found)
        parts = [Foreign(NAME, kind, raw) if media is None else media]
    _mark(parts, found.get("cache_control") or found.get("prompt_cache_breakpoint"))
    return parts


def _known_part(kind: str, found: dict[str, Any], path: str) -> list[Part]:
    if kind in ("text", "input_text", "output_text"):
        if not isinstance(found.get("text"), str):
            raise invalid(f"'{path}.text' must be a string.", f"{path}.text")
        return [Text(found["text"])]
    if kind == "refusal":
        return [Refusal(text_in(found.get("refusal")))]
    if kind == "thinking":
        thought = found.get("thinking")
        items = thought if isinstance(thought, list) else [{"text": thought}]
        words = [text_in(item.get("text")) for item in items if isinstance(item, dict)]
        signature = text_in(found.get("signature"))
        return [Thinking("".join(words), signature, family="messages" if signature else "")]
    return []


def _mark(parts: list[Part], control: object) -> None:
    """A cache breakpoint stands after the last of these parts."""
    cache = cache_of(control)
    if cache and parts and isinstance(parts[-1], Text | Media | ToolUse):
        parts[-1].cache = cache


def _decoded(raw: bytes, decoder: msgspec.json.Decoder[Any], path: str) -> Any:
    try:
        return decode_as(raw, decoder)
    except Fault as fault:
        inner = f"{path}.{fault.param}" if fault.param else path
        raise invalid(f"'{inner}' is not valid.", inner) from None
