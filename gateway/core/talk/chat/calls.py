"""Which tool call a piece of a stream belongs to, however its host numbers them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.core.talk.chat.names import NAME, count_in, json_text, text_in
from gateway.core.usage import NOTHING

MAX_CALLS: Final = 1024
MAX_ID: Final = 4096


class Piece(Struct):
    """What one delta says of one call."""

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    custom: bool = False
    signature: str = ""
    family: str = ""


class _Said(Struct):
    name: Any = None
    arguments: msgspec.Raw = NOTHING
    input: msgspec.Raw = NOTHING


class _Call(Struct):
    index: Any = None
    id: Any = None
    type: Any = None
    function: _Said | None = None
    custom: _Said | None = None
    signature: Any = None
    signature_family: Any = None


_decode_calls = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_call = msgspec.json.Decoder(_Call).decode
_decode_said = msgspec.json.Decoder(_Said).decode


class Calls:
    """The calls that have begun. A piece names its own by index or id, or goes on with the last."""

    def __init__(self) -> None:
        self._by_index: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._ids: dict[int, str] = {}
        self._last: int | None = None

    @property
    def open(self) -> list[int]:
        """The parts that are calls, in the order in which they began."""
        return list(self._ids)

    def beyond(self, piece: Piece) -> bool:
        """True for a call more, or an id longer, than any answer has."""
        return len(self._ids) >= MAX_CALLS or len(piece.id) > MAX_ID

    def of(self, piece: Piece) -> int | None:
        """The part that a piece belongs to; None for a call that begins."""
        if piece.id and piece.id in self._by_id:
            return self._by_id[piece.id]
        if piece.index is not None:
            known = self._by_index.get(piece.index)
            # Some hosts give every whole call the same index: another id and a name tell them apart
            another = piece.id and piece.name and known is not None and self._ids[known]
            return None if another else known
        return None if piece.id or piece.name else self._last

    def began(self, piece: Piece, part: int) -> int:
        """Remember a call that begins as this part."""
        if piece.index is not None:
            self._by_index[piece.index] = part
        if piece.id:
            self._by_id[piece.id] = part
        self._ids[part] = piece.id
        self._last = part
        return part


def pieces_in(calls: bytes, legacy: bytes) -> list[Piece]:
    """The calls of a message or a delta, the deprecated single one among them.

    Raises one of UNREADABLE for a call that cannot be read: an answer without it is another.
    """
    given = _decode_calls(calls) if calls[:1] == b"[" else []
    pieces = [_piece(_decode_call(raw)) for raw in given]
    if legacy[:1] == b"{":
        said = _decode_said(legacy)
        pieces.append(Piece(0, "", text_in(said.name), json_text(bytes(said.arguments))))
    return pieces


def _piece(call: _Call) -> Piece:
    custom = call.custom is not None
    said = call.custom or call.function or _Said()
    signature = text_in(call.signature)
    return Piece(
        count_in(call.index),
        text_in(call.id),
        text_in(said.name),
        json_text(bytes(said.input if custom else said.arguments)),
        custom,
        signature,
        (text_in(call.signature_family) or NAME) if signature else "",
    )
