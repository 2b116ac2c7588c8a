"""A JSON object as the client sent it, with the place of every top-level member.

Members are replaced in place, so each byte that nobody asked to change stays the client's own.
msgspec takes the last of two equal keys, skips over invalid UTF-8 in what it does not decode, and
raises three kinds of error; this module turns all of that into one refusal.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.errors import Fault, invalid

MAX_DEPTH = 128
MAX_MEMBERS = 1_000
MAX_VALUES = 500_000
_CHECK_SLICE = 1 << 20

# Possessive, so that a key of any length costs no memory for ways back into it.
_MEMBER = re.compile(rb'\s*,?\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"\s*:\s*')
_SPACE = b" \t\r\n"
_AFTER = (b",", b"}", b" ", b"\n", b"\r", b"\t")  # what may follow a member
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_NOT_VALUES = bytes(set(range(256)) - set(b'[{,"'))
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_STRING = re.compile(rb'"[^"]*"')
_QUOTED = re.compile(r"`[^`]*`")
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_TYPE = re.compile(rf"\b(?:{'|'.join(_TYPES)})\b")
_RUNS = re.compile(rb"\[++|\]++")
_SHOWN_NAME = 100
_FIELD_PATH = re.compile(r" - at `\$(?:\.key|\[\.\.\.\])?\.?([^`]*)`$")

_decode_members: Callable[[bytes], dict[str, msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
).decode


class JsonBody(Struct, eq=False, gc=False):
    """An immutable JSON object: raw bytes and the span of each member's value."""

    raw: bytes
    _known: dict[str, tuple[int, int]] | None = None

    def __repr__(self) -> str:
        return "JsonBody()"  # a client's words have no place in a traceback

    @property
    def _spans(self) -> dict[str, tuple[int, int]]:
        """Member name -> start and end of its value; a rewritten body finds out when asked."""
        if self._known is None:
            members = _decode_members(self.raw)
            self._known = _compact_spans(self.raw, members) or _spans(self.raw, members)
        return self._known

    @classmethod
    def parse(cls, raw: bytes) -> JsonBody:
        """Accept one strict JSON object, or raise a 400 that says why not."""
        if not raw or not raw.isascii():
            check_text(raw)
        check_depth(raw)
        try:
            members = _decode_members(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _refusal(error) from None
        if len(members) > MAX_MEMBERS:
            raise invalid(f"The request body has more than {MAX_MEMBERS} members.")
        return cls(raw, _compact_spans(raw, members) or _spans(raw, members))

    def forget_places(self) -> None:
        """Let go of where the members stand; it is found again when asked for."""
        self._known = None

    def __contains__(self, name: str) -> bool:
        return name in (self._known or self._spans)

    def has_any(self, names: frozenset[str]) -> bool:
        """True when any of these members is there."""
        return not names.isdisjoint(self._known or self._spans)

    def names(self) -> list[str]:
        """The members in the order the client sent them."""
        return list(self._spans)

    def get(self, name: str) -> bytes | None:
        """A member's value, byte for byte."""
        span = (self._known or self._spans).get(name)
        return None if span is None else self.raw[span[0] : span[1]]

    def value(self, name: str) -> Any:
        """A member's value, decoded; None when absent. What no type can hold is refused."""
        raw = self.get(name)
        try:
            return None if raw is None else msgspec.json.decode(raw)
        except (ValueError, RecursionError):  # a number past all ranges is JSON all the same
            shown = name[:_SHOWN_NAME]
            raise invalid(f"'{shown}' holds a value that is out of range.", shown) from None

    def replace(self, changes: Mapping[str, bytes | None]) -> JsonBody:
        """A body with members set to new raw values, or removed where the value is None."""
        raw, spans = self.raw, self._known or self._spans
        effective: dict[str, bytes | None] = {}
        removes, place, new = False, None, b""
        for name, value in changes.items():
            span = spans.get(name)
            if value != (None if span is None else raw[span[0] : span[1]]):
                effective[name] = value
                removes, place, new = removes or value is None, span, value or b""
        if not effective:
            return self
        if removes:
            return self._rebuilt(effective)
        if place is None or len(effective) > 1:
            return self._spliced(effective)
        # One member alone, as in nearly every message that is respelled.
        return JsonBody(b"".join((raw[: place[0]], new, raw[place[1] :])))

    def raw_with(self, name: str, value: bytes) -> bytes:
        """The bytes with one member set: what `replace` comes to where every call passes."""
        place = (self._known or self._spans).get(name)
        if place is None:
            return self._spliced({name: value}).raw
        raw, (start, end) = self.raw, place
        return b"".join((raw[:start], value, raw[end:]))

    def rename(self, names: Mapping[str, str]) -> JsonBody:
        """A body with members renamed; one whose new name is already taken is dropped."""
        present = [name for name in names if name in self._spans]
        if not present:
            return self
        parts: dict[str, bytes] = {}
        for name in self._spans:
            target = names.get(name, name)
            if target != name and target in self._spans:
                continue
            parts[target] = self.get(name) or b""
        return _joined(parts)

    def _spliced(self, changes: Mapping[str, bytes | None]) -> JsonBody:
        raw, spans = self.raw, self._known or self._spans
        known: list[tuple[tuple[int, int], bytes | None]] = []
        added: dict[str, bytes | None] = {}
        for name, value in changes.items():
            if name in spans:
                known.append((spans[name], value))
            else:
                added[name] = value
        known.sort()
        pieces: list[bytes] = []
        at = 0
        for (start, end), value in known:
            pieces += (raw[at:start], value or b"")
            at = end
        if not added:
            pieces.append(raw[at:])
        else:
            close = raw.rindex(b"}")
            pieces.append(raw[at:close].rstrip(_SPACE))
            comma = b"," if spans else b""
            for name, value in added.items():
                pieces += (comma, msgspec.json.encode(name), b":", value or b"")
                comma = b","
            pieces.append(raw[close:])
        return JsonBody(b"".join(pieces))

    def _rebuilt(self, changes: Mapping[str, bytes | None]) -> JsonBody:
        parts: dict[str, bytes] = {}
        for name in [*self._spans, *changes]:
            value = changes[name] if name in changes else self.get(name)
            if value is not None:
                parts[name] = value
        return _joined(parts)


def object_body(raw: bytes, param: str) -> JsonBody:
    """A nested object that the gateway itself reads, under the same strictness."""
    try:
        return JsonBody.parse(raw)
    except Fault:
        raise invalid(f"'{param}' must be an object without duplicate members.", param) from None


def check_text(raw: bytes) -> None:
    """Refuse a body that is empty, starts with a BOM, or is not UTF-8 anywhere."""
    if not raw:
        raise invalid("The request body is empty; send a JSON object.")
    if raw.isascii():
        return
    if raw.startswith(codecs.BOM_UTF8):
        raise invalid("The request body starts with a byte order mark; send plain UTF-8 JSON.")
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for at in range(0, len(raw), _CHECK_SLICE):
            decoder.decode(raw[at : at + _CHECK_SLICE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise invalid("The request body is not valid UTF-8.") from None


def check_depth(raw: bytes) -> None:
    """Refuse nesting deeper than MAX_DEPTH; brackets inside strings do not count."""
    # What taking them away takes away: that is a tenth of the time that counting them takes.
    flat = raw.replace(b"[", b"", MAX_DEPTH + 1).replace(b"{", b"", MAX_DEPTH + 1)
    if len(raw) - len(flat) <= MAX_DEPTH:
        return
    shape = _unquoted(raw).translate(_ONE_KIND, _NOT_STRUCTURE).replace(b'""', b"")
    if _depth(_STRING.sub(b"", shape)) > MAX_DEPTH:
        raise invalid(f"The request body is nested deeper than {MAX_DEPTH} levels.")


def check_values(raw: bytes) -> None:
    """Refuse what holds more values than a conversation can: each that is read costs memory."""
    if len(raw) <= MAX_VALUES:
        return
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") <= MAX_VALUES:
        return
    shape = _unquoted(raw).translate(None, _NOT_VALUES).replace(b'""', b"")
    if len(_STRING.sub(b"", shape)) > MAX_VALUES:
        raise invalid(f"The request body holds more than {MAX_VALUES} values.")


def _unquoted(raw: bytes) -> bytes:
    """Without the quotes inside strings, and without what tells them from those around strings."""
    if raw.find(b"\\") < 0:
        return raw
    # Backslashes that are escaped go first: else what follows them would pass for escaped.
    return raw.replace(b"\\\\", b"").replace(b'\\"', b"")


def _depth(shape: bytes) -> int:
    """How deep brackets nest. Every pass takes the innermost ones away, while they are many."""
    taken = 0
    while taken <= MAX_DEPTH and shape.count(b"[]") * 16 > len(shape):
        shape = shape.replace(b"[]", b"")
        taken += 1
    deepest = depth = 0
    for run in _RUNS.findall(shape):
        depth += len(run) if run.startswith(b"[") else -len(run)
        deepest = max(deepest, depth)
    return taken + deepest


def decode_as(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode known fields; a refusal names the field at fault."""
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refusal(error, decoder.type) from None


def _refusal(error: Exception, known: Any = None) -> Fault:
    if isinstance(error, RecursionError):
        return invalid(f"The request body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(error, UnicodeDecodeError):
        return invalid("The request body is not valid UTF-8.")
    text = str(error)
    if not isinstance(error, msgspec.ValidationError):
        return invalid(f"The request body is not valid JSON: {text}.")
    found = _FIELD_PATH.search(text)
    path = found[1] if found else ""
    reason = text[: found.start()] if found else text
    named = re.search(r"(missing required|unknown) field `([^`]+)`", reason)
    if named:
        path = f"{path}.{named[2]}"[:200] if path else named[2][:200]
        what = "is not known here" if named[1] == "unknown" else "is required"
        return invalid(f"'{path}' {what}.", path)
    if not path:
        return invalid("The request body must be a JSON object.")
    words = _words(known, path) if reason.startswith("Invalid enum value") else ""
    if words:
        return invalid(f"'{path}' must be {'one of ' if ',' in words else ''}{words}.", path)
    return invalid(f"'{path}' is not valid: {_in_json_words(reason)}.", path)


def _in_json_words(reason: str) -> str:
    """What was expected, in the words of JSON instead of Python's, and without a pattern."""
    if " matching regex " in reason:
        return "its text does not have the form that is expected"
    told = _QUOTED.sub(lambda quoted: _TYPE.sub(lambda name: _TYPES[name[0]], quoted[0]), reason)
    return told[:1].lower() + told[1:]


def _words(known: Any, name: str) -> str:
    """What a member of the body may say, where it is one of a few words."""
    for field in getattr(msgspec.inspect.type_info(known), "fields", ()):
        if field.encode_name == name:
            types = getattr(field.type, "types", (field.type,))
            return ", ".join(
                word if isinstance(word, str) else msgspec.json.encode(word).decode()
                for one in types
                for word in getattr(one, "values", ())
            )
    return ""


def _compact_spans(
    raw: bytes, members: Mapping[str, msgspec.Raw]
) -> dict[str, tuple[int, int]] | None:
    """The spans of an object without any white space, as SDKs write it; None for all others.

    White space, an escaped name or a second member of the same name would each make the text
    longer than its members: a length that fits is the proof that there is none of them.
    """
    spans: dict[str, tuple[int, int]] = {}
    at = 0
    for name, value in members.items():
        start = at + len(name) + 4
        at = start + len(value)
        spans[name] = (start, at)
    return spans if at + 1 == len(raw) else None


def _spans(raw: bytes, members: Mapping[str, msgspec.Raw]) -> dict[str, tuple[int, int]]:
    """Walk the object's members in order; the decoder has already proved it well formed."""
    spans: dict[str, tuple[int, int]] = {}
    at = raw.index(b"{") + 1
    while True:
        member = _MEMBER.match(raw, at)
        if member is None:
            return spans
        key = member[1]
        name = _unescaped(key) if b"\\" in key else key.decode()
        value = bytes(members[name])
        start = member.end()
        end = start + len(value)
        # A second member of the same name shows as a value that is not the one decoded last,
        # or as a name met before.
        if name in spans or raw[start:end] != value or raw[end : end + 1] not in _AFTER:
            shown = name[:_SHOWN_NAME]
            raise invalid(f"The member '{shown}' appears twice in the request body.", shown)
        spans[name] = (start, end)
        at = end


def _unescaped(key: bytes) -> str:
    return str(msgspec.json.decode(b'"' + key + b'"', type=str))


def _joined(parts: Mapping[str, bytes]) -> JsonBody:
    members = (msgspec.json.encode(name) + b":" + value for name, value in parts.items())
    return JsonBody(b"{" + b",".join(members) + b"}")
