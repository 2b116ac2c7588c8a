"""Content blocks of the Messages wire, read into parts.

A block that says more than the form holds keeps its own bytes beside what could be read (`Own`);
what is more is named among the losses, until a wire of the same dialect writes it after all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from gateway.core.talk.messages.wire import (
    DIALECT,
    Members,
    arguments_of,
    cache_of,
    items,
    members,
    string,
    unsealed,
    value,
)
from gateway.core.talk.model import (
    Citation,
    Foreign,
    Losses,
    Media,
    Own,
    Part,
    Text,
    Thinking,
    ToolResult,
    ToolUse,
)

_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "text": frozenset({"type", "text", "cache_control", "citations"}),
    "image": frozenset({"type", "source", "cache_control"}),
    "document": frozenset({"type", "source", "title", "context", "citations", "cache_control"}),
    "search_result": frozenset(
        {"type", "source", "title", "content", "citations", "cache_control"}
    ),
    "tool_use": frozenset(
        {"type", "id", "name", "input", "cache_control", "signature", "signature_family"}
    ),
    "tool_result": frozenset({"type", "tool_use_id", "content", "is_error", "cache_control"}),
}


def read_parts(raw: msgspec.Raw | None, path: str, losses: Losses) -> list[Part]:
    """A message's content: one string, or blocks."""
    if raw is None:
        return []
    if bytes(raw)[:1] == b'"':
        return [Text(string(raw))]
    return [read_block(block, f"{path}[{index}]", losses) for index, block in enumerate(items(raw))]


def read_block(raw: msgspec.Raw, path: str, losses: Losses) -> Part:
    """One block; one that the form has no word for stays as it is."""
    block = members(raw)
    kind = string(block.get("type"))
    read = _READERS.get(kind)
    part = read(block, path, losses) if read is not None else None
    if part is None:
        return Foreign(DIALECT, kind, bytes(raw))
    _note_rest(part, kind, block, bytes(raw), path, losses)
    return part


def _note_rest(
    part: Part, kind: str, block: Members, raw: bytes, path: str, losses: Losses
) -> None:
    """Keep the block's own bytes where it says what the part doesn't."""
    if not isinstance(part, Text | Media | ToolUse | ToolResult):
        return
    ttl = cache_of(block.get("cache_control"))
    part.cache = ttl or ""
    unread = [name for name in block if name not in _KNOWN[kind]]
    if ttl is None:
        unread.append("cache_control")
    unread = [name for name in unread if not _says_nothing(name, block)]
    if unread or part.own is not None:
        names = tuple(f"{path}.{name}" for name in unread)
        before = part.own.names if part.own is not None else ()
        part.own = Own(DIALECT, raw, (*before, *names))
        for name in names:
            losses.lose(name)


def _says_nothing(name: str, block: Members) -> bool:
    """Null is silence; and so is that a tool was called by the model itself."""
    found = value(block[name])
    return found is None or (name == "caller" and found == {"type": "direct"})


def _text(block: Members, path: str, losses: Losses) -> Part | None:
    if "text" not in block or bytes(block["text"])[:1] != b'"':
        return None
    return Text(
        string(block.get("text")),
        citations=[read_citation(raw) for raw in items(block.get("citations"))],
    )


def read_citation(raw: msgspec.Raw) -> Citation:
    """A source; the object itself travels with it."""
    found = members(raw)
    start, end = value(found.get("start_char_index")), value(found.get("end_char_index"))
    return Citation(
        url=string(found.get("url")) or string(found.get("source")),
        title=string(found.get("title")) or string(found.get("document_title")),
        quote=string(found.get("cited_text")),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        dialect=DIALECT,
        raw=bytes(raw),
    )


def _image(block: Members, path: str, losses: Losses) -> Part | None:
    return _sourced(Media("image"), members(block.get("source")))


def _document(block: Members, path: str, losses: Losses) -> Part | None:
    media = Media(
        "document",
        name=string(block.get("title")),
        context=string(block.get("context")),
        cite=value(members(block.get("citations")).get("enabled")) is True,
    )
    source = members(block.get("source"))
    if string(source.get("type")) != "content":
        return _sourced(media, source)
    # Text in pieces, which citations point into; as one text it is still the same document.
    text = _plain(source.get("content"))
    if text is None:
        return None
    media.text, media.mime, media.own = text, "text/plain", Own(DIALECT, b"")
    return media


def _search_result(block: Members, path: str, losses: Losses) -> Part | None:
    text = _plain(block.get("content"))
    if text is None:
        return None
    return Media(
        "document",
        mime="text/plain",
        text=text,
        name=string(block.get("title")),
        context=string(block.get("source")),
        cite=value(members(block.get("citations")).get("enabled")) is True,
        own=Own(DIALECT, b""),
    )


def _plain(raw: msgspec.Raw | None) -> str | None:
    """Content that is text alone; None where it is not."""
    found = value(raw)
    if isinstance(found, str):
        return found
    if not isinstance(found, list) or not all(_is_text(block) for block in found):
        return None
    return "\n\n".join(block["text"] for block in found)


def _is_text(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "text"
        and isinstance(block.get("text"), str)
    )


def _sourced(media: Media, source: Members) -> Media | None:
    """Where the bytes of a picture or a document are; None for a place nobody knows."""
    kind = string(source.get("type"))
    media.mime = string(source.get("media_type"))
    if kind == "base64":
        media.data = string(source.get("data"))
    elif kind == "text":
        media.text = string(source.get("data"))
    elif kind == "url":
        media.url = string(source.get("url"))
    elif kind == "file":
        media.file_id = string(source.get("file_id"))
    else:
        return None
    return media


def _thinking(block: Members, path: str, losses: Losses) -> Part | None:
    signature, family = unsealed(string(block.get("signature")))
    return Thinking(text=string(block.get("thinking")), signature=signature, family=family)


def _redacted(block: Members, path: str, losses: Losses) -> Part | None:
    data, family = unsealed(string(block.get("data")))
    return Thinking(data=data, family=family)


def _tool_use(block: Members, path: str, losses: Losses) -> Part | None:
    return ToolUse(
        id=string(block.get("id")),
        name=string(block.get("name")),
        arguments=arguments_of(block.get("input")),
        signature=string(block.get("signature")),
        family=string(block.get("signature_family")),
    )


def _tool_result(block: Members, path: str, losses: Losses) -> Part | None:
    result = ToolResult(
        id=string(block.get("tool_use_id")), error=value(block.get("is_error")) is True
    )
    unsaid: list[str] = []
    for index, part in enumerate(read_parts(block.get("content"), f"{path}.content", losses)):
        if isinstance(part, Text | Media):
            result.parts.append(part)
        else:
            unsaid.append(f"{path}.content[{index}]")
    if unsaid:
        for name in unsaid:
            losses.lose(name)
        inner = [name for part in result.parts if part.own for name in part.own.names]
        result.own = Own(DIALECT, b"", (*unsaid, *inner))
    return result


_READERS: Final[Mapping[str, Callable[[Members, str, Losses], Part | None]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
