"""Words and small readings that all of the Messages wire shares."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.core.talk.model import Reason

DIALECT: Final = "messages"
Members = dict[str, msgspec.Raw]

READ_REASON: Final[Mapping[str, Reason]] = {
    "end_turn": "stop",
    "stop_sequence": "sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "context",
    "tool_use": "tool",
    "pause_turn": "pause",
    "refusal": "refusal",
}
WRITTEN_REASON: Final[Mapping[Reason, str]] = {
    **{reason: name for name, reason in READ_REASON.items()},
    "filter": "refusal",
    "error": "end_turn",
}

# What other families signed travels through this dialect's clients under their family's name; this
# wire's own signatures are base64 and hold no colon.
_OTHER_FAMILY: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

_decode_members = msgspec.json.Decoder(Members).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def members(raw: bytes | msgspec.Raw | None) -> Members:
    """An object's members as they came; none for anything else."""
    try:
        return _decode_members(raw or b"{}")
    except UNREADABLE:
        return {}


def items(raw: bytes | msgspec.Raw | None) -> list[msgspec.Raw]:
    """A list's items as they came; none for anything else."""
    try:
        return _decode_list(raw or b"[]")
    except UNREADABLE:
        return []


def value(raw: bytes | msgspec.Raw | None) -> Any:
    """A JSON value; None for none, and for what can't be read."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw)
    except UNREADABLE:
        return None


def string(raw: bytes | msgspec.Raw | None) -> str:
    """A JSON string; empty for anything else."""
    found = value(raw)
    return found if isinstance(found, str) else ""


def is_object(raw: bytes | msgspec.Raw | None) -> bool:
    """True for text that is one JSON object."""
    try:
        _decode_members(raw or b"")
    except UNREADABLE:
        return False
    return True


def cache_of(raw: msgspec.Raw | None) -> str | None:
    """A cache breakpoint's time to live; empty for no breakpoint, None for one that is odd."""
    if raw is None or bytes(raw) == b"null":
        return ""
    found = value(raw)
    if not isinstance(found, dict) or found.get("type") != "ephemeral" or found.keys() > _CACHE:
        return None
    ttl = found.get("ttl", "5m")
    return ttl if ttl in ("5m", "1h") else None


_CACHE: Final = {"type", "ttl"}


def cache_control(ttl: str) -> dict[str, str]:
    """A cache breakpoint as it is written; five minutes is what the wire takes it to mean."""
    return {"type": "ephemeral", "ttl": "1h"} if ttl == "1h" else {"type": "ephemeral"}


def sealed(signature: str, family: str) -> str:
    """A signature as this dialect's clients keep it, with its family where that is another."""
    if not signature or family in ("", DIALECT):
        return signature
    return f"{family}:{signature}"


def unsealed(signature: str) -> tuple[str, str]:
    """The signature and the family that made it."""
    family, colon, rest = signature.partition(":")
    if colon and _OTHER_FAMILY.fullmatch(family):
        return rest, family
    return signature, DIALECT if signature else ""


def arguments_of(raw: bytes | msgspec.Raw | None) -> str:
    """A tool's input as the text of its arguments."""
    return bytes(raw).decode("utf-8", "replace") if raw else "{}"


def input_of(arguments: str, *, custom: bool = False) -> tuple[msgspec.Raw, bool]:
    """Arguments in the place of an input, which must be an object; and whether they are one.

    The text itself stands there where it is an object. Free text stands under "input", and text
    that was meant as an object and isn't under "arguments".
    """
    if custom:
        return msgspec.Raw(msgspec.json.encode({"input": arguments})), True
    if not arguments.strip():
        return msgspec.Raw(b"{}"), True
    raw = arguments.encode("utf-8", "replace")
    if is_object(raw):
        return msgspec.Raw(raw), True
    return msgspec.Raw(msgspec.json.encode({"arguments": arguments})), False
