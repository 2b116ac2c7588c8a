"""Frames of MPEG audio: mp3 and its kin, and AAC in ADTS. Each says how long it is and lasts."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from gateway.core.sound.window import Window, believed, number

HEADER: Final = 7  # the longest header of the two, as far as it is read
_ID3: Final = 10
_SYNC = re.compile(rb"\xff[\xe0-\xff]")
_MOST_TRIES = 2_000
_LAYER_1 = (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448)
_LAYER_2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_LAYER_3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_LOW_1 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256)
_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44_100, 48_000, 32_000)
_ADTS_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
    8_000, 7_350,
)  # fmt: skip
_TOP_KBPS = 320
_LOOK = 64 << 10
_SAMPLES, _SAMPLE = 32, 4 << 10


class Frame(Struct, frozen=True):
    """A frame's length in bytes, and the time it holds: so many samples at such a rate."""

    length: int
    samples: int
    rate: int
    side: int = 0  # how far after its start a Xing header may stand


def frame(data: bytes | bytearray, offset: int = 0) -> Frame | None:
    """The frame whose header stands here, if it is one."""
    if offset + HEADER > len(data) or data[offset] != 0xFF or data[offset + 1] & 0xE0 != 0xE0:
        return None
    if data[offset + 1] & 0xF6 == 0xF0:
        return _adts(data, offset)
    return _mpeg(data, offset)


def _mpeg(data: bytes | bytearray, offset: int) -> Frame | None:
    version, layer = data[offset + 1] >> 3 & 3, 4 - (data[offset + 1] >> 1 & 3)
    bits, rate_at = data[offset + 2] >> 4, data[offset + 2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or rate_at == 3:
        return None
    full = version == 3
    rate = _RATES[rate_at] >> (0 if full else 1 if version == 2 else 2)
    tables = (_LAYER_1, _LAYER_2, _LAYER_3) if full else (_LOW_1, _LOW, _LOW)
    rate_bits = tables[layer - 1][bits] * 1000
    padding = data[offset + 2] >> 1 & 1
    if layer == 1:
        return Frame((12 * rate_bits // rate + padding) * 4, 384, rate)
    samples = 576 if layer == 3 and not full else 1152
    mono = data[offset + 3] >> 6 == 3
    side = (17 if mono else 32) if full else (9 if mono else 17)
    return Frame(samples // 8 * rate_bits // rate + padding, samples, rate, side)


def _adts(data: bytes | bytearray, offset: int) -> Frame | None:
    rate_at = data[offset + 2] >> 2 & 15
    length = (data[offset + 3] & 3) << 11 | data[offset + 4] << 3 | data[offset + 5] >> 5
    if rate_at >= len(_ADTS_RATES) or length < HEADER:
        return None
    blocks = (data[offset + 6] & 3) + 1
    return Frame(length, 1024 * blocks, _ADTS_RATES[rate_at])


def tag_length(data: bytes | bytearray) -> int:
    """How long the ID3 tag is that the bytes begin with; 0 where there is none."""
    if len(data) < _ID3 or data[:3] != b"ID3" or max(data[6:10]) > 127:
        return 0
    size = data[6] << 21 | data[7] << 14 | data[8] << 7 | data[9]
    return _ID3 + size + (_ID3 if data[5] & 0x10 else 0)


def length(seen: Window, start: int) -> int:
    """Milliseconds of a file of frames that begins here or soon after."""
    data = seen.head[start:] or seen.at(start, _LOOK)
    first, found = _first(data)
    if found is None:  # a long tag hides the beginning: the end tells the rate
        return _by_the_end(seen, start)
    stop = seen.size - (128 if seen.last[-128:-125] == b"TAG" else 0)
    bytes_of_sound = max(0, stop - start - first)
    data = data[first:]
    told = _counted(data, found, bytes_of_sound) or _walked(data, bytes_of_sound)
    sampled = _sampled(seen, start, bytes_of_sound)
    return told if 2 * told >= sampled else sampled


def _by_the_end(seen: Window, start: int) -> int:
    first, found = _first(seen.last)
    return 0 if found is None else _walked(seen.last[first:], max(0, seen.size - start))


def _first(data: bytes) -> tuple[int, Frame | None]:
    """The first frame that another follows: the mark of one alone may be chance."""
    for tries, mark in enumerate(_SYNC.finditer(data)):
        found = frame(data, mark.start())
        if found is not None:
            after = mark.start() + found.length
            if after + HEADER > len(data) or frame(data, after) is not None:
                return mark.start(), found
        if tries >= _MOST_TRIES:
            break
    return 0, None


def _counted(data: bytes, first: Frame, size: int) -> int:
    """What a header of a variable rate says, in the first frame, of all of them."""
    frames = 0
    at = 4 + first.side
    if first.side and data[at : at + 4] in (b"Xing", b"Info") and data[at + 7 : at + 8] != b"":
        frames = number(data, at + 8, 4) if data[at + 7] & 1 else 0
    elif data[36:40] == b"VBRI":
        frames = number(data, 50, 4)
    told = frames * first.samples * 1000 // first.rate
    return believed(told, size, _TOP_KBPS)


def _sampled(seen: Window, start: int, size: int) -> int:
    """The time by frames from all over the file, whatever its beginning says of the rest."""
    fine = length = 0
    for data in seen.samples(start, _SAMPLES, _SAMPLE):
        at, known = _first(data)
        while known is not None and at + known.length <= len(data):
            fine += known.samples * 1_000_000 // known.rate
            length += known.length
            at += known.length
            known = frame(data, at)
    return fine * size // length // 1000 if length else 0


def _walked(data: bytes, size: int) -> int:
    """The time of the frames that can be seen, stretched to all of the file."""
    at, fine = 0, 0
    while (found := frame(data, at)) is not None:
        fine += found.samples * 1_000_000 // found.rate
        at += found.length
    if not at:
        return 0
    return fine * max(size, min(at, len(data))) // at // 1000
