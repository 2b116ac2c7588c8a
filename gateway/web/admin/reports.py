"""Usage, calls, flagged calls, the ledger's export, the audit log."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import Any
from urllib.parse import unquote

import msgspec

from gateway.errors import invalid
from gateway.store import calls as stored
from gateway.store.usage import summary
from gateway.web.admin.common import admin, listed, page_limit, unknown
from gateway.web.exchange import Exchange
from gateway.web.query import moment, names, number

_FILTERS = ("account", "key", "model", "route", "provider")


async def usage(exchange: Exchange) -> None:
    """Sums by hour, day, key, account, model, route or provider."""
    await admin(exchange)
    query = exchange.query
    rows = await summary(
        exchange.site.store,
        by=names(query, "by", "day"),
        since=moment(query, "since"),
        until=moment(query, "until"),
        account=query.get("account"),
        key=query.get("key"),
        limit=page_limit(exchange, 1000),
        offset=number(query, "offset", 10_000_000) or 0,
    )
    exchange.answer({"object": "list", "data": rows, "has_more": False})


async def calls(exchange: Exchange) -> None:
    """Settled calls, newest first."""
    await _search(exchange, exchange.query.get("flag"))


async def flagged(exchange: Exchange) -> None:
    """Calls that were not simply charged as their provider counted."""
    await _search(exchange, exchange.query.get("flag", "any"))


async def call(exchange: Exchange) -> None:
    """One call's receipt."""
    await admin(exchange)
    found = await stored.receipt(exchange.site.store, unquote(exchange.rest))
    if found is None:
        raise unknown("call")
    exchange.answer(found)


async def audit(exchange: Exchange) -> None:
    """What operators did, oldest first."""
    await admin(exchange)
    after = number(exchange.query, "after", 1 << 53) or 0
    limit = page_limit(exchange)
    rows = await stored.audit(exchange.site.store, after, limit + 1)
    listed(exchange, rows[:limit], len(rows) > limit)


async def export(exchange: Exchange) -> None:
    """All ledger entries, streamed as CSV or JSON lines."""
    await admin(exchange)
    query = exchange.query
    form = query.get("format", "jsonl")
    if form not in ("csv", "jsonl"):
        raise invalid("'format' is 'csv' or 'jsonl'.", "format")
    since, until = moment(query, "since") or 0, moment(query, "until")
    free = asyncio.Event()
    free.set()
    sink = exchange.sink
    sink.on_congestion(free.clear, free.set)
    content = "text/csv; charset=utf-8" if form == "csv" else "application/jsonl"
    sink.start(200, [("Content-Type", content)])
    first = True
    try:
        async for rows in stored.export(exchange.site.store, since, until):
            sink.write(_csv(rows, first) if form == "csv" else _lines(rows))
            first = False
            await free.wait()
    except Exception:
        exchange.connection.force_close()  # half an export must not look like a whole one
        raise
    sink.end()


async def _search(exchange: Exchange, flag: str | None) -> None:
    await admin(exchange)
    query = exchange.query
    found, cursor = await stored.search(
        exchange.site.store,
        status=number(query, "status", 999),
        flag=flag,
        since=moment(query, "since") or 0,
        until=moment(query, "until"),
        after=query.get("after"),
        limit=page_limit(exchange),
        **{name: query.get(name) for name in _FILTERS},
    )
    listed(exchange, found, cursor is not None, cursor)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join([msgspec.json.encode(row) + b"\n" for row in rows])


def _csv(rows: list[dict[str, Any]], first: bool) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\r\n")
    if first:
        writer.writeheader()
    for row in rows:
        writer.writerow({name: stored.harmless(value) for name, value in row.items()})
    return out.getvalue().encode()
