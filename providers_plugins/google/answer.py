"""What this wire's answers are made of; types are looked at where they are used, never trusted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.sdk import Usage
from gateway.sdk.talk import Reason

_LIMIT = 1 << 53
_UNREADABLE = "it cannot be read"
_NOTHING = Raw()


class Content(Struct):
    """What a candidate says, each part still as the bytes it came as."""

    parts: list[Raw] | None = None


class Candidate(Struct, rename="camel"):
    """One of the answers; ours is the first."""

    index: Any = None
    content: Content | None = None
    finish_reason: Any = None
    finish_message: Any = None
    grounding_metadata: Raw = _NOTHING
    citation_metadata: Raw = _NOTHING


class Feedback(Struct, rename="camel"):
    """Why a prompt was not answered at all."""

    block_reason: Any = None


class Piece(Struct, rename="camel"):
    """A whole answer, or one event of a stream of them."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: Raw = _NOTHING
    model_version: Any = None
    response_id: Any = None
    create_time: Any = None
    error: Raw = _NOTHING

    @property
    def candidate(self) -> Candidate | None:
        """The first one, by its number: others may come beside it."""
        for candidate in self.candidates or ():
            if candidate.index in (None, 0):
                return candidate
        return None


class PartialArgument(Struct, rename="camel"):
    """A bit of an argument, and where in the arguments it stands."""

    json_path: str = ""
    string_value: str | None = None
    number_value: Raw = _NOTHING
    bool_value: bool | None = None
    will_continue: bool = False


class FunctionCall(Struct, rename="camel"):
    """A call of a tool, whole or in bits."""

    name: str | None = None
    id: str | None = None
    args: Raw = _NOTHING
    partial_args: list[PartialArgument] | None = None
    will_continue: bool | None = None


class Blob(Struct, rename="camel"):
    """A file, inline or by reference."""

    mime_type: str = ""
    data: str = ""
    file_uri: str = ""


class WirePart(Struct, rename="camel"):
    """A part of a candidate; which one it is shows in what is there."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: FunctionCall | None = None
    inline_data: Blob | None = None
    file_data: Blob | None = None


decode_piece = msgspec.json.Decoder(Piece).decode
decode_part = msgspec.json.Decoder(WirePart).decode
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_FILTERED = frozenset({
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR",
    "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "JAILBREAK",
})  # fmt: skip
# The model's own mishaps: what it said until then may be of use, nothing at all is a failure.
_MISHAPS = frozenset({
    "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE",
})  # fmt: skip
_EMPTY_HANDED = _MISHAPS | {"LANGUAGE", "NO_IMAGE", "IMAGE_OTHER", "OTHER"}


def reason_of(finish: str, called: bool) -> Reason:
    """Why an answer ended; a call of a tool has no finish reason of its own here."""
    if finish in _FILTERED:
        return "filter"
    if finish in _MISHAPS:
        return "error"
    if finish == "MAX_TOKENS":
        return "length"
    return "tool" if called else "stop"


def is_failure(finish: str) -> bool:
    """Whether an answer that ended so, and holds nothing, is no answer."""
    return finish in _EMPTY_HANDED


def created_at(value: Any, now: float) -> int:
    """The provider's time of an answer where it gives one."""
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value).timestamp())
        except (ValueError, OverflowError):
            pass
    return int(now)


_COUNTS = (
    "promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
    "cachedContentTokenCount", "totalTokenCount",
)  # fmt: skip
_DETAILS = (
    "promptTokensDetails", "toolUsePromptTokensDetails", "candidatesTokensDetails",
    "cacheTokensDetails",
)  # fmt: skip


def usage_of(raw: bytes) -> Usage | None:
    """The whole usage: what tools' answers took is input as well, thoughts are output.

    None where nothing is counted: events before the last may say no more than the kind of traffic.
    """
    if not raw or raw == b"null":
        return None
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE:
        return Usage(raw=raw, problem=_UNREADABLE)
    if not any(name in found for name in _COUNTS):
        return None
    prompt, tools, candidates, thoughts, cached, _ = (_count(found.get(it)) for it in _COUNTS)
    given, used, made, kept = (_modalities(found.get(it)) for it in _DETAILS)
    return Usage(
        input=prompt + tools,
        output=candidates + thoughts,
        cached=cached,
        reasoning=thoughts,
        audio_input=given.get("AUDIO", 0) + used.get("AUDIO", 0),
        audio_output=made.get("AUDIO", 0),
        raw=raw,
        cached_audio=kept.get("AUDIO", 0),
        image_input=given.get("IMAGE", 0) + used.get("IMAGE", 0),
        image_output=made.get("IMAGE", 0),
        problem=_problem(found, prompt + tools + candidates + thoughts),
    )


def _problem(found: dict[str, Any], counted: int) -> str:
    for name in _COUNTS:
        value = found.get(name)
        if value is not None and not _is_count(value):
            return f"'{name}' is not a count"
    total = found.get("totalTokenCount")
    if total is not None and total != counted:
        return f"'totalTokenCount' is {total}, not {counted}"
    return ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT


def _count(value: Any) -> int:
    return int(value) if _is_count(value) else 0


def _modalities(found: Any) -> dict[str, int]:
    """Tokens by what they stand for, as far as it can be read."""
    counts: dict[str, int] = {}
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("modality"), str):
            name = entry["modality"]
            counts[name] = counts.get(name, 0) + _count(entry.get("tokenCount"))
    return counts
