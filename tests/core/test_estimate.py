"""The guess of a request's tokens errs on the high side, whoever tries to make it err."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from gateway.core.estimate import input_tokens

PROSE = "tell me more of the same story, and then some. " * 2_000
BASE64 = "iVBORw0KGgo/+AAA" * 6_000


def size(content: object) -> int:
    return input_tokens(json.dumps({"model": "m", "messages": [{"content": content}]}).encode())


@pytest.mark.parametrize(
    "content",
    [
        PROSE,
        "base64," + PROSE,
        "data:image/png;base64," + PROSE,
        "a" * len(PROSE),
        [{"type": "text", "text": "data:text/plain;base64," + PROSE}],
        [{"type": "text", "text": BASE64}],
        [{"type": "tool_use", "input": {"url": "base64," + PROSE}}],
        [{"type": "tool_use", "input": {"data": PROSE}}],
        'what follows \\"url":"data:a/b;base64,' + PROSE,
    ],
)
def test_text_counts_as_text(content: object) -> None:
    """However it begins, and whatever it looks like."""
    assert size(content) >= len(PROSE) // 3


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + BASE64}},
        {"type": "image_url", "image_url": "data:image/png;base64," + BASE64},
        {"type": "image", "source": {"type": "base64", "data": BASE64}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": BASE64 + "=="}},
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
    ],
)
@pytest.mark.parametrize("slashes", [False, True])
def test_files_count_by_an_allowance(part: object, slashes: bool) -> None:
    """A picture is no text, however its slashes are written."""
    raw = json.dumps({"messages": [{"content": [part]}]})
    if slashes:
        raw = raw.replace("/", "\\/")
    assert 2_000 <= input_tokens(raw.encode()) < 8_000


@pytest.mark.parametrize("name", ["url", "image_url", "data", "file_data", "file", "b64_json"])
def test_a_file_counts_whatever_it_is_called(name: str) -> None:
    """It is no text under any of the names that files go by."""
    raw = json.dumps({"model": "m", "about": PROSE, name: BASE64}).encode()
    text = json.dumps({"model": "m", "about": PROSE}).encode()
    assert 2_000 <= input_tokens(raw) - input_tokens(text) < 8_000


@pytest.mark.parametrize("name", ["image_url", "file_url", "file_id"])
def test_a_link_counts_as_what_it_leads_to(name: str) -> None:
    """What the provider fetches by itself, or has already, is not in the body."""
    raw = json.dumps({"model": "m", "about": PROSE, name: "x"}).encode()
    assert input_tokens(raw) >= len(raw) // 3 + 2_000


def test_hostile_bytes_take_no_time() -> None:
    """The pattern never walks over the same bytes again and again."""
    for raw in (
        b'"url":"' * 100_000,
        b'"data":"data:' + b"a;" * 500_000,
        b'"url":"' + b"\\/" * 10**6,
    ):
        assert input_tokens(raw) > 0


@pytest.mark.parametrize("start", [b"data:image/png;base64,", b""])
def test_a_picture_takes_no_memory(start: bytes) -> None:
    """Its bytes are walked over, and no way back into them is kept."""
    raw = b'{"url":"' + start + b"iVBORw0KGgo+" * 100_000 + b'"}'
    tracemalloc.start()
    assert input_tokens(raw) // 100 == 300
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000
