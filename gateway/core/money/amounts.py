"""Amounts between people and the ledger: decimal dollars outside, whole nanodollars inside."""

from __future__ import annotations

import re
from decimal import ROUND_FLOOR, Decimal
from typing import Any

NANOS = 1_000_000_000
MOST = 1_000_000_000  # dollars: far above any sum, far below what an integer column holds


def dollars(nanos: int) -> str:
    """Nanodollars as decimal dollars, exactly."""
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANOS)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


# Plain decimals, with the small exponents that numbers have when they are written as text. So few
# digits are exact in decimal arithmetic.
_AMOUNT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?")
_LONGEST = 28


def nanos_of(value: Any) -> int:
    """Decimal dollars, as text or a number; ValueError for what is no amount of whole nanos."""
    nanos = _nanos(value)
    if nanos != int(nanos):
        raise ValueError(f"'{str(value)[:40]}' has more than 9 decimals.")
    return int(nanos)


def nanos_within(value: Any) -> int:
    """The same for a bound, where 0.1 + 0.2 is as good as 0.3: what is below a nano is left out."""
    return int(_nanos(value).to_integral_value(ROUND_FLOOR))


def _nanos(value: Any) -> Decimal:
    text = str(value)
    if isinstance(value, bool) or len(text) > _LONGEST or not _AMOUNT.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is no amount of dollars, such as 2.50.")
    amount = Decimal(text)
    if abs(amount) > MOST:
        raise ValueError(f"'{text}' is more than a billion dollars.")
    return amount.scaleb(9)
