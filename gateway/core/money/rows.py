"""Price rows as whole numbers.

A catalog's prices have at most 12 decimals. Every unit's price becomes an integer of one common
fineness, 1/FINE of a nanodollar per counted thing, so sums are exact until the one rounding at the
end.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct

from gateway.domain import Price

FINE = 3_000_000_000
PLAIN = 10**12  # the multiplier 1, in the fineness of multipliers
_DECIMALS = 10**12
_MOST_KEPT = 10_000

# Nanodollars are 1e-9: a price of p * 1e-12 dollars for a million tokens is p / 1e9 nanodollars a
# token. Time is counted in milliseconds.
_FACTORS = {
    "per_mtok": FINE // 10**9,
    "per_mchar": FINE // 10**9,
    "per_image": FINE // 10**3,
    "per_request": FINE // 10**3,
    "per_second": FINE // 10**6,
    "per_minute": FINE // (60 * 10**6),
}


class Rate(Struct, frozen=True):
    """One line of a price row: what each counted thing costs, and how a receipt shows it."""

    name: str
    fine: int
    line: bytes  # of a receipt, but for how many


class Nanos(Struct, frozen=True):
    """Prices of a token in nanodollars: of a question, an answer, and the dearest of answers."""

    input: int
    output: int
    dearest: int


class Row(Struct, frozen=True):
    """The lines that hold for a call, by name, and the figures that every call needs."""

    rates: Mapping[str, Rate]
    input_fine: int
    output_fine: int
    request_fine: int
    dearest_output: int
    dearest_input: int  # of what a model reads, sees or hears; not of what it keeps for later
    whole: bytes  # a receipt's lines where input and output tokens are all there is to price
    # Where they are whole and all there is to a quote, as nearly every price is: quick to add up.
    nanos: Nanos | None


class Rows(Struct, frozen=True):
    """A price's rows: the usual one, those past a threshold, those of a size."""

    base: Row
    above: tuple[tuple[int, Row], ...]
    sizes: Mapping[str, Row]

    def at(self, input_tokens: int, size: str) -> Row:
        """The row that holds for a call this long, or for an output of this size."""
        if size and self.sizes:
            return self.sizes.get(size.lower(), self.base)  # some hosts take either case
        row = self.base
        if self.above:
            for threshold, dearer in self.above:
                if input_tokens > threshold:
                    row = dearer
        return row


_kept: dict[str, Rows] = {}


def rows_of(price: Price) -> Rows:
    """A price's rows; worked out once for each that is in use."""
    rows = _kept.get(price.digest)
    if rows is None:
        rows = Rows(
            base=_row(price.lines),
            above=tuple((threshold, _row(lines)) for threshold, lines in price.above_tokens),
            sizes={size.lower(): _row(lines) for size, lines in price.at_size.items()},
        )
        if price.digest:
            if len(_kept) >= _MOST_KEPT:
                _kept.clear()
            _kept[price.digest] = rows
    return rows


def scale_of(multiplier: Decimal) -> int:
    """A group's multiplier as a whole number; it has at most 12 decimals."""
    return int(multiplier * PLAIN)


def factor_of(line: str) -> int:
    """How finely a line's unit is counted, by the unit its name ends in."""
    for unit, factor in _FACTORS.items():
        if line.endswith(unit):
            return factor
    raise ValueError(f"'{line}' has no known unit")


_TOKENS = {"input_per_mtok", "output_per_mtok", "cached_input_per_mtok"}


def canonical(price: Price) -> bytes:
    """A price row as JSON that is the same for the same prices, however they were written."""
    row: dict[str, Any] = _written(price.lines)
    if price.above_tokens:
        row["above_tokens"] = {str(limit): _written(tier) for limit, tier in price.above_tokens}
    if price.at_size:
        row["at_size"] = {size: _written(tier) for size, tier in price.at_size.items()}
    if price.unpriced:
        row["unpriced"] = True
    return json.dumps(row, sort_keys=True, separators=(",", ":")).encode()


def price_of(row: bytes, digest: str) -> Price:
    """The price that was written like that."""
    known: dict[str, Any] = json.loads(row)
    tiers, sizes = known.pop("above_tokens", {}), known.pop("at_size", {})
    unpriced = bool(known.pop("unpriced", False))
    return Price(
        lines=_read(known),
        digest=digest,
        above_tokens=tuple(sorted((int(limit), _read(tier)) for limit, tier in tiers.items())),
        at_size={size: _read(tier) for size, tier in sizes.items()},
        unpriced=unpriced,
    )


def _read(lines: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in lines.items()}


def _written(lines: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: written(value) for name, value in lines.items()}


def written(value: Decimal) -> str:
    """A price as receipts and price rows show it."""
    return format(value.normalize(), "f")


def _row(lines: Mapping[str, Decimal]) -> Row:
    rates = {name: _rate(name, amount) for name, amount in lines.items()}
    answers = ("output_per_mtok", "reasoning_per_mtok", "audio_output_per_mtok",
        "image_output_per_mtok")  # fmt: skip
    questions = ("input_per_mtok", "audio_input_per_mtok", "image_input_per_mtok")
    input_rate, output_rate = rates.get("input_per_mtok"), rates.get("output_per_mtok")
    request = rates.get("per_request")
    whole = b""
    if input_rate is not None and output_rate is not None and not rates.keys() - _TOKENS:
        whole = input_rate.line + b"," + output_rate.line
    input_fine = input_rate.fine if input_rate is not None else 0
    output_fine = output_rate.fine if output_rate is not None else 0
    request_fine = request.fine if request is not None else 0
    dearest = max((rates[name].fine for name in answers if name in rates), default=0)
    even = not any(fine % FINE for fine in (input_fine, output_fine, dearest))
    nanos = Nanos(input_fine // FINE, output_fine // FINE, dearest // FINE)
    return Row(
        rates=rates,
        input_fine=input_fine,
        output_fine=output_fine,
        request_fine=request_fine,
        dearest_output=dearest,
        dearest_input=max((rates[name].fine for name in questions if name in rates), default=0),
        whole=whole,
        nanos=nanos if even and not request_fine else None,
    )


def _rate(name: str, amount: Decimal) -> Rate:
    shown = written(amount)
    return Rate(
        name=name,
        fine=int(amount * _DECIMALS) * factor_of(name),
        line=f'["{name}",%d,"{shown}"]'.encode(),
    )
