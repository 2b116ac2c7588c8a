"""What was used: out of the roll-ups and the few rows behind their mark, never out of all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.core.money.amounts import dollars
from gateway.store.ledger import SETTLE

if TYPE_CHECKING:
    from gateway.store.store import Store

_BY = {
    "hour": "hour * 3600",
    "day": "hour / 24 * 86400",
    "key": "(SELECT id FROM keys WHERE n = u.key)",
    "account": "(SELECT id FROM accounts WHERE n = u.account)",
    "model": "(SELECT model FROM ways WHERE n = u.way)",
    "route": "(SELECT route FROM ways WHERE n = u.way)",
    "provider": "(SELECT provider FROM ways WHERE n = u.way)",
}
_TAIL = f"""
    SELECT at / 3600000 AS hour, account, key, way, 1 AS calls,
        status NOT BETWEEN 200 AND 299 AS failed, flag <> 0 AS flagged, input, output, cached,
        revenue AS charged
    FROM entries WHERE seq > (SELECT seq FROM marks) AND kind = {SETTLE}
"""
_SUMS = ("calls", "failed", "flagged", "input", "output", "cached", "charged")
_MOST = 10_000


async def summary(
    store: Store,
    *,
    by: list[str] | tuple[str, ...] = ("day",),
    since: int = 0,
    until: int | None = None,
    account: str | None = None,
    key: str | None = None,
    limit: int = 1000,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Sums of calls, tokens and charges, grouped by what was asked, newest or largest first."""
    unknown = [name for name in by if name not in _BY]
    if unknown or not by:
        raise ValueError(f"Usage can be shown by {', '.join(_BY)}.")
    where, values = ["hour >= ?"], [since // 3600]
    if until is not None:
        where.append("hour < ?")
        values.append(-(-until // 3600))
    more: list[Any] = list(values)
    if account is not None:
        where.append("account = (SELECT n FROM accounts WHERE id = ? OR name = ?)")
        more += [account, account]
    if key is not None:
        where.append("key = (SELECT n FROM keys WHERE id = ?)")
        more.append(key)
    condition = " AND ".join(where)
    names = ", ".join(f"{_BY[name]} AS by_{name}" for name in by)
    sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    order = "1 DESC" if by[0] in ("hour", "day") else "charged DESC, calls DESC"
    rows = await store.database.report(
        f"SELECT {names}, {sums} FROM ("
        f" SELECT hour, account, key, way, {', '.join(_SUMS)} FROM rollups WHERE {condition}"
        f" UNION ALL SELECT * FROM ({_TAIL}) WHERE {condition}) u"
        f" GROUP BY {', '.join(str(place + 1) for place in range(len(by)))}"
        f" ORDER BY {order} LIMIT ? OFFSET ?",
        (*more, *more, min(limit, _MOST), offset),
    )
    return [_view(row, by) for row in rows]


def _view(row: Any, by: list[str] | tuple[str, ...]) -> dict[str, Any]:
    shown: dict[str, Any] = {name: row[f"by_{name}"] for name in by}
    return shown | {
        "calls": row["calls"],
        "failed": row["failed"],
        "flagged": row["flagged"],
        "input_tokens": row["input"],
        "output_tokens": row["output"],
        "cached_tokens": row["cached"],
        "cost": dollars(row["charged"]),
    }
