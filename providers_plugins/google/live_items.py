"""Items that a client puts into the conversation, as turns of the provider's."""

from __future__ import annotations

import base64
import binascii
import re
from collections import OrderedDict
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.sdk import invalid
from providers_plugins.google.answer import UNREADABLE
from providers_plugins.sound import size_of

Item = dict[str, Any]
SOUND = "audio/pcm;rate=24000"
_DATA = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,")
_MOST_CALLS = 256
_ROLES = {"user": "user", "assistant": "model", "system": "user"}
_TEXTS = frozenset({"input_text", "output_text", "text"})


def read_item(raw: bytes) -> Item:
    """The item of an event, or a Fault that says what is wrong with it."""
    try:
        item = msgspec.json.decode(raw, type=dict[str, Any]) if raw else None
    except UNREADABLE:
        item = None
    if item is None:
        raise invalid("'item' must be an object.", "item")
    if not isinstance(item.get("id"), str | None):
        raise invalid("'id' must be a string.", "item.id")
    return item


def turn_of(item: Item) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A message, or a call of earlier times, as a turn; and what of it is lost."""
    kind = item.get("type")
    if kind == "function_call":
        return _called(item), ()
    if kind != "message":
        raise invalid(
            "An item is a 'message', a 'function_call' or a 'function_call_output'.", "item.type"
        )
    role = item.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise invalid("'user', 'assistant' or 'system'.", "item.role")
    content = item.get("content")
    if not isinstance(content, list) or not content:
        raise invalid("A list with something in it.", "item.content")
    parts = [_part(part, f"item.content[{number}]") for number, part in enumerate(content)]
    return {"role": _ROLES[role], "parts": parts}, ("item.role",) if role == "system" else ()


def sound_in(turn: dict[str, Any]) -> int:
    """How many bytes of sound a turn holds."""
    blobs = [part["inlineData"] for part in turn["parts"] if "inlineData" in part]
    return sum(size_of(blob["data"]) for blob in blobs if blob["mimeType"] == SOUND)


def told(item: Item) -> Item:
    """The item as it is told back: without the sound, which is not sent around once more."""
    content = item.get("content")
    if not isinstance(content, list):
        return item
    parts = [
        {name: value for name, value in part.items() if name != "audio"}
        if isinstance(part, dict)
        else part
        for part in content
    ]
    return item | {"content": parts}


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in _TEXTS if isinstance(kind, str) else False:
        return {"text": _text(part, "text", where)}
    if kind == "output_audio":
        return {"text": _text(part, "transcript", where)}
    if kind == "input_audio":
        data = _text(part, "audio", where)
        sized(data, f"{where}.audio")
        return {"inlineData": {"mimeType": SOUND, "data": data}}
    if kind == "input_image":
        url = _text(part, "image_url", where)
        found = _DATA.match(url)
        if found is None:
            raise invalid("This model takes images as data: URLs in base64.", f"{where}.image_url")
        data = url[found.end() :]
        sized(data, f"{where}.image_url")
        return {"inlineData": {"mimeType": found[1], "data": data}}
    raise invalid("This kind of content is not known here.", f"{where}.type")


def _text(part: dict[str, Any], name: str, where: str) -> str:
    text = part.get(name)
    if not isinstance(text, str):
        raise invalid(f"'{name}' must be a string.", f"{where}.{name}")
    return text


def _called(item: Item) -> dict[str, Any]:
    name = _text(item, "name", "item")
    return {"role": "model", "parts": [{"functionCall": {"name": name, "args": _arguments(item)}}]}


def _arguments(item: Item) -> Any:
    try:
        return msgspec.json.decode(item.get("arguments") or "{}", type=dict[str, Any])
    except (*UNREADABLE, TypeError):
        raise invalid("An object, as JSON in a string.", "item.arguments") from None


def sized(data: str, where: str) -> int:
    """How many bytes stand in a text of base64."""
    try:
        return len(base64.b64decode(data.encode("ascii"), validate=True))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise invalid("This is not base64.", where) from None


class _Call(Struct):
    name: str
    theirs: str  # the provider's id of it
    item_id: str


class Calls:
    """Calls that wait for an answer. The answers go out together once all have come."""

    def __init__(self, *, ids: bool) -> None:
        self._ids = ids
        self._waiting: OrderedDict[str, _Call] = OrderedDict()
        self._dropped: OrderedDict[str, None] = OrderedDict()
        self._answers: list[dict[str, Any]] = []

    def wait(self, call_id: str, name: str, theirs: str, item_id: str) -> None:
        """A call has been told to the client."""
        self._waiting[call_id] = _Call(name, theirs, item_id)
        if len(self._waiting) > _MOST_CALLS:
            self._drop(next(iter(self._waiting)))

    def cancel(self, theirs: str) -> str | None:
        """The provider wants no answer to this one any more; gives its item, if it waited."""
        for call_id, call in self._waiting.items():
            if call.theirs == theirs:
                self._drop(call_id)
                return call.item_id
        return None

    def answer(self, item: Item) -> None:
        """What a function gave."""
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            raise invalid("'call_id' must be a string.", "item.call_id")
        if call_id in self._dropped:
            return  # nobody waits for it, and the client could not know
        output = item.get("output")
        if not isinstance(output, str):
            raise invalid("'output' must be a string.", "item.output")
        call = self._waiting.pop(call_id, None)
        if call is None:
            raise invalid("No call of this id waits for an output.", "item.call_id")
        written: dict[str, Any] = {"name": call.name, "response": _response(output)}
        if self._ids and call.theirs:
            written = {"id": call.theirs, **written}
        self._answers.append(written)

    def ready(self, *, now: bool = False) -> dict[str, Any] | None:
        """The answers in one message, once none is missing, or as they are `now`."""
        if not self._answers or (self._waiting and not now):
            return None
        answers, self._answers = self._answers, []
        return {"toolResponse": {"functionResponses": answers}}

    def _drop(self, call_id: str) -> None:
        self._waiting.pop(call_id, None)
        self._dropped[call_id] = None
        if len(self._dropped) > _MOST_CALLS:
            self._dropped.popitem(last=False)


def _response(output: str) -> Any:
    """The text itself, byte for byte, if it is an object; else in one."""
    raw = output.strip().encode("utf-8", "replace")
    if raw.startswith(b"{"):
        try:
            msgspec.json.decode(raw)
        except UNREADABLE:
            pass
        else:
            return Raw(raw)
    return {"result": output}
