"""Calls with a file, and what is sent for them, for the tests of transcriptions."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

from gateway.core.multipart import Event, Parser, PartBegun, PartData
from gateway.domain import Credential, Encoded, File, UpstreamRequest, Usage
from gateway.sdk import Adapter, Call, JsonBody, Reply

KEY = Credential("main", {"api_key": "sk-secret"})
SOUND = b"ID3\x00\xff\xfbwords\r\n--b"


class Bytes:
    """A source of bytes that lie in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def chunks(self) -> Iterator[bytes]:
        yield self.data


def file(name: str = "a.mp3", kind: str = "audio/mpeg", milliseconds: int = 3_700) -> File:
    return File("file", name, kind, len(SOUND), Bytes(SOUND), milliseconds)


def heard(
    operation: str = "transcriptions",
    *,
    stream: bool = False,
    files: tuple[File, ...] | None = None,
    upstream: str = "up/stream",
    base_url: str = "https://h.example/v1",
    **fields: Any,
) -> Call:
    body = {"model": "m", **fields} | ({"stream": True} if stream else {})
    return Call(
        operation,
        upstream,
        base_url,
        JsonBody.parse(json.dumps(body).encode()),
        stream,
        files=(file(),) if files is None else files,
        boundary="b0undary",
    )


def sent(adapter: Adapter, call: Call, credential: Credential = KEY) -> UpstreamRequest:
    return adapter.operations[call.operation].build(call, credential)


def body_of(request: UpstreamRequest) -> bytes:
    """All the bytes of a request, its files among them."""
    if not request.pieces:
        return request.body
    out = b""
    for piece in request.pieces:
        if isinstance(piece, bytes):
            out += piece
        elif isinstance(piece, Encoded):
            out += base64.b64encode(b"".join(piece.file.source.chunks()))
        else:
            out += b"".join(piece.source.chunks())
    return out


def form_of(request: UpstreamRequest) -> list[tuple[str, str | None, bytes]]:
    """A form that was sent, read back: names, file names, contents."""
    kind = dict(request.headers)["Content-Type"]
    parser = Parser(kind.partition("boundary=")[2].encode())
    events: list[Event] = parser.feed(body_of(request))
    parser.end()
    parts: list[tuple[str, str | None, bytes]] = []
    for event in events:
        if isinstance(event, PartBegun):
            parts.append((event.name, event.filename, b""))
        elif isinstance(event, PartData):
            name, filename, content = parts[-1]
            parts[-1] = (name, filename, content + event.data)
    return parts


def answered(
    adapter: Adapter, call: Call, body: Any, kind: str = "application/json"
) -> tuple[Any, Usage | None]:
    """A whole answer as its client gets it: JSON decoded, text as it is."""
    parse = adapter.operations[call.operation].parse
    assert callable(parse)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = parse(call, 200, {"content-type": kind}, raw)
    assert isinstance(reply, Reply)
    if reply.content_type != "application/json":
        return reply.body.decode(), reply.usage
    return json.loads(reply.body), reply.usage


def played(adapter: Adapter, call: Call, pieces: list[bytes]) -> tuple[Any, ...]:
    """A streamed answer: its bytes, usage, whether it is whole, and the fault it ends with."""
    opened = adapter.operations[call.operation].stream
    assert callable(opened)
    stream = opened(call)
    out = b"".join(map(stream.feed, pieces)) + stream.finish()
    return out, stream.usage, stream.complete, stream.fault and stream.fault.cause


def events_of(out: bytes) -> list[Any]:
    """The events of a stream, decoded."""
    lines = [line for line in out.decode().split("\n\n") if line]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def at_every_byte(adapter: Adapter, call: Call, raw: bytes) -> tuple[Any, ...]:
    """A stream's outcome, the same however it was split."""
    whole = played(adapter, call, [raw])
    for at in range(len(raw) + 1):
        assert played(adapter, call, [raw[:at], raw[at:]]) == whole
    assert played(adapter, call, [raw[at : at + 1] for at in range(len(raw))]) == whole
    return whole
