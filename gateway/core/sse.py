"""The one parser of event streams: whole events out of bytes split anywhere.

It gives back each event's own bytes, so what passes through is what came in. Nobody else in the
gateway looks for `data:`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_EVENT = 1 << 20
CR, LF = b"\r\n"  # whether a number is in bytes is told six times as soon as whether bytes are
BOM = b"\xef\xbb\xbf"

# A blank line ends an event; lines end in LF, CRLF or CR. A CR at the very end of what has come so
# far is never matched as a line end: the LF that may belong to it is still on its way.
_LINE = rb"(?:\r\n|\n|\r(?!\n|\Z))"
_END = re.compile(_LINE + _LINE)
_LINES = re.compile(rb"\r\n|\n|\r")


class Splitter:
    """Cuts a byte stream into events. An event over `most` bytes is handed on in pieces, unread."""

    __slots__ = ("_most", "_scanned", "oversize", "tail")

    def __init__(self, most: int = MAX_EVENT) -> None:
        self._most = most
        self.tail = bytearray()  # what came of the event that is not complete yet
        self._scanned = 0
        self.oversize = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield every event that `data` completes, terminator included."""
        tail = self.tail
        usual = not tail and len(data) <= self._most and CR not in data
        tail += data
        start = 0
        if usual:  # what comes begins with an event, and its lines end in LF
            while (end := data.find(b"\n\n", start)) >= 0:
                yield data[start : end + 2]
                start = end + 2
            del tail[:start]
            self._scanned = len(tail)
            return
        search_from = max(0, self._scanned - 3)
        while (found := _END.search(tail, search_from)) is not None:
            start_next = found.end()
            if start_next - start > self._most:
                self.oversize = True  # however it was split
            yield bytes(tail[start:start_next])
            start = search_from = start_next
            self.oversize = False
        del tail[:start]
        if len(tail) > self._most:
            # The last bytes stay back so that the event's end is still found across a split.
            self.oversize = True
            piece = bytes(tail[:-3])
            del tail[:-3]
            yield piece
        self._scanned = len(tail)

    def rest(self) -> bytes:
        """What came after the last complete event."""
        return bytes(self.tail)


def data_of(event: bytes) -> bytes | None:
    """An event's data, its lines joined by LF; None for comments and other fields alone."""
    lines: list[bytes] = []
    event = event.removeprefix(BOM)
    for line in _LINES.split(event) if CR in event else event.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines) if lines else None


def event(data: bytes, name: str | None = None) -> bytes:
    """Write one event; `data` is JSON on a single line."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + data + b"\n\n"
