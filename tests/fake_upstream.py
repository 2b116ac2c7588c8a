"""A scripted provider: a raw asyncio server that is exact to the byte and remembers everything.

    async def handler(exchange):
        await exchange.send_json(200, {"ok": True})

    async with FakeUpstream(handler) as fake:
        ... call fake.url ...
        assert fake.requests[0].path == "/v1/chat/completions"

The handler runs once per request; without one, every request is answered 200 `{}`. It may be
replaced at any time (`fake.handler = ...`). When it returns, the connection is kept for the next
request; when it raises, the error is kept in `fake.errors` and raised by `async with` at the end.

`exchange.request`      raw, method, path, headers (list of pairs, as sent), header(name), body
`exchange.connection`   the Connection; `fake.connections` lists all, `fake.requests` all requests
`await exchange.send(b"...")`            raw bytes, as they are (waits while the client is slow)
`await exchange.send_json(status, obj)`  a whole JSON answer with Content-Length
`await exchange.sse(events)`             a whole chunked stream: str/bytes as they are, else JSON;
                                         `done=False` leaves out `data: [DONE]`, `end=False` the end
`await exchange.play(script)`            gateway.core.script.Script over the socket
`await exchange.gate(event)`             wait for an asyncio.Event of the test
`exchange.cut()`                         RST; `exchange.close()` FIN both ways; `half_close()` FIN
`await exchange.client_closed()`         until the client has closed the connection
`connection.write(b"late")`              bytes at any time, e.g. on a connection that lies in a pool
`connection.closed`                      asyncio.Event; `connection.received` counts raw bytes

`FakeUpstream(handler, tls=context)` speaks TLS; `hold_accept=True` never answers a handshake or
request by itself (nothing is parsed, bytes are only counted).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from gateway.core.script import Cut, Script, Wait


class Gone(Exception):  # noqa: N818 - a handler may end by it, and nothing is wrong
    """The client has ended the connection."""


@dataclass
class Request:
    """One request exactly as it came."""

    raw: bytes
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: Connection

    def header(self, name: str) -> str | None:
        """The value of a header; repeated ones joined; None when absent."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(eq=False)
class Connection(asyncio.Protocol):
    """One accepted connection; parses requests one after the other."""

    fake: FakeUpstream
    number: int
    requests: list[Request] = field(default_factory=list)
    received: int = 0
    raw: bytearray = field(default_factory=bytearray)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    ended_by_client: bool = False

    def __post_init__(self) -> None:
        self._buffer = b""
        self._queue: asyncio.Queue[Request | None] = asyncio.Queue()
        self._writable = asyncio.Event()
        self._writable.set()
        self._cut_by_us = False
        self._diverted: tuple[Callable[[bytes], None], Callable[[], None]] | None = None

    # --- what tests do with it ---

    def divert(self, take: Callable[[bytes], None], end: Callable[[], None]) -> None:
        """Hand over what comes from now on: it is no HTTP (see tests/sockets.py)."""
        self._diverted = take, end
        take(self._buffer)
        self._buffer = b""
        if self.closed.is_set():
            end()

    def write(self, data: bytes) -> None:
        """Send bytes now, whatever the state of things."""
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait while the client does not read; returns when the connection is gone too."""
        await self._writable.wait()

    def cut(self) -> None:
        """Drop the connection with a reset."""
        self._cut_by_us = True
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def close(self) -> None:
        """Close in order, after what is still to be written."""
        self._cut_by_us = True
        self.transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # uvloop's is no subclass of asyncio.Transport
        self.fake.connections.append(self)
        self.fake.connected.set()
        if not self.fake.hold_accept:
            self._task = self.fake.spawn(self._serve())

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if self.fake.keep_raw:
            self.raw += data
        if self.fake.hold_accept:
            return
        if self._diverted is not None:
            self._diverted[0](data)
            return
        self._buffer += data
        while (request := self._parse()) is not None:
            self.requests.append(request)
            self.fake.requests.append(request)
            self._queue.put_nowait(request)

    def eof_received(self) -> bool:
        self.ended_by_client = not self._cut_by_us
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_by_client = self.ended_by_client or not self._cut_by_us
        self.closed.set()
        self._writable.set()
        if self._diverted is not None:
            self._diverted[1]()
        self._queue.put_nowait(None)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # --- inside ---

    async def _serve(self) -> None:
        while (request := await self._queue.get()) is not None:
            await self.fake.handler(Exchange(request, self))

    def _parse(self) -> Request | None:
        head, mark, rest = self._buffer.partition(b"\r\n\r\n")
        if not mark:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)]
        length = next((int(v) for k, v in headers if k.lower() == "content-length"), 0)
        if len(rest) < length:
            return None
        raw = head + mark + rest[:length]
        self._buffer = rest[length:]
        return Request(raw, method, path, headers, rest[:length], self)


@dataclass
class Exchange:
    """One request and the means to answer it."""

    request: Request
    connection: Connection

    async def send(self, data: bytes) -> None:
        """Raw bytes."""
        self.connection.write(data)
        await self.connection.drain()

    async def send_json(
        self, status: int, obj: Any, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """A whole JSON answer."""
        body = json.dumps(obj).encode()
        lines = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers]
        await self.send(head(status, lines) + body)

    async def sse(
        self, events: Iterable[Any], *, status: int = 200, done: bool = True, end: bool = True
    ) -> None:
        """A stream of events, each a chunk of its own."""
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await self.send(head(status, lines))
        for event in events:
            await self.send(chunk(event_bytes(event)))
        if done:
            await self.send(chunk(b"data: [DONE]\n\n"))
        if end:
            await self.send(LAST_CHUNK)

    async def play(self, script: Script) -> None:
        """A script as the simulator would play it, here byte for byte on the wire."""
        lines = list(script.headers)
        chunked = script.status not in (204, 304) and not any(
            name.lower() == "content-length" for name, _ in lines
        )
        if chunked:
            lines.append(("Transfer-Encoding", "chunked"))
        started = False
        for step in script.steps:
            if isinstance(step, Wait):
                await asyncio.sleep(step.seconds)
                continue
            if isinstance(step, Cut):
                self.cut()
                return
            if not started:
                started = True
                await self.send(head(script.status, lines))
            if step.data:
                await self.send(chunk(step.data) if chunked else step.data)
        if not started:
            await self.send(head(script.status, lines))
        if chunked:
            await self.send(LAST_CHUNK)

    async def gate(self, event: asyncio.Event) -> None:
        """Wait for the test's leave."""
        await event.wait()

    async def client_closed(self) -> None:
        """Wait until the connection is gone."""
        await self.connection.closed.wait()

    def cut(self) -> None:
        """RST."""
        self.connection.cut()

    def close(self) -> None:
        """FIN, after what was sent."""
        self.connection.close()

    def half_close(self) -> None:
        """FIN in our direction; we still read."""
        self.connection.transport.write_eof()


Handler = Callable[[Exchange], Awaitable[None]]
LAST_CHUNK = b"0\r\n\r\n"


class FakeUpstream:
    """The server: `async with FakeUpstream(handler) as fake`."""

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        hold_accept: bool = False,
        keep_raw: bool = False,
    ) -> None:
        self.handler: Handler = handler or _empty_object
        self.tls = tls
        self.hold_accept = hold_accept
        self.keep_raw = keep_raw
        self.connection_class = Connection  # for tests that misbehave below requests
        self.connections: list[Connection] = []
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self.connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections that neither side has closed."""
        return sum(not connection.closed.is_set() for connection in self.connections)

    async def __aenter__(self) -> FakeUpstream:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: self.connection_class(self, len(self.connections)), "127.0.0.1", 0, ssl=self.tls
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.stop()
        if self.errors and error is None:
            raise self.errors[0]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            if not connection.closed.is_set():
                connection.cut()
                await connection.closed.wait()

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run a connection's work; its failure fails the test."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or isinstance(task.exception(), Gone | None):
            return
        self.errors.append(task.exception())  # type: ignore[arg-type]


def head(status: int, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A response head."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event_bytes(event: Any) -> bytes:
    """An SSE event: bytes and str as they are, anything else as JSON data."""
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode()
    return b"data: " + json.dumps(event).encode() + b"\n\n"


@contextlib.asynccontextmanager
async def refused_port():
    """A port on 127.0.0.1 that refuses connections while the block runs."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


async def _empty_object(exchange: Exchange) -> None:
    await exchange.send_json(200, {})
