"""How an event of the Responses dialect is written, and how a failure looks among them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core import sse
from gateway.errors import Fault


def event_of(said: dict[str, Any]) -> bytes:
    """An event named for its type, on one line whatever the raw JSON inside it looks like."""
    data = msgspec.json.encode(said)
    if b"\n" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    return sse.event(data, said["type"])


def error_event(fault: Fault, sequence: int) -> bytes:
    """The event that tells a client that its stream has failed."""
    said = {
        "type": "error",
        "code": fault.kind.code,
        "message": fault.message,
        "param": fault.param,
        "sequence_number": sequence,
    }
    return event_of(said)
