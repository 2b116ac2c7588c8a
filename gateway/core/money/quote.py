"""What a call may cost, before it is made; and how long an answer some money pays for."""

from __future__ import annotations

from decimal import Decimal

from gateway.core.money.pricing import rounded
from gateway.core.money.rows import FINE, Row, rows_of
from gateway.domain import Price

_MULTIPLIER_DECIMALS = 10**12


def quote(price: Price, input_tokens: int, output_tokens: int, multiplier: Decimal) -> int:
    """Nanodollars for this much input and output, each output token at the dearest it can be."""
    row = rows_of(price).at(input_tokens, "")
    return rounded(_input(row, input_tokens) + row.dearest_output * output_tokens, multiplier)


def affordable_output(
    price: Price, input_tokens: int, nanos: int, multiplier: Decimal, most: int
) -> int:
    """The most output tokens, up to `most`, whose quote is within `nanos`; -1 if none is."""
    row = rows_of(price).at(input_tokens, "")
    scale = int(multiplier * _MULTIPLIER_DECIMALS)
    left = nanos * FINE * _MULTIPLIER_DECIMALS - _input(row, input_tokens) * scale
    if left < 0:
        return -1
    each = row.dearest_output * scale
    return most if each == 0 else min(most, left // each)


def _input(row: Row, tokens: int) -> int:
    fine = row.input.fine * tokens if row.input is not None else 0
    request = row.rates.get("per_request")
    return fine + (request.fine if request is not None else 0)
