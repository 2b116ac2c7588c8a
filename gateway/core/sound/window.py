"""What can be seen of a file: its first bytes, its last, and what is read on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

Read = Callable[[int, int], bytes]
MOST_READS: Final = 128


def believed(told: int, size: int, most_kbps: int) -> int:
    """Milliseconds that a file tells; 0 where so many bytes cannot be over in that time."""
    return told if told * most_kbps >= size * 8 else 0


class Window:
    """Bytes of a file by their place in it; what cannot be seen is empty or short."""

    __slots__ = ("_chance", "_read", "_reads", "_tail_from", "head", "size", "tail")

    def __init__(
        self, head: bytes, tail: bytes, size: int, read: Read | None = None, chance: int = 0
    ) -> None:
        self.head = head
        self.tail = tail
        self.size = max(size, len(head))
        self._tail_from = max(0, self.size - len(tail))
        self._read = read
        self._reads = 0
        self._chance = chance

    def at(self, offset: int, length: int) -> bytes:
        """The bytes from an offset on, as many of them as can be seen."""
        if offset < 0 or offset >= self.size:
            return b""
        if offset + length <= len(self.head):
            return self.head[offset : offset + length]
        if offset >= self._tail_from:
            start = offset - self._tail_from
            return self.tail[start : start + length]
        if self._read is not None and self._reads < MOST_READS:
            self._reads += 1
            return self._read(offset, min(length, self.size - offset))
        return self.head[offset : offset + length]

    def samples(self, start: int, count: int, length: int) -> Iterator[bytes]:
        """Pieces from all over the file, if it is long; from where is left to chance."""
        stretch = (self.size - start - length) // count
        if self._read is None or stretch < 2 * length:
            return
        for number in range(count):
            apart = (self._chance >> number) * 2_654_435_761 % stretch
            yield self.at(start + number * stretch + apart, length)

    @property
    def last(self) -> bytes:
        """The file's end, and all of the file where it is short."""
        return self.head if len(self.head) >= self.size else self.tail


def number(data: bytes | bytearray, offset: int, length: int) -> int:
    """A big-endian number; bytes that are not there count as absent."""
    return int.from_bytes(data[offset : offset + length], "big")


def small(data: bytes | bytearray, offset: int, length: int) -> int:
    """A little-endian number."""
    return int.from_bytes(data[offset : offset + length], "little")
