"""Messages as Converse takes them: turns that alternate, made of content blocks."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import msgspec

from gateway.sdk.talk import (
    Foreign,
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
from providers_plugins.bedrock.media import MediaWriter
from providers_plugins.bedrock.models import Traits
from providers_plugins.bedrock.naming import Naming

Block = dict[str, Any]
_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SHORT_TOOL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_EMPTY = msgspec.Raw(b"{}")


class PartWriter:
    """Writes the messages of one request."""

    def __init__(self, traits: Traits, naming: Naming) -> None:
        self._traits = traits
        self._naming = naming
        self._media = MediaWriter(naming)

    def system(self, talk: Talk) -> list[Block]:
        """All instructions, in front. Those said later lose their place."""
        blocks: list[Block] = []
        begun = False
        for message in talk.messages:
            if message.role != "system":
                begun = True
                continue
            if begun:
                self._naming.lose_turn("role")
            for part in message.parts:
                if isinstance(part, Text):
                    self._add(blocks, self._text(part.text), part.cache)
                else:
                    self._naming.lose_part(_kind(part))
        return blocks

    def messages(self, talk: Talk) -> list[Block]:
        """The turns; consecutive ones of one role become one, empty ones none."""
        written: list[Block] = []
        for message in talk.messages:
            if message.role == "system":
                continue
            content = self._content(message)
            if not content:
                continue
            if written and written[-1]["role"] == message.role:
                written[-1]["content"] += content
            else:
                written.append({"role": message.role, "content": content})
        return written

    def _point(self, cache: str) -> Block | None:
        """A cache point, where the model knows them."""
        if not cache:
            return None
        if not self._traits.caches:
            self._naming.lose_part("cache_control")
            return None
        point = {"type": "default"}
        if cache == "1h" and self._traits.claude:
            point["ttl"] = "1h"
        elif cache == "1h":
            self._naming.lose_part("cache_control.ttl")
        return {"cachePoint": point}

    def _add(self, blocks: list[Block], block: Block | None, cache: str) -> None:
        """A block, and the mark behind it; where there is no block, there is no mark."""
        if block is None and cache:
            self._naming.lose_part("cache_control")
        if block is None:
            return
        blocks.append(block)
        point = self._point(cache)
        if point is not None:
            blocks.append(point)

    def _content(self, message: Message) -> list[Block]:
        if message.name:
            self._naming.lose_turn("name")
        blocks: list[Block] = []
        for part in message.parts:
            block = self._block(part)
            cache = part.cache if isinstance(part, Text | Media | ToolUse | ToolResult) else ""
            self._add(blocks, block, cache)
        return blocks

    def _block(self, part: Part) -> Block | None:
        if isinstance(part, Text):
            if part.citations:
                self._naming.lose_part("citations")
            return self._text(part.text)
        if isinstance(part, Refusal):
            return self._text(part.text)
        if isinstance(part, Media):
            return self._media.write(part)
        if isinstance(part, Thinking):
            return self._thinking(part)
        if isinstance(part, ToolUse):
            return {"toolUse": self._tool_use(part)}
        if isinstance(part, ToolResult):
            return {"toolResult": self._result(part)}
        self._naming.lose_part(_kind(part))
        return None

    def _text(self, said: str) -> Block | None:
        """Words; the provider refuses those that are blank."""
        if said and not said.strip():
            self._naming.lose_part("text")
        return {"text": said} if said.strip() else None

    def _thinking(self, part: Thinking) -> Block | None:
        """What was thought goes back only to those who signed it."""
        if part.family == self._traits.signs and part.data:
            sealed = base64.b64encode(part.data.encode()).decode()
            return {"reasoningContent": {"redactedContent": sealed}}
        if part.family == self._traits.signs and part.signature:
            said = {"text": part.text, "signature": part.signature}
            return {"reasoningContent": {"reasoningText": said}}
        self._naming.lose("reasoning")
        return None

    def _tool_use(self, part: ToolUse) -> Block:
        if part.signature:
            self._naming.lose_part("signature")
        return {
            "toolUseId": self._tool_id(part.id),
            "name": part.name,
            "input": _arguments(part),
        }

    def _result(self, part: ToolResult) -> Block:
        content: list[Block] = []
        for piece in part.parts:
            if isinstance(piece, Media) and piece.kind == "audio":
                self._naming.lose_part("audio")
                continue
            block = self._block(piece)
            if block is not None:
                content.append(block)
            if piece.cache:
                self._naming.lose_part("content[].cache_control")
        result: Block = {"toolUseId": self._tool_id(part.id), "content": content}
        if part.error:
            result["status"] = "error"
        return result

    def _tool_id(self, said: str) -> str:
        """The client's id where the model takes it, or else one that follows from it."""
        if self._traits.family == "mistral":
            if _SHORT_TOOL_ID.fullmatch(said):
                return said
            return hashlib.sha256(said.encode()).hexdigest()[:9]
        if _TOOL_ID.fullmatch(said):
            return said
        return f"tooluse_{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def _arguments(part: ToolUse) -> msgspec.Raw | dict[str, str]:
    """The arguments as the model wrote them; what is no object is wrapped in one."""
    if not part.arguments.strip():
        return _EMPTY
    raw = part.arguments.encode()
    try:
        msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {"input": part.arguments}
    return msgspec.Raw(raw)


def _kind(part: object) -> str:
    if isinstance(part, Foreign):
        return part.kind
    return part.kind if isinstance(part, Media) else type(part).__name__.lower()
