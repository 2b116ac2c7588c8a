"""Ogg: pages that say how far the sound has come, in opus, vorbis, speex or flac."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from gateway.core.sound.window import Window, believed, number, small

PAGE: Final = 27  # bytes of a page's header before its table of segments
_NOWHERE = (1 << 64) - 1  # a page on which no packet ends
_OPUS_RATE = 48_000
_MOST_PAGES = 200


class Codec(Struct, frozen=True):
    """How positions of a stream become time."""

    rate: int
    skip: int = 0
    serial: int = 0
    most_kbps: int = 512

    def milliseconds(self, position: int) -> int:
        """The time at a position."""
        return max(0, position - self.skip) * 1000 // self.rate


class Page(Struct, frozen=True):
    """A page's header."""

    length: int
    start: int  # of its packets
    position: int | None
    serial: int
    first: bool


def page(data: bytes | bytearray, offset: int = 0) -> Page | None:
    """The page whose header stands here whole, if it is one."""
    if data[offset : offset + 5] != b"OggS\x00" or len(data) < offset + PAGE:
        return None
    segments = data[offset + 26]
    start = PAGE + segments
    if len(data) < offset + start:
        return None
    position = small(data, offset + 6, 8)
    return Page(
        length=start + sum(data[offset + PAGE : offset + start]),
        start=start,
        position=None if position == _NOWHERE else position,
        serial=small(data, offset + 14, 4),
        first=bool(data[offset + 5] & 2),
    )


def codec(packet: bytes | bytearray, serial: int) -> Codec | None:
    """What a stream's first packet says it is; None for what is not sound."""
    rate, skip = 0, 0
    if packet[:8] == b"OpusHead":
        rate, skip = _OPUS_RATE, small(packet, 10, 2)
    elif packet[:7] == b"\x01vorbis":
        rate = small(packet, 12, 4)
    elif packet[:8] == b"Speex   ":
        rate = small(packet, 36, 4)
    elif packet[:5] == b"\x7fFLAC":
        rate = number(packet, 27, 3) >> 4
    whole = packet[:5] == b"\x7fFLAC"
    return Codec(rate, skip, serial, 6_000 if whole else 512) if rate else None


def length(seen: Window) -> int:
    """Milliseconds of an Ogg file: where its last page of sound says it has come."""
    known, at = None, 0
    while known is None and (found := page(seen.head, at)) is not None and found.first:
        known = codec(seen.head[at + found.start : at + found.length], found.serial)
        at += found.length
    if known is None:
        return 0
    end, reached, looked = len(seen.last), 0, 0
    while (end := seen.last.rfind(b"OggS", 0, end)) >= 0 and looked < _MOST_PAGES:
        found = page(seen.last, end)
        if found and found.position is not None and found.serial == known.serial:
            reached = max(reached, found.position)
            looked += 1
    return believed(known.milliseconds(reached), seen.size, known.most_kbps)
