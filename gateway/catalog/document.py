"""Strict YAML: text to plain values and their lines, with everything surprising refused.

Built on parser events, not on a composed tree: nothing recurses, so a deep or self-referring
document is refused at the event that shows it, and costs no more than the text before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from gateway.catalog.problems import CatalogError, Lines, Problem, Report

MAX_BYTES = 8 * 1024 * 1024
MAX_DEPTH = 32
# Of parser events; a catalog of a thousand models has under 100,000. Bounds the time a file takes.
MAX_EVENTS = 400_000

_PLAIN_INT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z")
_PLAIN_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]{0,17})\.[0-9]+\Z")
_TAG = "tag:yaml.org,2002:"

# The C parser where PyYAML has it: about ten times as quick.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_RESOLVERS = yaml.SafeLoader.yaml_implicit_resolvers


Container = dict[str, Any] | list[Any]
_Opening = yaml.MappingStartEvent | yaml.SequenceStartEvent


class Document:
    """A decoded file: its root mapping, the line of every entry, and what was wrong with it."""

    def __init__(self, root: dict[str, Any], report: Report, lines: Lines) -> None:
        self.root = root
        self.report = report
        self.lines = lines


class _Again(str):
    """A key that its mapping already has: its value is read, but goes nowhere."""

    __slots__ = ()


class _Refused(Exception):  # noqa: N818 - carries one problem that makes reading on pointless
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read(raw: bytes, file: str) -> Document:
    """Decode the bytes of a catalog file; raises CatalogError where no document can be had."""
    try:
        text = _text(raw)
        builder = _Builder()
        for count, event in enumerate(_events(text)):
            builder.take(event)
            if count > MAX_EVENTS:
                raise _Refused(_line(event), "the file holds too many entries")
        root = builder.root()
    except _Refused as error:
        raise CatalogError([Problem(file, error.line, "", error.message)]) from None
    lines = Lines(root, builder.lines, 1)
    report = Report(file, lines)
    for container, key, message in builder.complaints:
        report.add((*builder.path_of(container), key), message)
    return Document(root, report, lines)


def _text(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise _Refused(1, f"the file is larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _Refused(line, "not UTF-8") from None
    if not text.strip():
        raise _Refused(1, "the file is empty")
    return text


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "not YAML"
        raise _Refused(mark.line + 1 if mark else 1, f"not valid YAML: {what}") from None
    except yaml.YAMLError as error:
        # A reader error (a control character) knows its position in the text, not its line.
        position = getattr(error, "position", 0)
        at = position if isinstance(position, int) else 0
        raise _Refused(
            text.count("\n", 0, at) + 1, "not valid YAML: a forbidden character"
        ) from None


class _Builder:
    """Turns events into dicts, lists and scalars without recursion."""

    def __init__(self) -> None:
        self.lines: dict[int, dict[str | int, int]] = {}
        self.complaints: list[tuple[Any, str | int, str]] = []
        self._parents: dict[int, tuple[Any, str | int]] = {}
        self._alive: list[Any] = []  # tables are keyed by id: none may be given out twice
        self._stack: list[Any] = []
        self._keys: list[str | None] = []
        self._root: Any = None
        self._documents = 0

    def root(self) -> dict[str, Any]:
        """The top-level mapping."""
        if not isinstance(self._root, dict):
            raise _Refused(1, "the file must hold one mapping that starts with `version: 1`")
        return self._root

    def path_of(self, container: Container) -> tuple[str | int, ...]:
        """The path of a container, from the root down."""
        path: list[str | int] = []
        while id(container) in self._parents:
            container, key = self._parents[id(container)]
            path.append(key)
        return tuple(reversed(path))

    def take(self, event: yaml.Event) -> None:
        """One event of the parser."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open(event, {})
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open(event, [])
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._stack.pop()
            self._keys.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise _Refused(_line(event), "aliases are not allowed: write the value out")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _Refused(_line(event), "more than one document in the file")

    def _open(self, event: _Opening, container: Container) -> None:
        _refuse_decoration(event)
        if len(self._stack) >= MAX_DEPTH:
            raise _Refused(_line(event), f"nested deeper than {MAX_DEPTH} levels")
        if self._stack and isinstance(self._stack[-1], dict) and self._keys[-1] is None:
            raise _Refused(_line(event), "a key must be a plain word, not a mapping or a list")
        self.lines[id(container)] = {}
        self._place(container, _line(event))
        self._stack.append(container)
        self._keys.append(None)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        _refuse_decoration(event)
        line = _line(event)
        top = self._stack[-1] if self._stack else None
        if isinstance(top, dict) and self._keys[-1] is None:
            self._key(top, event, line)
            return
        if event.implicit[0]:  # plain; quoted and block scalars are text, whatever they hold
            value, complaint = _plain(event.value)
        else:
            value, complaint = event.value, ""
        key = self._place(value, line)
        if complaint and top is not None:
            self.complaints.append((top, key, complaint))

    def _key(self, mapping: dict[str, Any], event: yaml.ScalarEvent, line: int) -> None:
        key = event.value
        if event.implicit[0]:
            tag = _resolve(key)
            if tag == "merge":
                raise _Refused(line, "merge keys are not allowed: write the values out")
            if tag not in ("str", "value") and not (tag == "int" and _PLAIN_INT.match(key)):
                raise _Refused(line, f"YAML does not read the key {key!r} as text: quote it")
        if key in self.lines[id(mapping)]:
            first = self.lines[id(mapping)][key]
            self.complaints.append((mapping, key, f"written twice (line {first} and line {line})"))
            self._keys[-1] = _Again(key)
            return
        self.lines[id(mapping)][key] = line
        self._keys[-1] = key

    def _place(self, value: object, line: int) -> str | int:
        """Put a value where it belongs; answers its key there."""
        if not self._stack:
            self._root = value
            return ""
        top = self._stack[-1]
        if isinstance(top, list):
            key: str | int = len(top)
            top.append(value)
            self.lines[id(top)][key] = line
        else:
            key = self._keys[-1] or ""
            self._keys[-1] = None
            if not isinstance(key, _Again):
                top[key] = value
        if isinstance(value, dict | list):
            self._parents[id(value)] = (top, key)
            self._alive.append(value)
        return key


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _refuse_decoration(event: _Opening | yaml.ScalarEvent) -> None:
    if event.anchor is not None:
        raise _Refused(_line(event), "anchors are not allowed: write the value out")
    if event.tag is not None:
        raise _Refused(_line(event), "tags are not allowed")


def _resolve(text: str) -> str:
    """The type YAML's safe resolver gives an unquoted scalar."""
    for tag, pattern in _RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return str(tag).removeprefix(_TAG)
    return "str"


def _plain(text: str) -> tuple[object, str]:
    """The value of an unquoted scalar, and what to say if YAML's reading of it is a trap.

    Not the scalar itself: it may be a secret in the wrong place.
    """
    value: object = text
    complaint = ""
    match _resolve(text):
        case "int" if _PLAIN_INT.match(text):
            value = int(text)
        case "float" if _PLAIN_FLOAT.match(text):
            value = float(text)
        case "int" | "float":
            complaint = (
                "YAML has its own reading of this: write a plain decimal number, or quote it"
            )
        case "bool" if text in ("true", "false"):
            value = text == "true"
        case "bool":
            complaint = "YAML reads this as true or false: write true or false, or quote it"
        case "null":
            value, complaint = None, "has no value: give one, or leave the key out"
    return value, complaint
