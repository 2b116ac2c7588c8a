"""What messages of the chat dialect are made of, as msgspec reads them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.talk.model import Citation, Media, MediaKind, Part, Reason, Thinking, ToolUse

NOTHING = Raw()
FAMILY = "chat"


class FunctionPart(Struct, gc=False):
    """A function as it is declared, called, or chosen."""

    name: str | None = None
    arguments: Raw = NOTHING
    description: str | None = None
    parameters: Raw = NOTHING
    strict: bool | None = None


class CustomPart(Struct, gc=False):
    """A tool whose input is free text."""

    name: str | None = None
    input: str | None = None
    description: str | None = None
    format: Raw = NOTHING


class CallPart(Struct, gc=False):
    """A tool call, whole or a piece of one. `signature` is the gateway's own addition."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionPart | None = None
    custom: CustomPart | None = None
    signature: str | None = None
    signature_family: str | None = None

    @property
    def name(self) -> str:
        made = self.function or self.custom
        return (made.name if made is not None else None) or ""

    @property
    def arguments(self) -> str:
        if self.custom is not None:
            return self.custom.input or ""
        return "" if self.function is None else text_of(self.function.arguments)


class Detail(Struct, gc=False):
    """One entry of `reasoning_details`: thinking with what proves it."""

    type: str | None = None
    text: str | None = None
    summary: str | None = None
    data: str | None = None
    signature: str | None = None
    format: str | None = None
    id: str | None = None


class UrlCitation(Struct, gc=False):
    """A source on the web."""

    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Annotation(Struct, gc=False):
    """A source of the text."""

    type: str | None = None
    url_citation: UrlCitation | None = None


_REASONS: dict[str, Reason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "context",
    "tool_calls": "tool",
    "tool_use": "tool",
    "function_call": "tool",
    "content_filter": "filter",
    "sensitive": "filter",
    "refusal": "refusal",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
FINISH: dict[Reason, str] = {
    "stop": "stop",
    "sequence": "stop",
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
    "pause": "stop",
    "error": "stop",
}


def reason_of(finish: str) -> Reason:
    """Why the answer ended, from any host's spelling of it."""
    return _REASONS.get(finish, "stop")


def text_of(raw: Raw) -> str:
    """Arguments are JSON text in a string; some clients and hosts send the object itself."""
    found = bytes(raw)
    if not found or found == b"null":
        return ""
    if found[:1] == b'"':
        return msgspec.json.decode(found, type=str)
    return found.decode()


def tool_of(call: CallPart, place: int) -> ToolUse:
    """A whole tool call; one without an id gets its place for one."""
    return ToolUse(
        call.id or f"call_{place}",
        call.name,
        call.arguments,
        custom=call.custom is not None,
        signature=call.signature or "",
        family=call.signature_family or "",
    )


def thought_of(detail: Detail) -> Thinking | None:
    """An entry of `reasoning_details` as a part; None for what says nothing."""
    text = detail.text or detail.summary or ""
    if not (text or detail.data or detail.signature):
        return None
    return Thinking(
        text,
        detail.signature or "",
        detail.data or "",
        detail.format or FAMILY,
        detail.id or "",
    )


def detail_of(part: Thinking, index: int) -> dict[str, Any]:
    """The same the other way, so that a client which sends it back proves what was thought."""
    detail: dict[str, Any] = {"type": "reasoning.encrypted" if part.data else "reasoning.text"}
    detail["index"] = index
    given = {
        "text": part.text,
        "signature": part.signature,
        "data": part.data,
        "format": part.family,
        "id": part.id,
    }
    return detail | {name: value for name, value in given.items() if value}


def citation_of(annotation: Annotation) -> Citation | None:
    """A source, where it is one on the web."""
    found = annotation.url_citation
    if found is None:
        return None
    return Citation(
        found.url or "", found.title or "", start=found.start_index, end=found.end_index
    )


def annotation_of(citation: Citation) -> dict[str, Any]:
    """The same the other way."""
    return {
        "type": "url_citation",
        "url_citation": {
            "url": citation.url,
            "title": citation.title,
            "start_index": citation.start or 0,
            "end_index": citation.end or 0,
        },
    }


def media_of(kind: MediaKind, url: str) -> Media:
    """A picture or file from a URL, which may hold the data itself."""
    if not url.startswith("data:"):
        return Media(kind, url=url)
    head, _, data = url[5:].partition(",")
    mime, *options = head.split(";")
    if "base64" not in options:
        return Media(kind, mime, text=data)
    return Media(kind, mime, data)


def url_of(media: Media) -> str:
    """The same the other way."""
    return f"data:{media.mime};base64,{media.data}" if media.data else media.url


def joined(parts: list[Part], kind: type[Any]) -> str:
    """The words of all parts of one kind."""
    return "".join([part.text for part in parts if isinstance(part, kind)])
