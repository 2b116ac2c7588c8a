"""Amounts between people and the ledger: decimal dollars outside, whole nanodollars inside."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

NANOS = 1_000_000_000
MOST = 1_000_000_000  # dollars: far above any sum, far below what an integer column holds


def dollars(nanos: int) -> str:
    """Nanodollars as decimal dollars, exactly."""
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANOS)
    return f"{sign}{whole}.{rest:09d}".rstrip("0").rstrip(".")


def nanos_of(value: Any) -> int:
    """Decimal dollars, as text or a number; ValueError for what is no amount of whole nanos."""
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"'{str(value)[:40]}' is no amount of dollars, such as 2.50.") from None
    if isinstance(value, bool) or not amount.is_finite() or abs(amount) > MOST:
        raise ValueError(f"'{str(value)[:40]}' is no amount of dollars, such as 2.50.")
    nanos = amount * NANOS
    if nanos != int(nanos):
        raise ValueError(f"'{str(value)[:40]}' has more than 9 decimals.")
    return int(nanos)
