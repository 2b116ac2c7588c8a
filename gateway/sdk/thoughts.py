"""What a model thought, in the ways in which hosts tell it beside or inside the answer."""

from __future__ import annotations

from typing import Any

import msgspec

_OPEN = "<think>"
_CLOSE = "</think>"
_MOST_BLANKS = 1024  # white space in front of a tag
_Parts = list[dict[str, Any]]
_decode_parts = msgspec.json.Decoder(_Parts).decode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ThinkTags:
    """Takes <think>...</think> from the beginning of a text; exact for any split of it.

    Line breaks that set the tags apart belong to neither side. What may still become a tag is
    held back until it is known.
    """

    __slots__ = ("_held", "_place", "_trim")

    def __init__(self) -> None:
        self._place = "start"
        self._held = ""
        self._trim = False

    @property
    def reading(self) -> bool:
        """False once the answer proper has begun: from there on, tags are words."""
        return self._place != "text" or self._trim

    def feed(self, text: str) -> tuple[str, str]:
        """The thought and the answer that are certain by now."""
        if not self.reading:
            return "", text
        self._held += text
        if self._place == "start":
            self._begin()
        thought = self._think() if self._place == "thought" else ""
        return thought, self._speak() if self._place == "text" else ""

    def rest(self) -> tuple[str, str]:
        """What was held back, at the end of the text."""
        held, self._held = self._held, ""
        place, self._place, self._trim = self._place, "text", False
        return (held, "") if place == "thought" else ("", held)

    def _begin(self) -> None:
        bare = self._held.lstrip()
        if bare.startswith(_OPEN):
            self._held, self._place, self._trim = bare[len(_OPEN) :], "thought", True
        elif not _OPEN.startswith(bare) or len(self._held) > _MOST_BLANKS:
            self._place = "text"

    def _think(self) -> str:
        self._drop_breaks()
        at = self._held.find(_CLOSE)
        if at < 0:
            kept = _overlap(self._held, _CLOSE)
            thought = self._held[: len(self._held) - kept]
            self._held = self._held[len(thought) :]
            return thought
        thought, self._held = self._held[:at], self._held[at + len(_CLOSE) :]
        self._place, self._trim = "text", True
        return thought

    def _speak(self) -> str:
        self._drop_breaks()
        text, self._held = self._held, ""
        return text

    def _drop_breaks(self) -> None:
        if self._trim:
            self._held = self._held.lstrip("\r\n")
            self._trim = not self._held


def details_text(raw: msgspec.Raw) -> str:
    """The readable text among `reasoning_details`; what is sealed stays where it is."""
    try:
        details = _decode_parts(raw)
    except _BAD:
        return ""
    return "".join(
        text
        for detail in details
        if isinstance(text := detail.get("text") or detail.get("summary"), str)
    )


def parts_of(raw: msgspec.Raw | None) -> _Parts | None:
    """Content that is a list of parts; None when it is anything else."""
    if raw is None or bytes(memoryview(raw)[:1]) != b"[":
        return None
    try:
        return _decode_parts(raw)
    except _BAD:
        return None


def parts_text(parts: _Parts) -> tuple[str, str]:
    """The thinking and the words among the parts of a content."""
    thoughts: list[str] = []
    texts: list[str] = []
    for part in parts:
        thinking = part.get("thinking")
        text = part.get("text")
        if isinstance(thinking, str):
            thoughts.append(thinking)
        elif isinstance(thinking, list):
            thoughts += [
                inner["text"]
                for inner in thinking
                if isinstance(inner, dict) and isinstance(inner.get("text"), str)
            ]
        elif isinstance(text, str):
            texts.append(text)
    return "".join(thoughts), "".join(texts)


def foreign(parts: _Parts) -> bool:
    """True when there are parts that are neither thinking nor words."""
    return any("thinking" not in part and "text" not in part for part in parts)


def _overlap(text: str, tag: str) -> int:
    """How much of the end of a text may be the beginning of a tag."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if tag.startswith(text[-size:]):
            return size
    return 0
