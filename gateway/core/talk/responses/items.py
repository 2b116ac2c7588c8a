"""What requests and answers of the Responses dialect are made of, as msgspec reads them."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.talk.chat.parts import media_of, text_of, url_of
from gateway.core.talk.model import (
    Citation,
    Foreign,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.core.talk.proof import sealed, unsealed

NOTHING = Raw()
FAMILY = "responses"


class Words(Struct, gc=False):
    """A piece of a summary or of reasoning."""

    text: str = ""


class Item(Struct, gc=False):
    """An input or output item of any kind; which members count depends on its type."""

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: Raw = NOTHING
    call_id: str | None = None
    name: str | None = None
    arguments: Raw = NOTHING
    input: str | None = None
    output: Raw = NOTHING
    summary: list[Words] | None = None
    encrypted_content: str | None = None
    signature: str | None = None
    signature_family: str | None = None


class _Audio(Struct, gc=False):
    data: str = ""
    format: str = ""


class Annotation(Struct, gc=False):
    """A source of the text."""

    type: str | None = None
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Content(Struct, gc=False):
    """A content part of a message, or of a tool's output."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    detail: str | None = None
    input_audio: _Audio | None = None
    annotations: list[Raw] | None = None


_annotation = msgspec.json.Decoder(Annotation)
content = msgspec.json.Decoder(Content)
item = msgspec.json.Decoder(Item)
words = msgspec.json.Decoder(list[Words])
raws = msgspec.json.Decoder(list[Raw])


def thought_of(said: Item) -> Thinking:
    """What was thought: its summary, else its words; and the sealed whole."""
    told = said.summary or (words.decode(said.content) if said.content else [])
    text = "".join([one.text for one in told])
    return unsealed(text, said.encrypted_content or "", FAMILY, said.id or "")


def tool_of(said: Item, *, custom: bool = False) -> ToolUse:
    """A tool call."""
    return ToolUse(
        said.call_id or said.id or "",
        said.name or "",
        (said.input or "") if custom else text_of(said.arguments),
        custom=custom,
        signature=said.signature or "",
        family=said.signature_family or "",
    )


def part_of(said: Content, raw: bytes) -> Part:
    """A content part."""
    if said.type in ("input_text", "output_text", "text", "summary_text", "reasoning_text"):
        found = Text(said.text or "")
        found.citations = [citation_of(bytes(one)) for one in said.annotations or []]
        return found
    if said.type == "refusal":
        return Refusal(said.refusal or "")
    if said.type == "input_image":
        media = media_of("image", said.image_url or "")
        media.file_id, media.detail = said.file_id or "", said.detail or ""
        return media
    if said.type == "input_file":
        return _file(said)
    if said.type == "input_audio" and said.input_audio is not None:
        audio = said.input_audio
        return Media("audio", f"audio/{audio.format or 'wav'}", audio.data)
    return Foreign(FAMILY, said.type, raw)


def _file(said: Content) -> Media:
    data = said.file_data or ""
    if data and not data.startswith("data:"):
        data = f"data:application/pdf;base64,{data}"
    media = media_of("document", data or said.file_url or "")
    media.file_id, media.name = said.file_id or "", said.filename or ""
    return media


def citation_of(raw: bytes) -> Citation:
    """A source, kept whole beside what all dialects know of it."""
    said = _annotation.decode(raw)
    return Citation(
        said.url or "",
        said.title or "",
        start=said.start_index,
        end=said.end_index,
        dialect=FAMILY,
        raw=raw,
    )


def shown_citation(citation: Citation) -> Any:
    """The same the other way."""
    if citation.dialect == FAMILY:
        return Raw(citation.raw)
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
    }


def shown_text(part: Text | Refusal) -> dict[str, Any]:
    """Words of an answer as a content part."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    notes = [shown_citation(one) for one in part.citations]
    return {"type": "output_text", "text": part.text, "annotations": notes, "logprobs": []}


def shown_item(part: Part, name: str, status: str = "completed") -> dict[str, Any] | None:
    """A part of an answer as an output item, under this id; None for what has no form here."""
    if isinstance(part, Text | Refusal):
        return {
            "id": f"msg_{name}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [shown_text(part)],
        }
    if isinstance(part, Thinking):
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        made = {"id": part.id or f"rs_{name}", "type": "reasoning", "summary": summary}
        proof = sealed(part, FAMILY)
        return made | ({"encrypted_content": proof} if proof else {})
    if isinstance(part, ToolUse):
        return _shown_tool(part, name, status)
    return None


def _shown_tool(part: ToolUse, name: str, status: str) -> dict[str, Any]:
    call: dict[str, Any] = {"call_id": part.id, "name": part.name, "status": status}
    if part.custom:
        call |= {"id": f"ctc_{name}", "type": "custom_tool_call", "input": part.arguments}
    else:
        call |= {"id": f"fc_{name}", "type": "function_call", "arguments": part.arguments}
    if part.signature:
        call |= {"signature": part.signature, "signature_family": part.family}
    return call


def shown_media(part: Media) -> dict[str, Any] | None:
    """A picture, file or recording as an input part; None for what can't be said here."""
    if part.kind == "image":
        made: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
        return made | ({"file_id": part.file_id} if part.file_id else {"image_url": url_of(part)})
    if part.kind == "audio" and part.data:
        form = part.mime.rpartition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}}
    if part.kind != "document":
        return None
    if part.text:
        head = f"{part.name}:\n" if part.name else ""
        return {"type": "input_text", "text": head + part.text}
    if part.file_id:
        return {"type": "input_file", "file_id": part.file_id}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    name = part.name or "document.pdf"
    return {"type": "input_file", "filename": name, "file_data": url_of(part)}
