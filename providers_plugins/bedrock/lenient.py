"""Reads a provider's JSON without trust: what is not what it should be is empty."""

from __future__ import annotations

from typing import Any

import msgspec

Raw = msgspec.Raw
_FAILURES = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_items = msgspec.json.Decoder(list[msgspec.Raw])


def members(raw: bytes | Raw | None) -> dict[str, Raw]:
    """The members of an object, each as the bytes it came as."""
    if raw is None:
        return {}
    try:
        return _members.decode(raw)
    except _FAILURES:
        return {}


def items(raw: bytes | Raw | None) -> list[Raw]:
    """The items of a list."""
    if raw is None:
        return []
    try:
        return _items.decode(raw)
    except _FAILURES:
        return []


def value(raw: bytes | Raw | None) -> Any:
    """Whatever it says; None for nothing readable."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except _FAILURES:
        return None


def text(raw: bytes | Raw | None) -> str:
    """A string, or an empty one."""
    found = value(raw)
    return found if isinstance(found, str) else ""


def number(raw: bytes | Raw | None) -> int | None:
    """A whole number that is not negative."""
    found = value(raw)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        return None
    return found if 0 <= found < 1 << 53 else None
