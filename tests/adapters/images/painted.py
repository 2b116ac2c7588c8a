"""Short ways to ask for pictures, that the tests of all providers share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.core.body import JsonBody
from gateway.domain import Credential, Encoded, File, Piece
from gateway.sdk import Adapter, Answered, Call, Further, Reply, UpstreamRequest

KEY = Credential("main", {"api_key": "sk-canary-secret"})
PNG = b"\x89PNG\r\n\x1a\nrest"
B64 = "iVBORw0KGgpyZXN0"
BOUNDARY = "b0undary-nobody-guesses"
NOW = 1_800_000_000.0


class Held:
    """A file's bytes, in pieces."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def chunks(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), 5):
            yield self.data[at : at + 5]


def file(field: str = "image", name: str = "a.png", kind: str = "image/png") -> File:
    return File(field, name, kind, len(PNG), Held(PNG))


def call(model: str, *files: File, base: str = "https://host.example/v1", **members: Any) -> Call:
    options = members.pop("options", {})
    region = members.pop("region", None)
    operation = members.pop("operation", "image_edits" if files else "images")
    body = {"model": "slug", "prompt": "a cat", **members}
    return Call(
        operation,
        model,
        base,
        JsonBody.parse(json.dumps(body).encode()),
        stream=members.get("stream") is True,
        region=region,
        options=options,
        now=NOW,
        id="call-1",
        files=files,
        boundary=BOUNDARY if files else "",
    )


def sent(adapter: Adapter, given: Call, credential: Credential = KEY) -> UpstreamRequest:
    return adapter.operations[given.operation].build(given, credential)


def body_of(request: UpstreamRequest) -> Any:
    """The JSON that is sent, with each file in base64 where it goes."""
    if request.pieces:
        assert request.body == b""
        return json.loads(b"".join(plain(piece) for piece in request.pieces))
    return json.loads(request.body)


def plain(piece: Piece) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, Encoded):
        return B64.encode()
    return b"".join(piece.source.chunks())


def parsed(adapter: Adapter, given: Call, body: Any) -> Reply | Further:
    parse = adapter.operations[given.operation].parse
    assert callable(parse)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse(given, 200, {}, raw)


def replied(adapter: Adapter, given: Call, body: Any) -> tuple[dict[str, Any], Reply]:
    """The answer, decoded, and the reply it is in."""
    reply = parsed(adapter, given, body)
    assert isinstance(reply, Reply)
    return json.loads(reply.body), reply


def brought(further: Further | Reply, *answers: Answered) -> tuple[dict[str, Any], Reply]:
    """The answer that further requests complete."""
    assert isinstance(further, Further)
    assert len(further.requests) == len(answers)
    reply = further.then(answers)
    return json.loads(reply.body), reply


def requests_of(further: Further | Reply, credential: Credential = KEY) -> list[UpstreamRequest]:
    """What is sent once more."""
    assert isinstance(further, Further)
    return [one(credential) if callable(one) else one for one in further.requests]


def events_of(raw: bytes) -> list[dict[str, Any]]:
    lines = [line for line in raw.decode().splitlines() if line.startswith("data: {")]
    return [json.loads(line[6:]) for line in lines]
