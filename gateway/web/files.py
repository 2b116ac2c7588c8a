"""Files to clients: whole or in part, at the pace they are read, never held in memory."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from gateway.core.ranges import Unsatisfiable, asked_range, unchanged
from gateway.ports import Headers, UpstreamReply
from gateway.store.threads import to_its_end
from gateway.web.exchange import Exchange

_PIECE = 256 << 10
_PASSED = ("content-range", "etag", "last-modified")
_OPENING = (
    ("Accept-Ranges", "bytes"),
    ("Cache-Control", "private, no-transform"),
    ("X-Content-Type-Options", "nosniff"),
)


async def send_file(
    exchange: Exchange, file: int, size: int, kind: str, etag: str, headers: Headers
) -> None:
    """What is asked of an open file; it is closed in any case."""
    try:
        await _sent(exchange, file, size, kind, etag, headers)
    finally:
        os.close(file)


async def _sent(
    exchange: Exchange, file: int, size: int, kind: str, etag: str, headers: Headers
) -> None:
    sink, asked = exchange.sink, exchange.request.headers
    told = (*_OPENING, ("ETag", etag), *headers)
    if unchanged(asked, etag):
        sink.reply(304, told, b"")
        return
    try:
        part = asked_range(asked, size, etag)
    except Unsatisfiable:
        sink.reply(416, (*told, ("Content-Range", f"bytes */{size}")), b"")
        return
    first, last = part or (0, size - 1)
    told = (("Content-Type", kind), *told)
    if part is not None:
        told = (*told, ("Content-Range", f"bytes {first}-{last}/{size}"))
    sink.start_file(200 if part is None else 206, told, last + 1 - first)
    if not sink.ended:
        await _pieces(exchange, file, first, last + 1)
        sink.end()


async def _pieces(exchange: Exchange, file: int, at: int, end: int) -> None:
    """One piece after the other, none before the client has room for it."""
    sink = exchange.sink
    free = asyncio.Event()
    free.set()
    sink.on_congestion(free.clear, free.set)
    while at < end:
        await free.wait()
        piece = await to_its_end(partial(os.pread, file, min(_PIECE, end - at), at))
        if not piece:
            raise OSError("a kept file is shorter than it was")
        sink.write(piece)
        at += len(piece)


async def pass_through(
    exchange: Exchange, reply: UpstreamReply, kind: str, headers: Headers
) -> None:
    """A provider's file as it comes."""
    sink, given = exchange.sink, reply.headers
    told: Headers = [("Content-Type", kind), *_OPENING, *headers]
    passed = [(name, given[name]) for name in _PASSED if name in given]
    told = [*told, *((name, value) for name, value in passed if value.isprintable())]
    length = given.get("content-length", "")
    whole = reply.delimited and length.isdecimal() and "content-encoding" not in given
    try:
        sink.start_file(reply.status, told, int(length) if whole else None)
        if not sink.ended:
            sink.on_congestion(reply.pause, reply.resume)
            await reply.pump(sink.write)
            sink.end()
    finally:
        reply.close()


def range_wanted(exchange: Exchange) -> Headers:
    """What of a request's headers says which part of a file is wanted."""
    asked = exchange.request.headers
    return [(name, asked[name]) for name in ("Range", "If-Range") if name in asked]
