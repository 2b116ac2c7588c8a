"""Clients that misbehave, by design or by attack."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from pathlib import Path

import pytest

from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, running, waiting
from tests.rawclient import Answer, RawClient, ask, chat, request

MIB = 1 << 20
FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


async def read_all(client: RawClient) -> bytes:
    return await asyncio.wait_for(client.reader.read(), 10)


async def swept(gateway: Gateway, client: RawClient, seconds: float) -> bytes:
    """What a client is told when the guards look again after so many seconds."""
    room = gateway.server.room
    while not room.connections:
        await asyncio.sleep(0)
    room.sweep(room.loop.time() + seconds)
    return await read_all(client)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_slow_heads(gateway: Gateway, sent: bytes) -> None:
    """A connection that does not complete a head in time is closed; half a head is told why."""
    async with await RawClient.open(gateway.server.port) as client:
        client.send(sent)
        await waiting(gateway, "_head_since" if sent else "_waiting_since")
        said = await swept(gateway, client, 11)
    assert said.startswith(b"HTTP/1.1 408") if sent else said == b""
    assert (b"\r\nx-request-id: req_" in said) == bool(sent)


async def test_a_quick_connection_outlives_the_sweep(gateway: Gateway) -> None:
    """Between two requests a connection may rest until the idle deadline, and no longer."""
    ping = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    async with await RawClient.open(gateway.server.port) as client:
        client.send(ping)
        assert (await client.answer()).status == 200
        room = gateway.server.room
        room.sweep(room.loop.time() + 60)
        client.send(ping)
        assert (await client.answer()).status == 200
        assert await swept(gateway, client, 76) == b""


async def test_slow_bodies(gateway: Gateway, fake: FakeUpstream) -> None:
    """A body that drips in under the minimum rate is a 408."""
    raw = request(chat(), gateway.key)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw[:-5])
        await waiting(gateway, "_body_since")
        said = await swept(gateway, client, 11)
    assert said.startswith(b"HTTP/1.1 408")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    assert not fake.requests


async def test_a_client_that_never_reads(gateway: Gateway, fake: FakeUpstream) -> None:
    """It holds back the provider, in bounded memory, and is cut when its time is up."""
    written = 0

    async def handler(exchange: Exchange) -> None:
        nonlocal written
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        while not exchange.connection.closed.is_set():
            await exchange.send(chunk(FIRST * 800))
            written += 1

    fake.handler = handler
    client = await RawClient.open(gateway.server.port)
    client.writer.transport.pause_reading()
    client.send(request(chat(stream=True), gateway.key))
    before = -1
    while written != before or not written:
        before = written
        await ask(gateway.server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(0.02)
    assert written * len(FIRST) * 800 < 40 * MIB
    room = gateway.server.room
    room.sweep(room.loop.time() + 61)
    await asyncio.wait_for(fake.connections[0].closed.wait(), 2)
    client.abort()


async def test_a_slow_client_gets_everything(gateway: Gateway, fake: FakeUpstream) -> None:
    """One that falls behind and catches up has lost nothing."""
    pieces = 3000

    async def handler(exchange: Exchange) -> None:
        end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        for _ in range(pieces):
            await exchange.send(chunk(FIRST * 40))
        await exchange.send(chunk(end) + b"0\r\n\r\n")

    fake.handler = handler
    async with await RawClient.open(gateway.server.port) as client:
        client.writer.transport.pause_reading()
        client.send(request(chat(stream=True), gateway.key))
        await waiting(gateway, "_blocked_since")
        client.writer.transport.resume_reading()
        answer = await client.answer()
    assert answer.clean
    assert answer.body.count(FIRST) == pieces * 40


async def test_bodies_over_the_limit(gateway: Gateway, fake: FakeUpstream) -> None:
    """413 by the announced length at once, by the counted one as soon as it is passed."""
    body = b'{"model":"x"}'
    announced = request(body, gateway.key, headers={"Content-Length": str(10**10)})
    assert (await ask(gateway.server.port, announced)).status == 413
    head_ = request(b"", gateway.key, headers={"Transfer-Encoding": "chunked"})
    head_ = head_.replace(b"Content-Length: 0\r\n", b"")
    async with await RawClient.open(gateway.server.port) as client:
        client.send(head_)
        client.send(chunk(b"x" * MIB) * 33)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
    assert not fake.requests


async def test_a_body_at_the_limit(gateway: Gateway, fake: FakeUpstream) -> None:
    """Exactly 32 MiB of chat is served."""
    frame = len(json.dumps(chat(pad=""), separators=(",", ":")))
    body = json.dumps(chat(pad="x" * (32 * MIB - frame)), separators=(",", ":")).encode()
    assert len(body) == 32 * MIB
    assert (await ask(gateway.server.port, request(body, gateway.key))).status == 200
    assert (await ask(gateway.server.port, request(body + b" ", gateway.key))).status == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"nope",
        b'"x"',
        b"\xef\xbb\xbf{}",
        b'{"model":"\xff"}',
        b'{"model":"fake-slug","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"fake-slug","model":"same-name","messages":[{"role":"user","content":"x"}]}',
        b'{"model":"fake-slug","messages":[{"role":"user","content":"x"}]} x',
        b'{"x":' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"x":' + b"[" * 200_000,
        b'{"a":NaN,"model":"fake-slug","messages":[{"role":"user"}]}',
    ],
)
async def test_bodies_that_are_no_request(
    gateway: Gateway, fake: FakeUpstream, body: bytes
) -> None:
    """Each is a 400 in our envelope, and none reaches the provider."""
    answer = await ask(gateway.server.port, request(body, gateway.key))
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    assert not fake.requests


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", "1e30"),
        ("max_tokens", "-5"),
        ("max_tokens", "1" * 40),
        ("n", "0"),
        ("n", "true"),
        ("n", "1000000"),
        ("temperature", "1e999"),
        ("temperature", '"hot"'),
        ("stream", '"yes"'),
        ("seed", "1.5"),
        ("model", "7"),
        ("messages", "{}"),
        ("messages", "[]"),
        ("messages", '[{"role":1}]'),
        ("stream_options", "[]"),
        ("stream_options", '{"include_usage":true,"include_usage":false}'),
    ],
)
async def test_a_bad_field_is_named(
    gateway: Gateway, fake: FakeUpstream, field: str, value: str
) -> None:
    """A 400 says which field it means."""
    parts = {"model": '"fake-slug"', "messages": '[{"role":"user","content":"x"}]'} | {field: value}
    body = "{" + ",".join(f'"{k}":{v}' for k, v in parts.items()) + "}"
    answer = await ask(gateway.server.port, request(body.encode(), gateway.key))
    assert answer.status == 400
    assert answer.error["param"].startswith(field)
    assert not fake.requests


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_bodies(gateway: Gateway, fake: FakeUpstream, encoding: str) -> None:
    """Good ones are read, bad ones and bombs refused."""
    squeeze = gzip.compress if encoding == "gzip" else zlib.compress
    headers = {"Content-Encoding": encoding}
    good = squeeze(json.dumps(chat(model="same-name")).encode())
    sent = request(good, gateway.key, headers=headers)
    assert (await ask(gateway.server.port, sent)).status == 200
    assert json.loads(fake.requests[0].body)["model"] == "same-name"
    for bad in (good[:-3], b"nope", good + b"x"):
        sent = request(bad, gateway.key, headers=headers)
        assert (await ask(gateway.server.port, sent)).status == 400
    bomb = squeeze(b" " * (40 * MIB))
    sent = request(bomb, gateway.key, headers=headers)
    assert (await ask(gateway.server.port, sent)).status == 413


async def test_unknown_encodings(gateway: Gateway) -> None:
    """An encoding that is not known is a 400 that says so."""
    sent = request(b"x", gateway.key, headers={"Content-Encoding": "br"})
    answer = await ask(gateway.server.port, sent)
    assert answer.status == 400
    assert "br" in answer.error["message"]


@pytest.mark.parametrize("kind", ["text/plain", "", "multipart/form-data; boundary=x"])
async def test_bodies_that_are_not_json(gateway: Gateway, kind: str) -> None:
    """415 where JSON is due."""
    answer = await ask(
        gateway.server.port, request(b"{}", gateway.key, headers={"Content-Type": kind})
    )
    assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")


POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        POST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345",
        POST + b"Content-Length: +5\r\n\r\n12345",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"X-A: a\x00b\r\n\r\n",
        POST + b"X-A: " + b"a" * 9000 + b"\r\n\r\n",
        POST + b"".join(b"X-%d: a\r\n" % n for n in range(200)) + b"\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
async def test_requests_that_are_no_http(gateway: Gateway, raw: bytes) -> None:
    """One 400 in our envelope, and the connection is closed: nothing behind it is served."""
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw)
        answer = await client.answer()
        assert await client.at_end()
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    gateway.server.log.close()
    (line,) = [line for line in gateway.logged() if line["event"] == "call"]
    assert (line["id"], line["status"]) == (answer.header("x-request-id"), 400)
    assert line["cause"] == "malformed_http"


@pytest.mark.parametrize("piece", [b"zz\r\n", b"-1\r\nx\r\n", b"3\r\nabcd\r\n"])
async def test_bad_chunks(gateway: Gateway, fake: FakeUpstream, piece: bytes) -> None:
    """A body whose chunks are broken is a 400."""
    raw = request(b"", gateway.key, headers={"Transfer-Encoding": "chunked"})
    raw = raw.replace(b"Content-Length: 0\r\n", b"")
    answer = await ask(gateway.server.port, raw + b"1\r\n{\r\n" + piece)
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    assert not fake.requests


async def test_pipelined_requests(gateway: Gateway, fake: FakeUpstream) -> None:
    """They are answered one by one, in order."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(200, {"choices": [], "n": exchange.request.json()["n"]})

    fake.handler = handler
    async with await RawClient.open(gateway.server.port) as client:
        client.send(b"".join(request(chat(n=n), gateway.key) for n in range(1, 30)))
        found = [(await client.answer()).json()["n"] for _ in range(1, 30)]
    assert found == list(range(1, 30))


async def test_expect_continue(gateway: Gateway, fake: FakeUpstream) -> None:
    """A client that waits for leave gets it at once, unless the body is refused anyway."""
    raw = request(chat(), gateway.key, headers={"Expect": "100-continue"})
    cut = raw.index(b"\r\n\r\n") + 4
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw[:cut])
        assert (await client.head()).status == 100
        client.send(raw[cut:])
        assert (await client.answer()).status == 200
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw)  # and waits for nothing
        assert (await client.answer()).status == 200
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw[:cut].replace(b"HTTP/1.1", b"HTTP/1.0"))  # which knows of no such answer
        await waiting(gateway, "_body_since")
        client.send(raw[cut:])
        assert (await client.answer()).status == 200
    big = {"Expect": "100-continue", "Content-Length": str(10**9)}
    raw = request(b"", gateway.key, headers=big)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw)
        assert (await client.head()).status == 413


@pytest.mark.parametrize(
    "name", ["a\r\nX-Evil: 1", "a\nb", "a\x00b", "caf\u00e9", "\ud83d\ude00", "{{7*7}}"]
)
async def test_odd_text_in_the_model(gateway: Gateway, name: str) -> None:
    """It comes back only as JSON text, never as a header."""
    answer = await ask(
        gateway.server.port, request(json.dumps(chat(model=name)).encode(), gateway.key)
    )
    assert answer.status in (400, 404)
    assert not [k for k, _ in answer.headers if k.lower() == "x-evil"]
    assert b"49" not in answer.body


async def test_a_stream_cannot_be_forged_by_error_text(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """Text from a provider stays inside one event."""

    async def handler(exchange: Exchange) -> None:
        evil = {"error": {"message": "x\n\ndata: [DONE]\n\ndata: {}"}}
        await exchange.send_json(400, evil)

    fake.handler = handler
    answer = await ask(gateway.server.port, request(chat(stream=True), gateway.key))
    assert answer.status == 400
    assert b"\n" not in answer.body


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /v1/chat/completions", 405),
        (b"PUT /v1/chat/completions", 405),
        (b"OPTIONS /v1/chat/completions", 405),
        (b"POST /v1/models", 405),
        (b"HEAD /v1/models", 200),
        (b"GET /", 404),
        (b"GET //v1/models", 404),
        (b"GET /v1/models/", 404),
        (b"GET /v1/../metrics", 404),
        (b"GET /v1/%2e%2e/metrics", 404),
        (b"GET /V1/models", 404),
        (b"GET /v1/nothing", 404),
        (b"GET /v1/models?x=1", 200),
    ],
)
async def test_methods_and_paths(gateway: Gateway, line: bytes, status: int) -> None:
    """What is not there is 404, what is called wrongly 405 with Allow; all in our envelope."""
    raw = (
        line
        + b" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + gateway.key.encode()
        + b"\r\n\r\n"
    )
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw)
        answer = await client.head() if line.startswith(b"HEAD") else await client.answer()
    assert answer.status == status
    if status == 405:
        assert answer.header("allow") in ("POST", "GET")
    if status >= 400:
        assert set(answer.error) == {"message", "type", "code", "param"}


async def test_websockets_are_refused_here(gateway: Gateway) -> None:
    """An upgrade on an endpoint that speaks none is a 400."""
    raw = (
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert (await ask(gateway.server.port, raw)).status == 400


async def test_the_connection_cap(tmp_path: Path, fake: FakeUpstream) -> None:
    """One connection too many is told 503; those that are there are served."""
    async with running(tmp_path, fake.url + "/v1", max_connections=2) as gateway:
        first = await RawClient.open(gateway.server.port)
        second = await RawClient.open(gateway.server.port)
        for client in (first, second):
            client.send(request(chat(), gateway.key))
            assert (await client.answer()).status == 200
        third = await RawClient.open(gateway.server.port)
        refused: Answer = await third.answer()
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        assert refused.header("x-request-id")
        first.send(request(chat(), gateway.key))
        assert (await first.answer()).status == 200
        for client in (first, second, third):
            client.close()


async def test_a_thousand_idle_connections(gateway: Gateway) -> None:
    """They neither slow nor starve a call, and go at the header deadline."""
    clients = await asyncio.gather(*(RawClient.open(gateway.server.port) for _ in range(1000)))
    assert (await ask(gateway.server.port, request(chat(), gateway.key))).status == 200
    room = gateway.server.room
    room.sweep(room.loop.time() + 11)
    assert await read_all(clients[-1]) == b""
    for client in clients:
        client.close()


async def test_any_byte_in_a_key(gateway: Gateway) -> None:
    """A strange bearer is a 400 or 401, whatever bytes it has."""
    for byte in range(256):
        raw = request(chat(), "KEY").replace(b"KEY", b"k" + bytes([byte]) + b"y")
        async with await RawClient.open(gateway.server.port) as client:
            client.send(raw)
            assert (await client.head()).status in (400, 401), byte


async def test_two_keys_are_one_too_many(gateway: Gateway) -> None:
    """Two Authorization headers are refused: nobody could say which one counts."""
    raw = request(chat(), gateway.key).replace(b"Host:", b"Authorization: Bearer other\r\nHost:")
    assert (await ask(gateway.server.port, raw)).status == 400


async def test_no_body_is_read_without_a_key(gateway: Gateway) -> None:
    """A caller without a good key is refused before its body was read."""
    raw = request(b"", None, headers={"Content-Length": str(30 * MIB)})
    answer = await ask(gateway.server.port, raw)
    assert (answer.status, answer.header("connection")) == (401, "close")
