"""Pictures, recordings and documents on the chat wire, and its citations."""

from __future__ import annotations

from typing import Any

from gateway.core.talk.chat.names import NAME, count_in, encode, text_in
from gateway.core.talk.model import Citation, Media, MediaKind

_AUDIO = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_FORMATS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav"}
_SCHEME = 16
_DOCUMENTS = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown"}


def media_in(part: dict[str, Any]) -> Media | None:
    """A content part as media; None for any other part, and for one that cannot be read."""
    kind = part.get("type")
    if kind == "image_url":
        return _by_url("image", part.get("image_url"))
    if kind == "video_url":
        return _by_url("video", part.get("video_url"))
    if kind == "file_url":
        return _by_url("document", part.get("file_url"))
    if kind == "document_url":
        found = _by_url("document", part.get("document_url"))
        if found is not None:
            found.name = text_in(part.get("document_name"))
        return found
    if kind == "input_audio":
        return _audio(part.get("input_audio"))
    return _file(part.get("file")) if kind == "file" else None


def by_url(kind: MediaKind, url: str) -> Media:
    """Media behind an address; a base64 `data:` address holds them itself."""
    head, comma, data = url.partition(",")
    if comma and head[:5].lower() == "data:" and head.lower().endswith(";base64"):
        return Media(kind, mime=head[5:-7].partition(";")[0], data=data)
    return Media(kind, url=url)


def address(media: Media) -> str:
    """The address of media: where they are, or a `data:` address that holds them."""
    if media.data:
        return f"data:{media.mime or 'application/octet-stream'};base64,{media.data}"
    return media.url


def part_of(media: Media) -> dict[str, Any] | None:
    """Media as a content part; None where the wire has none for it."""
    if media.kind == "image":
        return _image_part(media)
    if media.kind == "video" and address(media):
        return {"type": "video_url", "video_url": {"url": address(media)}}
    if media.kind == "audio" and media.data:
        form = _FORMATS.get(media.mime) or media.mime.partition("/")[2]
        return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}
    return _file_part(media) if media.kind == "document" else None


def image_in(item: object) -> Media | None:
    """A picture of an answer, as hosts hang it beside the content."""
    return media_in(item) if isinstance(item, dict) and item.get("type") == "image_url" else None


def audio_in(found: object) -> Media | None:
    """What a model said aloud, or a piece of it."""
    if not isinstance(found, dict):
        return None
    media = Media(
        "audio",
        data=text_in(found.get("data")),
        transcript=text_in(found.get("transcript")),
        file_id=text_in(found.get("id")),
    )
    return media if media.data or media.transcript or media.file_id else None


def audio_of(media: Media) -> dict[str, Any]:
    """What a model said aloud, for a chat client."""
    said = {"id": media.file_id, "data": media.data, "transcript": media.transcript}
    return {name: value for name, value in said.items() if value}


def citation_in(item: object) -> Citation | None:
    """A source from `annotations`; None for other kinds."""
    if not isinstance(item, dict):
        return None
    found = item.get("url_citation") if item.get("type") == "url_citation" else None
    if not isinstance(found, dict):
        return None
    return Citation(
        url=text_in(found.get("url")),
        title=text_in(found.get("title")),
        quote=text_in(found.get("content")),
        start=count_in(found.get("start_index")),
        end=count_in(found.get("end_index")),
        dialect=NAME,
        raw=encode(item),
    )


def annotation_of(citation: Citation) -> dict[str, Any]:
    """A source as an annotation."""
    said: dict[str, Any] = {
        "start_index": citation.start or 0,
        "end_index": citation.end or 0,
        "title": citation.title,
        "url": citation.url,
    }
    if citation.quote:
        said["content"] = citation.quote
    return {"type": "url_citation", "url_citation": said}


def _by_url(kind: MediaKind, found: object) -> Media | None:
    """Some hosts take the bare address, others an object around it."""
    if isinstance(found, str):
        return by_url(kind, found) if found else None
    if not isinstance(found, dict) or not text_in(found.get("url")):
        return None
    media = by_url(kind, found["url"])
    media.detail = text_in(found.get("detail"))
    return media


def _audio(found: object) -> Media | None:
    if not isinstance(found, dict) or not text_in(found.get("data")):
        return None
    form = text_in(found.get("format"))
    return Media("audio", mime=_AUDIO.get(form) or f"audio/{form or 'wav'}", data=found["data"])


def _file(found: object) -> Media | None:
    if not isinstance(found, dict):
        return None
    data = text_in(found.get("file_data"))
    media = by_url("document", data) if data else Media("document")
    if media.url and ":" not in data[:_SCHEME]:
        media = Media("document", data=data)  # bare base64, as some hosts have it
    media.file_id = text_in(found.get("file_id"))
    media.name = text_in(found.get("filename"))
    if media.data and not media.mime:
        media.mime = _DOCUMENTS.get(media.name.lower().rpartition(".")[2], "application/pdf")
    return media if media.data or media.url or media.file_id else None


def _image_part(media: Media) -> dict[str, Any] | None:
    if not address(media):
        return None
    image = {"url": address(media)}
    if media.detail:
        image["detail"] = media.detail
    return {"type": "image_url", "image_url": image}


def _file_part(media: Media) -> dict[str, Any] | None:
    """Plain text needs no file; a document elsewhere is one by its address."""
    if media.text:
        return {"type": "text", "text": f"{media.name}\n{media.text}" if media.name else media.text}
    file = {"filename": media.name, "file_id": media.file_id, "file_data": address(media)}
    file = {name: value for name, value in file.items() if value}
    if "file_data" in file and not media.name:
        extension = next((end for end, mime in _DOCUMENTS.items() if mime == media.mime), "pdf")
        file["filename"] = f"document.{extension}"
    return {"type": "file", "file": file} if {"file_id", "file_data"} & file.keys() else None
