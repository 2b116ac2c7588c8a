"""Usage as the Messages wire tells it, made whole: its input leaves out what a cache served."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.domain import Usage

_LIMIT = 1 << 53
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)


class _Written(Struct, gc=False):
    ephemeral_5m_input_tokens: Any = 0
    ephemeral_1h_input_tokens: Any = 0


class _Made(Struct, gc=False):
    thinking_tokens: Any = 0


class _Usage(Struct, gc=False):
    input_tokens: Any = None
    output_tokens: Any = None
    cache_read_input_tokens: Any = None
    cache_creation_input_tokens: Any = None
    cache_creation: _Written | None = None
    output_tokens_details: _Made | None = None


_decode = msgspec.json.Decoder(_Usage).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


def messages_usage(raw: bytes) -> Usage:
    """Read it; what is no count is named as the problem."""
    try:
        said = _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Usage(raw=raw, problem="it cannot be read")
    problem = ""
    if said.input_tokens is None and said.output_tokens is None:
        problem = "it has no count of tokens"
    for name in _COUNTS:
        value = getattr(said, name)
        if value is not None and not _is_count(value):
            problem = f"'{name}' is not a count"
    cached = _count(said.cache_read_input_tokens)
    written = _count(said.cache_creation_input_tokens)
    hour = 0
    if said.cache_creation is not None:
        hour = _count(said.cache_creation.ephemeral_1h_input_tokens)
        split = hour + _count(said.cache_creation.ephemeral_5m_input_tokens)
        if hour and split != written:
            problem = problem or f"the cache's {written} written tokens are {split} in their parts"
            hour = min(hour, written)
    made = said.output_tokens_details
    return Usage(
        input=_count(said.input_tokens) + cached + written,
        output=_count(said.output_tokens),
        cached=cached,
        cache_write=written - hour,
        cache_write_1h=hour,
        reasoning=0 if made is None else _count(made.thinking_tokens),
        raw=raw,
        problem=problem,
    )


def merged(first: bytes, last: bytes) -> bytes:
    """What a stream's start said of usage, overlaid with what its end says."""
    if not first:
        return last
    try:
        before, after = _members(first), _members(last)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return last
    news = {name: value for name, value in after.items() if bytes(value) != b"null"}
    return msgspec.json.encode({**before, **news})


def shown_usage(usage: Usage) -> dict[str, Any]:
    """The other way: cached and written tokens stand beside the input."""
    written = usage.cache_write + usage.cache_write_1h
    return {
        "input_tokens": max(0, usage.input - usage.cached - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LIMIT


def _count(value: Any) -> int:
    return int(value) if _is_count(value) else 0
