"""Writes `application/vnd.amazon.eventstream`, for tests that play the provider."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any
from zlib import crc32

HeaderValue = tuple[int, Any]
_SIZES = {2: "b", 3: "h", 4: "i", 5: "q", 8: "q"}


def message(headers: dict[str, str | HeaderValue], payload: bytes) -> bytes:
    """One message. A header's value is text, or its type and what that type holds."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    head = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return head + struct.pack(">I", crc32(head))


def event(name: str, payload: Any) -> bytes:
    return message(
        {":event-type": name, ":content-type": "application/json", ":message-type": "event"},
        json.dumps(payload).encode(),
    )


def chunk(payload: Any) -> bytes:
    """An event of InvokeModelWithResponseStream: JSON in base64 in JSON."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return event("chunk", {"bytes": base64.b64encode(data).decode(), "p": "abcd"})


def exception(name: str, payload: Any) -> bytes:
    return message(
        {
            ":exception-type": name,
            ":content-type": "application/json",
            ":message-type": "exception",
        },
        json.dumps(payload).encode(),
    )


def _header(name: str, value: str | HeaderValue) -> bytes:
    kind, held = (7, value) if isinstance(value, str) else value
    head = struct.pack(">B", len(name.encode())) + name.encode()
    if kind == 0:
        return head + bytes([0 if held else 1])
    if kind in _SIZES:
        return head + bytes([kind]) + struct.pack(">" + _SIZES[kind], held)
    if kind == 9:
        return head + bytes([9]) + held
    raw = held.encode() if isinstance(held, str) else held
    return head + bytes([kind]) + struct.pack(">H", len(raw)) + raw
