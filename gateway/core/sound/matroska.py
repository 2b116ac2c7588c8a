"""Matroska and WebM: the duration they tell, or the times of their last blocks."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final

from gateway.core.sound.window import Window, believed, number

MARK: Final = b"\x1a\x45\xdf\xa3"
_SEGMENT, _INFO, _CLUSTER = 0x18538067, 0x1549A966, 0x1F43B675
_SCALE, _DURATION, _TIME = 0x2AD7B1, 0x4489, 0xE7
_GROUP, _BLOCK, _SIMPLE = 0xA0, 0xA1, 0xA3
_OPENED = (_SEGMENT, _INFO, _CLUSTER, _GROUP)
_USUAL_SCALE = 1_000_000  # nanoseconds in a unit of time
_MOST = 20_000
_MOST_KBPS = 2_000  # of sound alone


def length(seen: Window) -> int:
    """Milliseconds of a file of elements."""
    scale, duration = _USUAL_SCALE, 0.0
    for name, start, size in _elements(seen.head):
        content = seen.head[start : start + size]
        if name == _SCALE:
            scale = number(content, 0, 8) or _USUAL_SCALE
        elif name == _DURATION:
            duration = _float(content)
        elif name == _CLUSTER:
            break
    if duration:
        told = max(int(duration * scale / 1_000_000), _at_the_end(seen) * scale // 1_000_000)
        pictures = b"V_" in seen.head  # the names of codecs begin so
        return told if pictures else believed(told, seen.size, _MOST_KBPS)
    reached = _at_the_end(seen)
    if not reached and seen.head:
        # No cluster begins in the file's end: what the beginning needs in bytes, all of it does.
        reached = _reached(seen.head) * seen.size // len(seen.head)
    return reached * scale // 1_000_000


def _at_the_end(seen: Window) -> int:
    cluster = seen.last.rfind(_CLUSTER.to_bytes(4, "big"))
    return _reached(seen.last[cluster:]) if cluster >= 0 else 0


def _reached(data: bytes) -> int:
    """The time of the last block, in the file's units."""
    base = latest = 0
    for name, start, size in _elements(data):
        if name == _TIME:
            base = number(data, start, min(size, 8))
            latest = max(latest, base)
        elif name in (_SIMPLE, _BLOCK):
            at = start + _width(data[start]) if start < len(data) else start
            apart = int.from_bytes(data[at : at + 2], "big", signed=True)
            latest = max(latest, base + apart)
    return latest


def _elements(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Elements in their order, those within others as well: name, start and size of content."""
    at = 0
    for _ in range(_MOST):
        if at >= len(data):
            return
        name, at = _coded(data, at, keep=True)
        if at >= len(data):
            return
        wide = _width(data[at])
        size, at = _coded(data, at, keep=False)
        if size == (1 << 7 * wide) - 1 and name not in _OPENED:
            return  # only what holds others may be without an end
        yield name, at, size
        if name not in _OPENED:
            at += size


def _width(first: int) -> int:
    return min(9 - first.bit_length(), 8)


def _coded(data: bytes, at: int, *, keep: bool) -> tuple[int, int]:
    wide = _width(data[at])
    value = number(data, at, wide)
    return value if keep else value & (1 << 7 * wide) - 1, at + wide


def _float(content: bytes) -> float:
    if len(content) not in (4, 8):
        return 0.0
    (value,) = struct.unpack(">f" if len(content) == 4 else ">d", content)
    return float(value) if math.isfinite(value) and 0 < value < 1e18 else 0.0
