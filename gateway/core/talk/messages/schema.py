"""The JSON schemas that the Messages wire takes for structured output."""

from __future__ import annotations

from typing import Any

import msgspec

_UNKNOWN = frozenset(
    {
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
        "maxLength", "pattern", "maxItems", "uniqueItems", "minProperties", "maxProperties", "not",
    }
)  # fmt: skip
_FORMATS = frozenset(
    {
        "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
    }
)  # fmt: skip
_NAMED = ("properties", "$defs", "definitions", "patternProperties")


def cleaned(raw: bytes) -> tuple[bytes, bool]:
    """The schema without the keywords that would be refused; its own bytes where it has none."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw, False
    clean = _clean(found)
    return (raw, False) if clean == found else (msgspec.json.encode(clean), True)


def _clean(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_clean(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    clean: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _UNKNOWN or (name == "format" and value not in _FORMATS):
            continue
        if name == "minItems" and value not in (0, 1):
            continue
        if name in _NAMED and isinstance(value, dict):
            clean[name] = {key: _clean(one) for key, one in value.items()}
        elif name in ("enum", "const", "default", "examples", "required"):
            clean[name] = value
        else:
            clean["anyOf" if name == "oneOf" else name] = _clean(value)
    if clean.get("type") == "object":
        clean.setdefault("additionalProperties", False)
    return clean
