"""What the chat wire calls things, and what this gateway calls them."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.core.body import JsonBody
from gateway.core.talk.model import Reason

NAME: Final = "chat"
# Families whose signatures other wires make; every other one is a host's own, on this wire.
WIRES: Final = frozenset({"messages", "responses", "generate"})

_REASONS: Final[dict[str, Reason]] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context",
    "model_context_window_exceeded": "context",
    "tool_calls": "tool",
    "tool_use": "tool",
    "function_call": "tool",
    "content_filter": "filter",
    "sensitive": "filter",
    "refusal": "refusal",
    "error": "error",
    "network_error": "error",
    "insufficient_system_resource": "error",
}
_FINISHES: Final[dict[str, str]] = {
    "length": "length",
    "context": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
    "refusal": "content_filter",
    "error": "error",
}
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")
_ID_TAIL = 40

encode = msgspec.json.Encoder().encode
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def reason_of(finish: object, called: bool) -> Reason:
    """Why an answer ended. Hosts say `stop` of a call that was forced: a call all the same."""
    reason = _REASONS.get(finish, "stop") if isinstance(finish, str) else "stop"
    return "tool" if called and reason == "stop" else reason


def in_functions(body: JsonBody) -> bool:
    """Whether a client asked in the deprecated form, and reads calls in that form alone."""
    given = body.get("functions") or b"null"
    return given[:1] == b"[" and body.get("tools") in (None, b"null", b"[]")


def finish_of(reason: str) -> str:
    """The `finish_reason` that says so to a chat client."""
    return _FINISHES.get(reason, "stop")


def text_in(value: object) -> str:
    """A member that should be words; anything else is none."""
    return value if isinstance(value, str) else ""


def count_in(value: object) -> int | None:
    """A member that should be a count."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    return None


def json_text(raw: bytes) -> str:
    """Arguments as text: a JSON string's content, or an object where a host sends it bare."""
    if raw[:1] == b'"':
        return str(msgspec.json.decode(raw))
    return "" if raw == b"null" else raw.decode()


def call_id(answer: str, number: int) -> str:
    """An id for a call that its host gave none, the same however its stream was split."""
    return f"call_{_NOT_IN_IDS.sub('', answer)[-_ID_TAIL:]}_{number}"


def joined(members: list[tuple[str, bytes]]) -> bytes:
    """A JSON object of raw members, in their order."""
    return b"{" + b",".join(encode(name) + b":" + value for name, value in members) + b"}"


def cache_control(cache: str) -> dict[str, str]:
    """A cache breakpoint as hosts take it that take any."""
    return {"type": "ephemeral", "ttl": "1h"} if cache == "1h" else {"type": "ephemeral"}
