"""How long the sound of a file lasts, from its first bytes and its last."""

from __future__ import annotations

from typing import Final

from gateway.core.sound import flac, matroska, mp4, mpeg, ogg, riff
from gateway.core.sound.window import Read, Window

HEAD: Final = 256 << 10
TAIL: Final = 64 << 10
LONGEST: Final = 100 * 3600 * 1000


def length_of(
    head: bytes, tail: bytes, size: int, read: Read | None = None, chance: int = 0
) -> int:
    """Milliseconds of a file of `size` bytes; 0 where they cannot be told.

    `head` and `tail` are its first and last bytes (HEAD and TAIL of them serve), and may overlap.
    A few formats keep their length somewhere between: `read(offset, length)`, where it is given, is
    asked for some small pieces, and `chance` (some random bits) says from where, so that nobody can
    write a file for that. The kind is told from the bytes, never from a name.
    """
    seen = Window(head[:HEAD], tail[-TAIL:] or head[-TAIL:], size, read, chance)
    return min(_length(seen), LONGEST)


def _length(seen: Window) -> int:
    head = seen.head
    if riff.is_wave(head):
        return riff.length(seen)
    if head[:4] == b"OggS":
        return ogg.length(seen)
    if head[:4] == matroska.MARK:
        return matroska.length(seen)
    start = mpeg.tag_length(head)
    if seen.at(start, 4) == b"fLaC":
        return flac.length(seen, start)
    if mp4.is_mp4(head):
        return mp4.length(seen)
    return mpeg.length(seen, start)
