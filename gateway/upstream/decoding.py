"""Content encodings of answers. We ask for `identity`; gzip and deflate are undone all the same."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 64 * 1024
# One network read that unfolds to more than this is a bomb, not an answer.
MAX_BURST = 8 * 1024 * 1024


class DecodingError(Exception):
    """What is wrong with the encoded body."""


class Decoder:
    """Undoes one encoding piece by piece; what is short, bad or surplus is a fault."""

    __slots__ = ("_raw_deflate", "_started", "_stream")

    def __init__(self, *, deflate: bool) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS if deflate else zlib.MAX_WBITS | 16)
        self._raw_deflate = deflate
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes in pieces of bounded size."""
        if not data:
            return
        stream = self._begin(data)
        burst = 0
        while True:
            try:
                piece = stream.decompress(data, PIECE)
            except zlib.error as error:
                raise DecodingError("a damaged content encoding") from error
            if piece:
                burst += len(piece)
                if burst > MAX_BURST:
                    raise DecodingError("a content encoding that unfolds without end")
                yield piece
            if stream.unused_data:
                raise DecodingError("bytes after the end of the content encoding")
            data = stream.unconsumed_tail
            if not data and len(piece) < PIECE:
                return

    @property
    def whole(self) -> bool:
        """False when the encoding has not reached its own end."""
        return self._stream.eof or not self._started

    def _begin(self, data: bytes) -> zlib._Decompress:
        if not self._started:
            self._started = True
            # Many servers send bare deflate under this name; a zlib header gives itself away.
            if self._raw_deflate and data[0] & 0x0F != 8:
                self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._stream


def decoder_for(encoding: str | None) -> Decoder | None:
    """The decoder for a Content-Encoding; None for identity; a fault for any other."""
    if encoding is None:
        return None
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return None
    if name in ("gzip", "x-gzip", "deflate"):
        return Decoder(deflate=name == "deflate")
    raise DecodingError("a content encoding that nobody asked for")
