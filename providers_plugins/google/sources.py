"""Where an answer comes from: grounding and recitation as citations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.sdk.talk import Citation
from providers_plugins.google.answer import UNREADABLE
from providers_plugins.google.home import FAMILY

_MOST = 200
_KINDS = ("web", "retrievedContext", "maps", "image")


def citations(grounding: bytes, recited: bytes, text: bytes) -> list[Citation]:
    """All sources that are told of; `text` is what has been said, for places are given in bytes."""
    found: list[Citation] = []
    for citation in _all(_object(grounding), _object(recited), text):
        found.append(citation)
        if len(found) == _MOST:
            break
    return found


def _all(grounding: dict[str, Any], recited: dict[str, Any], text: bytes) -> Iterator[Citation]:
    chunks = [_source(chunk) for chunk in _list(grounding.get("groundingChunks"))]
    used: set[int] = set()
    for support in _list(grounding.get("groundingSupports")):
        segment = _dict(support).get("segment")
        for index in _list(_dict(support).get("groundingChunkIndices")):
            if isinstance(index, int) and 0 <= index < len(chunks):
                used.add(index)
                yield _placed(chunks[index], _dict(segment), text)
    for index, chunk in enumerate(chunks):
        if index not in used:
            yield chunk
    for source in _list(recited.get("citations") or recited.get("citationSources")):
        it = _dict(source)
        raw = msgspec.json.encode(it)
        cited = Citation(_text(it, "uri"), _text(it, "title"), dialect=FAMILY, raw=raw)
        yield _placed(cited, it, text)


def _source(chunk: Any) -> Citation:
    found = _dict(chunk)
    for kind in _KINDS:
        if isinstance(found.get(kind), dict):
            it = found[kind]
            raw = msgspec.json.encode(found)
            return Citation(_text(it, "uri"), _text(it, "title"), dialect=FAMILY, raw=raw)
    return Citation(dialect=FAMILY, raw=msgspec.json.encode(found))


def _placed(source: Citation, segment: dict[str, Any], text: bytes) -> Citation:
    """A source with the words it stands behind. Where they can't be found, it has no place."""
    quote = _text(segment, "text")
    start, end = segment.get("startIndex", 0), segment.get("endIndex")
    given = isinstance(start, int) and isinstance(end, int) and 0 <= start <= end <= len(text)
    wanted = quote.encode()
    if not given or (wanted and text[start:end] != wanted):
        start = text.find(wanted) if wanted else -1
        end = start + len(wanted)
    if start < 0 or end == start:
        return msgspec.structs.replace(source, quote=quote)
    return msgspec.structs.replace(
        source, quote=quote, start=_characters(text[:start]), end=_characters(text[:end])
    )


def _characters(text: bytes) -> int:
    return len(text.decode(errors="ignore"))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return _dict(msgspec.json.decode(raw)) if raw else {}
    except UNREADABLE:
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
