"""What messages of the Messages dialect are made of, as msgspec reads them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.talk.model import Citation, Media, Reason, Text, Thinking, ToolUse
from gateway.core.talk.proof import unsealed

NOTHING = Raw()
FAMILY = "messages"


class CacheControl(Struct, gc=False):
    """Where a prompt cache may end."""

    type: str | None = None
    ttl: str | None = None

    @property
    def mark(self) -> str:
        return "1h" if self.ttl == "1h" else "5m"


class Source(Struct, gc=False):
    """Where a picture or document is: inline, at a URL, in a file, or as text."""

    type: str = ""
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Raw = NOTHING


class CitationsOption(Struct, gc=False):
    enabled: bool | None = None


class Block(Struct, gc=False):
    """A content block of any kind; which members count depends on its type."""

    type: str
    text: str | None = None
    source: Raw = NOTHING
    id: str | None = None
    name: str | None = None
    input: Raw = NOTHING
    tool_use_id: str | None = None
    content: Raw = NOTHING
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    signature_family: str | None = None
    data: str | None = None
    title: str | None = None
    context: str | None = None
    cache_control: CacheControl | None = None
    citations: Raw = NOTHING

    @property
    def mark(self) -> str:
        return "" if self.cache_control is None else self.cache_control.mark


class _Cited(Struct, gc=False):
    url: str | None = None
    source: str | None = None
    title: str | None = None
    document_title: str | None = None
    cited_text: str | None = None


_cited = msgspec.json.Decoder(_Cited).decode
_raws = msgspec.json.Decoder(list[Raw]).decode
_source = msgspec.json.Decoder(Source).decode
_option = msgspec.json.Decoder(CitationsOption).decode
_blocks = msgspec.json.Decoder(list[Block]).decode

REASONS: dict[str, Reason] = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "refusal",
}
STOPS: dict[Reason, str] = {
    "stop": "end_turn",
    "sequence": "stop_sequence",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool": "tool_use",
    "filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "error": "end_turn",
}


def media_of(block: Block) -> Media | None:
    """A picture or document; None for a source that is not known."""
    if block.type not in ("image", "document") or not block.source:
        return None
    source = _source(block.source)
    media = Media("image" if block.type == "image" else "document", source.media_type or "")
    media.name, media.context = block.title or "", block.context or ""
    media.cache = block.mark
    if block.citations and bytes(block.citations)[:1] == b"{":
        media.cite = _option(block.citations).enabled is True
    if source.type == "base64":
        media.data = source.data or ""
    elif source.type == "text":
        media.text = source.data or ""
    elif source.type == "url":
        media.url = source.url or ""
    elif source.type == "file":
        media.file_id = source.file_id or ""
    elif source.type == "content":
        media.text = text_in(source.content)
    else:
        return None
    return media


def text_in(raw: Raw) -> str:
    """The words of content that is a string or an array of blocks."""
    if bytes(raw)[:1] == b'"':
        return msgspec.json.decode(raw, type=str)
    return "".join([block.text or "" for block in _blocks(raw)])


def thought_of(block: Block) -> Thinking:
    """What was thought; without a signature it is anybody's."""
    if block.type == "redacted_thinking":
        return unsealed("", block.data or "", FAMILY, sealed=True)
    return unsealed(block.thinking or "", block.signature or "", FAMILY)


def tool_of(block: Block) -> ToolUse:
    """A tool call, its input as the bytes it came as."""
    return ToolUse(
        block.id or "",
        block.name or "",
        bytes(block.input).decode() or "{}",
        signature=block.signature or "",
        family=block.signature_family or "",
    )


def said_of(block: Block) -> Text:
    """Words, and where they come from."""
    text = Text(block.text or "", block.mark)
    if block.citations and bytes(block.citations) != b"null":
        text.citations = [citation_of(bytes(raw)) for raw in _raws(block.citations)]
    return text


def citation_of(raw: bytes) -> Citation:
    """A source in any of this dialect's forms, kept whole beside what all dialects know."""
    said = _cited(raw)
    return Citation(
        said.url or said.source or "",
        said.title or said.document_title or "",
        said.cited_text or "",
        dialect=FAMILY,
        raw=raw,
    )


def shown_citation(citation: Citation) -> Any:
    """The same the other way."""
    if citation.dialect == FAMILY:
        return Raw(citation.raw)
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.quote,
        "encrypted_index": "",
    }


def input_of(arguments: str) -> tuple[bytes, bool]:
    """A call's input as this wire wants it, an object; and whether it had to be made one."""
    raw = arguments.strip().encode()
    if not raw:
        return b"{}", False
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if isinstance(found, dict):
        return raw, False
    return msgspec.json.encode({"input": arguments}), True
