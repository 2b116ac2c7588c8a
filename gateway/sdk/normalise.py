"""Requests brought into the one form that a host knows: steps for `Quirks.steps`.

Each is a pure function of the call, the body so far, and the losses, which it names by the
client's own fields. A body that a step has nothing to do with comes back as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody, check_values, object_body
from gateway.core.talk.model import Losses
from gateway.sdk.adapter import Call

Step: TypeAlias = Callable[[Call, JsonBody, Losses], JsonBody]
_Rewrite: TypeAlias = Callable[[int, JsonBody], JsonBody]

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


# What says no more than silence would: leaving it out is no loss.
_NOTHING = (b"[]", b"{}", b"false", b'""', b"0", b"0.0")
_USUAL = {
    "parallel_tool_calls": (b"true",),
    "service_tier": (b'"auto"',),
    "modalities": (b'["text"]',),
    "seed": (),
}


class Wish(Struct, frozen=True):
    """What a client asked for in the way of thinking, whichever way it asked. None: nothing."""

    on: bool | None = None
    effort: str = ""
    budget: int | None = None


def wish(body: JsonBody) -> Wish:
    """From `reasoning_effort`, `reasoning` or `thinking`, whichever speaks first."""
    effort = body.value("reasoning_effort")
    reasoning = body.value("reasoning")
    thinking = body.value("thinking")
    found = reasoning if isinstance(reasoning, dict) else {}
    told = thinking if isinstance(thinking, dict) else {}
    level = effort if isinstance(effort, str) else found.get("effort")
    budget = _count(found.get("max_tokens")) or _count(told.get("budget_tokens"))
    on: bool | None = None
    if isinstance(level, str):
        on = level != "none"
    elif isinstance(found.get("enabled"), bool):
        on = found["enabled"]
    elif isinstance(told.get("type"), str):
        on = told["type"] != "disabled"
    elif budget:
        on = True
    return Wish(on, level if isinstance(level, str) else "", budget)


def asked(body: JsonBody) -> list[str]:
    """The members by which a client speaks of thinking, in the order in which they are heard."""
    names = ("reasoning_effort", "reasoning", "thinking")
    return [name for name in names if body.get(name) not in (None, b"null")]


def encoded(value: object) -> bytes:
    """A value as JSON."""
    return msgspec.json.encode(value)


def without(*names: str) -> Step:
    """Leave out members that the host refuses or ignores, and say so."""

    def step(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
        del call
        gone = [name for name in names if name in body]
        for name in gone:
            if body.get(name) not in (b"null", *_USUAL.get(name, _NOTHING)):
                losses.lose(name)
        return body.replace(dict.fromkeys(gone))

    return step


def one_choice(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """For hosts that give one answer: `n` of one stays, more are lost."""
    del call
    if body.value("n") in (None, 1):
        return body
    losses.lose("n")
    return body.replace({"n": None})


def json_object_only(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """For hosts that promise JSON, but of no schema: the schema is lost."""
    del call
    format_ = body.value("response_format")
    if not isinstance(format_, dict) or format_.get("type") != "json_schema":
        return body
    losses.lose("response_format.json_schema")
    return body.replace({"response_format": b'{"type":"json_object"}'})


def stops(limit: int) -> Step:
    """Stop sequences as a list, as many as the host takes."""

    def step(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
        del call
        given = body.value("stop")
        if isinstance(given, str):
            return body.replace({"stop": encoded([given])})
        if not isinstance(given, list) or len(given) <= limit:
            return body
        losses.lose(f"stop[{limit}]")
        return body.replace({"stop": encoded(given[:limit])})

    return step


def choices_of_tool(*known: str) -> Step:
    """For hosts that know but some values of `tool_choice`; "function" stands for a named one."""

    def step(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
        del call
        given = body.value("tool_choice")
        kind = given.get("type") if isinstance(given, dict) else given
        if given is None or kind in known:
            return body
        losses.lose("tool_choice")
        return body.replace({"tool_choice": None})

    return step


def some_tools(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """For hosts that refuse an empty list of tools."""
    del call, losses
    given = body.get("tools")
    if given is None or given.strip(b"[] \t\r\n"):
        return body
    return body.replace({"tools": None, "tool_choice": None})


def flat_text(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """Contents that are text parts alone, as one string: for hosts that want strings."""
    del call

    def flat(place: int, message: JsonBody) -> JsonBody:
        parts = message.value("content")
        if not isinstance(parts, list) or not parts or not all(map(_is_text_part, parts)):
            return message
        for number, part in enumerate(parts):
            for name in part.keys() - {"type", "text"}:
                losses.lose(f"messages[{place}].content[{number}].{name}")
        text = "\n".join(part["text"] for part in parts)
        return message.replace({"content": encoded(text)})

    return each_message(body, flat, b"[")


def renamed_in_messages(old: str, new: str) -> Step:
    """A member of messages under the name that the host knows."""

    def step(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
        del call, losses
        return each_message(body, lambda _, message: message.rename({old: new}), old.encode())

    return step


def thoughts_with_tools(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """For hosts that want each turn that called tools to show what was thought: a blank will do."""
    del call, losses

    def thought(_: int, message: JsonBody) -> JsonBody:
        if message.value("role") != "assistant" or not message.value("tool_calls"):
            return message
        if message.value("reasoning_content"):
            return message
        return message.replace({"reasoning_content": b'" "'})

    return each_message(body, thought, b'"tool_calls"')


def one_system(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """For hosts that take one system message, in front: all of them, joined there."""
    del call
    messages = messages_of(body)
    if messages is None:
        return body
    places = [at for at, m in enumerate(messages) if m.value("role") in ("system", "developer")]
    texts = [messages[at].value("content") for at in places]
    if places in ([], [0]) or not all(isinstance(text, str) for text in texts):
        return body
    for number, at in enumerate(places):
        if at != number:
            losses.lose(f"messages[{at}].role")
    first = messages[places[0]].replace({"content": encoded("\n\n".join(texts))})
    others = [m for at, m in enumerate(messages) if at not in places]
    return body.replace({"messages": joined([first, *others])})


def speaks_old_tools(body: JsonBody) -> bool:
    """True for a client that knows functions, and no tools."""
    return body.get("functions") not in (None, b"null") and "tools" not in body


def tools_only_named(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """The same for hosts whose answers pass untouched: calls come as `tool_calls` all the same."""
    if speaks_old_tools(body):
        losses.lose("functions")
    return tools_only(call, body, losses)


def tools_only(call: Call, body: JsonBody, losses: Losses) -> JsonBody:
    """The old `functions`, `function_call` and `function` messages as tools.

    Schemas and arguments keep their bytes. A host's `spelling` tells the answer in the old form.
    """
    del call
    body = _old_messages(body)
    functions = body.get("functions")
    choice = body.value("function_call")
    if functions is None and choice is None:
        return body
    if not speaks_old_tools(body) and functions not in (None, b"null", b"[]"):
        losses.lose("functions")
    changes: dict[str, bytes | None] = {"functions": None, "function_call": None}
    offered = _raw_list(functions or b"null")
    if offered is None and functions not in (None, b"null"):
        losses.lose("functions")
    if offered and "tools" not in body:
        changes["tools"] = joined_raw([b'{"type":"function","function":%s}' % f for f in offered])
    if not offered and "tools" not in body:
        if choice not in (None, "auto", "none"):
            losses.lose("function_call")
    elif "tool_choice" not in body and choice is not None:
        named = isinstance(choice, dict)
        told = {"type": "function", "function": choice} if named else choice
        changes["tool_choice"] = encoded(told)
    return body.replace(changes)


def _old_messages(body: JsonBody) -> JsonBody:
    """Ids are made up from the place of the call, and matched by the function's name."""
    waiting: dict[str, str] = {}

    def renewed(place: int, message: JsonBody) -> JsonBody:
        role = message.value("role")
        called = message.get("function_call")
        if role == "assistant" and called is not None and called.startswith(b"{"):
            if "tool_calls" in message:
                return message.replace({"function_call": None})
            id_ = f"call{place:05d}"  # nine letters and digits: what every host takes
            waiting[str(object_body(called, "messages.function_call").value("name"))] = id_
            call = b'[{"id":"%s","type":"function","function":%s}]' % (id_.encode(), called)
            return message.replace({"function_call": None, "tool_calls": call})
        if role == "function":
            name = str(message.value("name"))
            id_ = waiting.get(name, f"call{place:05d}")
            return message.replace({"role": b'"tool"', "name": None, "tool_call_id": encoded(id_)})
        return message

    if b'"function' not in (body.get("messages") or b""):
        return body
    return each_message(body, renewed, b'"function')


def each_message(body: JsonBody, rewrite: _Rewrite, mark: bytes) -> JsonBody:
    """The body with its messages rewritten; untouched bytes where the mark is nowhere in them."""
    if mark not in (body.get("messages") or b""):
        return body
    messages = messages_of(body)
    if messages is None:
        return body
    written = [rewrite(at, message) for at, message in enumerate(messages)]
    if all(new is old for new, old in zip(written, messages, strict=True)):
        return body
    return body.replace({"messages": joined(written)})


def messages_of(body: JsonBody) -> list[JsonBody] | None:
    """The messages, each with its bytes; None when they are not a list of objects."""
    raw = body.get("messages") or b""
    check_values(raw)
    listed = _raw_list(raw)
    if listed is None or not all(raw.startswith(b"{") for raw in listed):
        return None
    return [object_body(raw, "messages") for raw in listed]


def joined(messages: list[JsonBody]) -> bytes:
    """Messages as JSON."""
    return joined_raw([message.raw for message in messages])


def joined_raw(values: list[bytes]) -> bytes:
    """A list of values that are JSON already."""
    return b"[" + b",".join(values) + b"]"


def _raw_list(raw: bytes) -> list[bytes] | None:
    try:
        return [bytes(value) for value in msgspec.json.decode(raw, type=list[msgspec.Raw])]
    except _BAD:
        return None


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
