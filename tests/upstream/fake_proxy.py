"""A small forward proxy: CONNECT tunnels and absolute-form requests, all remembered."""

from __future__ import annotations

import asyncio
import contextlib


class FakeProxy:
    """`async with FakeProxy() as proxy`; `refuse` answers CONNECT with that raw answer."""

    def __init__(self, refuse=None):
        self.refuse = refuse
        self.heads = []
        self.url = ""

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._tasks = set()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            if self.refuse is not None:
                writer.write(self.refuse)
                await writer.drain()
            elif head.startswith(b"CONNECT "):
                await self._tunnel(head, reader, writer)
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied")
                await reader.read()
        writer.transport.abort()

    async def _tunnel(self, head, reader, writer):
        host, _, port = head.split(b" ")[1].decode().rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            there = asyncio.create_task(_copy(reader, far_writer))
            await _copy(far_reader, writer)
            there.cancel()
        finally:
            far_writer.transport.abort()


async def _copy(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
