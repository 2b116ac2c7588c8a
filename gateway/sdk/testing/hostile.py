"""Bytes that no provider should send, the same ones each time, and ways to cut bytes in pieces."""

from __future__ import annotations

import random
from collections.abc import Iterator

_SEED = 20_260
_SMALL = 8_000
_GARBAGE = (
    b"",
    b"\x00",
    b"\xff\xfe\xfd\n\n",
    b"\n\n\n\n",
    b"data:\n\n",
    b'data: \n\ndata: null\n\ndata: []\n\ndata: 7\n\ndata: "x"\n\n',
    b"data: {\n\n",
    b"data: " + b"[" * 3_000 + b"\n\n",
    b'data: {"choices":7,"usage":[]}\n\n',
    b'data: {"choices":[null,7,{"delta":null},{"delta":[]}],"usage":{"prompt_tokens":-1}}\n\n',
    b'data: {"usage":{"prompt_tokens":"many","completion_tokens":1e400}}\n\n',
    b'data: {"usage":{"prompt_tokens":99999999999999999999999999,"completion_tokens":true}}\n\n',
    b'event: error\ndata: {"error":null}\n\n',
    b'data: {"type":7,"index":-1,"delta":{"type":null},"message":[]}\n\n',
    b'{"\\ud800":1}\nnull\n7\n"text"\n{}\n[]\n',
    b"\x00\x00\x00\x10\xff\xff\xff\xff" * 8,
    b"HTTP/1.1 200 OK\r\n\r\n",
)
_INSTEAD = (b"null", b"-1", b"1e999", b"true", b'"x"', b"[]", b"{}", b"\xff", b"", b"9" * 40)


def garbage() -> tuple[bytes, ...]:
    """Bytes with nothing in common with any wire, and some that look like one."""
    return _GARBAGE


def mutants(wire: bytes, number: int = 60) -> Iterator[bytes]:
    """The bytes with something wrong in them."""
    dice = random.Random(_SEED)  # noqa: S311 - the same mutants each time
    for _ in range(number if wire else 0):
        start = dice.randrange(len(wire))
        end = min(len(wire), start + dice.choice((1, 1, 3, 9, 40)))
        kind = dice.randrange(4)
        if kind == 0:
            yield wire[:start] + wire[end:]
        elif kind == 1:
            yield wire[:start] + dice.choice(_INSTEAD) + wire[end:]
        elif kind == 2:
            yield wire[:end] + wire[start:]
        else:
            yield wire[:start] + bytes([wire[start] ^ (1 << dice.randrange(8))]) + wire[start + 1 :]
    yield from _retyped(wire, dice)


def _retyped(wire: bytes, dice: random.Random) -> Iterator[bytes]:
    """Values of JSON with another in their place, one at a time."""
    places = [at for at in range(len(wire)) if wire[at : at + 1] == b":"]
    for at in dice.sample(places, min(60, len(places))):
        end = at + 1
        while end < len(wire) and wire[end] not in b",}\n":
            end += 1
        yield wire[: at + 1] + dice.choice(_INSTEAD) + wire[end:]


def splits(wire: bytes) -> Iterator[list[bytes]]:
    """The bytes in pieces: one by one where they are few, and cut at random."""
    if len(wire) <= _SMALL:
        yield [wire[at : at + 1] for at in range(len(wire))]
    dice = random.Random(_SEED)  # noqa: S311 - the same cuts each time
    for most in (3, 17, 200, 2_000):
        pieces: list[bytes] = []
        at = 0
        while at < len(wire):
            size = dice.randint(1, most)
            pieces.append(wire[at : at + size])
            at += size
        yield pieces
    for _ in range(40):
        at = dice.randrange(len(wire) + 1)
        yield [wire[:at], wire[at:]]
    yield [b"", wire, b""]
