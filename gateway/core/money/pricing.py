"""What usage costs: the one function that turns counts into money.

The exact sum of all lines, times the group's multiplier, is rounded once, up to the next
nanodollar. So a call is never charged less than it costs, and at most a nanodollar more.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gateway.core.money.rows import FINE, PLAIN, Rate, Rows
from gateway.domain import Usage


class Cost(Struct, frozen=True, gc=False):
    """A call's cost in nanodollars, and the lines it adds up from as a receipt has them."""

    total: int
    lines: bytes


def price_usage(rows: Rows, usage: Usage, scale: int = PLAIN) -> Cost:
    """What a call costs that used this much; `scale` is the group's multiplier."""
    row = rows.at(usage.input, usage.size) if usage.size or rows.above else rows.base
    if row.whole and not usage.cached:
        # What nearly every call is: so much in, so much out, at one price each.
        if row.nanos is not None and scale == PLAIN:
            total = row.nanos.input * usage.input + row.nanos.output * usage.output
        else:
            total = rounded(row.input_fine * usage.input + row.output_fine * usage.output, scale)
        return Cost(total, row.whole % (usage.input, usage.output))
    fine = 0
    lines: list[bytes] = []
    for rate, quantity in lines_of(row.rates, usage):
        fine += rate.fine * quantity
        lines.append(rate.line % quantity)
    return Cost(rounded(fine, scale), b",".join(lines))


def rounded(fine: int, scale: int) -> int:
    """Fine units times the multiplier, as nanodollars, rounded up."""
    if scale == PLAIN:
        return -(-fine // FINE)
    return -(-fine * scale // (FINE * PLAIN))


def lines_of(rates: Mapping[str, Rate], usage: Usage) -> list[tuple[Rate, int]]:
    """How much is charged by each line that there is a price for."""
    fresh = usage.input - _timed(rates, "audio_input", usage.audio_input - usage.cached_audio)
    made = usage.output - _timed(rates, "audio_output", usage.audio_output)
    lines: list[tuple[Rate, int]] = []
    for name, quantity in _input_parts(rates, usage):
        fresh -= quantity
        lines.append((rates[name], quantity))
    for name, quantity in (
        ("reasoning_per_mtok", usage.reasoning),
        ("audio_output_per_mtok", usage.audio_output),
        ("image_output_per_mtok", usage.image_output),
    ):
        if quantity and name in rates:
            part = min(quantity, made)
            made -= part
            lines.append((rates[name], part))
    counted = (
        ("input_per_mtok", max(0, fresh)),
        ("output_per_mtok", max(0, made)),
        *unit_counts(usage),
        ("per_request", usage.requests or 1),
    )
    lines += [(rates[name], amount) for name, amount in counted if amount and name in rates]
    return lines


def unit_counts(usage: Usage) -> tuple[tuple[str, int], ...]:
    """What is counted in other units than tokens, by the price line for it."""
    return (
        ("per_image", usage.images),
        ("per_second", usage.milliseconds),
        ("per_minute", usage.milliseconds),
        ("audio_input_per_minute", usage.audio_input_ms),
        ("audio_output_per_minute", usage.audio_output_ms),
        ("per_mchar", usage.characters),
    )


def _timed(rates: Mapping[str, Rate], sound: str, tokens: int) -> int:
    """Tokens of sound that is sold by its length: they are not sold once more."""
    if tokens and f"{sound}_per_minute" in rates and f"{sound}_per_mtok" not in rates:
        return tokens
    return 0


def _input_parts(rates: Mapping[str, Rate], usage: Usage) -> list[tuple[str, int]]:
    """The parts of the input that have a price of their own; each token is in one part alone."""
    own_audio = "cached_audio_input_per_mtok" in rates
    cached_audio = usage.cached_audio if own_audio else 0
    written_1h = "cache_write_1h_per_mtok"
    if written_1h not in rates:
        written_1h = "cache_write_5m_per_mtok"
    parts = (
        ("cached_audio_input_per_mtok", cached_audio),
        ("cached_input_per_mtok", usage.cached - cached_audio),
        ("cache_write_5m_per_mtok", usage.cache_write),
        (written_1h, usage.cache_write_1h),
        ("audio_input_per_mtok", usage.audio_input - usage.cached_audio),
        ("image_input_per_mtok", usage.image_input),
    )
    left = usage.input - _timed(rates, "audio_input", usage.audio_input - usage.cached_audio)
    found: list[tuple[str, int]] = []
    for name, quantity in parts:
        if quantity > 0 and left > 0 and name in rates:
            part = min(quantity, left)
            left -= part
            found.append((name, part))
    return found
