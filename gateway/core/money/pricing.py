"""What usage costs: the one function that turns counts into money.

The exact sum of all lines, times the group's multiplier, is rounded once, up to the next
nanodollar. So a call is never charged less than it costs, and at most a nanodollar more.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from msgspec import Struct

from gateway.core.money.rows import FINE, Rate, Row, rows_of
from gateway.domain import Price, Usage

_MULTIPLIER_DECIMALS = 10**12
_ONE = Decimal(1)


class Line(Struct, frozen=True):
    """So many of something, at a price each."""

    rate: Rate
    quantity: int


class Cost(Struct, frozen=True):
    """A call's cost in nanodollars, and the lines it adds up from."""

    total: int
    lines: tuple[Line, ...]


def price_usage(price: Price, usage: Usage, multiplier: Decimal = _ONE) -> Cost:
    """What a call costs that used this much."""
    row = rows_of(price).at(usage.input, usage.size)
    lines = _plain_lines(row, usage) if row.plain else _all_lines(row, usage)
    fine = 0
    for line in lines:
        fine += line.rate.fine * line.quantity
    return Cost(rounded(fine, multiplier), tuple(lines))


def rounded(fine: int, multiplier: Decimal) -> int:
    """Fine units times the multiplier, as nanodollars, rounded up."""
    if multiplier is _ONE or multiplier == 1:
        return -(-fine // FINE)
    scaled = fine * int(multiplier * _MULTIPLIER_DECIMALS)
    return -(-scaled // (FINE * _MULTIPLIER_DECIMALS))


def _plain_lines(row: Row, usage: Usage) -> list[Line]:
    lines: list[Line] = []
    fresh = usage.input
    if row.cached is not None and usage.cached:
        fresh -= usage.cached
        lines.append(Line(row.cached, usage.cached))
    if row.input is not None and fresh:
        lines.insert(0, Line(row.input, fresh))
    if row.output is not None and usage.output:
        lines.append(Line(row.output, usage.output))
    return lines


def _all_lines(row: Row, usage: Usage) -> list[Line]:
    rates = row.rates
    lines: list[Line] = []
    fresh, made = usage.input, usage.output
    for name, quantity in _input_parts(rates, usage):
        fresh -= quantity
        lines.append(Line(rates[name], quantity))
    for name, quantity in (
        ("reasoning_per_mtok", usage.reasoning),
        ("audio_output_per_mtok", usage.audio_output),
        ("image_output_per_mtok", usage.image_output),
    ):
        if quantity and name in rates:
            part = min(quantity, made)
            made -= part
            lines.append(Line(rates[name], part))
    counted = (
        ("input_per_mtok", max(0, fresh)),
        ("output_per_mtok", max(0, made)),
        ("per_image", usage.images),
        ("per_second", usage.milliseconds),
        ("per_minute", usage.milliseconds),
        ("audio_input_per_minute", usage.audio_input_ms),
        ("audio_output_per_minute", usage.audio_output_ms),
        ("per_mchar", usage.characters),
        ("per_request", 1),
    )
    lines += [Line(rates[name], amount) for name, amount in counted if amount and name in rates]
    return lines


def _input_parts(rates: Mapping[str, Rate], usage: Usage) -> list[tuple[str, int]]:
    """The parts of the input that have a price of their own; each token is in one part alone."""
    own_audio = "cached_audio_input_per_mtok" in rates
    cached_audio = usage.cached_audio if own_audio else 0
    audio = usage.audio_input - usage.cached_audio
    written_1h = "cache_write_1h_per_mtok"
    if written_1h not in rates:
        written_1h = "cache_write_5m_per_mtok"
    parts = (
        ("cached_audio_input_per_mtok", cached_audio),
        ("cached_input_per_mtok", usage.cached - cached_audio),
        ("cache_write_5m_per_mtok", usage.cache_write),
        (written_1h, usage.cache_write_1h),
        ("audio_input_per_mtok", audio),
        ("image_input_per_mtok", usage.image_input),
    )
    left = usage.input
    found: list[tuple[str, int]] = []
    for name, quantity in parts:
        part = min(quantity, left)
        if part > 0 and name in rates:
            left -= part
            found.append((name, part))
    return found
