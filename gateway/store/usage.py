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
_SUMS = ("calls", "failed", "flagged", "input", "output", "cached", "charged")
_TAIL = f"""
    SELECT at / 3600000 AS hour, account, key, way, 1 AS calls,
        status NOT BETWEEN 200 AND 299 AS failed, flag <> 0 AS flagged, input, output, cached,
        revenue AS charged
    FROM entries WHERE seq > (SELECT seq FROM marks) AND kind = {SETTLE}
"""
_HOURS = f"SELECT hour, account, key, way, {', '.join(_SUMS)} FROM rollups"
_DAYS = f"SELECT day * 24 AS hour, account, key, way, {', '.join(_SUMS)} FROM days"
_MOST = 10_000
# How far back sums go when nobody says, so that the usual page reads few rows.
_RECENT_HOURS = 48
_RECENT_DAYS = 30
_NO_END = 1 << 40


async def summary(
    store: Store,
    *,
    by: list[str] | tuple[str, ...] = ("day",),
    since: int | None = None,
    until: int | None = None,
    account: str | None = None,
    key: str | None = None,
    limit: int = 1000,
    offset: int = 0,
) -> list[dict[str, Any]]:
    """Sums of calls, tokens and charges, grouped by what was asked, newest or largest first.

    Without `since` they cover the last 48 hours if hours are asked for, else 30 days.
    """
    unknown = [name for name in by if name not in _BY]
    if unknown or not by:
        raise ValueError(f"Usage can be shown by {', '.join(_BY)}.")
    hours = "hour" in by
    if since is None:
        since = _back(until or store.clock.time(), hours)
    values: dict[str, Any] = {"account": account, "key": key, "offset": offset}
    values["limit"] = min(limit, _MOST)
    whose = ""
    if account is not None:
        whose += " AND account = (SELECT n FROM accounts WHERE id = :account OR name = :account)"
    if key is not None:
        whose += " AND key = (SELECT n FROM keys WHERE id = :key)"
    first, end = since // 3600, _NO_END if until is None else -(-until // 3600)
    names = ", ".join(f"{_BY[name]} AS by_{name}" for name in by)
    sums = ", ".join(f"sum({name}) AS {name}" for name in _SUMS)
    order = "1 DESC" if by[0] in ("hour", "day") else "charged DESC, calls DESC"
    rows = await store.database.report(
        f"SELECT {names}, {sums} FROM ({_between(first, end, hours, whose)}) u"
        f" GROUP BY {', '.join(str(place + 1) for place in range(len(by)))}"
        f" ORDER BY {order} LIMIT :limit OFFSET :offset",
        values,
    )
    return [_view(row, by) for row in rows]


def _back(end: float, hours: bool) -> int:
    if hours:
        return int(end) - _RECENT_HOURS * 3600
    return (int(end) // 86400 - _RECENT_DAYS) * 86400


def _between(first: int, end: int, hours: bool, whose: str) -> str:
    """The sums from hour `first` until `end`: whole days where they will do, else hours."""
    tail = f"SELECT * FROM ({_TAIL}) WHERE hour >= {first} AND hour < {end}{whose}"
    day, last_day = -(-first // 24), end // 24
    if hours or day >= last_day:
        return f"{_HOURS} WHERE hour >= {first} AND hour < {end}{whose} UNION ALL {tail}"
    parts = [f"{_DAYS} WHERE day >= {day} AND day < {last_day}{whose}"]
    if first < day * 24:
        parts.append(f"{_HOURS} WHERE hour >= {first} AND hour < {day * 24}{whose}")
    if last_day * 24 < end:
        parts.append(f"{_HOURS} WHERE hour >= {last_day * 24} AND hour < {end}{whose}")
    return " UNION ALL ".join((*parts, tail))


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
