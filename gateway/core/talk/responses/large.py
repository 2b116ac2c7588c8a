"""An event too large to be read whole: its type from its head, its usage from its tail.

The end of a stream repeats the whole answer, with pictures, instructions and tools: such an event
may be larger than any that is read, and still says what must be billed.
"""

from __future__ import annotations

import json
import re

_HEAD = 2_048
_TAIL = 65_536
_TYPE = re.compile(rb'"type"\s*:\s*"(response\.(?:completed|incomplete|failed))"')
_USAGE = re.compile(rb'(?<!\\)"usage"\s*:\s*(?=\{)')
_decoder = json.JSONDecoder()


class Large:
    """Keeps the ends of one event that comes in pieces."""

    __slots__ = ("_head", "_tail")

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""

    def put(self, piece: bytes) -> None:
        """The next piece."""
        if len(self._head) < _HEAD:
            self._head += piece[: _HEAD - len(self._head)]
        self._tail = (self._tail + piece[-_TAIL:])[-_TAIL:]

    @property
    def type(self) -> str:
        """The type of an event that ends a stream, else nothing; hosts write it first or last."""
        found = _TYPE.search(self._head) or _TYPE.search(self._tail, max(0, len(self._tail) - 200))
        return found[1].decode() if found else ""

    @property
    def usage(self) -> bytes | None:
        """The last usage object in what is kept, byte for byte."""
        places = [found.end() for found in _USAGE.finditer(self._tail)]
        text = self._tail[places[-1] :].decode(errors="replace") if places else ""
        try:
            _, end = _decoder.raw_decode(text) if text else (None, 0)
        except (ValueError, RecursionError):
            return None
        return text[:end].encode() or None
