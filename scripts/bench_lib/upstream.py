"""The fake provider: hand-made answers from a raw asyncio.Protocol, as cheap as Python gets.

Run as `python -m bench_lib.upstream PORT`. It answers chat calls only; `GET /stats` tells how many.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

from bench_lib import wire

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream"\s*:\s*true')
_USAGE = re.compile(rb'"include_usage"\s*:\s*true')
_HOLD = re.compile(rb'"model"\s*:\s*"hold"')
_PIECES = [wire.chunk(event) for event in wire.EVENTS]
_FIRST = wire.STREAM_HEAD + wire.chunk(wire.FIRST_EVENT)
_LAST = wire.chunk(wire.FINISH_EVENT)
_LAST_USAGE = _LAST + wire.chunk(wire.USAGE_EVENT)
_END = wire.chunk(wire.DONE_EVENT) + b"0\r\n\r\n"
STATS = {"plain": 0, "streams": 0, "held": 0, "cut": 0, "other": 0}


class Upstream(asyncio.Protocol):
    """One connection: requests one after another, no pipelining while a stream runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.buffer = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
            STATS["cut"] += 1

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            found = _LENGTH.search(head)
            total = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < total:
                return
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer one complete request."""
        if not head.startswith(b"POST"):
            self.write_json(STATS if head.startswith(b"GET /stats") else {})
        elif not _STREAM.search(body):
            STATS["plain"] += 1
            self.transport.write(wire.PLAIN_ANSWER)
        elif _HOLD.search(body) or b"/hold/" in head:
            STATS["held"] += 1
            self.transport.write(_FIRST)
        else:
            STATS["streams"] += 1
            self.tail = (_LAST_USAGE if _USAGE.search(body) else _LAST) + _END
            self.sent = 0
            self.due = self.loop.time() + wire.SPACING
            self.transport.write(_FIRST)
            self.timer = self.loop.call_at(self.due, self.tick)

    def tick(self) -> None:
        """Send the next content chunk of the running stream, or its end."""
        self.transport.write(_PIECES[self.sent])
        self.sent += 1
        self.due += wire.SPACING
        next_step = self.tick if self.sent < wire.CHUNKS else self.finish
        self.timer = self.loop.call_at(self.due, next_step)

    def finish(self) -> None:
        """End the running stream."""
        self.timer = None
        self.transport.write(self.tail)

    def write_json(self, value: object) -> None:
        STATS["other"] += 1
        body = json.dumps(value).encode()
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body) + body
        )


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(loop), "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
