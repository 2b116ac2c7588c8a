"""A provider's answer as a script: what to send, when to wait, where to break off.

Written by the `sim` adapter, played in process by the upstream port and over real sockets by the
tests' fake provider.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct


class Send(Struct, frozen=True, tag="send"):
    """Bytes of the body."""

    data: bytes


class Wait(Struct, frozen=True, tag="wait"):
    """Time in which nothing comes."""

    seconds: float


class Cut(Struct, frozen=True, tag="cut"):
    """The connection dies here."""


Step = Send | Wait | Cut


class Script(Struct, frozen=True):
    """One answer. Waits that stand first come before the status line."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Script).decode
