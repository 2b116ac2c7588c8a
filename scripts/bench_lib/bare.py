"""A stand-in without an upstream: the low-level aiohttp server answering by itself.

It is the floor of what an aiohttp edge can cost. Run as `python -m bench_lib.bare PORT`.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import web

from bench_lib import wire


async def _stream(request: web.BaseRequest, *, hold: bool) -> web.StreamResponse:
    """Send the upstream's chunks from here."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    await answer.write(wire.FIRST_EVENT)
    if hold:
        await asyncio.sleep(3600)
    loop = asyncio.get_running_loop()
    due = loop.time()
    for event in wire.EVENTS:
        due += wire.SPACING
        await asyncio.sleep(due - loop.time())
        await answer.write(event)
    await asyncio.sleep(wire.SPACING)
    await answer.write(wire.FINISH_EVENT + wire.DONE_EVENT)
    await answer.write_eof()
    return answer


async def handle(request: web.BaseRequest) -> web.StreamResponse:
    """Answer one chat call."""
    body = await request.read()
    if b'"stream":true' in body:
        return await _stream(request, hold=b'"model":"hold"' in body)
    return web.Response(body=wire.COMPLETION, content_type="application/json")


async def serve(port: int) -> None:
    """Listen until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        web.Server(handle, access_log=None), "127.0.0.1", port, backlog=8192
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
