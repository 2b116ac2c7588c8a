"""What stands on the Responses wire: items, their content, events, as far as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Raw, Struct

NONE: Final = Raw()
DIALECT: Final = "responses"
BREAK: Final = "\n\n"  # between the sections of what was thought
_Read = TypeVar("_Read")
_Place = Annotated[int, msgspec.Meta(ge=0)]


class StreamEvent(Struct, gc=False):
    """An event of a stream; what is rarely looked at stays raw."""

    type: str = ""
    delta: str | None = None
    output_index: _Place | None = None
    content_index: _Place | None = None
    summary_index: _Place | None = None
    sequence_number: _Place | None = None
    item_id: str | None = None
    item: Raw = NONE
    part: Raw = NONE
    annotation: Raw = NONE
    response: Raw = NONE


class Item(Struct, gc=False):
    """One item of an output or an input."""

    type: str = ""
    id: str | None = None
    role: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: Raw = NONE
    input: Raw = NONE
    content: Raw = NONE
    summary: Raw = NONE
    encrypted_content: str | None = None
    signature: str | None = None
    signature_family: str | None = None


class Content(Struct, gc=False):
    """One piece of a message, or of what was thought."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: Raw = NONE


class Annotation(Struct, gc=False):
    """Where a piece of a text comes from."""

    type: str = ""
    url: str | None = None
    title: str | None = None
    filename: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class Incomplete(Struct, gc=False):
    """Why an answer is not complete."""

    reason: str | None = None


class Head(Struct, gc=False):
    """A response object, as far as it is read."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    error: Raw = NONE
    incomplete_details: Incomplete | None = None
    output: Raw = NONE
    usage: Raw = NONE
    service_tier: str | None = None

    @property
    def created(self) -> int:
        """Whole seconds; hosts write fractions, zeros and worse."""
        at = self.created_at or 0.0
        return int(at) if 0 <= at < 1 << 53 else 0


def _lenient(shape: type[_Read]) -> Callable[[bytes], _Read | None]:
    decode = msgspec.json.Decoder(shape).decode

    def read(raw: bytes) -> _Read | None:
        try:
            return decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    return read


read_event: Callable[[bytes], StreamEvent | None] = _lenient(StreamEvent)
read_item: Callable[[bytes], Item | None] = _lenient(Item)
read_content: Callable[[bytes], Content | None] = _lenient(Content)
read_annotation: Callable[[bytes], Annotation | None] = _lenient(Annotation)
read_head: Callable[[bytes], Head | None] = _lenient(Head)
_read_list: Callable[[bytes], list[Raw] | None] = _lenient(list[Raw])
_read_members: Callable[[bytes], dict[str, Raw] | None] = _lenient(dict[str, Raw])
_read_text: Callable[[bytes], str | None] = _lenient(str)


def listed(raw: Raw | bytes) -> list[bytes]:
    """The members of an array, each as it came; none of what is no array."""
    data = bytes(raw)
    return [bytes(one) for one in _read_list(data) or ()] if data[:1] == b"[" else []


def worded(raw: Raw | bytes) -> str:
    """A string; arguments that came as an object stay the JSON they are."""
    data = bytes(raw)
    if data[:1] == b'"':
        return _read_text(data) or ""
    return data.decode(errors="replace") if data[:1] in (b"{", b"[") else ""


def is_object(raw: Raw | bytes) -> bool:
    """True for a member that is there and is an object."""
    return bytes(raw)[:1] == b"{"


def changed(raw: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """An object of a provider's with members set, or left out; of two alike the last counts."""
    members = _read_members(raw)
    if members is None:
        return raw
    for name, value in changes.items():
        if value is None:
            members.pop(name, None)
        else:
            members[name] = Raw(value)
    return msgspec.json.encode(members)
