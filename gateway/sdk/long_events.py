"""Events of hosts that send sound: however long one is, about a MiB of it is held at most.

An event that is longer holds its sound in one long string. What is in that string is handed on as
it comes, and the event without it is read at its end.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

from gateway.core import sse

_ENDS = (b"\n\n", b"\n\r\n", b"\r\r", b"\n\r", b"\r\n\r\n")
_ESCAPES = ((b"\\/", b"/"), (b"\\u003d", b"="), (b"\\u002b", b"+"), (b"\\u002f", b"/"))
_LONGEST_ESCAPE: Final = 6
_MOST_KEPT: Final = 1 << 16  # of a long event, beside its sound
# The members that hosts hold their sound in, where that is long.
_SOUND = re.compile(rb'"(?:data|audio|content)"\s*:\s*"(?=[^"]{4096})')
_HEX: Final = 2
_BASE64: Final = 4


class Coded:
    """Bytes out of text that holds them in a code, wherever the text is cut."""

    def __init__(self, decode: Callable[[bytes], bytes], group: int) -> None:
        self._decode = decode
        self._group = group
        self._left = b""

    def take(self, text: bytes) -> bytes:
        """The bytes that are complete; raises ValueError for what is no such code."""
        text = self._left + text
        whole = self._unescapable(text)
        held, text = text[whole:], text[:whole]
        if b"\\" in text:
            for escape, plain in _ESCAPES:
                text = text.replace(escape, plain)
        whole = len(text) - len(text) % self._group
        self._left = text[whole:] + held
        return self._decode(text[:whole])

    def end(self) -> None:
        """Nothing may be left over."""
        left, self._left = self._left, b""
        if left:
            raise ValueError("the code is cut off")

    @staticmethod
    def _unescapable(text: bytes) -> int:
        """How much of the text surely has no half an escape at its end."""
        mark = text.rfind(b"\\", max(0, len(text) - _LONGEST_ESCAPE + 1))
        return len(text) if mark < 0 or text[mark : mark + 2] == b"\\/" else mark


def in_base64() -> Coded:
    """Text in base64."""
    return Coded(lambda text: binascii.a2b_base64(text, strict_mode=True), _BASE64)


def in_hex() -> Coded:
    """Text in hexadecimal."""
    return Coded(binascii.unhexlify, _HEX)


class LongEvents:
    """Cuts a host's bytes into events. `feed` yields `(payload, None)`, or `(b"", bytes)` of sound
    of an event that is too long to be kept; its payload follows without that.
    """

    def __init__(self, coded: Callable[[], Coded]) -> None:
        self._splitter = sse.Splitter()
        self._coded = coded
        self.kept = bytearray()  # of the event that is too long
        self._string: Coded | None = None

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """What these bytes complete."""
        for event in self._splitter.feed(data):
            if not self._splitter.oversize:
                payload = _payload(event)
            else:
                for at in range(0, len(event), _MOST_KEPT):
                    sound = self._taken(event[at : at + _MOST_KEPT])
                    if sound:
                        yield b"", sound
                payload = self._ended() if event.endswith(_ENDS) else b""
            if payload:
                yield payload, None

    def rest(self) -> bytes:
        """What the end of the bytes completes."""
        if self.kept or self._string:
            return b""
        return _payload(self._splitter.rest())

    def _taken(self, piece: bytes) -> bytes:
        """The sound in a piece of a long event; all else is kept."""
        made = b""
        while piece:
            if self._string is not None:
                text, quote, piece = piece.partition(b'"')
                made += self._string.take(text)
                if quote:
                    self._string.end()
                    self._string = None
                    self.kept += quote
                continue
            self.kept += piece
            piece = b""
            if len(self.kept) > _MOST_KEPT:
                found = _SOUND.search(self.kept)
                if found is None:
                    self.kept.clear()
                    raise ValueError("a long event holds no sound")
                piece = bytes(self.kept[found.end() :])
                del self.kept[found.end() :]
                self._string = self._coded()
        return made

    def _ended(self) -> bytes:
        payload = _payload(bytes(self.kept)) if self._string is None else b""
        self.kept.clear()
        self._string = None
        return payload


def _payload(event: bytes) -> bytes:
    """An event's data; of a failure without a frame, all of it."""
    payload = sse.data_of(event)
    if payload is None:
        bare = event.strip()
        return bare if bare.startswith(b"{") else b""
    payload = payload.strip()
    return b"" if payload == b"[DONE]" else payload
