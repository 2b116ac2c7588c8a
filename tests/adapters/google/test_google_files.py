"""Files on this wire: inline, by reference, inside results, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk.talk import Media, Message, Text, ToolResult, ToolUse
from providers_plugins.google import VERTEX
from tests.adapters.google.asking import BASE, sent, talk, written


def test_files_in_results() -> None:
    """Later models take them inside the result, earlier ones beside it."""
    said = [
        Message("assistant", [ToolUse("c", "f")]),
        Message(
            "user",
            [ToolResult("c", [Text("see"), Media("image", mime="image/png", data="aWNv")])],
        ),
    ]
    file = {"inlineData": {"mimeType": "image/png", "data": "aWNv"}}
    late, _ = written(talk(*said, model="gemini-3-flash"))
    assert late["contents"][1]["parts"][0]["functionResponse"]["parts"] == [file]
    assert len(late["contents"]) == 2
    early, _ = written(talk(*said))
    assert "parts" not in early["contents"][1]["parts"][0]["functionResponse"]
    assert early["contents"][2] == {"role": "user", "parts": [file]}


@pytest.mark.parametrize(
    ("media", "part", "lost"),
    [
        (
            Media("document", mime="application/pdf", data="cGRm", name="a.pdf"),
            {"inlineData": {"mimeType": "application/pdf", "data": "cGRm"}},
            ("filename",),
        ),
        (
            Media("audio", data="d2F2", mime="audio/wav"),
            {"inlineData": {"mimeType": "audio/wav", "data": "d2F2"}},
            (),
        ),
        (
            Media("image", url="data:image/webp;base64,aWNv", detail="high"),
            {"inlineData": {"mimeType": "image/webp", "data": "aWNv"}},
            ("detail",),
        ),
        (
            Media("image", url="https://x.example/a/b.PNG?c=d", detail="auto"),
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x.example/a/b.PNG?c=d"}},
            (),
        ),
        (
            Media("image", url="https://youtu.be/lCdaVNyHtjU"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "https://youtu.be/lCdaVNyHtjU"}},
            (),
        ),
        (
            Media("video", url="gs://bucket/v"),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://bucket/v"}},
            (),
        ),
        (
            Media("document", file_id="files/abc"),
            {"fileData": {"fileUri": f"{BASE}/files/abc"}},
            (),
        ),
        (
            Media("document", text="plain", context="c", cite=True, cache="5m"),
            {"text": "plain"},
            ("cache_control", "citations", "context"),
        ),
    ],
)
def test_files(media: Media, part: dict[str, Any], lost: tuple[str, ...]) -> None:
    """Inline, by reference, or as words."""
    body, named = written(talk(Message("user", [media])))
    assert body["contents"][0]["parts"] == [part]
    assert named == lost


def test_the_cloud_takes_names_of_files() -> None:
    """So nothing is lost there."""
    media = Media("document", mime="application/pdf", data="cGRm", name="a.pdf")
    body, lost = written(talk(Message("user", [media])), VERTEX)
    assert body["contents"][0]["parts"][0]["inlineData"]["displayName"] == "a.pdf"
    assert lost == ()


@pytest.mark.parametrize(
    "media",
    [
        Media("image", url="http://x.example/a.png"),
        Media("image", url="file:///etc/passwd"),
        Media("image", url="https://[::1"),
        Media("image", url="data:image/png,notbase64"),
        Media("document", file_id="file-of-another"),
        Media("image"),
    ],
)
def test_files_that_cannot_be_sent_are_refused(media: Media) -> None:
    """A question about a picture without the picture is another question."""
    with pytest.raises(Fault) as caught:
        sent(talk(Message("user", [media])))
    assert caught.value.kind.status == 400
