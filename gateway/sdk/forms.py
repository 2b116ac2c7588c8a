"""Forms as a request's body: text fields and files, in parts that a boundary sets apart."""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.domain import File, Piece
from gateway.sdk.adapter import Call

_UNSAFE = re.compile(r'[\x00-\x1f"\\\x7f]')
_PLAIN_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+;= -]+\Z")
_ANY_TYPE = "application/octet-stream"


def form(
    call: Call, fields: Iterable[tuple[str, str]], files: Iterable[tuple[str, File]] = ()
) -> tuple[str, tuple[Piece, ...]]:
    """The content type and the pieces of a form: its fields, then its files under these names."""
    pieces: list[Piece] = []
    written = bytearray()
    for name, value in fields:
        written += _opening(call, name) + b"\r\n\r\n" + value.encode("utf-8", "replace") + b"\r\n"
    for name, file in files:
        kind = file.content_type if _PLAIN_TYPE.match(file.content_type) else _ANY_TYPE
        about = f'; filename="{_safe(file.name) or "file"}"\r\nContent-Type: {kind}\r\n\r\n'
        written += _opening(call, name) + about.encode()
        pieces += (bytes(written), file)
        written = bytearray(b"\r\n")
    written += f"--{call.boundary}--\r\n".encode()
    return f"multipart/form-data; boundary={call.boundary}", (*pieces, bytes(written))


def _opening(call: Call, name: str) -> bytes:
    head = f'--{call.boundary}\r\nContent-Disposition: form-data; name="{_safe(name)}"'
    return head.encode()


def _safe(name: str) -> str:
    """A name that cannot end its quotes or its line."""
    return _UNSAFE.sub("_", name).encode("utf-8", "replace").decode()
