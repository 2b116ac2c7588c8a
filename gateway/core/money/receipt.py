"""A receipt: the provider's usage as it came, the price row used, and the arithmetic.

It is stored as compact JSON beside the charge. `verify_receipt` recomputes it with fractions from
the price row alone and shares no arithmetic with what made it.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec

from gateway.core.money.pricing import Cost
from gateway.core.money.rows import PLAIN, written
from gateway.domain import Usage

# A byte array, so that what is made of it is one as well: sqlite3 takes those as they are. (By its
# type hints it would be bytes.)
_FORM: Any = bytearray(b'{"price":"%b","lines":[%b],"total":%d,"charged":%d%b}')
_MAX_RAW = 8_192
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode
# How a price's name ends: what is counted for it, and how many of those it is for.
_UNIT = {
    "per_mtok": ("tokens", 1_000_000),
    "per_mchar": ("characters", 1_000_000),
    "per_image": ("images", 1),
    "per_request": ("requests", 1),
    "per_second": ("milliseconds", 1_000),
    "per_minute": ("milliseconds", 60_000),
}
_NANOS = 1_000_000_000


def encode_receipt(
    digest: bytes,
    scale: int,
    usage: Usage,
    cost: Cost,
    charged: int,
    extra: dict[str, Any] | None = None,
) -> bytearray:
    """The stored form."""
    more = _raw(usage.raw) if usage.raw else b""
    if scale != PLAIN:
        more += b',"multiplier":"%b"' % written(Decimal(scale) / PLAIN).encode()
    if usage.size:
        more += b',"size":' + msgspec.json.encode(usage.size)
    if extra:
        more += b',"note":' + msgspec.json.encode(extra)
    receipt: bytearray = _FORM % (digest, cost.lines, cost.total, charged, more)
    return receipt


def _raw(raw: bytes) -> bytes:
    if len(raw) <= _MAX_RAW:
        try:
            _decode_any(raw)
            if not raw.isascii():
                raw.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            return b',"usage":' + raw
    text = raw[:_MAX_RAW].decode("utf-8", "backslashreplace")
    return b',"usage_text":' + msgspec.json.encode(text)


def decode_receipt(stored: bytes | bytearray) -> dict[str, Any]:
    """A receipt's fields; the provider's usage as it came is under `usage` or `usage_text`."""
    found: dict[str, Any] = msgspec.json.decode(stored, type=dict[str, Any])
    return found


def row_digest(row: bytes) -> str:
    """The content hash of a kept price row."""
    return hashlib.sha256(row).hexdigest()


def verify_receipt(receipt: dict[str, Any], row: bytes) -> list[str]:
    """What is wrong with a receipt, given the price row it names; nothing when it holds."""
    problems: list[str] = []
    if row_digest(row) != receipt.get("price"):
        problems.append("the price row is not the one whose hash the receipt names")
    known = msgspec.json.decode(row, type=dict[str, Any])
    rows = [known, *known.get("above_tokens", {}).values(), *known.get("at_size", {}).values()]
    total = Fraction(0)
    for name, quantity, price in receipt.get("lines", ()):
        if not any(lines.get(name) == price for lines in rows):
            problems.append(f"the price row has no {name} at {price}")
        total += line_amount(name, quantity, price)
    total *= Fraction(receipt.get("multiplier", "1"))
    nanos = -((-total * _NANOS) // 1)
    if nanos != receipt.get("total"):
        problems.append(f"its lines add up to {nanos} nanodollars, not {receipt.get('total')}")
    charged = receipt.get("charged")
    if charged != receipt.get("total") and not _explained(receipt):
        problems.append(f"{charged} nanodollars were charged for a cost of {receipt.get('total')}")
    return problems


def line_amount(name: str, quantity: int, price: str) -> Fraction:
    """A line in dollars, exactly."""
    _, per = _unit_of(name)
    return Fraction(quantity, per) * Fraction(price) if per else Fraction(0)


def counted_in(name: str) -> str:
    """What the quantity of a line counts."""
    return _unit_of(name)[0]


def _unit_of(name: str) -> tuple[str, int]:
    return next((unit for end, unit in _UNIT.items() if name.endswith(end)), ("", 0))


def _explained(receipt: dict[str, Any]) -> bool:
    """A call that cost more than its key had is charged what was there."""
    charged, total = receipt.get("charged"), receipt.get("total")
    return isinstance(charged, int) and isinstance(total, int) and 0 <= charged < total
