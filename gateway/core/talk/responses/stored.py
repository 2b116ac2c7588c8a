"""What is made of a stored response: the input of the next request, and pages of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.talk.responses.wire import changed, listed, read_head, read_item
from gateway.errors import NOT_FOUND, Fault, invalid

MAX_PAGE: Final = 100
MAX_REFERRED: Final = 16 << 20  # bytes of all items that one request refers to
_MAX_IDS: Final = 1_000
# Items that mean the same without their id, and with it only to the host that gave it.
_NAMELESS: Final = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})


class _Said(Struct, gc=False):
    """What tells a reference: a host takes an item without a type or a role for one as well."""

    type: Any = None
    id: Any = None
    role: Any = None


_read_said = msgspec.json.Decoder(_Said).decode


class Kept(Protocol):
    """A stored response, as far as it is used here."""

    @property
    def id(self) -> str: ...
    @property
    def response(self) -> bytes: ...
    @property
    def input(self) -> bytes: ...


def as_items(body: JsonBody) -> list[bytes]:
    """A request's input as items, whichever way it was said."""
    raw = body.get("input")
    if raw is None or raw == b"null":
        return []
    if raw[:1] == b'"':
        content = b'[{"type":"input_text","text":' + raw + b"}]"
        return [b'{"type":"message","role":"user","content":' + content + b"}"]
    return listed(raw)


def expand(body: JsonBody, stored: Kept) -> JsonBody:
    """The request with all that came before it in its input, and without the id of that.

    Instructions are not inherited, as the dialect has it.
    """
    head = read_head(stored.response)
    said = listed(head.output) if head is not None else []
    items = [*listed(stored.input), *again(said), *as_items(body)]
    return body.replace({"input": _array(items), "previous_response_id": None})


def again(output: Iterable[bytes]) -> list[bytes]:
    """Items of an output as items of an input, for any host.

    Ids are left out where they are only known to the host that gave them; so is a thought that can
    neither be read nor unsealed elsewhere.
    """
    items: list[bytes] = []
    for raw in output:
        item = read_item(raw)
        if item is None:
            continue
        if item.type == "reasoning" and not (item.encrypted_content or listed(item.content)):
            continue
        items.append(changed(raw, {"id": None, "status": None}) if item.type in _NAMELESS else raw)
    return items


def dereferenced(body: JsonBody, find: Callable[[str], bytes | None]) -> JsonBody:
    """The request with items instead of references, all of which `find` must know.

    A provider may know others: those are of whoever calls it with the same credential.
    """
    items: list[bytes] = []
    referred = 0
    for place, one in enumerate(listed(body.get("input") or b"")):
        reference = _reference(one)
        if reference is None:
            items.append(one)
            continue
        known = find(reference)
        if known is None:
            raise unknown_item(reference, f"input[{place}]")
        referred += len(known)
        if referred > MAX_REFERRED:
            raise invalid("The items that 'input' refers to are too long together.", "input")
        items += again([known])
    return body.replace({"input": _array(items)}) if referred else body


def _reference(raw: bytes) -> str | None:
    """The id that an item of an input refers to; None for an item that says something itself."""
    try:
        item = _read_said(raw)
    except msgspec.DecodeError:
        return None
    if item.type != "item_reference" and not (item.type is None and item.role is None):
        return None
    return item.id if isinstance(item.id, str) else ""


def unknown_item(name: str, where: str) -> Fault:
    """The same for one that never was, has gone, or is another account's."""
    return invalid(
        f"The item '{name[:100]}' is not among those that this gateway keeps; "
        "send the item itself.",
        where,
    )


def unknown_response(name: str, param: str) -> Fault:
    """The same for an id that never was, has gone, or is another account's."""
    return Fault(
        NOT_FOUND,
        f"Response with id '{name[:100]}' not found: only the latest are kept, until a restart. "
        "Send the conversation itself.",
        param=param,
    )


def deleted(name: str) -> bytes:
    """What a client is told whose response was forgotten."""
    return msgspec.json.encode({"id": name, "object": "response", "deleted": True})


def input_items(
    stored: Kept,
    *,
    after: str = "",
    limit: int = 20,
    order: Literal["asc", "desc"] = "desc",
) -> bytes:
    """A page of what a response answered."""
    if not 1 <= limit <= MAX_PAGE:
        raise invalid(f"'limit' must be between 1 and {MAX_PAGE}.", "limit")
    items = list(enumerate(listed(stored.input)))
    if order == "desc":
        items.reverse()
    start = _behind(items, stored.id, after) if after else 0
    page = [_named(raw, stored.id, place) for place, raw in items[start : start + limit]]
    said: dict[str, Any] = {
        "object": "list",
        "data": [Raw(raw) for _, raw in page],
        "first_id": page[0][0] if page else None,
        "last_id": page[-1][0] if page else None,
        "has_more": start + limit < len(items),
    }
    return msgspec.json.encode(said)


def output_ids(output: Iterable[bytes]) -> tuple[str, ...]:
    """The ids of an output's items, for as many as are kept."""
    items = (read_item(raw) for raw in output)
    return tuple(item.id for item in items if item is not None and item.id)[:_MAX_IDS]


def _behind(items: list[tuple[int, bytes]], owner: str, name: str) -> int:
    """Where the next page begins. Only what may have that name is read: there may be many."""
    mark = name.encode("utf-8", "replace")
    for at, (place, raw) in enumerate(items):
        may = mark in raw or b"\\" in raw or name == _name_of(owner, place)
        if may and _named(raw, owner, place)[0] == name:
            return at + 1
    raise invalid(f"'after' names no item of this response: {name[:100]}", "after")


def _name_of(owner: str, place: int) -> str:
    return f"item_{owner.removeprefix('resp_')}_{place}"


def _named(raw: bytes, owner: str, place: int) -> tuple[str, bytes]:
    """An item with its id; what came without one is named by its place."""
    item = read_item(raw)
    if item is not None and item.id:
        return item.id, raw
    name = _name_of(owner, place)
    if item is None:
        return name, raw
    changes: dict[str, bytes | None] = {"id": msgspec.json.encode(name)}
    if not item.type:
        changes["type"] = b'"message"'
    content = bytes(item.content)
    if item.type in ("", "message") and content[:1] == b'"':
        kind = b"output_text" if item.role == "assistant" else b"input_text"
        changes["content"] = b'[{"type":"' + kind + b'","text":' + content + b"}]"
    return name, changed(raw, changes)


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
