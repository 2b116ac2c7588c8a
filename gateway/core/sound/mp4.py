"""MP4 and its kin: the length that its movie header tells, or its fragments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gateway.core.sound.window import Window, believed, number

_BEGINNINGS: Final = (b"ftyp", b"styp", b"moov", b"mdat", b"free", b"skip", b"wide")
_MOST_BOXES = 1_000
_MOST_KBPS = 2_000  # of sound alone, packed without loss
_UNKNOWN = (0, 0xFFFFFFFF, (1 << 64) - 1)


def is_mp4(head: bytes) -> bool:
    """Whether a file begins with a box that such files begin with."""
    return head[4:8] in _BEGINNINGS


def length(seen: Window) -> int:
    """Milliseconds of a file of boxes."""
    indexed = 0
    for name, start, end in _boxes(seen, 0, seen.size):
        if name == b"moov":
            return _of_movie(seen, start, end)
        if name == b"sidx":
            indexed = indexed or _indexed(seen.at(start, 1 << 16))
    return indexed


def _boxes(seen: Window, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes in a range: name, and where its content begins and ends."""
    for _ in range(_MOST_BOXES):
        head = seen.at(at, 16)
        if len(head) < 8 or at + 8 > stop:
            return
        size, skip = number(head, 0, 4), 8
        if size == 1:
            size, skip = number(head, 8, 8), 16
        end = at + size if size else stop
        if end < at + skip:
            return
        yield head[4:8], at + skip, min(end, stop)
        at = end


def _of_movie(seen: Window, start: int, end: int) -> int:
    told = scale = of_track = longest = 0
    shown = False
    for name, inner, stop in _boxes(seen, start, end):
        if name == b"mvhd":
            scale, duration = _times(seen.at(inner, 32))
            told = duration * 1000 // scale if scale and duration not in _UNKNOWN else 0
        elif name == b"trak":
            ticks, lasts, pictures = _track(seen, inner, stop)
            of_track = ticks or of_track
            longest, shown = max(longest, lasts), shown or pictures
        elif name == b"mvex" and not told:
            told = _extended(seen, inner, stop, scale)
    told = max(told, longest) or _in_fragments(seen, end, of_track)
    return told if shown else believed(told, seen.size, _MOST_KBPS)


def _times(box: bytes) -> tuple[int, int]:
    """The scale and the duration of a movie's or a medium's header."""
    if box[:1] == b"\x01":
        return number(box, 20, 4), number(box, 24, 8)
    return number(box, 12, 4), number(box, 16, 4)


def _track(seen: Window, start: int, end: int) -> tuple[int, int, bool]:
    """A track's scale, its milliseconds, and whether it is pictures and not sound."""
    scale = lasts = 0
    pictures = False
    for name, inner, stop in _boxes(seen, start, end):
        if name != b"mdia":
            continue
        for child, at, _ in _boxes(seen, inner, stop):
            if child == b"mdhd":
                scale, duration = _times(seen.at(at, 32))
                lasts = duration * 1000 // scale if scale and duration not in _UNKNOWN else 0
            elif child == b"hdlr":
                pictures = seen.at(at, 12)[8:] == b"vide"
    return scale, lasts, pictures


def _extended(seen: Window, start: int, end: int, scale: int) -> int:
    for name, inner, _ in _boxes(seen, start, end):
        if name == b"mehd" and scale:
            box = seen.at(inner, 12)
            wide = 8 if box[:1] == b"\x01" else 4
            return number(box, 4, wide) * 1000 // scale
    return 0


def _in_fragments(seen: Window, start: int, scale: int) -> int:
    """Where an index tells nothing, the last fragment that can be seen says when it begins."""
    for name, inner, _ in _boxes(seen, start, seen.size):
        if name == b"sidx":
            return _indexed(seen.at(inner, 1 << 16))
    found = seen.last.rfind(b"tfdt")
    if found < 0 or not scale:
        return 0
    box = seen.last[found + 4 : found + 16]
    wide = 8 if box[:1] == b"\x01" else 4
    return number(box, 4, wide) * 1000 // scale


def _indexed(box: bytes) -> int:
    """The sum of what a segment index lists."""
    scale = number(box, 8, 4)
    at = 28 if box[:1] == b"\x01" else 20
    count = min(number(box, at + 2, 2), max(0, len(box) - at - 4) // 12)
    total = sum(number(box, at + 8 + 12 * n, 4) for n in range(count))
    return total * 1000 // scale if scale else 0
