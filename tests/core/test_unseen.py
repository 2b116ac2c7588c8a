"""What is linked, named or packed is found, in whatever dialect and spelling; nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.estimate import input_tokens, may_have_parts, weighed
from gateway.core.unseen import most_tokens, unseen_pieces

LINK = "https://a.test/a"
PIECES: list[dict[str, Any]] = [
    {"type": "file_url", "file_url": {"url": LINK}},
    {"type": "document_url", "document_url": LINK},
    {"type": "video_url", "video_url": {"url": LINK}},
    {"type": "video_url", "video_url": LINK},
    {"type": "audio_url", "audio_url": {"url": LINK}},
    {"type": "file", "file": {"file_id": "f1"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
    {"type": "input_file", "file_url": LINK},
    {"type": "input_file", "file_id": "f1"},
    {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
    {"type": "document", "source": {"type": "url", "url": LINK}},
    {"type": "document", "source": {"type": "file", "file_id": "f1"}},
    {"type": "document", "source": {"type": "base64", "data": "AAAA"}},
    {"type": "input_audio", "input_audio": {"data": LINK, "format": "wav"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "flac"}},
    {"type": "video", "video": [LINK]},
    {"type": "tool_result", "content": [{"type": "document", "source": {"type": "url"}}]},
    {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,AAAA"}},
    {"type": "image_url", "image_url": {"url": "data:application/pdf;base64," + "A" * 3_000}},
    {"type": "image_url", "image_url": {"url": "https://a.test/a.MP4?b"}},
    {"type": "image_url", "image_url": "https://youtu.be/x"},
    {"type": "image", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}},
    {"type": "image", "source": {"type": "file", "file_id": "files/abc"}},
]  # fmt: skip
OTHERS: list[dict[str, Any]] = [
    {"type": "text", "text": '"file_id": "f1"'},
    {"type": "image_url", "image_url": {"url": LINK + ".png"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000}},
    {"type": "image_url", "image_url": LINK},
    {"type": "input_image", "file_id": "f1"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    {"type": "image", "source": {"type": "url", "url": "https://a.test/files/a.png"}},
    {"type": "document", "source": {"type": "text", "data": "words"}},
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "tool_use", "id": "t", "name": "open", "input": {"file_id": "f1", "url": LINK}},
    {"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": LINK}]},
    {"type": "redacted_thinking", "data": "AAAA"},
]  # fmt: skip


def body(part: object, where: str = "messages", **more: Any) -> bytes:
    said = [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]
    return json.dumps({"model": "m", where: said, **more}).encode()


def found(raw: bytes) -> int:
    """As a call has it: nothing is looked for where nothing speaks for it."""
    return unseen_pieces(raw) if weighed(raw)[1] or may_have_parts(raw) else 0


@pytest.mark.parametrize("where", ["messages", "input"])
@pytest.mark.parametrize("length", [0, 2_000])
@pytest.mark.parametrize("part", PIECES)
def test_what_nobody_sees(part: dict[str, Any], length: int, where: str) -> None:
    """In short bodies and long ones, in each dialect."""
    assert found(body(part, where, about="x" * length)) == 1


@pytest.mark.parametrize("length", [0, 2_000])
@pytest.mark.parametrize("part", OTHERS)
def test_what_is_there_to_be_seen(part: dict[str, Any], length: int) -> None:
    """Texts, pictures, and what only sounds like a file."""
    assert found(body(part, about="x" * length)) == 0


def test_a_tool_may_ask_for_files() -> None:
    """What its schema names is no file."""
    tool = {"type": "function", "function": {"parameters": {"properties": {"file_id": {}}}}}
    assert found(body({"type": "text", "text": "x"}, tools=[tool])) == 0


def test_what_fills_a_template() -> None:
    """The variables of a prompt that the provider keeps may be files."""
    prompt = {"id": "p", "variables": {"a": {"type": "input_file", "file_id": "f"}, "b": "x"}}
    assert unseen_pieces(json.dumps({"model": "m", "prompt": prompt, "input": []}).encode()) == 1
    assert (
        unseen_pieces(b'{"model":"m","prompt":["' + b'a","' * 300 + b'"],"about":{"url":"x"}}') == 0
    )


def test_what_said_by_whom() -> None:
    """An answer that was spoken is named by the message itself."""
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "audio": {"id": "a"}}]
    raw = json.dumps({"model": "m", "messages": said, "about": "x" * 2_000}).encode()
    assert found(raw) == 1


@st.composite
def respelled(draw: st.DrawFn, raw: bytes) -> bytes:
    """The same JSON: any letter of its strings may be an escape, in either case."""
    hidden = draw(
        st.sets(st.integers(0, len(raw) - 1), max_size=40) | st.just(set(range(len(raw))))
    )
    upper = draw(st.booleans())
    spelled, inside, before = bytearray(), False, b""
    for at, byte in enumerate(raw):
        one = bytes((byte,))
        inside ^= one == b'"' and before != b"\\"
        if at in hidden and inside and (one.isalnum() or one == b"_") and before != b"\\":
            spelled += b"\\u%04X" % byte if upper else b"\\u%04x" % byte
        else:
            spelled += one
        before = one
    assert json.loads(spelled) == json.loads(raw)
    return bytes(spelled)


@given(st.data(), st.sampled_from(PIECES), st.sampled_from([0, 2_000]))
def test_no_spelling_hides_it(data: st.DataObject, part: dict[str, Any], length: int) -> None:
    """Neither a name nor a type has but one way to be written."""
    plain = body(part, about=" " * length)
    assert found(data.draw(respelled(plain))) == 1


@given(st.data(), st.sampled_from([*PIECES, *OTHERS]), st.sampled_from([0, 2_000]))
def test_no_spelling_is_cheaper(data: st.DataObject, part: dict[str, Any], length: int) -> None:
    """The estimate has the allowance of what is linked, too."""
    plain = body(part, about=" " * length)
    assert input_tokens(data.draw(respelled(plain))) >= input_tokens(plain)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda within: (
    st.lists(within)
    | st.dictionaries(st.sampled_from(["type", "content", "source", "url", "image_url"]), within)
)))  # fmt: skip
def test_any_body_can_be_looked_at(said: object) -> None:
    """Whatever is where parts should be."""
    assert unseen_pieces(json.dumps({"messages": said}).encode()) >= 0


def test_no_body_takes_long() -> None:
    """What has more parts than a conversation has is taken for a piece."""
    parts = [{"type": "text"}] * 6_000
    assert unseen_pieces(json.dumps({"messages": parts}).encode()) == 0
    assert unseen_pieces(json.dumps({"messages": parts * 3}).encode()) == 1
    assert unseen_pieces(json.dumps({"input": [[1] * 100_000] * 4}).encode()) == 0


def test_a_link_may_be_said_to_be_a_sound() -> None:
    """However its colon is written."""
    raw = body({"type": "input_audio", "input_audio": {"data": LINK, "format": "wav"}})
    assert found(raw.replace(b"https:", b"https\\u003a")) == 1


def test_how_long_it_may_be() -> None:
    """As long as the route's window; where it has none, so much for each."""
    assert most_tokens(50, 3, 128_000) == 128_000
    assert most_tokens(200_000, 1, 128_000) == 200_000
    assert most_tokens(50, 3, None) == 600_050


def test_the_estimate_is_what_it_was() -> None:
    """Plain text is text, whatever the look at it says."""
    for raw in (body({"type": "text", "text": "x"}), b'{"model":"m","messages":[]}'):
        assert input_tokens(raw) == len(raw) // 3 + 8
