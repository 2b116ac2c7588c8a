"""Settled calls, receipts and exports, found in bounded time however many there are.

Roll-ups serve as a sparse index: each knows the first and last entry it was summed from, so a
search for one key or route reads no others' rows. A page that has read its fill hands back a
cursor instead of going on.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from gateway.core.money.amounts import dollars
from gateway.core.money.receipt import counted_in, decode_receipt, line_amount, verify_receipt
from gateway.domain import FLAGS
from gateway.store.books import CALLS_PER_BOOT
from gateway.store.ledger import SETTLE

if TYPE_CHECKING:
    from gateway.store.store import Store

_BUDGET = 20_000
# To read so many rows for nothing costs no more than to ask once more.
_GAP = 100
# What begins a formula, as some spreadsheets write these signs in full width, too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MOST_SUMS = 2_000
_MOST = 1_000
_PLACES = 10**18
_ID = re.compile(r"req_([0-9a-f]{16})([0-9a-f]{6,10})")
_FLAG_NAMES = {number: name for name, number in FLAGS.items()}
_NAMES = {1: "hold", 2: "extend", 3: "settle", 4: "topup", 5: "adjust"}
_SHOWN = """
    SELECT e.*, w.route, w.model, w.provider, k.id AS key_id, a.id AS account_id, c.id AS child_id,
        b.token
    FROM entries e LEFT JOIN ways w ON w.n = e.way LEFT JOIN keys k ON k.n = e.key
        LEFT JOIN accounts a ON a.n = e.account LEFT JOIN children c ON c.n = e.child
        LEFT JOIN boots b ON b.n = e.call >> 40
"""
_EXPORT = f"{_SHOWN} WHERE e.at >= ? AND e.at < ? ORDER BY e.seq"
_FILTERS = {
    "account": "account = (SELECT n FROM accounts WHERE id = :account OR name = :account)",
    "key": "key = (SELECT n FROM keys WHERE id = :key)",
    "model": "way IN (SELECT n FROM ways WHERE model = :model)",
    "route": "way IN (SELECT n FROM ways WHERE route = :route)",
    "provider": "way IN (SELECT n FROM ways WHERE provider = :provider)",
}


async def search(
    store: Store,
    *,
    status: int | None = None,
    flag: str | None = None,
    since: int = 0,
    until: int | None = None,
    after: str | None = None,
    limit: int = 100,
    **wanted: str | None,
) -> tuple[list[dict[str, Any]], str | None]:
    """Settled calls, newest first, and the cursor to go on from; None at the end.

    `wanted` filters by account, key, model, route or provider.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    where = [_FILTERS[name] for name in given]
    hours = ["hour >= :since / 3600"] if since else []
    exact = [*where, f"kind = {SETTLE}", "at >= :since * 1000"]
    values: dict[str, Any] = {**given, "since": since, "until": until, "status": status}
    if until is not None:
        hours.append("hour <= :until / 3600")
        exact.append("at < :until * 1000")
    if status is not None:
        exact.append("status = :status")
        if not 200 <= status < 300:
            where.append("failed > 0")
    if flag is not None:
        where.append("flagged > 0")
        exact.append("flag = :flag" if flag != "any" else "flag <> 0")
        values["flag"] = FLAGS.get(flag, -1)
    values["before"] = _cursor(after)
    limit = max(1, min(limit, _MOST))
    stretches, bottom = await _stretches(store, where, hours, values)
    rows, at = await _collect(store, stretches, " AND ".join(exact), values, limit)
    at = bottom if at is None else at
    return [call_view(row) for row in rows], None if at is None else str(at)


async def _collect(
    store: Store,
    stretches: list[tuple[int, int]],
    exact: str,
    values: dict[str, Any],
    limit: int,
) -> tuple[list[Any], int | None]:
    """Walk the stretches of the ledger that can hold what is wanted, from their ends."""
    found: list[Any] = []
    left = _BUDGET
    for first, last in stretches:
        top = min(last, values["before"] - 1)
        while top >= first:
            bottom = max(first, top - left + 1)
            rows = await store.database.report(
                f"{_SHOWN} WHERE e.seq BETWEEN :bottom AND :top AND {_of_entries(exact)}"
                " ORDER BY e.seq DESC LIMIT :limit",
                {**values, "bottom": bottom, "top": top, "limit": limit - len(found)},
            )
            found += rows
            if len(found) >= limit:
                return found, int(found[-1]["seq"])
            left -= top - bottom + 1
            if left <= 0:
                return found, bottom
            top = bottom - 1
    return found, None


async def _stretches(
    store: Store, where: list[str], hours: list[str], values: dict[str, Any]
) -> tuple[list[tuple[int, int]], int | None]:
    """Where in the ledger to look, newest first, none overlapping another; and where to go on
    from if there is too much of it for one page.
    """
    ((mark, newest),) = await store.database.report(
        "SELECT seq, (SELECT coalesce(max(seq), 0) FROM entries) FROM marks"
    )
    spans = [(int(mark) + 1, int(newest))]
    if not where:
        rows = await store.database.report(
            f"SELECT min(first), max(last) FROM spans WHERE {' AND '.join(hours) or 'true'}", values
        )
        if rows[0][0] is not None:
            spans.append((int(rows[0][0]), int(rows[0][1])))
        return _merged(spans, 1), None
    rows = await store.database.report(
        f"SELECT first, last FROM rollups WHERE {' AND '.join((*where, *hours))}"
        f" AND first < :before ORDER BY last DESC LIMIT {_MOST_SUMS}",
        values,
    )
    spans += [(int(row["first"]), int(row["last"])) for row in rows]
    if len(rows) < _MOST_SUMS:
        return _merged(spans, 1), None
    # Of what lies before the last of these sums, others may hold a part.
    bottom = spans[-1][1]
    if bottom >= values["before"]:  # more sums reach across this point than can be listed
        bottom = max(1, values["before"] - _BUDGET)
        spans = [(bottom, values["before"] - 1)]
    return _merged(spans, bottom), bottom if bottom > 1 else None


def _merged(spans: list[tuple[int, int]], bottom: int) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted((max(first, bottom), last) for first, last in spans):
        if merged and first <= merged[-1][1] + _GAP:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        elif first <= last:
            merged.append((first, last))
    return merged[::-1]


def _of_entries(condition: str) -> str:
    return re.sub(r"\b(account|key|way|kind|at|status|flag) (?==|IN|>=|<)", r"e.\1 ", condition)


def _cursor(after: str | None) -> int:
    if after is None:
        return 1 << 62
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise ValueError("'after' must be a cursor from an earlier page.")
    return int(after)


def call_view(row: Any) -> dict[str, Any]:
    """One settled call."""
    return {
        "id": _request_id(row["token"], row["call"]),
        "object": "call",
        "at": row["at"] / 1000,
        "account": row["account_id"],
        "key": row["key_id"],
        "child": row["child_id"],
        "model": row["model"],
        "route": row["route"],
        "provider": row["provider"],
        "status": row["status"],
        "flag": _FLAG_NAMES.get(row["flag"]),
        "input_tokens": row["input"],
        "output_tokens": row["output"],
        "cached_tokens": row["cached"],
        "cost": dollars(row["revenue"]),
    }


async def receipt(
    store: Store, request_id: str, account: int | None = None
) -> dict[str, Any] | None:
    """A call's receipt; None for what is unknown, not settled yet, or another account's."""
    matched = _ID.fullmatch(request_id)
    if matched is None:
        return None
    boots = await store.database.report("SELECT n FROM boots WHERE token = ?", (matched[1],))
    if not boots:
        return None
    call = boots[0]["n"] * CALLS_PER_BOOT + int(matched[2], 16)
    rows = await store.database.report(f"{_SHOWN} WHERE e.call = ? AND e.kind = {SETTLE}", (call,))
    if not rows or (account is not None and rows[0]["account"] != account):
        return None
    return await receipt_view(store, rows[0])


async def receipt_view(store: Store, row: Any) -> dict[str, Any]:
    """A call with its arithmetic, recomputed."""
    kept = decode_receipt(row["receipt"] or b"{}")
    prices = await store.database.report(
        "SELECT row FROM prices WHERE digest = ?", (kept.get("price", ""),)
    )
    price_row = prices[0]["row"].encode() if prices else None
    problems = receipt_problems(row, kept, price_row)
    return {
        **call_view(row),
        "object": "receipt",
        "usage": kept.get("usage", kept.get("usage_text")),
        "price": {
            "digest": kept.get("price"),
            "row": None if price_row is None else msgspec.json.decode(price_row),
        },
        "lines": _lines(kept),
        "multiplier": kept.get("multiplier", "1"),
        "total": dollars(kept.get("total", 0)),
        "charged": dollars(row["revenue"]),
        "note": kept.get("note"),
        "verified": not problems,
        "problems": problems,
    }


def _lines(kept: dict[str, Any]) -> list[dict[str, Any]]:
    """The arithmetic, line by line; what the group's multiplier adds or takes is one of its own."""
    subtotal = Fraction(0)
    lines: list[dict[str, Any]] = []
    for name, quantity, price in kept.get("lines", ()):
        amount = line_amount(name, quantity, price)
        subtotal += amount
        lines.append(
            {
                "name": name,
                "quantity": quantity,
                "unit": counted_in(name),
                "price": price,
                "amount": _exactly(amount),
            }
        )
    multiplier = kept.get("multiplier", "1")
    if multiplier != "1":
        more = subtotal * (Fraction(multiplier) - 1)
        lines.append(
            {
                "name": "group_multiplier",
                "quantity": 1,
                "unit": "",
                "price": multiplier,
                "amount": _exactly(more),
            }
        )
    return lines


def receipt_problems(row: Any, kept: dict[str, Any], price_row: bytes | None) -> list[str]:
    """What does not agree between a ledger entry, its receipt and the price row it names."""
    if "price" not in kept:  # nothing was charged by a price: released, or recovered
        allowed = row["revenue"] == 0 or row["flag"] == FLAGS["recovered"]
        return [] if allowed else ["something was charged without a price"]
    problems = []
    if kept.get("charged") != row["revenue"]:
        problems.append(
            f"the receipt says {kept.get('charged')} nanodollars, the ledger {row['revenue']}"
        )
    if price_row is None:
        return [*problems, "its price row is not kept here"]
    return problems + verify_receipt(kept, price_row)


def _exactly(amount: Fraction) -> str:
    """A fraction of a dollar in decimals, to 18 places where it has no end."""
    whole, rest = divmod(round(abs(amount) * _PLACES), _PLACES)
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{rest:018d}".rstrip("0").rstrip(".")


async def export(
    store: Store, since: int = 0, until: int | None = None
) -> AsyncIterator[list[dict[str, Any]]]:
    """All ledger entries in their order, some hundreds at a time."""
    async for rows in store.database.scan(
        _EXPORT,
        (since * 1000, (1 << 62) if until is None else until * 1000),
    ):
        yield [entry_view(row) for row in rows]


def export_file(path: Path, since: int = 0, until: int | None = None) -> Iterator[dict[str, Any]]:
    """The same straight from a file, whether or not a server is at work on it."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as file:
        file.row_factory = sqlite3.Row
        most = (1 << 62) if until is None else until * 1000
        for row in file.execute(_EXPORT, (since * 1000, most)):
            yield entry_view(row)


def entry_view(row: Any) -> dict[str, Any]:
    """One ledger entry: what moved, from where to where."""
    return {
        "seq": row["seq"],
        "at": row["at"] / 1000,
        "kind": _NAMES[row["kind"]],
        "account": row["account_id"],
        "key": row["key_id"],
        "child": row["child_id"],
        "request": _request_id(row["token"], row["call"]),
        "wallet": dollars(row["wallet"]),
        "held": dollars(row["held"]),
        "revenue": dollars(row["revenue"]),
        "source": dollars(row["source"]),
        "route": row["route"],
        "model": row["model"],
        "provider": row["provider"],
        "status": row["status"],
        "flag": _FLAG_NAMES.get(row["flag"]),
        "input_tokens": row["input"],
        "output_tokens": row["output"],
        "cached_tokens": row["cached"],
        "memo": _memo(row),
    }


def harmless(value: Any) -> Any:
    """A cell of a table that no spreadsheet takes for a formula; amounts are left as they are."""
    if isinstance(value, str) and value[:1] in _FORMULA:
        return value if value.lstrip("-").replace(".", "", 1).isdigit() else "'" + value
    return value


def _memo(row: Any) -> str | None:
    if row["kind"] < 4 or not row["receipt"]:
        return None
    return str(msgspec.json.decode(row["receipt"], type=dict[str, str]).get("memo", ""))


async def audit(store: Store, after: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
    """What operators did, oldest first."""
    rows = await store.database.report(
        "SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, min(limit, _MOST))
    )
    return [
        {
            "id": str(row["seq"]),
            "object": "audit",
            "at": row["at"] / 1000,
            "actor": row["actor"],
            "act": row["act"],
            "subject": row["subject"],
            "detail": msgspec.json.decode(row["detail"]),
        }
        for row in rows
    ]


def _request_id(token: str | None, call: int) -> str | None:
    return None if token is None else f"req_{token}{call % CALLS_PER_BOOT:06x}"
