"""Parts of the form, written as content blocks of the Messages wire."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from gateway.core.talk.messages.wire import (
    DIALECT,
    cache_control,
    input_of,
    sealed,
)
from gateway.core.talk.model import (
    Citation,
    Foreign,
    Losses,
    Media,
    Message,
    Own,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)

Block = dict[str, Any] | msgspec.Raw
_PICTURES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NO_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_PDF: Final = "application/pdf"
_STAND_IN: Final = b'"encrypted_index":""'


class BlockWriter:
    """Writes the blocks of a request; `root` is the client's own name for its conversation."""

    def __init__(self, dialect: str, losses: Losses) -> None:
        self._same = dialect == DIALECT
        self._root = "input" if dialect == "responses" else "messages"
        self._losses = losses

    def content(self, message: Message) -> list[Block]:
        """A message's blocks, less what the wire can't say; results of tools come first."""
        if message.name:
            self._lose("name")
        parts = message.parts
        if not self._same:
            parts = sorted(parts, key=lambda part: not isinstance(part, ToolResult))
        written = (self.block(part) for part in parts)
        return [block for block in written if block is not None]

    def block(self, part: Part) -> Block | None:
        """One block, or None for what can't be said, which is noted."""
        own = None if isinstance(part, Refusal | Thinking | Foreign) else part.own
        if own is not None and own.dialect == DIALECT and own.raw:
            self._keep(own)
            return msgspec.Raw(own.raw)
        if isinstance(part, Text | Refusal):
            return self._text(part)
        if isinstance(part, Thinking):
            return self._thinking(part)
        if isinstance(part, ToolUse):
            return self._tool_use(part)
        if isinstance(part, ToolResult):
            return self._tool_result(part)
        if isinstance(part, Media):
            return self._media(part)
        if part.dialect == DIALECT:
            return msgspec.Raw(part.raw)
        self._lose(part.kind)
        return None

    def _keep(self, own: Own) -> None:
        for name in own.names:
            self._losses.keep(name)

    def _lose(self, what: str) -> None:
        self._losses.lose(f"{self._root}.{what}")

    def _id(self, said: str) -> str:
        """A call's id in the letters that the wire takes; alike for the call and its result."""
        return said if self._same else _NO_ID.sub("_", said)

    def _text(self, part: Text | Refusal) -> Block | None:
        """Empty text is refused by the wire; a client of the same dialect hears that from it."""
        if not part.text and not self._same:
            return None
        block: dict[str, Any] = {"type": "text", "text": part.text}
        if isinstance(part, Text):
            _cached(block, part.cache)
            own = [msgspec.Raw(c.raw) for c in part.citations if _is_ours(c)]
            if own:
                block["citations"] = own
            if len(own) < len(part.citations):
                self._lose("annotations")
        return block

    def _thinking(self, part: Thinking) -> Block | None:
        if part.family == DIALECT and part.data:
            return {"type": "redacted_thinking", "data": part.data}
        if part.family == DIALECT and part.signature:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature}
        self._lose("thinking" if self._same else "reasoning")
        return None

    def _tool_use(self, part: ToolUse) -> Block:
        given, whole = input_of(part.arguments, custom=part.custom)
        if not whole:
            self._lose("arguments")
        if part.signature:
            self._lose("signature")
        block: dict[str, Any] = {"type": "tool_use"}
        block |= {"id": self._id(part.id), "name": part.name, "input": given}
        return _cached(block, part.cache)

    def _tool_result(self, part: ToolResult) -> Block:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": self._id(part.id)}
        written = [self.block(inner) for inner in part.parts]
        content = [inner for inner in written if inner is not None]
        if content:
            block["content"] = content
        if part.error:
            block["is_error"] = True
        return _cached(block, part.cache)

    def _media(self, part: Media) -> Block | None:
        if part.kind not in ("image", "document"):
            self._lose(part.kind)
            return None
        source = _source(part)
        if source is None:
            self._lose("file" if part.kind == "document" else part.kind)
            return None
        if part.detail:
            self._lose("detail")
        block: dict[str, Any] = {"type": part.kind, "source": source}
        if part.kind == "document":
            if part.name:
                block["title"] = part.name
            if part.context:
                block["context"] = part.context
            if part.cite:
                block["citations"] = {"enabled": True}
        return _cached(block, part.cache)


def _cached(block: dict[str, Any], cache: str) -> dict[str, Any]:
    if cache:
        block["cache_control"] = cache_control(cache)
    return block


def _source(part: Media) -> dict[str, str] | None:
    """Where the wire finds the bytes; None for a kind of them that it doesn't take."""
    if part.data and part.kind == "document" and part.mime not in ("", _PDF):
        return None
    if part.data and part.kind == "image" and part.mime not in _PICTURES:
        return None
    if part.data:
        return {"type": "base64", "media_type": part.mime or _PDF, "data": part.data}
    if part.url:
        return {"type": "url", "url": part.url}
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if part.text:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    return None


def _is_ours(citation: Citation) -> bool:
    """True for a source that a provider on this wire named, and not the gateway in its stead."""
    return citation.dialect == DIALECT and bool(citation.raw) and _STAND_IN not in citation.raw


def written_citation(citation: Citation) -> Block | None:
    """A source in an answer; a page on the web stands as one that was found."""
    if citation.dialect == DIALECT and citation.raw:
        return msgspec.Raw(citation.raw)
    if not citation.url:
        return None
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title or None,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


def _signed(part: ToolUse) -> dict[str, str]:
    """What proves a call to the family that made it; clients send it back with the block."""
    if not part.signature:
        return {}
    return {"signature": part.signature, "signature_family": part.family}


def answer_block(part: Part) -> Block | None:
    """A block of an answer; a picture or a recording has no place there but its words."""
    own = part.own if isinstance(part, Text | ToolUse) else None
    if own is not None and own.dialect == DIALECT and own.raw:
        return msgspec.Raw(own.raw)
    if isinstance(part, Text):
        block: dict[str, Any] = {"type": "text", "text": part.text}
        cited = [written_citation(citation) for citation in part.citations]
        return block | {"citations": [c for c in cited if c]} if any(cited) else block
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, Thinking):
        if part.data and not part.text:
            return {"type": "redacted_thinking", "data": sealed(part.data, part.family)}
        signature = sealed(part.signature, part.family)
        return {"type": "thinking", "thinking": part.text, "signature": signature}
    if isinstance(part, ToolUse):
        given, _ = input_of(part.arguments, custom=part.custom)
        use = {"type": "tool_use", "id": part.id, "name": part.name, "input": given}
        return use | _signed(part)
    if isinstance(part, Media):
        words = part.transcript or part.text or part.url
        return {"type": "text", "text": words} if words else None
    if isinstance(part, Foreign) and part.dialect == DIALECT:
        return msgspec.Raw(part.raw)
    return None
