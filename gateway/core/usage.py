"""Usage from an answer on OpenAI's wire: a whole body or one chunk of a stream.

Providers spell the same figures in their own ways; all known spellings are read here, and what an
adapter must still correct it does with its own `usage` function.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from gateway.domain import Usage

NOTHING = msgspec.Raw()
_BRACE = ord("{")
_LIMIT = 1 << 53
_SPOKEN = "prompt_audio_seconds"  # where speech is counted in the total and in seconds alone
_UNREADABLE = "it cannot be read"
_Count = Annotated[int, msgspec.Meta(ge=0, lt=_LIMIT)]


class ChoiceHead(msgspec.Struct, gc=False):
    """What the meter reads of a choice; the answer itself is only measured."""

    finish_reason: str | None = None
    usage: msgspec.Raw = NOTHING
    delta: msgspec.Raw = NOTHING
    text: msgspec.Raw = NOTHING


class AnswerHead(msgspec.Struct, gc=False):
    """What the meter reads of a body or a chunk."""

    choices: list[ChoiceHead] | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


decode_head = msgspec.json.Decoder(AnswerHead).decode


def is_object(raw: msgspec.Raw) -> bool:
    """True for a member that is there and is an object (`null` and absence are not)."""
    return bytes(raw)[:1] == b"{"


def usage_of(head: AnswerHead) -> bytes | None:
    """The raw usage object, wherever this provider puts it."""
    usage = head.usage
    if usage is not NOTHING:
        raw = bytes(usage)
        if raw[0] == _BRACE:  # there is at least one byte, or it would be NOTHING
            return raw
    for choice in head.choices or ():
        if choice.usage is not NOTHING and is_object(choice.usage):
            return bytes(choice.usage)
    return None


class _InputDetails(msgspec.Struct, gc=False):
    cached_tokens: _Count = 0
    audio_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    cache_creation_input_tokens: _Count = 0


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: _Count = 0
    audio_tokens: _Count = 0


class _PlainUsage(msgspec.Struct, gc=False):
    """The usual spelling, decoded at once."""

    prompt_tokens: _Count
    completion_tokens: _Count = 0
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None
    cached_tokens: _Count = 0
    prompt_cache_hit_tokens: _Count = 0
    total_tokens: _Count | None = None


_decode_plain = msgspec.json.Decoder(_PlainUsage).decode
_NO_INPUT_DETAILS = _InputDetails()
_NO_OUTPUT_DETAILS = _OutputDetails()


def openai_usage(raw: bytes) -> Usage:
    """Read a usage object in any spelling known on OpenAI's wire; odd values count as absent."""
    try:
        plain = _decode_plain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _odd_usage(raw)
    given = plain.prompt_tokens_details or _NO_INPUT_DETAILS
    made = plain.completion_tokens_details or _NO_OUTPUT_DETAILS
    total = plain.total_tokens
    if total is not None and total != plain.prompt_tokens + plain.completion_tokens:
        return _odd_usage(raw)
    return Usage(
        plain.prompt_tokens,
        plain.completion_tokens,
        given.cached_tokens or plain.cached_tokens or plain.prompt_cache_hit_tokens,
        given.cache_write_tokens or given.cache_creation_input_tokens,
        made.reasoning_tokens,
        given.audio_tokens,
        made.audio_tokens,
        raw,
    )


def _odd_usage(raw: bytes) -> Usage:
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Usage(raw=raw, problem=_UNREADABLE)
    prompt = _part(found, "prompt_tokens_details", "input_tokens_details")
    answer = _part(found, "completion_tokens_details", "output_tokens_details")
    cached = _count(prompt, "cached_tokens") or _count(
        found, "cached_tokens", "prompt_cache_hit_tokens"
    )
    tokens_in = _count(found, "prompt_tokens", "input_tokens")
    tokens_out = _count(found, "completion_tokens", "output_tokens")
    reasoning = _count(answer, "reasoning_tokens")
    # Where only the total holds the reasoning, it stands beside the answer and is charged with it.
    beside = _count(found, "total_tokens") == tokens_in + tokens_out + reasoning
    return Usage(
        input=tokens_in,
        output=tokens_out + reasoning if beside else tokens_out,
        cached=cached,
        cache_write=_count(prompt, "cache_write_tokens", "cache_creation_input_tokens"),
        reasoning=reasoning,
        audio_input=_count(prompt, "audio_tokens"),
        audio_output=_count(answer, "audio_tokens"),
        raw=raw,
        problem=_wrong_value(found, prompt, answer)
        or _wrong_total(found, tokens_in + tokens_out, reasoning),
    )


_COUNTS = ("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens")
_PARTS = ("cached_tokens", "prompt_cache_hit_tokens", "audio_tokens", "reasoning_tokens")


def _wrong_value(*objects: dict[str, Any]) -> str:
    """Which known figure is no count; null stands for one that is not given."""
    if not any(name in objects[0] for name in _COUNTS):
        return "it has no count of tokens"
    for found in objects:
        for name in (*_COUNTS, *_PARTS):
            value = found.get(name)
            if value is not None and not _is_count(value):
                return f"'{name}' is not a count"
    return ""


def _wrong_total(found: dict[str, Any], counted: int, reasoning: int) -> str:
    """Hosts count reasoning inside the answer or beside it; the total is one or the other."""
    total = found.get("total_tokens")
    if total is None or total in (counted, counted + reasoning) or _SPOKEN in found:
        return ""
    return f"'total_tokens' is {total}, not {counted}"


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT


def reasoning_outside(raw: bytes) -> Usage:
    """The same wire where reasoning may stand outside the completion, cached outside the prompt.

    The provider's own total tells which it is; without one, outside is what such hosts do.
    """
    usage = openai_usage(raw)
    try:
        total = _count(msgspec.json.decode(raw, type=dict[str, Any]), "total_tokens")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.structs.replace(usage, problem=_UNREADABLE)
    inside = total == usage.input + usage.output
    return msgspec.structs.replace(
        usage,
        output=usage.output if inside else usage.output + usage.reasoning,
        input=usage.input if usage.cached <= usage.input else usage.input + usage.cached,
    )


def _part(found: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        part = found.get(name)
        if isinstance(part, dict):
            return part
    return {}


def _count(found: dict[str, Any], *names: str) -> int:
    for name in names:
        value = found.get(name)
        if isinstance(value, int) and _is_count(value):
            return value
    return 0
