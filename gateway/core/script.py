"""A provider's answer written down as data.

The `sim` adapter writes it; the upstream port plays it in process, and the tests' fake provider
plays it over real sockets.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
from msgspec import Struct, field


class Send(Struct, frozen=True, tag="send"):
    """A piece of the body: `text`, or `base64` for bytes that are no text."""

    text: str = ""
    base64: str | None = None

    @property
    def data(self) -> bytes:
        """The bytes of this piece."""
        return self.text.encode() if self.base64 is None else base64.b64decode(self.base64)


class Wait(Struct, frozen=True, tag="wait"):
    """Silence; before the first piece it delays the head of the answer as well."""

    seconds: float


class Cut(Struct, frozen=True, tag="cut"):
    """The connection dies here; before any piece there is not even a head."""


Step = Send | Wait | Cut


class Script(Struct, frozen=True):
    """A whole answer: status, headers, and what happens in which order."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def encode(self) -> bytes:
        """The script as JSON."""
        return msgspec.json.encode(self)


def decode(body: bytes) -> Script:
    """A script from JSON or msgpack; anything else raises ValueError."""
    kind: Callable[..., Script] = (
        msgspec.json.decode if body[:1] in (b"{", b" ", b"\n") else msgspec.msgpack.decode
    )
    try:
        return kind(body, type=Script)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("the body is not a script") from error
