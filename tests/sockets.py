"""Websockets for tests, both ends, byte for byte; shares no code with the gateway's own.

async def handler(exchange):
    socket = await upgrade(exchange)          # or write the 101 by hand
    event = await socket.event()              # the next text message, decoded
    await socket.send({"type": "..."})        # a text message
    await socket.frame(0x1, b"{}", final=False); await socket.raw(b"...")
    await socket.close(1000); await socket.closed()

async with Client(gateway.server.port) as client:
    await client.open("/v1/realtime?model=m", key)
    await client.send({...}); await client.event(); await client.ended() -> (code, reason)
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import struct
from typing import Any

from tests.fake_upstream import Exchange, Gone
from tests.rawclient import Answer, RawClient

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept(key: str) -> str:
    """What answers a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


def mixed(payload: bytes, mask: bytes) -> bytes:
    """Masked, or unmasked."""
    size = len(payload)
    wide = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(wide, "big")).to_bytes(size, "big")


def encode(opcode: int, payload: bytes, *, mask: bytes | None = None, final: bool = True) -> bytes:
    """One frame."""
    head = bytes([opcode | (0x80 if final else 0)])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack(">BH", bit | 126, len(payload))
    else:
        head += struct.pack(">BQ", bit | 127, len(payload))
    if mask:
        payload = mixed(payload, mask)
        head += mask
    return head + payload


class Frames:
    """Takes frames from bytes as they come, and waits for them."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._gone = False
        self.masks: list[bool] = []

    def add(self, data: bytes) -> None:
        self._buffer += data
        self._more.set()

    def end(self) -> None:
        self._gone = True
        self._more.set()

    async def next(self) -> tuple[int, bytes]:
        """The next frame; Gone at the end."""
        while (found := self._take()) is None:
            if self._gone:
                raise Gone
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)
        return found

    def _take(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[2 : 2 + width], "big"), 2 + width
        mask = None
        if data[1] & 128:
            mask, at = bytes(data[at : at + 4]), at + 4
        if len(data) < at + size:
            return None
        payload = bytes(data[at : at + size])
        first = data[0]
        del data[: at + size]
        self.masks.append(mask is not None)
        if mask is not None:
            payload = mixed(payload, mask)
        assert first & 0x80, "the gateway sends no fragments"
        return first & 15, payload


class End:
    """What both ends can do once they are open."""

    frames: Frames
    mask: bytes | None = None

    async def raw(self, data: bytes) -> None:
        raise NotImplementedError

    async def frame(self, opcode: int, payload: bytes = b"", *, final: bool = True) -> None:
        """One frame, masked as this end should."""
        await self.raw(encode(opcode, payload, mask=self.mask, final=final))

    async def send(self, event: dict[str, Any] | bytes) -> None:
        """A text message."""
        data = event if isinstance(event, bytes) else json.dumps(event).encode()
        await self.frame(TEXT, data)

    async def text(self) -> bytes:
        """The next message; pings are answered on the way. Gone where it is a goodbye."""
        while True:
            opcode, payload = await self.frames.next()
            if opcode == PING:
                await self.frame(PONG, payload)
            elif opcode == CLOSE:
                raise Gone(payload)
            elif opcode != PONG:
                assert opcode == TEXT, (opcode, payload[:200])
                return payload

    async def event(self) -> dict[str, Any]:
        """The next message, decoded."""
        found: dict[str, Any] = json.loads(await self.text())
        return found

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this type; others are let pass."""
        while (event := await self.event())["type"] != kind:
            pass
        return event

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye."""
        await self.frame(CLOSE, struct.pack(">H", code) + reason.encode())

    async def ended(self) -> tuple[int, str]:
        """The code and reason of the next close frame; messages before it are let pass."""
        while True:
            opcode, payload = await self.frames.next()
            if opcode == CLOSE:
                return struct.unpack(">H", payload[:2])[0], payload[2:].decode()


class ProviderSocket(End):
    """The provider's end."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.connection = exchange.connection
        self.frames = Frames()
        self.connection.divert(self.frames.add, self.frames.end)

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        await self.exchange.send(data)


async def upgrade(exchange: Exchange, *more: tuple[str, str]) -> ProviderSocket:
    """Agree to a websocket."""
    key = exchange.request.header("sec-websocket-key")
    assert key is not None
    lines = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept(key)),
        *more,
    ]
    text = "".join(f"{name}: {value}\r\n" for name, value in lines)
    socket = ProviderSocket(exchange)
    await exchange.send(f"HTTP/1.1 101 Switching Protocols\r\n{text}\r\n".encode())
    return socket


class Client(End):
    """The client's end, over a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mask = os.urandom(4)
        self.frames = Frames()
        self.answer: Answer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Client:
        self.raw_client = await RawClient.open(self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
        self.raw_client.close()

    async def ask(
        self, path: str, key: str | None, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> None:
        """Ask for a websocket."""
        lines = {
            "Host": "gateway.test",
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        if key is not None:
            lines["Authorization"] = f"Bearer {key}"
        lines |= headers or {}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        self.raw_client.send(f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode())

    async def open(
        self, path: str, key: str | None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Open the websocket; the head of the answer, which must be a 101."""
        await self.ask(path, key, headers)
        answer = await self.raw_client.head()
        assert answer.status == 101, await self.raw_client.reader.read(2000)
        assert answer.header("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        self.answer = answer
        self.read_on()
        return answer

    async def refused(
        self, path: str, key: str | None, headers: dict[str, str] | None = None, method: str = "GET"
    ) -> Answer:
        """The answer to a request for a websocket that is refused."""
        await self.ask(path, key, headers, method)
        return await self.raw_client.answer()

    def read_on(self) -> None:
        """Read what comes, from now on."""
        if self._reading is not None:
            self.raw_client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            return
        self._reading = asyncio.create_task(self._read())

    def read_no_more(self) -> None:
        """Be a client that does not keep up."""
        self.raw_client.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def abort(self) -> None:
        """Be gone without a word."""
        self.raw_client.abort()

    async def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self.raw_client.send(data)
        await self.raw_client.writer.drain()

    async def _read(self) -> None:
        try:
            await self._pass_on()
        except ConnectionResetError:
            self.frames.end()

    async def _pass_on(self) -> None:
        while data := await self.raw_client.reader.read(65536):
            self.frames.add(data)
        self.frames.end()
