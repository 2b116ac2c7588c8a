"""Messages as this wire's `contents` and `systemInstruction`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gateway.sdk.talk import (
    Foreign,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Talk,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)
from providers_plugins.google.home import FAMILY, Home, generation
from providers_plugins.google.media import media_part

Written = dict[str, Any]
# What the provider documents for calls whose signature was lost on the way: it then does not
# refuse a history that another model, or a client that keeps no signatures, has made.
UNSIGNED = "skip_thought_signature_validator"
_SPACE = b" \t\r\n"


def contents(
    talk: Talk, home: Home, base_url: str, losses: Losses
) -> tuple[list[Written], list[Written]]:
    """The parts of the system instruction, and the turns."""
    system: list[Written] = []
    turns: list[Written] = []
    writer = _Turns(talk, home, base_url, losses)
    for message in talk.messages:
        if message.role == "system" and not turns:
            system += writer.parts(message)
        else:
            _append(turns, writer.turns(message))
    if system and (not turns or "gemma" in talk.model):
        # These models know no system instruction; and a call needs at least one turn.
        turns, system = [{"role": "user", "parts": system}, *turns], []
    return system, turns


class _Turns:
    """Writes one message after the other; remembers what the tools that were called are named."""

    def __init__(self, talk: Talk, home: Home, base_url: str, losses: Losses) -> None:
        self._home = home
        self._base_url = base_url
        self._losses = losses
        self._modern = generation(talk.model) >= (3, 0)
        self._names: dict[str, str] = {}

    def turns(self, message: Message) -> list[Written]:
        """A message as turns: results of tools stand in one of their own."""
        if message.role == "assistant":
            return _turn("model", self.parts(message))
        results: list[Written] = []
        beside: list[Written] = []
        for part in message.parts:
            if isinstance(part, ToolResult):
                result, media = self._result(part)
                results.append(result)
                beside += media
        said = self.parts(message)
        return _turn("user", results) + _turn("user", beside + said)

    def parts(self, message: Message) -> list[Written]:
        """All parts of a message but results of tools."""
        if message.name:
            self._losses.lose("name")
        written: list[Written] = []
        for part in message.parts:
            if isinstance(part, Thinking):
                self._think(part, written)
            elif not isinstance(part, ToolResult):
                written += self._part(part)
        if message.role == "assistant" and self._modern:
            _mark_unsigned(written)
        return written

    def _part(self, part: Part) -> list[Written]:
        if isinstance(part, Text):
            if part.cache:
                self._losses.lose("cache_control")
            return [{"text": part.text}] if part.text else []
        if isinstance(part, Refusal):
            return [{"text": part.text}] if part.text else []
        if isinstance(part, Media):
            return [media_part(part, self._home, self._base_url, self._losses)]
        if isinstance(part, ToolUse):
            return [self._call(part)]
        if isinstance(part, Foreign) and part.dialect == FAMILY:
            return [_verbatim(part.raw)]
        if isinstance(part, Foreign):
            self._losses.lose(part.kind or "content")
        return []

    def _think(self, part: Thinking, written: list[Written]) -> None:
        """A thought, or a signature alone: that one belongs to the part before it."""
        if part.family != FAMILY:
            self._losses.lose("thinking")
            return
        if part.text:
            thought: Written = {"text": part.text, "thought": True}
            written.append(_signed(thought, part.signature))
        elif part.signature and written and _takes_signature(written[-1]):
            written[-1]["thoughtSignature"] = part.signature
        elif part.signature:
            written.append({"text": "", "thoughtSignature": part.signature})

    def _call(self, part: ToolUse) -> Written:
        self._names[part.id] = part.name
        if part.cache:
            self._losses.lose("cache_control")
        call: Written = {"name": part.name, "args": _arguments(part)}
        if self._home.ids and part.id:
            call["id"] = part.id
        if part.signature and part.family != FAMILY:
            self._losses.lose("signature")
        return _signed({"functionCall": call}, part.signature if part.family == FAMILY else "")

    def _result(self, part: ToolResult) -> tuple[Written, list[Written]]:
        """A result, and the files in it that a model of this generation takes only beside it."""
        if part.cache:
            self._losses.lose("cache_control")
        name = part.name or self._names.get(part.id, "") or part.id
        answer: Written = {"name": name}
        if self._home.ids and part.id:
            answer["id"] = part.id
        answer["response"] = _response(part)
        files = [
            media_part(it, self._home, self._base_url, self._losses)
            for it in part.parts
            if isinstance(it, Media)
        ]
        if files and self._modern:
            answer["parts"] = files
            files = []
        return {"functionResponse": answer}, files


def _append(turns: list[Written], more: list[Written]) -> None:
    """Results of one turn's calls stand together: the provider counts them against the calls."""
    if turns and more and _all_results(turns[-1]) and _all_results(more[0]):
        turns[-1]["parts"] += more[0]["parts"]
        more = more[1:]
    turns += more


def _all_results(turn: Written) -> bool:
    return all("functionResponse" in part for part in turn["parts"])


def _turn(role: str, parts: list[Written]) -> list[Written]:
    return [{"role": role, "parts": parts}] if parts else []


def _signed(part: Written, signature: str) -> Written:
    if signature:
        part["thoughtSignature"] = signature
    return part


def _takes_signature(part: Written) -> bool:
    return "thoughtSignature" not in part and ("text" in part or "inlineData" in part)


def _mark_unsigned(parts: list[Written]) -> None:
    """The first of a turn's calls must be signed; the others may be."""
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = UNSIGNED


def _verbatim(raw: bytes) -> Written:
    """A part as the provider wrote it, member by member, so that it may yet be told apart."""
    try:
        found: Written = dict(msgspec.json.decode(raw, type=dict[str, Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"text": ""}
    return found


def _arguments(part: ToolUse) -> Raw:
    """Arguments must be an object: what is none is put into one."""
    if part.custom:
        return _object("input", part.arguments)
    if not part.arguments.strip():
        return Raw(b"{}")
    return _as_object(part.arguments) or _object("arguments", part.arguments)


def _response(part: ToolResult) -> Raw:
    text = "".join(it.text for it in part.parts if isinstance(it, Text))
    if part.error:
        return _object("error", text)
    return _as_object(text) or _object("result", text)


def _as_object(text: str) -> Raw | None:
    """The text itself, byte for byte, if it is a JSON object."""
    raw = text.encode().strip(_SPACE)
    if not raw.startswith(b"{"):
        return None
    try:
        msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Raw(raw)


def _object(name: str, text: str) -> Raw:
    return Raw(msgspec.json.encode({name: text}))
