"""Reads the input of a request: a text, or items."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from gateway.core.talk.model import (
    Foreign,
    Losses,
    Media,
    Message,
    Part,
    Refusal,
    Role,
    Text,
    ToolResult,
)
from gateway.core.talk.responses.parts import TEXTS, citation, thinking, tool_use
from gateway.core.talk.responses.stored import unknown_item
from gateway.core.talk.responses.wire import DIALECT, NONE, Item, listed, read_item, worded
from gateway.errors import invalid

_ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_CALLS: Final = ("function_call", "custom_tool_call")
_RESULTS: Final = ("function_call_output", "custom_tool_call_output")
_DATA = "data:"


class _Extra(Struct, gc=False):
    """Members of an item that no other dialect has, and the output of a tool."""

    output: Raw = NONE
    namespace: str | None = None
    phase: str | None = None


class _Audio(Struct, gc=False):
    data: str = ""
    format: str = ""


class _Content(Struct, gc=False):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    annotations: Raw = NONE
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: _Audio | None = None


def read_input(raw: Raw, messages: list[Message], losses: Losses) -> None:
    """Add what the input says to the messages; neighbours of one role are one message."""
    data = bytes(raw)
    if data[:1] == b'"':
        add(messages, "user", [Text(worded(data))])
        return
    if data in (b"", b"null"):
        return
    if data[:1] != b"[":
        raise invalid("'input' must be a string or a list of items.", "input")
    for index, one in enumerate(listed(data)):
        _read_one(one, f"input[{index}]", messages, losses)


def add(messages: list[Message], role: Role, parts: list[Part]) -> None:
    """Say more in a role's turn: the current one, or a new one."""
    if messages and messages[-1].role == role:
        messages[-1].parts += parts
    elif parts:
        messages.append(Message(role, parts))


def _read_one(raw: bytes, where: str, messages: list[Message], losses: Losses) -> None:
    item = read_item(raw)
    if item is None:
        raise invalid(f"'{where}' is not an item.", where)
    if item.type in ("", "message"):
        _message(item, raw, where, messages, losses)
    elif item.type in _CALLS:
        if _extra(raw, where).namespace:
            losses.lose(f"{where}.namespace")
        add(messages, "assistant", [tool_use(item)])
    elif item.type in _RESULTS:
        custom = item.type == _RESULTS[1]
        parts = _result(_extra(raw, where).output, where)
        add(messages, "user", [ToolResult(item.call_id or "", parts, custom=custom)])
    elif item.type == "reasoning":
        add(messages, "assistant", [thinking(item)])
    elif item.type == "item_reference":
        raise unknown_item(item.id or "", where)
    else:
        add(messages, "assistant", [Foreign(DIALECT, item.type, raw)])


def _message(item: Item, raw: bytes, where: str, messages: list[Message], losses: Losses) -> None:
    role = _ROLES.get(item.role or "")
    if role is None:
        raise invalid(f"'{where}.role' must be user, assistant, system or developer.", where)
    if _extra(raw, where).phase:
        losses.lose(f"{where}.phase")
    add(messages, role, _contents(item.content, f"{where}.content"))


def _contents(raw: Raw, where: str) -> list[Part]:
    data = bytes(raw)
    if data[:1] == b'"':
        return [Text(worded(data))]
    if data[:1] != b"[":
        raise invalid(f"'{where}' must be a string or a list of parts.", where)
    return [_content(one, f"{where}[{index}]") for index, one in enumerate(listed(data))]


def _content(raw: bytes, where: str) -> Part:
    try:
        content = msgspec.json.decode(raw, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(f"'{where}' is not a part that can be read.", where) from None
    if content.type in TEXTS:
        found = [citation(one) for one in listed(content.annotations)]
        return Text(content.text or "", citations=found)
    if content.type == "refusal":
        return Refusal(content.refusal or "")
    return _media(content) or Foreign(DIALECT, content.type, raw)


def _media(content: _Content) -> Media | None:
    file_id = content.file_id or ""
    if content.type == "input_image":
        mime, data, url = _located(content.image_url or "")
        detail = content.detail or ""
        return Media("image", mime, data, url, file_id, detail=detail)
    if content.type == "input_file":
        mime, data, url = _located(content.file_data or content.file_url or "")
        if content.file_data and not data:
            mime, data, url = "application/pdf", content.file_data, ""
        return Media("document", mime, data, url, file_id, name=content.filename or "")
    if content.type == "input_audio" and content.input_audio is not None:
        audio = content.input_audio
        return Media("audio", f"audio/{audio.format or 'wav'}", audio.data)
    return None


def _located(url: str) -> tuple[str, str, str]:
    """Type, base64 and address: a data URL has the first two, any other the last."""
    if not url.startswith(_DATA):
        return "", "", url
    head, _, data = url[len(_DATA) :].partition(",")
    if not head.endswith(";base64"):
        return "", "", url
    return head.partition(";")[0], data, ""


def _result(output: Raw, where: str) -> list[Text | Media]:
    data = bytes(output)
    if data[:1] == b'"':
        return [Text(worded(data))]
    if data[:1] != b"[":
        raise invalid(f"'{where}.output' must be a string or a list of parts.", f"{where}.output")
    parts: list[Text | Media] = []
    for part in _contents(output, f"{where}.output"):
        if not isinstance(part, Text | Media):
            raise invalid(f"'{where}.output' has a part that no tool gives.", f"{where}.output")
        parts.append(part)
    return parts


def _extra(raw: bytes, where: str) -> _Extra:
    try:
        return msgspec.json.decode(raw, type=_Extra)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid(f"'{where}' is not an item that can be read.", where) from None
