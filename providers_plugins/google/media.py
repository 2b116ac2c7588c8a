"""Pictures, recordings and documents as this wire's parts."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from gateway.sdk import invalid
from gateway.sdk.talk import Losses, Media
from providers_plugins.google.home import Home

_BY_KIND = {
    "image": "image/jpeg",
    "audio": "audio/mpeg",
    "document": "application/pdf",
    "video": "video/mp4",
}
_BY_ENDING = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
}
_VIDEO_HOSTS = frozenset({"youtube.com", "www.youtube.com", "m.youtube.com", "youtu.be"})
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*)?;base64,", re.IGNORECASE)


def media_part(media: Media, home: Home, base_url: str, losses: Losses) -> dict[str, Any]:
    """One part; what can't be said beside it is lost, a file that can't be sent is refused."""
    _lose_remarks(media, home, losses)
    if media.text and not media.data:
        return {"text": media.text}
    name = {"displayName": media.name} if media.name and home.named else {}
    inline = _DATA_URL.match(media.url) if media.url[:5].lower() == "data:" else None
    if media.data:
        mime = media.mime or _BY_KIND[media.kind]
        return {"inlineData": {"mimeType": mime, "data": media.data, **name}}
    if inline:
        mime = media.mime or inline[1] or _BY_KIND[media.kind]
        return {"inlineData": {"mimeType": mime, "data": media.url[inline.end() :], **name}}
    uri = _uri(media, home, base_url)
    return {"fileData": {**_mime_of(media, uri, base_url), "fileUri": uri, **name}}


def _lose_remarks(media: Media, home: Home, losses: Losses) -> None:
    if media.detail not in ("", "auto"):
        losses.lose("detail")
    if media.cache:
        losses.lose("cache_control")
    if media.cite:
        losses.lose("citations")
    if media.context:
        losses.lose("context")
    if media.transcript and not media.data:
        losses.lose("transcript")
    if media.name and not home.named:
        losses.lose("filename")


def _uri(media: Media, home: Home, base_url: str) -> str:
    """Only what the provider fetches itself: the gateway never downloads for a client."""
    if media.url.startswith(("https://", "gs://")):
        return media.url
    if media.file_id.startswith(("https://", "gs://")):
        return media.file_id
    if media.file_id.startswith("files/") and home.ids:
        return f"{base_url}/{media.file_id}"
    if media.url:
        raise invalid("This route takes files as data, or from https and gs URLs.", "url")
    raise invalid("This route does not know the file; send it as data or as a URL.", "file_id")


def _mime_of(media: Media, uri: str, base_url: str) -> dict[str, str]:
    if media.mime:
        return {"mimeType": media.mime}
    if uri.startswith(f"{base_url}/files/"):
        return {}  # the provider knows what was uploaded to it
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise invalid("The URL of a file is malformed.", "url") from None
    if (parts.hostname or "") in _VIDEO_HOSTS:
        return {"mimeType": "video/mp4"}
    ending = parts.path.rpartition(".")[2].lower()
    return {"mimeType": _BY_ENDING.get(ending, _BY_KIND[media.kind])}
