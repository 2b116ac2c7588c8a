"""Forms (multipart/form-data) out of bytes split anywhere, without holding what is in them.

Lines end in CRLF and nothing else. What follows the closing boundary is not looked at.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from gateway.errors import Fault, invalid

MAX_PARTS: Final = 1_000
MAX_HEAD: Final = 16 << 10
_MAX_PADDING = 256
_SHOWN = 100

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 - a pattern
_HEADER = re.compile(rf"({_TOKEN}):[ \t]*(.*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_PARAMETER = re.compile(
    rf'[ \t]*;[ \t]*(?:({_TOKEN})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*+)"|([^\s;"]*+)))?', re.DOTALL
)
_ESCAPED = re.compile(r'\\(["\\])')  # and no other: a path's backslashes are its own
_EXTENDED = re.compile(r"(utf-8|iso-8859-1)'[^']*'((?:[^%'\s]|%[0-9a-f]{2})*)\Z", re.IGNORECASE)
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-]\Z")
_PLAIN_ENCODINGS = ("", "7bit", "8bit", "binary")


class PartBegun(Struct, frozen=True):
    """A part of the form; without a `filename` it is a text field."""

    name: str
    filename: str | None
    content_type: str


class PartData(Struct, frozen=True):
    """Some of a part's bytes, as they came."""

    data: bytes


class PartEnded(Struct, frozen=True):
    """All of a part has come."""


class Finished(Struct, frozen=True):
    """The closing boundary has come."""


Event: TypeAlias = PartBegun | PartData | PartEnded | Finished


class Limits(Struct, frozen=True):
    """How much the parser itself takes; how long a part may be is its reader's to say."""

    parts: int = MAX_PARTS
    head: int = MAX_HEAD


_LIMITS = Limits()
_ENDED = PartEnded()
_FINISHED = Finished()


class Parser:
    """Reads one form. What it keeps between two calls of `feed` is no longer than a part's head."""

    __slots__ = ("_limits", "_mark", "_parts", "_rest", "_step", "finished")

    def __init__(self, boundary: bytes, limits: Limits = _LIMITS) -> None:
        self._mark = b"\r\n--" + boundary
        self._rest = b"\r\n"  # as if a line had ended: the first boundary is found like all others
        self._limits = limits
        self._parts = 0
        self._step = self._preamble
        self.finished = False

    def feed(self, data: bytes) -> list[Event]:
        """What `data` brings to light; a form that is malformed is refused."""
        events: list[Event] = []
        if self.finished:
            return events
        whole = self._rest + data if self._rest else data
        at, more = 0, True
        while more and not self.finished:
            at, more = self._step(whole, at, events)
        self._rest = b"" if self.finished else whole[at:]
        return events

    def end(self) -> None:
        """No more will come: a form without its closing boundary is refused."""
        if not self.finished:
            raise invalid("The form ends before its closing boundary.")

    def _preamble(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        found = data.find(self._mark, at)
        if 0 <= found <= self._limits.head:
            self._step = self._after_mark
            return found + len(self._mark), True
        if len(data) - len(self._mark) >= self._limits.head:
            raise invalid("The body does not begin with the boundary that Content-Type names.")
        return at, False

    def _after_mark(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        line = data[at : at + _MAX_PADDING]
        if line.startswith(b"--"):
            self.finished = True
            events.append(_FINISHED)
            return at + 2, False
        text = line.lstrip(b" \t")
        if text.startswith(b"\r\n"):
            self._count()
            self._step = self._head
            return at + len(line) - len(text), True
        if len(line) < _MAX_PADDING and (text in (b"", b"\r") or line == b"-"):
            return at, False
        raise invalid("A boundary of the form is not followed by the end of its line.")

    def _count(self) -> None:
        self._parts += 1
        if self._parts > self._limits.parts:
            raise invalid(f"The form has more than {self._limits.parts} parts.")

    def _head(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        """`at` is where the boundary's own line ends, so a head without lines is found as well."""
        most = at + self._limits.head + 4
        end = data.find(b"\r\n\r\n", at, most)
        if end < 0:
            if len(data) >= most:
                raise invalid("The head of a part of the form is too long.")
            return at, False
        events.append(_begun(data[at + 2 : end]))
        self._step = self._content
        return end + 2, True  # its last line end may be the first of the next boundary's

    def _content(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        """The two bytes that end the head may begin the next boundary: then there is nothing."""
        if len(data) - at < len(self._mark) and self._mark.startswith(data[at:]):
            return at, False
        self._step = self._data
        return (at if data.startswith(self._mark, at) else at + 2), True

    def _data(self, data: bytes, at: int, events: list[Event]) -> tuple[int, bool]:
        found = data.find(self._mark, at)
        end = found if found >= 0 else self._undecided(data, at)
        if end > at:
            events.append(PartData(data[at:end]))
        if found < 0:
            return end, False
        events.append(_ENDED)
        self._step = self._after_mark
        return found + len(self._mark), True

    def _undecided(self, data: bytes, at: int) -> int:
        """Where the end of `data` begins that may be the start of a boundary."""
        start = data.find(b"\r", max(at, len(data) - len(self._mark) + 1))
        while start >= 0:
            if self._mark.startswith(data[start:]):
                return start
            start = data.find(b"\r", start + 1)
        return len(data)


def boundary_of(content_type: str) -> bytes:
    """The boundary that a form's Content-Type names, or a 400."""
    kind, parameters = _parameters(content_type)
    boundary = parameters.get("boundary")
    if kind != "multipart/form-data" or boundary is None:
        raise invalid("Send a form: Content-Type must be 'multipart/form-data; boundary=...'.")
    if not _BOUNDARY.match(boundary):
        raise invalid("The boundary in Content-Type is not one that a form can have.")
    return boundary.encode()


def _begun(head: bytes) -> PartBegun:
    lines = head.decode("utf-8", "replace").split("\r\n") if head else []
    headers: dict[str, str] = {}
    for line in lines:
        match = _HEADER.match(line)
        if match is None or _CONTROL.search(line) or match[1].lower() in headers:
            raise invalid(f"The head of a part of the form is malformed: {line[:_SHOWN]!a}.")
        headers[match[1].lower()] = match[2].strip(" \t")
    kind, parameters = _parameters(headers.get("content-disposition", ""))
    name = parameters.get("name")
    if kind != "form-data" or not name:
        raise invalid("Each part of the form needs 'Content-Disposition: form-data; name=\"...\"'.")
    encoding = headers.get("content-transfer-encoding", "").lower()
    content_type = headers.get("content-type", "")
    if content_type.lower().startswith("multipart/") or encoding not in _PLAIN_ENCODINGS:
        raise _not_plain(name)
    return PartBegun(name, _filename(parameters, name), content_type)


def _not_plain(name: str) -> Fault:
    shown = name[:_SHOWN]
    return invalid(f"'{shown}' must be a part of its own, sent as its plain bytes.", shown)


def _filename(parameters: dict[str, str], name: str) -> str | None:
    """`filename*` (RFC 5987) says it better where both are given."""
    extended = parameters.get("filename*")
    if extended is None:
        return parameters.get("filename")
    match = _EXTENDED.match(extended)
    if match is None:
        shown = name[:_SHOWN]
        raise invalid(f"'filename*' of '{shown}' must be UTF-8''... in percent encoding.", shown)
    return unquote_to_bytes(match[2]).decode(match[1].lower(), "replace")


def _parameters(value: str) -> tuple[str, dict[str, str]]:
    """A header's value before its parameters in lower case, and those by their names."""
    kind, _, _ = value.partition(";")
    at = len(kind)
    found: dict[str, str] = {}
    while match := _PARAMETER.match(value, at):
        at = match.end()
        if match[1] is None:
            continue
        name = match[1].lower()
        if name in found:
            raise invalid(f"A head of the form gives '{name[:_SHOWN]}' twice.")
        quoted = match[2]
        found[name] = match[3] if quoted is None else _ESCAPED.sub(r"\1", quoted)
    if value[at:].strip(" \t"):
        raise invalid(f"A head of the form is malformed: {value[:_SHOWN]!a}.")
    return kind.strip(" \t").lower(), found
