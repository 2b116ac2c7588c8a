"""Pictures, documents, recordings and films as Converse takes them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from gateway.sdk.talk import Media
from providers_plugins.bedrock.naming import Naming

_FORMATS: Mapping[str, Mapping[str, str]] = {
    "image": {
        "image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif",
        "image/webp": "webp",
    },
    "document": {
        "application/pdf": "pdf", "text/csv": "csv", "text/html": "html", "text/plain": "txt",
        "text/markdown": "md", "application/msword": "doc", "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    },
    "audio": {
        "audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/wav": "wav", "audio/x-wav": "wav",
        "audio/wave": "wav", "audio/flac": "flac", "audio/aac": "aac", "audio/ogg": "ogg",
        "audio/opus": "opus", "audio/webm": "webm", "audio/mp4": "m4a", "audio/x-m4a": "m4a",
        "audio/pcm": "pcm",
    },
    "video": {
        "video/mp4": "mp4", "video/quicktime": "mov", "video/x-matroska": "mkv",
        "video/webm": "webm", "video/x-flv": "flv", "video/mpeg": "mpeg",
        "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
    },
}  # fmt: skip
_LIST_OF_EXTENSIONS = "pdf|csv|docx?|xlsx?|html?|txt|md|markdown"
_EXTENSION = re.compile(rf"(?i)\.({_LIST_OF_EXTENSIONS})$")
_BY_EXTENSION = {"htm": "html", "markdown": "md"}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\s()\[\]-]")
_MAX_NAME = 200


class MediaWriter:
    """Writes media; documents of one request get names of their own, as the provider wants."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        self._names: set[str] = set()

    def write(self, media: Media) -> dict[str, Any] | None:
        """The content block, or None for what cannot be said."""
        form = _format(media)
        source = _source(media)
        if not form or source is None:
            self._naming.lose_part(_named(media))
            return None
        if media.detail:
            self._naming.lose_part("detail")
        if media.transcript:
            self._naming.lose_part("transcript")
        if media.kind != "document":
            return {media.kind: {"format": form, "source": source}}
        document: dict[str, Any] = {"format": form, "name": self._name(media), "source": source}
        if media.context:
            document["context"] = media.context
        if media.cite:
            document["citations"] = {"enabled": True}
        return {"document": document}

    def _name(self, media: Media) -> str:
        """Letters, digits, single spaces, hyphens, brackets, and no name twice."""
        plain = _EXTENSION.sub("", media.name)
        name = " ".join(_NOT_IN_NAMES.sub("-", plain).split())[:_MAX_NAME].strip()
        if name != plain.strip():
            self._naming.lose_part("filename")
        name = name or "document"
        number, unique = 1, name
        while unique in self._names:
            number += 1
            unique = f"{name[: _MAX_NAME - 8]} {number}"
        self._names.add(unique)
        return unique


def _format(media: Media) -> str:
    mime = media.mime.partition(";")[0].strip().lower()
    found = _FORMATS[media.kind].get(mime, "")
    if found or media.kind != "document":
        return found
    extension = _EXTENSION.search(media.name or media.url)
    if extension:
        return _BY_EXTENSION.get(extension[1].lower(), extension[1].lower())
    return "txt" if media.text or mime.startswith("text/") else ""


def _source(media: Media) -> dict[str, Any] | None:
    if media.data:
        return {"bytes": media.data}
    if media.url.startswith("s3://"):
        return {"s3Location": {"uri": media.url}}
    if media.text:
        return {"bytes": base64.b64encode(media.text.encode()).decode()}
    return None


def _named(media: Media) -> str:
    """What of a medium cannot be said."""
    if media.file_id:
        return "file_id"
    if media.url:
        return f"{media.kind}_url"
    return media.kind
