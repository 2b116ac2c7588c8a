"""Files that the simulator makes: a clip that changes its colour each second, and a steady tone.

The clip is H.264 of uncompressed blocks (I_PCM), which is little to write and plays anywhere.
"""

from __future__ import annotations

import math
import struct

from gateway.sdk import voices

_ACROSS, _DOWN = 4, 3  # blocks of 16 by 16 points
_WIDTH, _HEIGHT = _ACROSS * 16, _DOWN * 16
# Brightness and two colours, none of them zero: runs of zeros would have to be escaped.
_COLOURS = ((81, 90, 240), (145, 54, 34), (41, 240, 110), (210, 16, 146))
_RATE = 8_000
_IDENTITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def tone(milliseconds: int) -> bytes:
    """A WAV file of 440 Hz."""
    count = _RATE * milliseconds // 1000
    period = bytes(int(128 + 40 * math.sin(2 * math.pi * 11 * at / 200)) for at in range(200))
    samples = (period * (count // 200 + 1))[:count]
    return voices.wav_header(count, _RATE, bits=8) + samples


def clip(milliseconds: int) -> bytes:
    """An MP4 file of a frame a second."""
    count = max(1, milliseconds // 1000)
    frames = [_frame(number) for number in range(count)]
    brand = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    # Where the frames lie follows from how long the tables are, whatever stands in them.
    start = len(brand) + len(_tables(frames, milliseconds, 0)) + 8
    return brand + _tables(frames, milliseconds, start) + _box(b"mdat", b"".join(frames))


class _Bits:
    """Bits in the order they are written in."""

    def __init__(self) -> None:
        self._bits = ""

    def put(self, value: int, width: int) -> _Bits:
        """A number of so many bits."""
        self._bits += format(value, f"0{width}b")
        return self

    def golomb(self, *values: int) -> _Bits:
        """Numbers in the code that gives the small ones few bits."""
        for value in values:
            code = format(value + 1, "b")
            self._bits += "0" * (len(code) - 1) + code
        return self

    def aligned(self, end: str = "") -> bytes:
        """The bytes so far; `end` is the bit that marks the end."""
        bits = self._bits + end
        bits += "0" * (-len(bits) % 8)
        return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _settings() -> tuple[bytes, bytes]:
    """What a decoder is told beforehand: the sequence's and the picture's parameters."""
    sequence = _Bits().put(66, 8).put(0xC0, 8).put(10, 8).golomb(0, 0, 2, 0).put(0, 1)
    sequence.golomb(_ACROSS - 1, _DOWN - 1).put(0b1000, 4)
    picture = _Bits().golomb(0, 0).put(0, 2).golomb(0, 0, 0).put(0, 3).golomb(0, 0, 0).put(0, 3)
    return b"\x67" + _escaped(sequence.aligned("1")), b"\x68" + _escaped(picture.aligned("1"))


def _frame(number: int) -> bytes:
    """One picture of one colour, with its length in front."""
    light, blue, red = _COLOURS[number % len(_COLOURS)]
    block = bytes([light]) * 256 + bytes([blue]) * 64 + bytes([red]) * 64
    head = _Bits().golomb(0, 7, 0).put(0, 4).golomb(number % 2).put(0, 2).golomb(0)
    first = head.golomb(25).aligned()
    others = (_Bits().golomb(25).aligned() + block) * (_ACROSS * _DOWN - 1)
    unit = b"\x65" + _escaped(first + block + others + b"\x80")
    return struct.pack(">I", len(unit)) + unit


def _escaped(data: bytes) -> bytes:
    """What looks like the start of something else is broken up."""
    out = bytearray()
    zeros = 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _tables(frames: list[bytes], milliseconds: int, start: int) -> bytes:
    each = milliseconds // len(frames)
    last = milliseconds - each * (len(frames) - 1)
    runs = [(len(frames) - 1, each), (1, last)] if len(frames) > 1 else [(1, last)]
    times = b"".join(struct.pack(">2I", *run) for run in runs)
    sizes = b"".join(struct.pack(">I", len(frame)) for frame in frames)
    samples = _box(
        b"stbl",
        _full(b"stsd", struct.pack(">I", 1) + _description()),
        _full(b"stts", struct.pack(">I", len(runs)) + times),
        _full(b"stsc", struct.pack(">4I", 1, 1, len(frames), 1)),
        _full(b"stsz", struct.pack(">2I", 0, len(frames)) + sizes),
        _full(b"stco", struct.pack(">2I", 1, start)),
    )
    reference = _box(b"dinf", _full(b"dref", struct.pack(">I", 1) + _full(b"url ", b"", flags=1)))
    information = _box(b"minf", _full(b"vmhd", bytes(8), flags=1), reference, samples)
    media = _box(
        b"mdia",
        _full(b"mdhd", struct.pack(">4I2H", 0, 0, 1000, milliseconds, 0x55C4, 0)),
        _full(b"hdlr", bytes(4) + b"vide" + bytes(12) + b"video\0"),
        information,
    )
    size = struct.pack(">2I", _WIDTH << 16, _HEIGHT << 16)
    place = struct.pack(">5I", 0, 0, 1, 0, milliseconds) + bytes(16) + _IDENTITY + size
    track = _box(b"trak", _full(b"tkhd", place, flags=3), media)
    whole = struct.pack(">4IIH", 0, 0, 1000, milliseconds, 0x10000, 0x100)
    header = _full(b"mvhd", whole + bytes(10) + _IDENTITY + bytes(24) + struct.pack(">I", 2))
    return _box(b"moov", header, track)


def _description() -> bytes:
    sequence, picture = _settings()
    told = b"\x01" + sequence[1:4] + b"\xff\xe1" + struct.pack(">H", len(sequence)) + sequence
    told += b"\x01" + struct.pack(">H", len(picture)) + picture
    resolution = struct.pack(">2I", 72 << 16, 72 << 16)
    head = bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">2H", _WIDTH, _HEIGHT)
    head += resolution + bytes(4) + struct.pack(">H", 1) + bytes(32) + b"\0\x18\xff\xff"
    return _box(b"avc1", head, _box(b"avcC", told))


def _box(name: bytes, *parts: bytes) -> bytes:
    inside = b"".join(parts)
    return struct.pack(">I", len(inside) + 8) + name + inside


def _full(name: bytes, inside: bytes, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags), inside)
