"""Output schemas as this wire takes them: fewer words than other wires' schemas may use."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from gateway.core.talk.messages.wire import value

_REFUSED: Final = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
        "maxLength", "pattern", "minItems", "maxItems", "uniqueItems", "minProperties",
        "maxProperties", "not",
    }
)  # fmt: skip
_FORMATS: Final = frozenset(
    {
        "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6",
        "uuid",
    }
)  # fmt: skip
_NAMED: Final = ("properties", "$defs", "definitions", "patternProperties")


def fitting(schema: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The schema less what the wire refuses, and what that was; its own bytes if nothing."""
    found = value(schema)
    dropped: dict[str, None] = {}
    fit = _fit(found, dropped)
    if not dropped:
        return schema, ()
    return _encoded(fit), tuple(dropped)


def _encoded(schema: Any) -> bytes:
    try:
        return msgspec.json.encode(schema)
    except OverflowError:  # whole numbers past 64 bits, which only the standard library writes
        return json.dumps(schema, ensure_ascii=False, separators=(",", ":")).encode()


def _fit(schema: Any, dropped: dict[str, None]) -> Any:
    if isinstance(schema, list):
        return [_fit(item, dropped) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for name, inner in schema.items():
        if name in _REFUSED or (name == "format" and str(inner) not in _FORMATS):
            dropped[name] = None
        elif name in ("enum", "const", "default", "examples", "required"):
            kept[name] = inner  # values, in which nothing is a word of the schema's
        elif name in _NAMED and isinstance(inner, dict):
            kept[name] = {key: _fit(sub, dropped) for key, sub in inner.items()}
        elif name == "oneOf" and "anyOf" not in schema:
            dropped[name] = None
            kept["anyOf"] = _fit(inner, dropped)
        else:
            kept[name] = _fit(inner, dropped)
    return kept
