"""A client that sends exactly the bytes it is told to, and reads answers by their framing alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """One HTTP answer, body unframed."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    clean: bool  # the framing said that this was all

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json()["error"]


class RawClient:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> RawClient:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Answer:
        """The status line and headers; the body is left unread."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        first, *lines = raw[:-4].decode("latin-1").split("\r\n")
        pairs = [line.partition(":")[::2] for line in lines]
        headers = [(name, value.strip()) for name, value in pairs]
        return Answer(int(first.split(" ")[1]), headers, b"", clean=False)

    async def answer(self) -> Answer:
        """A whole answer; interim ones are skipped."""
        answer = await self.head()
        while answer.status == 100:
            answer = await self.head()
        length = answer.header("content-length")
        if answer.header("transfer-encoding") == "chunked":
            answer.body, answer.clean = await self._chunks()
        elif length is not None:
            answer.body = await asyncio.wait_for(self.reader.readexactly(int(length)), 10)
            answer.clean = True
        else:
            answer.body = await asyncio.wait_for(self.reader.read(), 10)
        return answer

    async def chunk(self) -> bytes:
        """One chunk of a chunked body; empty at its end."""
        line = await asyncio.wait_for(self.reader.readuntil(b"\r\n"), 10)
        data = await asyncio.wait_for(self.reader.readexactly(int(line, 16) + 2), 10)
        return data[:-2]

    async def _chunks(self) -> tuple[bytes, bool]:
        body = b""
        try:
            while data := await self.chunk():
                body += data
        except asyncio.IncompleteReadError:
            return body, False
        return body, True

    async def at_end(self) -> bool:
        """Whether the gateway has closed the connection with nothing more to say."""
        return await asyncio.wait_for(self.reader.read(1), 10) == b""


def request(
    body: bytes | dict[str, Any],
    key: str | None,
    *,
    path: str = "/v1/chat/completions",
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> bytes:
    """A well-formed request."""
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    lines = {"Host": "gateway.test", "Content-Type": "application/json"}
    if key is not None:
        lines["Authorization"] = f"Bearer {key}"
    lines |= {"Content-Length": str(len(raw))} | (headers or {})
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode() + raw


async def ask(port: int, raw: bytes) -> Answer:
    """One request on a connection of its own."""
    async with await RawClient.open(port) as client:
        client.send(raw)
        return await client.answer()


def chat(**more: Any) -> dict[str, Any]:
    """The usual body."""
    return {"model": "fake-slug", "messages": [{"role": "user", "content": "hi"}], **more}
