"""WAV: what its header says, and a header for sound that is still to come."""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from gateway.core.sound.window import Window, small

_PLAIN: Final = (1, 3, 0xFFFE)  # tags of formats whose samples all have the same size
_MOST_CHUNKS = 64
HEADER: Final = 44
# Streams say "as long as it goes on" so; players then read to the end.
ENDLESS: Final = 0xFFFFFFFF


class Format(Struct, frozen=True):
    """What a `fmt ` chunk says of the sound."""

    tag: int = 1
    channels: int = 1
    rate: int = 24_000
    bits: int = 16
    average: int = 48_000

    @property
    def per_second(self) -> int:
        """Bytes in a second of it."""
        if self.tag in _PLAIN and self.channels and self.bits:
            return self.rate * self.channels * ((self.bits + 7) // 8)
        return self.average


def format_of(chunk: bytes) -> Format:
    """Read a `fmt ` chunk."""
    return Format(
        tag=small(chunk, 0, 2),
        channels=small(chunk, 2, 2),
        rate=small(chunk, 4, 4),
        average=small(chunk, 8, 4),
        bits=small(chunk, 14, 2),
    )


def is_wave(head: bytes | bytearray) -> bool:
    """Whether a file begins as WAV does, or as its forms for large files do."""
    return head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE"


def length(seen: Window) -> int:
    """Milliseconds of a WAV file; a size that can't be is taken to be all the rest.

    Samples in several pieces are played one after the other, so all of them count.
    """
    at, known, samples = 12, None, 0
    for _ in range(_MOST_CHUNKS):
        head = seen.at(at, 8)
        if len(head) < 8:
            break
        size = small(head, 4, 4)
        if head[:4] == b"fmt ":
            known = format_of(seen.at(at + 8, 16))
        elif head[:4] == b"data":
            rest = max(0, seen.size - at - 8)
            size = min(size or rest, rest)
            samples += size
        at += 8 + size + (size & 1)
    else:
        samples += max(0, seen.size - at)
    per_second = known.per_second if known else 0
    return samples * 1000 // per_second if per_second else 0


def header(size: int | None = None, rate: int = 24_000, channels: int = 1, bits: int = 16) -> bytes:
    """The header of a WAV file whose samples follow it; without a size, of one without an end.

    An unknown size stands as 0xFFFFFFFF in both places, as ffmpeg and OpenAI write it when they
    stream: players and Python's readers alike take what follows to its end.
    """
    per_second = rate * channels * bits // 8
    whole = ENDLESS if size is None else min(size + HEADER - 8, ENDLESS)
    data = ENDLESS if size is None else min(size, ENDLESS)
    about = struct.pack("<HHIIHH", 1, channels, rate, per_second, channels * bits // 8, bits)
    return b"RIFF%bWAVEfmt %b%bdata%b" % (
        struct.pack("<I", whole),
        struct.pack("<I", len(about)),
        about,
        struct.pack("<I", data),
    )
