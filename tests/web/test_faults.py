"""What a provider's failures become for the client."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.fake_upstream import Exchange, FakeUpstream, chunk, head, refused_port
from tests.harness import Gateway, running
from tests.money import until
from tests.rawclient import RawClient, ask, chat, request

SECRET = "sk-upstream-secret-0001"
FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


def answering(raw: bytes, *, close: bool = False) -> object:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(raw)
        if close:
            exchange.close()

    return handler


def refusing(status: int, body: object, *headers: tuple[str, str]) -> object:
    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(status, body, headers)

    return handler


def stream(*pieces: bytes, end: str = "clean") -> object:
    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        for piece in pieces:
            await exchange.send(chunk(piece))
        if end == "clean":
            await exchange.send(b"0\r\n\r\n")
        elif end == "cut":
            exchange.cut()
        else:
            exchange.close()

    return handler


@pytest.mark.parametrize(
    ("upstream", "status", "code"),
    [
        (400, 400, "invalid_request"),
        (422, 400, "invalid_request"),
        (413, 413, "request_too_large"),
        (401, 502, "upstream_error"),
        (402, 502, "upstream_error"),
        (403, 502, "upstream_error"),
        (404, 502, "upstream_error"),
        (409, 502, "upstream_error"),
        (429, 429, "rate_limit_exceeded"),
        (500, 502, "upstream_error"),
        (503, 502, "upstream_error"),
        (529, 502, "upstream_error"),
        (307, 502, "upstream_error"),
        (204, 502, "upstream_error"),
        (599, 502, "upstream_error"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_statuses(
    gateway: Gateway, fake: FakeUpstream, upstream: int, status: int, code: str, streamed: bool
) -> None:
    """Each class of failure has its own status and code; a provider's 401 is never the client's."""
    error = {"error": {"message": f"bad {SECRET} thing", "type": "t", "code": "c", "param": "p"}}
    fake.handler = refusing(upstream, error, ("Location", "http://127.0.0.1:1/"))
    if upstream == 204:
        fake.handler = answering(head(204))
    answer = await ask(gateway.server.port, request(chat(stream=streamed), gateway.key))
    assert answer.status == status
    assert answer.error["code"] == code
    assert set(answer.error) <= {"message", "type", "code", "param", "provider_error"}
    assert answer.header("x-request-id")
    assert SECRET.encode() not in answer.body
    assert len(fake.requests) == 1


async def test_where_a_provider_is_stands_in_the_log_alone(tmp_path: Path) -> None:
    """A host of the operator's own network is none of a client's business."""
    async with refused_port() as port, running(tmp_path, f"http://127.0.0.1:{port}/v1") as gateway:
        answer = await ask(gateway.server.port, request(chat(), gateway.key))
        assert answer.status == 502
        assert b"127.0.0.1" not in answer.body + repr(answer.headers).encode()
        await until(lambda: any(line["event"] == "call" for line in gateway.logged()))
        line = gateway.logged()[-1]
        assert (line["cause"], line["detail"]) == ("connect", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7", "7"),
        ("0", "1"),
        ("-5", "1"),
        ("1000000000", "3600"),
        ("soon", "1"),
        (None, "1"),
        ("Wed, 21 Oct 2026 07:28:30 GMT", "30"),
    ],
)
async def test_retry_after(
    gateway: Gateway, fake: FakeUpstream, given: str | None, expected: str
) -> None:
    """Seconds and dates are honoured, nonsense and absurd values are not."""
    headers = [("Date", "Wed, 21 Oct 2026 07:28:00 GMT")]
    if given is not None:
        headers.append(("Retry-After", given))
    fake.handler = refusing(429, {"error": {"message": "slow"}}, *headers)
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert (answer.status, answer.header("retry-after")) == (429, expected)


@pytest.mark.parametrize("body", [b"<html>secret</html>", b"x" * 2_000_000, b"", b"[]", b'"x"'])
async def test_odd_error_bodies(gateway: Gateway, fake: FakeUpstream, body: bytes) -> None:
    """Whatever a failing provider says, the client gets a short JSON error."""
    lines = [("Content-Length", str(len(body))), ("Content-Type", "text/html")]
    fake.handler = answering(head(500, lines) + body)
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert answer.status == 502
    assert len(answer.body) < 1000
    assert b"html" not in answer.body


@pytest.mark.parametrize(
    "raw",
    [
        head(200, [("Content-Length", "100")]) + b'{"a":',
        head(200, [("Transfer-Encoding", "chunked")]) + b'5\r\n{"a":',
        head(200, [("Transfer-Encoding", "chunked")]) + b"zz\r\n",
        head(200) + b'{"choices":[',
        head(200, [("Content-Length", "5")]) + b"hello",
        head(200, [("Content-Length", "2"), ("Content-Encoding", "gzip")]) + b"{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"SSH-2.0-OpenSSH\r\n",
        b"",
        head(200, [("Content-Length", "21")]) + b'{"error":{"code":"x"}}'[:21],
    ],
)
async def test_broken_answers(gateway: Gateway, fake: FakeUpstream, raw: bytes) -> None:
    """Truncated, garbled or impossible answers are a 502, never half a success."""
    fake.handler = answering(raw, close=True)
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")


async def test_an_error_inside_a_200(gateway: Gateway, fake: FakeUpstream) -> None:
    """Success by status alone is none."""
    fake.handler = refusing(200, {"error": {"message": "overloaded", "code": "busy"}})
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert answer.status == 502
    assert answer.error["provider_error"] == {"status": 200, "code": "busy", "type": None}


async def test_a_complete_answer_without_length(gateway: Gateway, fake: FakeUpstream) -> None:
    """A body that ends with the connection is accepted when it proves complete by itself."""
    fake.handler = answering(head(200) + b'{"choices":[]}', close=True)
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert (answer.status, answer.body) == (200, b'{"choices":[]}')


@pytest.mark.parametrize("end", ["cut", "close", "clean"])
@pytest.mark.parametrize("tail", [b"", b'data: {"choices":[{"index":0,"del'])
async def test_a_stream_that_breaks_off(
    gateway: Gateway, fake: FakeUpstream, end: str, tail: bytes
) -> None:
    """What came whole stays; then an error event, no [DONE], a clean end, a closed connection."""
    pieces = (FIRST, tail) if tail else (FIRST,)
    fake.handler = stream(*pieces, end=end)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        answer = await client.answer()
        assert await client.at_end()
    assert answer.clean
    assert answer.body.startswith(FIRST)
    event = answer.body[len(FIRST) :]
    assert event.startswith(b"data: {")
    assert event.endswith(b"\n\n")
    assert json.loads(event[6:])["error"]["code"] == "upstream_error"
    assert b"[DONE]" not in answer.body


async def test_a_stream_that_starts_with_an_error(gateway: Gateway, fake: FakeUpstream) -> None:
    """While nothing has been sent, an error event becomes a proper error answer."""
    fake.handler = stream(b'data: {"error":{"message":"overloaded","type":"overloaded"}}\n\n')
    answer = await ask(gateway.server.port, request(chat(stream=True), gateway.key))
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")


async def test_a_stream_with_an_error_inside(gateway: Gateway, fake: FakeUpstream) -> None:
    """The provider's own error event passes once; the log knows that the call failed."""
    event = b'data: {"error":{"message":"overloaded","type":"overloaded"}}\n\n'
    seen = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(FIRST))
        await exchange.gate(seen)
        await exchange.send(chunk(event) + b"0\r\n\r\n")

    fake.handler = handler
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        assert await client.chunk() == FIRST
        seen.set()
        assert await client.chunk() == event
        assert await client.chunk() == b""
    await gateway.idle()
    gateway.server.log.close()
    assert gateway.logged()[-1]["cause"] == "error_in_answer"


@pytest.mark.parametrize(
    ("surface", "code", "kind"),
    [
        ("/v1", "upstream_error", None),
        ("/api/gateway", "UPSTREAM_ERROR", "upstream_error"),
        ("/api/gateway/v1", "UPSTREAM_ERROR", "upstream_error"),
    ],
)
@pytest.mark.parametrize("started", [False, True])
async def test_each_surface_in_its_style(
    gateway: Gateway, fake: FakeUpstream, surface: str, code: str, kind: str | None, started: bool
) -> None:
    """/v1 speaks OpenAI's envelope, /api/gateway adds error_type, in streams as well."""
    fake.handler = stream(FIRST, end="cut") if started else refusing(500, {})
    raw = request(chat(stream=started), gateway.key, path=f"{surface}/chat/completions")
    answer = await ask(gateway.server.port, raw)
    said = json.loads(answer.body[len(FIRST) + 6 :] if started else answer.body)
    assert said["error"]["code"] == code
    assert said.get("error_type") == kind


async def test_nobody_listens(tmp_path: Path) -> None:
    """A refused connection is a 502 that names the host and no key."""
    async with FakeUpstream() as gone:
        url = gone.url
    async with running(tmp_path, url + "/v1") as gateway:
        answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")
    assert SECRET not in answer.error["message"]


@pytest.mark.parametrize(
    ("limits", "streamed"), [({"first_byte": 0.1}, False), ({"idle": 0.1}, True)]
)
async def test_silence(
    tmp_path: Path, fake: FakeUpstream, limits: dict[str, float], streamed: bool
) -> None:
    """A provider that says nothing in time is a 504, or an error event once a stream runs."""

    async def handler(exchange: Exchange) -> None:
        if streamed:
            lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
            await exchange.send(head(200, lines) + chunk(FIRST))
        await exchange.client_closed()

    fake.handler = handler
    async with running(tmp_path, fake.url + "/v1", **limits) as gateway:
        answer = await ask(gateway.server.port, request(chat(stream=streamed), gateway.key))
    if streamed:
        assert json.loads(answer.body[len(FIRST) + 6 :])["error"]["code"] == "upstream_timeout"
    else:
        assert (answer.status, answer.error["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize("phase", ["before", "stream", "plain"])
async def test_a_client_that_leaves(gateway: Gateway, fake: FakeUpstream, phase: str) -> None:
    """The provider's connection is closed at once, streamed or not, and the log says why."""
    reached = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        if phase == "stream":
            lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
            await exchange.send(head(200, lines) + chunk(FIRST))
        if phase == "plain":
            await exchange.send(head(200, [("Content-Length", "100")]) + b"{")
        reached.set()
        await exchange.client_closed()

    fake.handler = handler
    client = await RawClient.open(gateway.server.port)
    client.send(request(chat(stream=phase == "stream"), gateway.key))
    await asyncio.wait_for(reached.wait(), 5)
    if phase == "stream":
        await client.head()
    client.abort()
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)
    await gateway.idle()
    gateway.server.log.close()
    assert gateway.logged()[-1]["cause"] == "client_closed"
    assert gateway.server.site.open_calls == 0
