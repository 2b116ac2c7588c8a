"""The framing of `application/vnd.amazon.eventstream`: whole messages out of bytes split anywhere.

A message is a prelude (its length, its headers' length, a checksum of both), headers, a payload and
a checksum of all that. Nothing of a message is told before its checksum has been found right.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TypeAlias
from zlib import crc32

from msgspec import Struct, field

MAX_MESSAGE = 16 << 20
MAX_HEADERS = 128 << 10
_PRELUDE = 12
_CHECKSUM = 4
_LEAST = _PRELUDE + _CHECKSUM
_U16, _U32 = struct.Struct(">H"), struct.Struct(">I")
_INTEGERS = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}  # type of a header -> bytes; 8 is milliseconds of time
_UUID = 9

Value: TypeAlias = str | int | bytes | bool


class Message(Struct, frozen=True):
    """One message: its headers by name, and what it carries."""

    headers: dict[str, Value] = field(default_factory=dict)
    payload: bytes = b""

    def header(self, name: str) -> str:
        """A header that should be text; empty when it is absent or is none."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class Messages:
    """Cuts bytes into messages. After the first broken one there are no more: `broken` says why."""

    __slots__ = ("_buffer", "_needed", "broken")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = _PRELUDE
        self.broken = ""

    @property
    def partial(self) -> bool:
        """True while a message has begun that is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Every message that `data` completes."""
        if self._refuses():
            return
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= self._needed and not self._refuses():
            if self._needed == _PRELUDE:
                self._read_prelude(bytes(buffer[start : start + _PRELUDE]))
                continue
            whole = bytes(buffer[start : start + self._needed])
            start += self._needed
            self._needed = _PRELUDE
            message = self._read(whole)
            if message is not None:
                yield message
        if self._refuses():
            buffer.clear()
        else:
            del buffer[:start]

    def _refuses(self) -> bool:
        return bool(self.broken)

    def _read_prelude(self, prelude: bytes) -> None:
        total, headers, checksum = struct.unpack(">III", prelude)
        if crc32(prelude[:8]) != checksum:
            self.broken = "the checksum of a message's length is wrong"
        elif not _LEAST <= total <= MAX_MESSAGE:
            self.broken = "a message has an impossible length"
        elif headers > min(MAX_HEADERS, total - _LEAST):
            self.broken = "a message's headers have an impossible length"
        else:
            self._needed = total

    def _read(self, whole: bytes) -> Message | None:
        if crc32(whole[:-_CHECKSUM]) != _U32.unpack(whole[-_CHECKSUM:])[0]:
            self.broken = "the checksum of a message is wrong"
            return None
        end = _PRELUDE + _U32.unpack_from(whole, 4)[0]
        try:
            headers = _headers(whole[_PRELUDE:end])
        except (ValueError, IndexError, struct.error):
            self.broken = "a message's headers cannot be read"
            return None
        return Message(headers, whole[end:-_CHECKSUM])


def _headers(raw: bytes) -> dict[str, Value]:
    found: dict[str, Value] = {}
    at = 0
    while at < len(raw):
        length = raw[at]
        name = _piece(raw, at + 1, length).decode()
        kind = raw[at + 1 + length]
        found[name], at = _value(raw, kind, at + 2 + length)
    return found


def _value(raw: bytes, kind: int, at: int) -> tuple[Value, int]:
    """A header's value, and where the next header begins."""
    if kind in (0, 1):
        return kind == 0, at
    if kind in _INTEGERS:
        size = _INTEGERS[kind]
        return int.from_bytes(_piece(raw, at, size), "big", signed=True), at + size
    if kind in (6, 7):
        size = _U16.unpack_from(raw, at)[0]
        piece = _piece(raw, at + 2, size)
        return (piece if kind == 6 else piece.decode()), at + 2 + size
    if kind == _UUID:
        return _piece(raw, at, 16), at + 16
    raise ValueError(kind)


def _piece(raw: bytes, at: int, size: int) -> bytes:
    piece = raw[at : at + size]
    if len(piece) != size:
        raise ValueError(size)
    return piece
