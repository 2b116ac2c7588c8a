"""What a call used, from each of this provider's ways to say it."""

from __future__ import annotations

from gateway.sdk import Usage
from providers_plugins.bedrock.lenient import Raw, items, members, number, text

_UNREADABLE = "it cannot be read"


class Counts:
    """Reads counts out of an object; the first that is none is the problem."""

    def __init__(self, found: dict[str, Raw]) -> None:
        self._found = found
        self.problem = ""

    def read(self, name: str) -> int:
        """A count; absent and null are nothing."""
        raw = self._found.get(name)
        if raw is None or bytes(raw) == b"null":
            return 0
        count = number(raw)
        if count is None:
            self.problem = self.problem or f"'{name}' is not a count"
        return count or 0


def converse_usage(raw: bytes) -> Usage:
    """Converse counts what was read from a cache and written to it beside the input."""
    found = members(raw)
    if not found:
        return Usage(raw=raw, problem=_UNREADABLE)
    counts = Counts(found)
    plain, made = counts.read("inputTokens"), counts.read("outputTokens")
    cached, stored = counts.read("cacheReadInputTokens"), counts.read("cacheWriteInputTokens")
    longer = _stored_for("1h", found.get("cacheDetails"), counts)
    total = counts.read("totalTokens")
    whole = plain + cached + stored
    problem = counts.problem
    if "inputTokens" not in found or "outputTokens" not in found:
        problem = problem or "it has no count of tokens"
    elif longer > stored:
        problem = problem or "'cacheDetails' exceeds 'cacheWriteInputTokens'"
    elif "totalTokens" in found and total not in (whole + made, plain + made):
        problem = problem or f"'totalTokens' is {total}, not {whole + made}"
    return Usage(
        input=whole,
        output=made,
        cached=cached,
        cache_write=max(0, stored - longer),
        cache_write_1h=min(longer, stored),
        raw=raw,
        problem=problem,
    )


def _stored_for(ttl: str, raw: Raw | None, counts: Counts) -> int:
    total = 0
    for item in items(raw):
        detail = members(item)
        if text(detail.get("ttl")) == ttl:
            inner = Counts(detail)
            total += inner.read("inputTokens")
            counts.problem = counts.problem or inner.problem
    return total


def messages_usage(raw: bytes) -> Usage:
    """The Messages wire counts what was read from a cache and written to it beside the input."""
    found = members(raw)
    if not found:
        return Usage(raw=raw, problem=_UNREADABLE)
    counts = Counts(found)
    plain, made = counts.read("input_tokens"), counts.read("output_tokens")
    cached = counts.read("cache_read_input_tokens")
    stored = counts.read("cache_creation_input_tokens")
    by_time = Counts(members(found.get("cache_creation")))
    longer = by_time.read("ephemeral_1h_input_tokens")
    thought = Counts(members(found.get("output_tokens_details")))
    reasoning = thought.read("thinking_tokens")
    problem = counts.problem or by_time.problem or thought.problem
    if "input_tokens" not in found and "output_tokens" not in found:
        problem = problem or "it has no count of tokens"
    elif longer > stored:
        problem = problem or "'cache_creation' exceeds 'cache_creation_input_tokens'"
    elif reasoning > made:
        problem = problem or "'thinking_tokens' exceeds 'output_tokens'"
    return Usage(
        input=plain + cached + stored,
        output=made,
        cached=cached,
        cache_write=max(0, stored - longer),
        cache_write_1h=min(longer, stored),
        reasoning=reasoning,
        raw=raw,
        problem=problem,
    )
