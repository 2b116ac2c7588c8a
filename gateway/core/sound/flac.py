"""FLAC: the count at its beginning, or else the number of its last frame."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gateway.core.sound.window import Window, believed, number

STREAMINFO: Final = 42  # the mark, a block's head and the block
FRAME: Final = 16  # the longest header of a frame
_MOST_TRIES = 2_000
_BLOCKS = (0, 192, 576, 1152, 2304, 4608, 0, 0, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)


class Stream(Struct, frozen=True):
    """What STREAMINFO says."""

    rate: int
    total: int
    block: int  # samples in each frame, where all have the same
    fixed: bool
    most_kbps: int  # of bare samples, and a little more


def stream(head: bytes | bytearray) -> Stream | None:
    """Read the beginning of a FLAC file."""
    if head[:4] != b"fLaC" or len(head) < STREAMINFO or head[4] & 0x7F:
        return None
    rate = number(head, 18, 3) >> 4
    least, most = number(head, 8, 2), number(head, 10, 2)
    total = number(head, 21, 5) & 0xFFFFFFFFF
    sample_bits = (number(head, 20, 2) >> 4 & 31) + 1
    channels = (head[20] >> 1 & 7) + 1
    most_kbps = rate * channels * sample_bits // 900
    return Stream(rate, total, most, least == most, most_kbps) if rate else None


def frame_end(data: bytes | bytearray, offset: int, known: Stream) -> int | None:
    """How many samples have been at the end of the frame whose header stands here."""
    head = data[offset : offset + FRAME]
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    counted, at = _coded(head, 4)
    block_code, rate_code = head[2] >> 4, head[2] & 15
    block = _BLOCKS[block_code]
    if block_code in (6, 7):
        wide = block_code - 5
        block = number(head, at, wide) + 1
        at += wide
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if not block or rate_code == 15 or at >= len(head) or _crc8(head[:at]) != head[at]:
        return None
    by_sample = bool(head[1] & 1)
    return counted + block if by_sample else counted * known.block + block


def length(seen: Window, start: int) -> int:
    """Milliseconds of a FLAC file."""
    known = stream(seen.at(start, STREAMINFO))
    if known is None:
        return 0
    total = max(known.total, _last(seen.last, known))
    return believed(total * 1000 // known.rate, seen.size - start, known.most_kbps)


def _last(data: bytes, known: Stream) -> int:
    end = len(data)
    for _ in range(_MOST_TRIES):
        end = data.rfind(b"\xff", 0, end)
        if end < 0:
            return 0
        samples = frame_end(data, end, known)
        if samples is not None:
            return samples
    return 0


def _coded(head: bytes | bytearray, at: int) -> tuple[int, int]:
    """A number as UTF-8 writes characters, of up to seven bytes; and where it ends."""
    first = head[at]
    if first < 0x80:
        return first, at + 1
    more = min(7 - (first ^ 0xFF).bit_length(), 6)
    value = first & (0x3F >> more)
    for byte in head[at + 1 : at + 1 + more]:
        value = value << 6 | byte & 0x3F
    return value, at + 1 + more


def _crc8(data: bytes | bytearray) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
