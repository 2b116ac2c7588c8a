"""How long a file's sound lasts, told from its first and its last bytes."""

from __future__ import annotations

import random
import struct
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.sound.length import HEAD, LONGEST, TAIL, length_of
from tests.core import sounds


def told(file: bytes, *, read: bool = False) -> int:
    """As the gateway asks: of a file, what lies at its beginning and at its end."""

    def reader(offset: int, length: int) -> bytes:
        return file[offset : offset + length]

    chance = random.getrandbits(64)
    return length_of(file[:HEAD], file[-TAIL:], len(file), reader if read else None, chance)


STREAMED_WAV = sounds.wav(2000)[:40] + b"\xff\xff\xff\xff" + sounds.wav(2000)[44:]
FRAGMENTS = (
    sounds.box(b"ftyp", b"iso5")
    + sounds.movie(
        0,
        sounds.box(b"trak", sounds.box(b"mdia", sounds.box(b"mdhd", bytes(12) + b"\0\0\xac\x44"))),
    )
    + sounds.box(b"moof", sounds.box(b"tfdt", bytes(4) + struct.pack(">I", 44_100 * 9)))
    + sounds.box(b"mdat", bytes(900))
)
INDEXED = sounds.box(b"styp", b"msdh") + sounds.box(
    b"sidx",
    bytes(8) + struct.pack(">III", 1000, 0, 0) + struct.pack(">HH", 0, 2)
    + struct.pack(">III", 5, 2500, 0) + struct.pack(">III", 5, 1500, 0),
)  # fmt: skip
EXTENDED = sounds.box(b"ftyp", b"iso5") + sounds.movie(
    0, sounds.box(b"mvex", sounds.box(b"mehd", bytes(4) + struct.pack(">I", 7000)))
)

FILES = {
    "wav": (sounds.wav(2500), 2500),
    "wav of 44.1 kHz in stereo": (sounds.wav(1000, 44_100, 2), 1000),
    "wav without an end": (STREAMED_WAV, 2000),
    "wav in a form for large files": (b"RF64\xff\xff\xff\xff" + STREAMED_WAV[8:], 2000),
    "mp3": (sounds.mp3(100), 2612),
    "mp3 with tags at both ends": (sounds.mp3(100, tag=5000, end=True), 2612),
    "mp3 whose rate varies": (sounds.mp3(300, kbps=(5, 9, 14)), 7836),
    "mp3 that counts its frames": (sounds.xing(1000) + sounds.mp3(999, kbps=(3,)), 26122),
    "mp3 longer than what is seen": (sounds.mp3(4000), 104_488),
    "mp3 whose tag hides its beginning": (sounds.mp3(4000, tag=400_000), 104_488),
    "mp3 that begins in the middle": (b"\x12\x34" * 9 + sounds.mp3(100), 2612),
    "aac": (sounds.adts(100), 2321),
    "opus": (sounds.opus(50), 1000),
    "opus longer than what is seen": (sounds.opus(5000), 100_000),
    "vorbis": (sounds.vorbis(88_200), 2000),
    "flac": (sounds.flac_head(44_100 * 3) + sounds.flac_frame(0), 3000),
    "flac behind a tag": (sounds.id3(100) + sounds.flac_head(44_100 * 3), 3000),
    "flac without a count": (
        sounds.flac_head(0) + b"".join(map(sounds.flac_frame, range(200))), 18_575),
    "mp4": (sounds.mp4(61_234), 61_234),
    "mp4 with its header at the end": (sounds.mp4(61_234, last=True, data=500_000), 61_234),
    "mp4 in fragments": (FRAGMENTS, 9000),
    "mp4 that tells how long its fragments are": (EXTENDED, 7000),
    "mp4 with an index": (INDEXED, 4000),
    "webm": (sounds.webm(12_345.0), 12_345),
    "webm as a browser records it": (sounds.webm(None, clusters=30), 29_980),
    "webm of one cluster": (sounds.webm(None, clusters=1, blocks=1000, size=100), 19_980),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_format_tells_how_long_it_lasts(name: str) -> None:
    file, milliseconds = FILES[name]
    assert told(file) == pytest.approx(milliseconds, abs=1, rel=0.0002)


def test_a_length_between_the_ends_is_asked_for() -> None:
    file = sounds.mp4(61_234, last=True, data=400_000, table=300_000)
    assert told(file) == 0
    assert told(file, read=True) == 61_234


def test_what_a_long_browser_recording_needs_is_taken_from_its_beginning() -> None:
    """Its end begins no cluster: the rate of the beginning stands for all."""
    file = sounds.webm(None, clusters=2, blocks=1500, size=200)
    assert told(file) == pytest.approx(60_000, rel=0.01)


def lie(name: bytes, value: int) -> bytes:
    """A film's sound of a minute whose movie header says otherwise."""
    track = sounds.box(b"mdhd", bytes(12) + struct.pack(">II", 1000, 60_000))
    track = sounds.box(b"trak", sounds.box(b"mdia", track)) if name == b"mvhd" else b""
    film = sounds.box(b"ftyp", b"M4A ") + sounds.movie(value, track)
    return film + sounds.box(b"mdat", bytes(480_000))


SHORT_WAV = sounds.wav(1000)
LIARS: dict[str, tuple[bytes, tuple[int, int]]] = {
    "wav in two pieces": (SHORT_WAV + sounds.wav(60_000)[36:], (61_000, 61_100)),
    "wav in many pieces": (
        SHORT_WAV + (b"data\x02\0\0\0ab" * 100) + sounds.wav(60_000)[36:],
        (61_000, 61_100),
    ),
    "mp3 that counts too few frames": (
        sounds.xing(1_700) + sounds.mp3(4000, kbps=(1,)),
        (90_000, 130_000),
    ),
    "mp3 whose beginning is dense": (
        sounds.mp3(400, kbps=(14,)) + sounds.mp3(8_000, kbps=(1,)),
        (175_000, 265_000),
    ),
    "flac that counts too few": (
        sounds.flac_head(1) + b"".join(map(sounds.flac_frame, range(200))),
        (18_575, 18_576),
    ),
    "opus with a page of the past at its end": (
        sounds.opus(3000) + sounds.ogg_page(b"x", 313),
        (59_900, 60_000),
    ),
    "opus without time": (sounds.opus(3000, each=0), (0, 0)),
    "m4a whose movie is short": (lie(b"mvhd", 1), (60_000, 60_000)),
    "m4a that is short all over": (lie(b"", 1), (0, 0)),
    "webm that is short": (sounds.webm(5.0, clusters=30), (29_000, 30_000)),
    "webm without time": (sounds.webm(1.0, clusters=1, blocks=0) + bytes(100_000), (0, 0)),
}


@pytest.mark.parametrize("name", LIARS)
def test_a_file_cannot_be_shorter_than_what_is_in_it(name: str) -> None:
    """Where it can be seen that it lies, it is as long as it sounds, or tells nothing."""
    file, (least, most) = LIARS[name]
    assert least <= told(file, read=True) <= most


@pytest.mark.parametrize("frames", [1, 10])
def test_a_header_cannot_say_less_than_its_bytes_can_last(frames: int) -> None:
    file = sounds.xing(frames) + sounds.mp3(4000, kbps=(14,))
    assert told(file) > 100_000


@pytest.mark.parametrize(
    "file",
    [b"", b"R", b"ID3", b"\xff\xfb", b"not sound at all" * 50, b"OggS", b"fLaC", b"%PDF-1.7" * 9,
     sounds.wav(0), sounds.box(b"ftyp", b""), sounds.vorbis(-1)],
)  # fmt: skip
def test_what_cannot_be_told_is_nothing(file: bytes) -> None:
    assert told(file) == 0


def test_no_file_lasts_longer_than_a_bound() -> None:
    assert told(sounds.vorbis(1 << 60)) == LONGEST
    assert told(sounds.webm(1e17)) == LONGEST


WHOLE = [file for file, _ in FILES.values()]


@given(st.sampled_from(WHOLE), st.data())
@settings(max_examples=150, deadline=None)
def test_broken_files_never_raise(file: bytes, data: st.DataObject) -> None:
    broken = bytearray(file[:5000])
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, min(len(broken) - 1, 300)))] = data.draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])
        )
    cut = data.draw(st.integers(0, len(broken)))
    seen = bytes(broken[:cut])
    size = data.draw(st.sampled_from([0, len(seen), 10**6, 1 << 62]))
    assert 0 <= length_of(seen, seen[-100:], size, lambda _, n: seen[:n]) <= LONGEST


@given(st.binary(max_size=400), st.sampled_from([0, 50, 1 << 40]))
def test_any_bytes_have_a_length(data: bytes, size: int) -> None:
    for mark in (b"", b"RIFF\0\0\0\0WAVE", b"\x1a\x45\xdf\xa3", b"fLaC", b"\0\0\0\x08ftyp", b"ID3"):
        assert 0 <= length_of(mark + data, data, size) <= LONGEST


@pytest.mark.parametrize(
    "unit",
    [b"\xff\xe0", b"\xff", b"OggS", b"\0\0\0\x08trak", b"\xa3\x80", b"\x1f\x43\xb6\x75\xff",
     b"\xff\xf8\x00\x00\x00", b"RIFF\0\0\0\0", b"\xff\xf3\x18\xc4"],
)  # fmt: skip
def test_work_is_bounded(unit: bytes) -> None:
    body = unit * (HEAD // len(unit) + 1)
    for mark in (b"", b"RIFF\0\0\0\0WAVE", b"\x1a\x45\xdf\xa3\x80", b"\0\0\0\x08ftyp",
                 b"\x00\xff\xff\xffmoov", sounds.flac_head(0), sounds.opus(0)):  # fmt: skip
        begun = time.process_time()
        length_of((mark + body)[:HEAD], body[-TAIL:], 1 << 30, lambda _, n: body[:n])
        assert time.process_time() - begun < 0.5
