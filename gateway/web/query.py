"""What stands in a query string, checked."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import invalid

_LAST = 253_402_300_799


def moment(query: Mapping[str, str], name: str) -> int | None:
    """A moment in unix seconds."""
    return number(query, name, _LAST, "a time in whole seconds since 1970, such as 1790000000")


def number(query: Mapping[str, str], name: str, most: int, what: str = "") -> int | None:
    """A whole number from 0 to `most`, which stands for `what`."""
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= 15 and int(value) <= most):
        raise invalid(f"'{name}' must be {what or f'a whole number from 0 to {most}'}.", name)
    return int(value)


def names(query: Mapping[str, str], name: str, default: str) -> list[str]:
    """Words with commas between them."""
    return [word.strip() for word in query.get(name, default).split(",") if word.strip()]
