"""Whether usage can be what a call used. What cannot is never billed from."""

from __future__ import annotations

from gateway.domain import Usage

_LIMIT = 1 << 53
_COUNTS = tuple(name for name in Usage.__struct_fields__ if name not in ("raw", "size", "problem"))
# No vocabulary has tokens longer than this on average, however plain the text.
_LONGEST_TOKEN = 64


def problem_of(usage: Usage) -> str:
    """What is wrong with the figures; empty when nothing is."""
    if usage.problem:
        return usage.problem
    if not (0 <= usage.input < _LIMIT and 0 <= usage.output < _LIMIT):
        return "a count is out of range"
    # Nearly every call has none of these.
    if (
        usage.cached or usage.cache_write or usage.cache_write_1h or usage.reasoning
        or usage.audio_input or usage.audio_output or usage.cached_audio or usage.image_input
        or usage.image_output or usage.images or usage.characters or usage.milliseconds
        or usage.audio_input_ms or usage.audio_output_ms or usage.requests
    ):  # fmt: skip
        return _parts(usage)
    return ""


def plausible(usage: Usage, produced: int, events: int) -> str:
    """What is wrong with a stream's output count, given the text that was seen; or nothing."""
    if not produced or usage.audio_output:
        return ""
    if usage.output == 0:
        return "no output counted, though there was some"
    if usage.output * _LONGEST_TOKEN < produced:
        return f"{usage.output} output tokens cannot be {produced} bytes in {events} events"
    return ""


def _parts(usage: Usage) -> str:
    if not all(0 <= getattr(usage, name) < _LIMIT for name in _COUNTS):
        return "a count is out of range"
    if usage.cached + usage.cache_write + usage.cache_write_1h > usage.input:
        return "more cached than input tokens"
    if usage.cached_audio > min(usage.cached, usage.audio_input):
        return "more cached audio than cached or audio tokens"
    if max(usage.audio_input, usage.image_input) > usage.input:
        return "more audio or image tokens than input tokens"
    if usage.reasoning > usage.output:
        return "more reasoning than output tokens"
    if max(usage.audio_output, usage.image_output) > usage.output:
        return "more audio or image tokens than output tokens"
    return ""
