"""Forms come out part by part, byte for byte, however they were split; what is malformed does not.

The reference is the form itself: it is written from its parts, and read back.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.core.multipart import (
    Event,
    Finished,
    Limits,
    Parser,
    PartBegun,
    PartData,
    PartEnded,
    boundary_of,
)
from gateway.errors import Fault

MARK = b"XbX"
TEXT = b'Content-Disposition: form-data; name="model"'
FILE = b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg'
CLOSE = b"--XbX--\r\n"

Parts = list[tuple[PartBegun, bytes]]
_BEGUN = PartBegun("model", None, "")


def part(head: bytes, content: bytes = b"") -> bytes:
    return b"--" + MARK + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def events(*pieces: bytes, limits: Limits | None = None) -> list[Event]:
    parser = Parser(MARK, limits or Limits())
    found = [event for piece in pieces for event in parser.feed(piece)]
    parser.end()
    return found


def read(*pieces: bytes) -> Parts:
    """The parts of a form, each with its bytes; the events come in their order."""
    parts: Parts = []
    open_part = False
    found = events(*pieces)
    assert found[-1] == Finished()
    assert found.count(Finished()) == 1
    for event in found[:-1]:
        if isinstance(event, PartBegun):
            assert not open_part
            parts.append((event, b""))
            open_part = True
        elif isinstance(event, PartData):
            assert open_part
            assert event.data
            parts[-1] = (parts[-1][0], parts[-1][1] + event.data)
        else:
            assert isinstance(event, PartEnded)
            assert open_part
            open_part = False
    assert not open_part
    return parts


def refusal(*pieces: bytes, limits: Limits | None = None) -> Fault:
    with pytest.raises(Fault) as caught:
        events(*pieces, limits=limits)
    assert caught.value.kind.code == "invalid_request"
    return caught.value


WHOLE = (
    b"nobody reads this\r\n"
    + part(TEXT, b"whisper-1")
    + part(FILE, b"ID3\r\n--Xb\r\n\r--XbY\r\n-\r\r\n--\r\n" + bytes(range(256)))
    + part(TEXT, b"")
    + b"--XbX  \t\r\n"
    + TEXT
    + b"\r\n\r\n--XbX--  whatever\r\n--XbX\r\nfollows"
)


def test_split_at_every_byte() -> None:
    """Two pieces, and single bytes, give the same parts as the whole."""
    whole = read(WHOLE)
    assert [begun.name for begun, _ in whole] == ["model", "file", "model", "model"]
    assert [content for _, content in whole[2:]] == [b"", b""]
    assert whole[1][1].endswith(bytes(range(256)))
    assert whole[1][0].filename == "a.mp3"
    for at in range(len(WHOLE) + 1):
        assert read(WHOLE[:at], WHOLE[at:]) == whole
    assert read(*(WHOLE[at : at + 1] for at in range(len(WHOLE)))) == whole


CONTENT = st.lists(
    st.binary(max_size=6) | st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"\r\n--Xb", b"XbX"]),
    max_size=8,
).map(lambda pieces: b"".join(pieces).replace(b"--XbX", b"").replace(b"--XbX", b""))


@given(st.lists(CONTENT, max_size=4), st.lists(st.integers(0, 400), max_size=12))
def test_any_content_and_any_split(contents: list[bytes], cuts: list[int]) -> None:
    """What was written is what is read, unless it holds the boundary itself."""
    assume(not any(b"--XbX" in one for one in contents))
    whole = b"".join(part(TEXT, one) for one in contents) + CLOSE
    ends = sorted(min(cut, len(whole)) for cut in cuts)
    pieces = [whole[a:b] for a, b in zip([0, *ends], [*ends, len(whole)], strict=True)]
    assert read(*pieces) == [(_BEGUN, one) for one in contents]


@given(st.lists(CONTENT, max_size=6), st.integers(0, 60))
def test_garbage_is_refused_alike_however_split(pieces: list[bytes], at: int) -> None:
    """Bytes that are no form give the same refusal, or the same events, from every split."""

    def outcome(*given: bytes) -> object:
        try:
            return read(*given)
        except Fault as fault:
            return fault.message

    whole = part(TEXT, b"x") + b"".join(pieces)
    assert outcome(whole[:at], whole[at:]) == outcome(whole)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'Content-Disposition: form-data; name="a"', ("a", None, "")),
        (b"content-disposition:form-data;name=a;filename=b.wav", ("a", "b.wav", "")),
        (b'Content-Disposition: Form-Data; NAME="a;b\\"c\\\\"', ('a;b"c\\', None, "")),
        (
            b'Content-Disposition: form-data; name="a"; filename="C:\\x\\y.mp3"',
            ("a", "C:\\x\\y.mp3", ""),
        ),
        (
            'Content-Disposition: form-data; name="a"; filename="ü😀.mp3"'.encode(),
            ("a", "ü😀.mp3", ""),
        ),
        (
            b"Content-Disposition: form-data; filename=\"u.mp3\"; filename*=UTF-8''%C3%BC.mp3; "
            b"name=a\r\nContent-Type: audio/mpeg; rate=8000",
            ("a", "ü.mp3", "audio/mpeg; rate=8000"),
        ),
        (
            b"Content-Disposition: form-data; name=a; filename*=iso-8859-1'de'%FC%20.mp3",
            ("a", "ü .mp3", ""),
        ),
        (b'Content-Disposition: form-data; name="a"; filename=""', ("a", "", "")),
        (
            b"X: 1\r\nContent-Transfer-Encoding: binary\r\nContent-Disposition: form-data; name=a;",
            ("a", None, ""),
        ),
    ],
)
def test_heads(head: bytes, expected: tuple[str, str | None, str]) -> None:
    """Names in quotes with their escapes, in any case, and file names of both kinds."""
    assert read(part(head, b"1") + CLOSE) == [(PartBegun(*expected), b"1")]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (part(b"", b"1") + CLOSE, "needs 'Content-Disposition"),
        (part(b"Content-Type: text/plain") + CLOSE, "needs 'Content-Disposition"),
        (part(b'Content-Disposition: form-data; name=""') + CLOSE, "needs 'Content-Disposition"),
        (part(b'Content-Disposition: attachment; name="a"') + CLOSE, "needs 'Content-Disposition"),
        (part(TEXT + b"; name=b") + CLOSE, "twice"),
        (part(TEXT + b"\r\n" + TEXT) + CLOSE, "malformed"),
        (part(TEXT + b"\r\n folded") + CLOSE, "malformed"),
        (part(TEXT + b"\nX: y") + CLOSE, "malformed"),
        (part(b"X: \x00\r\n" + TEXT) + CLOSE, "malformed"),
        (part(b'Content-Disposition: form-data; name="a') + CLOSE, "malformed"),
        (part(TEXT + b"\r\nno colon") + CLOSE, "malformed"),
        (part(TEXT + b"; filename*=utf-16''x") + CLOSE, "filename*"),
        (part(TEXT + b"\r\nContent-Type: multipart/mixed; boundary=i") + CLOSE, "plain bytes"),
        (part(TEXT + b"\r\nContent-Transfer-Encoding: base64") + CLOSE, "plain bytes"),
        (part(TEXT, b"x"), "before its closing boundary"),
        (b"", "before its closing boundary"),
        (part(TEXT, b"x") + b"--XbX-", "before its closing boundary"),
        (part(TEXT, b"x") + b"--XbXY\r\n" + CLOSE, "end of its line"),
        (b"--XbX\n" + TEXT + b"\n\nx\n--XbX--\n", "end of its line"),
        (b"--XbX" + b" " * 256 + b"\r\n", "end of its line"),
        (b"{}" * 9_000, "does not begin with the boundary"),
        (part(b"X: " + b"y" * 16_400 + b"\r\n" + TEXT), "too long"),
        (b"--XbX\r\nX: " + b"y" * 16_400, "too long"),
    ],
)
def test_malformed_forms_are_refused(form: bytes, said: str) -> None:
    """Whole and byte by byte, with words that say what is wrong."""
    assert said in refusal(form).message
    assert said in refusal(*(form[at : at + 1] for at in range(len(form)))).message


def test_a_refusal_names_the_field() -> None:
    """Where the part has a name, it is the parameter at fault."""
    nested = part(TEXT + b"\r\nContent-Type: multipart/mixed; boundary=i") + CLOSE
    assert refusal(nested).param == "model"


def test_parts_are_counted() -> None:
    """As many as the limit, and not one more."""
    assert len(read(part(TEXT) * 1_000 + CLOSE)) == 1_000
    assert "more than 1000 parts" in refusal(part(TEXT) * 1_001 + CLOSE).message
    assert "more than 2 parts" in refusal(part(TEXT) * 3 + CLOSE, limits=Limits(parts=2)).message


def test_memory_is_bounded() -> None:
    """Between two pieces nothing is kept but what may be the start of a boundary."""
    parser = Parser(MARK)
    parser.feed(part(FILE)[:-2])
    chunk = b"\r\n--Xb" * 10_000
    for _ in range(20):
        parser.feed(chunk)
        assert len(parser._rest) < len(MARK) + 4
    assert parser.feed(b"X--") == [PartEnded(), Finished()]
    assert parser.feed(chunk) == []


def test_a_long_file_takes_little_time() -> None:
    """100 MB in about a second, also where it is nearly all line ends."""
    for chunk in (bytes(1 << 16), b"\r\n" * (1 << 15), b"\r\n--Xb" * 10_900):
        parser = Parser(MARK)
        parser.feed(part(FILE)[:-2])
        begun = time.process_time()
        taken = sum(len(e.data) for _ in range(1_600) for e in parser.feed(chunk))
        assert taken >= 1_600 * len(chunk) - 8
        assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=utf-8; Boundary="a b/c?=\'()"', b"a b/c?='()"),
        ("multipart/form-data; boundary=----=_Part_0.1", b"----=_Part_0.1"),
        (
            "multipart/form-data;boundary=----WebKitFormBoundary7MA4YW;",
            b"----WebKitFormBoundary7MA4YW",
        ),
    ],
)
def test_boundaries(content_type: str, boundary: bytes) -> None:
    """As clients write them."""
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=abc",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        'multipart/form-data; boundary="ends with a space "',
        "multipart/form-data; boundary=" + "a" * 71,
        'multipart/form-data; boundary="a\r\nb"',
        "multipart/form-data; boundary=ü",
        "multipart/form-data; boundary=a; boundary=b",
    ],
)
def test_silly_boundaries_are_refused(content_type: str) -> None:
    """With a 400."""
    with pytest.raises(Fault) as caught:
        boundary_of(content_type)
    assert caught.value.kind.status == 400
