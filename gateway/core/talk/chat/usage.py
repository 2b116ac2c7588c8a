"""Usage as a chat client reads it: whole counts, and what they contain."""

from __future__ import annotations

from typing import Any

from gateway.domain import Usage


def usage_of(usage: Usage) -> dict[str, Any]:
    """The usage object of an answer."""
    written = usage.cache_write + usage.cache_write_1h
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached,
            "audio_tokens": usage.audio_input,
            "cache_write_tokens": written,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
        },
    }
