"""Usage on the Messages wire, where input, cache reads and cache writes stand beside each other.

The whole input is their sum. A stream says its figures twice, and not the same members each time;
what was said first holds until it is said again.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import structs

from gateway.domain import Usage

_LIMIT: Final = 1 << 53
_COUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_SPLIT: Final = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
# What a turn is made of where the provider says it step by step; the sum at the top leaves out
# what condensing the context took.
_COUNTED: Final = ("message", "compaction")

Found = dict[str, Any]


def messages_usage(raw: bytes) -> Usage:
    """Read a usage object whole; a figure that cannot be is named in `problem`."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Usage(raw=raw, problem="it cannot be read")
    if not isinstance(found, dict):
        return Usage(raw=raw, problem="it is not an object")
    steps = _steps(found)
    usage = _sum([_read(step) for step in steps]) if steps else _read(found)
    return structs.replace(usage, raw=raw)


def merged(before: bytes, now: bytes) -> bytes:
    """One usage object of two that a stream sent: the later one's members count."""
    if not before:
        return now
    try:
        members = _decode_members(before)
        later = _decode_members(now)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return now
    members |= {name: value for name, value in later.items() if bytes(value) != b"null"}
    return msgspec.json.encode(members)


_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def written_usage(usage: Usage | None) -> Found:
    """The same figures apart again, as this wire's clients expect them."""
    usage = usage or Usage()
    writes = usage.cache_write + usage.cache_write_1h
    written: Found = {
        "input_tokens": max(0, usage.input - usage.cached - writes),
        "cache_creation_input_tokens": writes,
        "cache_read_input_tokens": usage.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": usage.output,
    }
    if usage.reasoning:
        written["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return written


def _steps(found: Found) -> list[Found]:
    """The turn's steps, where the top level leaves some out; else none."""
    steps = found.get("iterations")
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return []
    kinds = {str(step.get("type")) for step in steps}
    if "compaction" not in kinds or "fallback_message" in kinds:
        return []
    return [step for step in steps if step.get("type") in _COUNTED]


def _read(found: Found) -> Usage:
    split = _object(found, "cache_creation")
    details = _object(found, "output_tokens_details")
    cached = _count(found, "cache_read_input_tokens")
    hour = _count(split, "ephemeral_1h_input_tokens")
    short = _count(split, "ephemeral_5m_input_tokens")
    writes = _count(found, "cache_creation_input_tokens")
    if found.get("cache_creation_input_tokens") is None:
        writes = short + hour
    output = _count(found, "output_tokens")
    reasoning = _count(details, "thinking_tokens")
    return Usage(
        input=_count(found, "input_tokens") + cached + max(writes, hour),
        output=output,
        cached=cached,
        cache_write=max(0, writes - hour),
        cache_write_1h=hour,
        reasoning=min(reasoning, output),
        problem=_wrong(found, split, details)
        or _mismatch(writes, short + hour)
        or ("'thinking_tokens' is more than the output" if reasoning > output else ""),
    )


def _mismatch(writes: int, split: int) -> str:
    if split <= writes:
        return ""
    return f"'cache_creation' is {split}, more than the {writes} tokens that were written"


def _wrong(found: Found, split: Found, details: Found) -> str:
    """Which known figure is no count; null stands for one that is not given."""
    if found.get("input_tokens") is None and found.get("output_tokens") is None:
        return "it has no count of tokens"
    for where, names in ((found, _COUNTS), (split, _SPLIT), (details, ("thinking_tokens",))):
        for name in names:
            if where.get(name) is not None and not _is_count(where[name]):
                return f"'{name}' is not a count"
    return ""


def _sum(parts: list[Usage]) -> Usage:
    total = Usage()
    for part in parts:
        total = Usage(
            input=total.input + part.input,
            output=total.output + part.output,
            cached=total.cached + part.cached,
            cache_write=total.cache_write + part.cache_write,
            cache_write_1h=total.cache_write_1h + part.cache_write_1h,
            reasoning=total.reasoning + part.reasoning,
            problem=total.problem or part.problem,
        )
    return total


def _object(found: Found, name: str) -> Found:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _count(found: Found, name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) and _is_count(value) else 0


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LIMIT
