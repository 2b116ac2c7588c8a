"""How long sound lasts that passes by in pieces; and WAV headers for sound that is to come."""

from __future__ import annotations

import io
import wave

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.sound import riff
from gateway.core.sound.meter import SoundMeter
from tests.core import sounds
from tests.recorded import cases, meta, needs_corpus, parameters

ENDLESS = riff.header() + bytes(48_000)
HALF = ENDLESS[:40] + b"\xff\xff\xff\x7f" + ENDLESS[44:]  # as some write an unknown length
FLAC = sounds.flac_head(0) + b"".join(map(sounds.flac_frame, range(40)))
SOUNDS = {
    "samples": ("audio/pcm", bytes(48_000), 1000),
    "samples at a rate": ("audio/L16;codec=pcm;rate=16000", bytes(48_000), 1500),
    "wav": ("audio/wav", sounds.wav(2500), 2500),
    "wav without an end": ("audio/wav", ENDLESS, 1000),
    "wav with more behind it": ("", sounds.wav(300) + b"LIST\x04\0\0\0abcd" * 50, 300),
    "wav whose length nobody knew": ("", HALF, 1000),
    "mp3": ("audio/mpeg", sounds.mp3(40), 1044),
    "mp3 with tags": ("audio/mpeg", sounds.mp3(40, tag=700, end=True), 1044),
    "mp3 whose rate varies": ("audio/mpeg", sounds.mp3(30, kbps=(5, 9, 14)), 783),
    "aac": ("audio/aac", sounds.adts(30, 200), 696),
    "opus": ("audio/ogg", sounds.opus(40, size=90), 800),
    "vorbis": ("application/ogg", sounds.vorbis(88_200), 2000),
    "flac": ("audio/flac", FLAC, 40 * 4096 * 1000 // 44_100),
    "flac with a count": ("", sounds.flac_head(99 * 44_100) + FLAC[42:], 3715),
    "events": ("text/event-stream", b"data: {}\n\n" * 50, 0),
    "text": ("", b"no sound at all" * 50, 0),
}  # fmt: skip


def metered(content_type: str, *pieces: bytes) -> int:
    meter = SoundMeter(content_type)
    before = 0
    for piece in pieces:
        meter.feed(piece)
        assert meter.milliseconds >= before
        before = meter.milliseconds
    return before


@pytest.mark.parametrize("name", SOUNDS)
def test_the_same_for_any_split(name: str) -> None:
    content_type, sound, milliseconds = SOUNDS[name]
    assert metered(content_type, sound) == milliseconds
    assert metered(content_type, *(sound[n : n + 1] for n in range(len(sound)))) == milliseconds
    for size in (2, 7, 27, 1000):
        pieces = (sound[n : n + size] for n in range(0, len(sound), size))
        assert metered(content_type, *pieces) == milliseconds


@pytest.mark.parametrize("name", SOUNDS)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_same_split_anywhere(name: str, data: st.DataObject) -> None:
    content_type, sound, milliseconds = SOUNDS[name]
    at = data.draw(st.integers(0, len(sound)))
    assert metered(content_type, sound[:at], sound[at:]) == milliseconds


def held(meter: SoundMeter) -> int:
    return len(getattr(meter._counter, "_held", b"")) + len(meter._begun)


@pytest.mark.parametrize("name", SOUNDS)
def test_next_to_nothing_is_held(name: str) -> None:
    content_type, sound, _ = SOUNDS[name]
    meter = SoundMeter(content_type)
    for n in range(0, len(sound), 100):
        meter.feed(sound[n : n + 100])
        assert held(meter) <= 400


@given(st.binary(max_size=300), st.lists(st.binary(max_size=50), max_size=6))
@settings(deadline=None)
def test_any_bytes_can_pass(data: bytes, more: list[bytes]) -> None:
    beginnings = (
        b"",
        b"RIFF\0\0\0\0WAVE",
        b"OggS\0",
        b"fLaC",
        b"ID3\4\0\0\x7f\x7f\x7f\x7f",
        b"\xff\xfb",
    )
    for mark in beginnings:
        whole = metered("", mark + data, *more)
        assert whole == metered("", b"".join((mark, data, *more)))


@pytest.mark.parametrize(
    "unit", [b"\xff", b"OggS", b"\xff\xf8", b"ID3", b"\xff\xf1\x50\x80\0\xff\xfc"]
)
def test_hostile_bytes_are_not_held(unit: bytes) -> None:
    for mark in (b"", b"OggS\0", b"fLaC", b"RIFF\0\0\0\0WAVEabcd\xff\xff\xff\xff"):
        meter = SoundMeter()
        meter.feed(mark)
        for _ in range(50):
            meter.feed(unit * 500)
            assert held(meter) <= 400


@needs_corpus
@parameters(
    cases("openai", "speech") + cases("xai", "speech") + cases("openrouter", "speech")
    + cases("venice", "speech") + cases("deepgram", "speech")
)  # fmt: skip
def test_corpus_recorded_speech_lasts_seconds(case) -> None:
    """Of about fifteen letters a second."""
    sound = (case / "response.bin").read_bytes()
    content_type = meta(case)["response_headers"]["content-type"]
    whole = metered(content_type, sound)
    assert 900 <= whole <= 5000
    assert metered(content_type, *(sound[n : n + 1] for n in range(len(sound)))) == whole


def test_a_header_of_known_length_is_what_python_writes() -> None:
    assert riff.header(len(sounds.wav(500)) - 44) == sounds.wav(500)[:44]
    made = riff.header(88_200, rate=44_100) + bytes(88_200)
    with wave.open(io.BytesIO(made)) as read:
        assert (read.getframerate(), read.getnframes()) == (44_100, 44_100)


def test_a_header_without_a_length_leaves_all_that_follows_to_be_read() -> None:
    with wave.open(io.BytesIO(ENDLESS)) as read:
        assert read.getframerate() == 24_000
        assert len(read.readframes(1 << 20)) == 48_000
