"""How long sound lasts that passes by: one counter for each format, exact for any split.

Each holds back a few bytes of a header at most, and skips what lies between headers by its length.
"""

from __future__ import annotations

from typing import Final, Protocol

from gateway.core.sound import flac, mpeg, ogg, riff
from gateway.core.sound.window import small

# A fraction of a second that every usual rate of samples is a multiple of.
_FINE: Final = 705_600_000
_LONGEST_PAGE: Final = ogg.PAGE + 255
_CODEC = 64  # bytes of a stream's first packet that say what it is
_LONGEST_TAG = 1 << 28


class Counter(Protocol):
    """Counts one stream of sound."""

    @property
    def milliseconds(self) -> int: ...

    def feed(self, data: bytes) -> None: ...


class Nothing:
    """For what cannot be counted."""

    milliseconds = 0

    def feed(self, data: bytes) -> None:
        """Let it pass."""


class Samples:
    """Bare samples: so many bytes a second."""

    def __init__(self, per_second: int = 48_000) -> None:
        self._per_second = per_second
        self._bytes = 0

    @property
    def milliseconds(self) -> int:
        """The time of what has passed."""
        return self._bytes * 1000 // self._per_second

    def feed(self, data: bytes) -> None:
        """Count these."""
        self._bytes += len(data)


class Wave:
    """WAV: its header says how many bytes a second has; the rest is counted."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 12
        self._format: riff.Format | None = None
        self._left: int | None = None  # bytes of sound still to come, once it has begun
        self._bytes = 0

    @property
    def milliseconds(self) -> int:
        """The time of what has passed."""
        per_second = self._format.per_second if self._format else 0
        return self._bytes * 1000 // per_second if per_second else 0

    def feed(self, data: bytes) -> None:
        """Read the header, then count."""
        if self._left is None:
            self._held += data
            if not self._read_header():
                return
            data = bytes(self._held)
            self._held.clear()
        counted = min(len(data), self._left or 0)
        self._bytes += counted
        self._left = (self._left or 0) - counted

    def _read_header(self) -> bool:
        held = self._held
        while True:
            skipped = min(self._skip, len(held))
            del held[:skipped]
            self._skip -= skipped
            if self._skip or len(held) < 8:
                return False
            size = small(held, 4, 4)
            if held[:4] == b"data":
                del held[:8]
                self._left = size if 0 < size < riff.ENDLESS >> 1 else 1 << 62
                return True
            if held[:4] == b"fmt ":
                if len(held) < 24:
                    return False
                self._format = riff.format_of(bytes(held[8:24]))
            self._skip = 8 + size + (size & 1)


class Frames:
    """MP3 and AAC: each frame says how long it is and how long it lasts."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0
        self._fine = 0

    @property
    def milliseconds(self) -> int:
        """The time of the frames that have begun."""
        return self._fine * 1000 // _FINE

    def feed(self, data: bytes) -> None:
        """Go from header to header."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        held = self._held
        held += data[self._skip :]
        at, self._skip = 0, 0
        while at + 10 <= len(held):
            found = mpeg.frame(held, at)
            if found is not None:
                self._fine += found.samples * _FINE // found.rate
                at += found.length
            else:
                at = self._to_next(at)
        if at >= len(held):
            self._skip = at - len(held)
            held.clear()
        else:
            del held[:at]

    def _to_next(self, at: int) -> int:
        """Past a tag, or to where a frame may begin."""
        tag = mpeg.tag_length(self._held[at : at + 10])
        if tag:
            return at + min(tag, _LONGEST_TAG)
        marks = [self._held.find(mark, at + 1) for mark in (b"\xff", b"I")]
        return min((mark for mark in marks if mark >= 0), default=len(self._held))


class Pages:
    """Ogg: pages say how far the sound has come."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._skip = 0
        self._codec: ogg.Codec | None = None
        self._position = 0

    @property
    def milliseconds(self) -> int:
        """The time at the end of the last page."""
        return 0 if self._codec is None else self._codec.milliseconds(self._position)

    def feed(self, data: bytes) -> None:
        """Go from page to page."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        held = self._held
        held += data[self._skip :]
        self._skip = 0
        while held and not self._skip:
            found = ogg.page(held)
            if found is None:
                if len(held) >= _LONGEST_PAGE or not b"OggS\x00".startswith(held[:5]):
                    del held[: max(1, held.find(b"OggS", 1))]
                    continue
                return
            if found.first and len(held) < min(found.length, found.start + _CODEC):
                return
            self._take(found)
            self._skip = max(0, found.length - len(held))
            del held[: found.length]

    def _take(self, found: ogg.Page) -> None:
        if found.first and self._codec is None:
            packet = self._held[found.start : min(found.length, found.start + _CODEC)]
            self._codec = ogg.codec(packet, found.serial)
        elif (
            self._codec
            and found.serial == self._codec.serial
            and found.position is not None
            and found.position < 1 << 62
        ):
            self._position = max(self._position, found.position)


class FlacFrames:
    """FLAC: its frames are numbered one after the other."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._known: flac.Stream | None = None
        self._samples = 0

    @property
    def milliseconds(self) -> int:
        """The time at the end of the last frame that has begun."""
        return 0 if self._known is None else self._samples * 1000 // self._known.rate

    def feed(self, data: bytes) -> None:
        """Look for the header of the frame that is due."""
        held = self._held
        held += data
        if self._known is None:
            if len(held) < flac.STREAMINFO:
                return
            self._known = flac.stream(held) or flac.Stream(44_100, 0, 4096, fixed=True, most_kbps=0)
        at = held.find(b"\xff")
        while 0 <= at <= len(held) - flac.FRAME:
            end = flac.frame_end(held, at, self._known)
            due = end is not None and 0 < end - self._samples <= 65_536
            if end is not None and due:
                self._samples = end
            at = held.find(b"\xff", at + 1)
        del held[: at if at >= 0 else len(held)]
