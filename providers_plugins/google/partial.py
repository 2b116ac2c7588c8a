"""Arguments of a call that come in bits, each with its place: `$.recipe.steps[2]`."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Raw

from providers_plugins.google.answer import PartialArgument

MAX_BYTES = 1 << 20
_MAX_DEPTH = 64
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]")


class Arguments:
    """Puts the bits together. What can't be put anywhere raises ValueError."""

    __slots__ = ("_growing", "_root", "_size")

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}
        self._growing: dict[str, list[str]] = {}  # strings that go on, by their places
        self._size = 0

    def add(self, bit: PartialArgument) -> None:
        """Put one bit in its place."""
        self._size += len(bit.json_path) + len(bit.string_value or "") + len(bit.number_value)
        if self._size > MAX_BYTES:
            raise ValueError("arguments are too long")
        place = bit.json_path
        if bit.string_value is not None:
            pieces = self._growing.pop(place, [])
            pieces.append(bit.string_value)
            if bit.will_continue:
                self._growing[place] = pieces
                _put(self._root, place, "")  # so that members keep the order they came in
            else:
                _put(self._root, place, "".join(pieces))
        elif bytes(bit.number_value):
            _put(self._root, place, _number(bit.number_value))
        else:
            _put(self._root, place, bit.bool_value)

    def text(self) -> str:
        """The whole, as JSON."""
        for place, pieces in self._growing.items():
            _put(self._root, place, "".join(pieces))
        self._growing.clear()
        return msgspec.json.encode(self._root).decode()


def _number(raw: Raw) -> Raw:
    if not isinstance(msgspec.json.decode(raw), int | float):
        raise ValueError("a number is none")
    return raw


def _steps(place: str) -> list[str | int]:
    if not place.startswith("$"):
        raise ValueError("a place does not begin at the root")
    steps: list[str | int] = []
    at = 1
    while at < len(place):
        found = _STEP.match(place, at)
        if found is None or len(steps) == _MAX_DEPTH:
            raise ValueError("a place is malformed")
        name, number, quoted = found.groups()
        if number is not None:
            steps.append(int(number))
        else:
            steps.append(name if name is not None else re.sub(r"\\(.)", r"\1", quoted))
        at = found.end()
    if not steps or isinstance(steps[0], int):
        raise ValueError("arguments are an object")
    return steps


def _put(root: dict[str, Any], place: str, value: Any) -> None:
    steps = _steps(place)
    holder: Any = root
    for step, after in pairwise(steps):
        kind: type = list if isinstance(after, int) else dict
        inner = _at(holder, step)
        if not isinstance(inner, kind):
            inner = kind()
            _set(holder, step, inner)
        holder = inner
    _set(holder, steps[-1], value)


def _at(holder: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return holder[step] if step < len(holder) else None
    return holder.get(step)


def _set(holder: Any, step: str | int, value: Any) -> None:
    if not isinstance(step, int) or step < len(holder):
        holder[step] = value
    elif step == len(holder):
        holder.append(value)
    else:
        raise ValueError("an entry is missing before this one")
