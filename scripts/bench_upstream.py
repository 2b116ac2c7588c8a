"""CPU of the upstream client alone: microseconds per plain request and per streamed chunk.

The server runs in a process of its own and does next to nothing; only our getrusage counts.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import sys
from multiprocessing.connection import Connection
from typing import Any

import uvloop

from gateway.domain import Channel, UpstreamRequest
from gateway.upstream import HttpUpstream

BODY = b'{"id": "x", "choices": [' + b'{"text": "lorem ipsum"},' * 32 + b"{}]}"
HEADERS = b"".join(b"X-Header-%d: some value here\r\n" % number for number in range(8))
PLAIN = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (HEADERS, len(BODY), BODY)
EVENT = b'data: {"choices": [{"delta": {"content": "lorem"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
STREAM = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HEADERS
CHUNKS = 200


class Server(asyncio.Protocol):
    """Answers each segment as one request."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """A whole request always comes in one segment here."""
        if data.startswith(b"POST /plain"):
            self.transport.write(PLAIN)
        else:
            self.task = asyncio.create_task(self.stream())

    async def stream(self) -> None:
        """Chunks far enough apart that each is a segment of its own."""
        self.transport.write(STREAM)
        for _ in range(CHUNKS):
            await asyncio.sleep(0.002)
            self.transport.write(CHUNK)
        self.transport.write(b"0\r\n\r\n")


def serve(pipe: Connection) -> None:
    """The server process."""

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(main())


def cpu() -> float:
    """CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def plain(http: HttpUpstream, url: str, parallel: int, each: int) -> float:
    """Microseconds per plain request."""
    headers = (("Authorization", "Bearer sk-x"), ("Content-Type", "application/json"))
    request = UpstreamRequest("POST", f"{url}/plain", headers, b"x" * 800)
    channel = Channel("p", "main")

    async def worker() -> None:
        for _ in range(each):
            reply = await http.send(request, channel)
            assert len(await reply.read(1_000_000)) == len(BODY)

    await worker()
    before = cpu()
    await asyncio.gather(*(worker() for _ in range(parallel)))
    return (cpu() - before) / (parallel * each) * 1e6


async def streamed(http: HttpUpstream, url: str, parallel: int) -> tuple[float, float]:
    """Microseconds per chunk, and how many pushes a chunk came in."""
    request = UpstreamRequest("POST", f"{url}/stream", (), b"{}")
    pushes = 0

    def receive(data: bytes) -> None:
        nonlocal pushes
        pushes += 1

    async def worker() -> None:
        reply = await http.send(request, Channel("p", "main"))
        await reply.pump(receive)

    await worker()
    pushes, before = 0, cpu()
    await asyncio.gather(*(worker() for _ in range(parallel)))
    count = parallel * CHUNKS
    return (cpu() - before) / count * 1e6, pushes / count


async def measure(port: int) -> None:
    """All figures."""
    http, url = HttpUpstream({}), f"http://127.0.0.1:{port}"
    for parallel in (1, 8, 64):
        cost = await plain(http, url, parallel, 40_000 // parallel)
        print(f"plain, {parallel:3} at once: {cost:.1f} us")
    for parallel in (8, 64):
        cost, pushes = await streamed(http, url, parallel)
        print(f"chunk, {parallel:3} streams: {cost:.1f} us ({pushes:.2f} pushes per chunk)")
    await http.close()


def main() -> None:
    """Run the server beside us and measure."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        uvloop.run(measure(ours.recv()))
    finally:
        server.terminate()


if __name__ == "__main__":
    sys.exit(main())
