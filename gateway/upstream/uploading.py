"""A request's body in pieces: how long it is, and its bytes one after the other."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from gateway.domain import Encoded, File, Piece

_STEP = 3 << 16  # base64 turns three bytes into four


def size_of(pieces: Sequence[Piece]) -> int:
    """How many bytes they come to."""
    return sum(_size(piece) for piece in pieces)


def chunks_of(pieces: Sequence[Piece]) -> Iterator[bytes]:
    """Their bytes; no file is ever held whole. A file that has shrunk meanwhile is an error."""
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
            continue
        sent = 0
        for chunk in _chunks(piece):
            sent += len(chunk)
            yield chunk
        if sent != _size(piece):
            raise OSError("a file is not as long as it was when it came")


def _size(piece: Piece) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    if isinstance(piece, File):
        return piece.size
    return -(-piece.file.size // 3) * 4


def _chunks(piece: File | Encoded) -> Iterator[bytes]:
    if isinstance(piece, File):
        yield from piece.source.chunks()
        return
    rest = b""
    for chunk in piece.file.source.chunks():
        whole = rest + chunk
        for at in range(0, len(whole) - len(whole) % 3, _STEP):
            yield base64.b64encode(whole[at : min(at + _STEP, len(whole) - len(whole) % 3)])
        rest = whole[len(whole) - len(whole) % 3 :]
    if rest:
        yield base64.b64encode(rest)
