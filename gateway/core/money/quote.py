"""What a call may cost, before it is made; and how long an answer some money pays for.

`units` is what a call costs beside the tokens of its text, in fine units.
"""

from __future__ import annotations

from gateway.core.money.pricing import lines_of, rounded
from gateway.core.money.rows import FINE, PLAIN, Rows
from gateway.domain import Usage


def units_of(rows: Rows, expected: Usage) -> int:
    """What pictures, seconds, characters and the tokens of files cost, in fine units."""
    rates = rows.at(expected.input, expected.size).rates
    lines = lines_of(rates, expected)
    first = sum(rate.fine for rate, _ in lines if rate.name == "per_request")  # in every quote
    return sum(rate.fine * quantity for rate, quantity in lines) - first


def quote(
    rows: Rows,
    input_tokens: int,
    output_tokens: int,
    scale: int = PLAIN,
    units: int = 0,
    unseen: bool = False,
) -> int:
    """Nanodollars for this much input and output, each output token at the dearest it can be.

    So is each token of an input that is `unseen`: nobody knows what it is.
    """
    row = rows.at(input_tokens, "")
    each = row.dearest_input if unseen else row.input_fine
    fine = each * input_tokens + row.request_fine + row.dearest_output * output_tokens
    return rounded(fine + units, scale)


def quotes(
    rows: Rows, input_tokens: int, output_tokens: int, scale: int, units: int = 0
) -> tuple[int, int]:
    """The same for the input alone, and for both."""
    row = rows.at(input_tokens, "") if rows.above else rows.base
    if row.nanos is not None and scale == PLAIN and not units:
        estimate = row.nanos.input * input_tokens
        return estimate, estimate + row.nanos.dearest * output_tokens
    fine = row.input_fine * input_tokens + row.request_fine
    both = fine + row.dearest_output * output_tokens + units
    return rounded(fine, scale), rounded(both, scale)


def affordable_output(
    rows: Rows,
    input_tokens: int,
    nanos: int,
    most: int,
    scale: int = PLAIN,
    units: int = 0,
    unseen: bool = False,
) -> int:
    """The most output tokens, up to `most`, whose quote is within `nanos`; -1 if none is."""
    row = rows.at(input_tokens, "")
    each = row.dearest_input if unseen else row.input_fine
    fixed = each * input_tokens + row.request_fine + units
    left = nanos * FINE * PLAIN - fixed * scale
    if left < 0:
        return -1
    each = row.dearest_output * scale
    return most if each == 0 else min(most, left // each)
