"""One connection and the requests that follow one another on it."""

from __future__ import annotations

import asyncio
import gc

import pytest
from aiohttp import StreamReader
from aiohttp.http import RawRequestMessage

from gateway.web.connection import Connection
from gateway.web.exchange import Exchange as Served
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, running, waiting
from tests.pipeline.beyond_stage import parts, wav
from tests.rawclient import RawClient, chat, request

ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
TUNNEL = b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n"
FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'


def only(gateway: Gateway) -> Connection:
    """The connection of a test's only client."""
    (connection,) = gateway.server.room.connections
    return connection


@pytest.mark.parametrize(
    "raw",
    [
        TUNNEL,
        TUNNEL.replace(b"a:1", b"/healthz"),
        b"GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ],
)
async def test_requests_that_others_may_read_otherwise(gateway: Gateway, raw: bytes) -> None:
    """A target that is no path, or framing that its HTTP lacks: one 400, and nothing behind it."""
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw + ALIVE)
        answer = await client.answer()
        assert await client.at_end()
    assert (answer.status, answer.error["code"]) == (400, "invalid_request")
    assert answer.header("x-request-id")


@pytest.mark.parametrize("more", [b"", ALIVE, ALIVE[:9]], ids=["nothing", "all", "a part"])
@pytest.mark.parametrize("before", [b"", ALIVE], ids=["first", "later"])
async def test_what_comes_with_an_upgrade_that_nobody_knows(
    gateway: Gateway, before: bytes, more: bytes
) -> None:
    """The parser loses it, and the rest of it, of a body perhaps, must not be taken for a request.

    What was asked beside the upgrade is answered.
    """
    asked = ALIVE[:-2] + b"Upgrade: tls\r\nConnection: upgrade\r\n\r\n"
    async with await RawClient.open(gateway.server.port) as client:
        client.send(before + asked + more)
        if before:
            assert (await client.answer()).header("connection") is None
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
        assert await client.at_end()


async def test_an_offer_of_http2_does_not_end_a_connection(gateway: Gateway) -> None:
    """Java's client makes it with each request, and would have to connect for each."""
    offer = {"Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAEA", "Upgrade": "h2c"}
    async with await RawClient.open(gateway.server.port) as client:
        for number in range(3):
            client.send(request(chat(n=number + 1), gateway.key, headers=offer))
            answer = await client.answer()
            assert (answer.status, answer.header("connection")) == (200, None)


async def test_more_requests_than_may_wait(gateway: Gateway) -> None:
    """Reading stops while too many wait, and goes on as they are served."""
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(), gateway.key) + ALIVE * 300)
        assert [(await client.answer()).status for _ in range(301)] == [200] * 301


async def test_a_long_body_behind_others_waits(gateway: Gateway, fake: FakeUpstream) -> None:
    """What is held of it does not grow with each request before it that is read and answered."""
    answered = asyncio.Semaphore(0)

    async def handler(exchange: Exchange) -> None:
        await answered.acquire()
        await exchange.send_json(200, {})

    async def flood() -> None:
        while True:
            client.send(b"x" * (1 << 17))
            await client.writer.drain()

    fake.handler = handler
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(), gateway.key))
        await gateway_busy(fake)
        long = request(b"", gateway.key, headers={"Content-Length": str(30 << 20)})
        client.send(request(chat(), gateway.key) * 6 + long)
        flooding = asyncio.create_task(flood())
        (connection,) = gateway.server.room.connections
        while not connection._reading_paused:
            await asyncio.sleep(0)
        held = connection._messages[-1][1]._size
        for _ in range(6):
            answered.release()
            assert (await client.answer()).status == 200
            assert connection._reading_paused
            assert connection._messages[-1][1]._size == held
        flooding.cancel()
        answered.release()


async def gateway_busy(fake: FakeUpstream) -> None:
    """Wait until a call is at its provider."""
    while not fake.requests:
        await asyncio.sleep(0)


async def test_many_requests_at_once_leave_others_their_turn(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop gets to everybody else between two of them, however quickly each is answered."""
    room = gateway.server.room
    handle = room.handle
    order: list[str] = []

    async def counted(*what: object) -> bool:
        order.append("request")
        room.loop.call_soon(order.append, "other")
        return await handle(*what)

    monkeypatch.setattr(room, "handle", counted)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(ALIVE * 10)
        assert [(await client.answer()).status for _ in range(10)] == [200] * 10
    assert order == ["request", "other"] * 10


async def test_who_reads_no_answers_is_given_no_more(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked behind an answer that waits in memory is served once that has been read."""
    much = b"x" * (16 << 20)
    served = 0

    async def handle(_: object, connection: Connection) -> bool:
        nonlocal served
        served += 1
        assert connection.transport is not None
        connection.transport.write(much)
        return True

    monkeypatch.setattr(gateway.server.room, "handle", handle)
    async with await RawClient.open(gateway.server.port) as client:
        client.writer.transport.pause_reading()
        client.send(ALIVE * 3)
        while not served or not only(gateway)._paused:
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert served == 1
        client.writer.transport.resume_reading()
        await asyncio.wait_for(client.reader.readexactly(3 * len(much)), 20)
        assert served == 3


async def test_who_reads_no_answers_may_leave(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for one who is gone, and nothing more is served."""
    served = 0

    async def handle(_: object, connection: Connection) -> bool:
        nonlocal served
        served += 1
        assert connection.transport is not None
        connection.transport.write(b"x" * (16 << 20))
        return True

    monkeypatch.setattr(gateway.server.room, "handle", handle)
    client = await RawClient.open(gateway.server.port)
    client.writer.transport.pause_reading()
    client.send(ALIVE * 3)
    while not served or not only(gateway)._paused:
        await asyncio.sleep(0)
    task = only(gateway)._task_handler
    assert task is not None
    client.abort()
    await asyncio.wait({task}, timeout=10)
    assert task.cancelled()
    assert served == 1


UNREAD = b"PUT /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12"


@pytest.mark.parametrize("rest", [b"345" + ALIVE, b""])
async def test_a_body_that_nobody_reads(gateway: Gateway, rest: bytes) -> None:
    """The answer does not wait for it; its end is waited for a while, and nothing is served then."""
    async with await RawClient.open(gateway.server.port) as client:
        client.send(b"")
        while not gateway.server.room.connections:
            await asyncio.sleep(0)
        only(gateway)._lingering_time = 5.0 if rest else 0.05
        client.send(UNREAD)
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (405, "close")
        client.send(rest)
        assert await client.at_end()


async def test_a_whole_body_that_nobody_reads(gateway: Gateway) -> None:
    """It is in nobody's way."""
    async with await RawClient.open(gateway.server.port) as client:
        client.send(UNREAD + b"345" + ALIVE)
        assert [(await client.answer()).status for _ in range(2)] == [405, 200]


async def test_a_body_that_breaks_off_unread(gateway: Gateway) -> None:
    """Bad framing in a body that nobody reads ends the connection like any other end."""
    raw = UNREAD.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked")
    async with await RawClient.open(gateway.server.port) as client:
        client.send(b"")
        while not gateway.server.room.connections:
            await asyncio.sleep(0)
        only(gateway)._lingering_time = 0.2
        client.send(raw.removesuffix(b"12") + b"2\r\nab\r\n")
        assert (await client.answer()).status == 405
        client.send(b"zz\r\n\r\n" + ALIVE)
        assert await client.at_end()


async def test_a_failure_outside_of_any_call(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a 500 in our envelope, and the connection's last answer."""

    async def broken(*_: object) -> bool:
        raise RuntimeError("boom")

    monkeypatch.setattr(gateway.server.room, "handle", broken)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(ALIVE + ALIVE)
        answer = await client.answer()
        assert (answer.status, answer.error["code"]) == (500, "internal_error")
        assert b"boom" not in answer.body
        assert await client.at_end()


async def test_a_client_that_leaves_while_it_is_served(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """Its call is cancelled at once, and what it sent behind it is not served."""
    release = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.gate(release)

    fake.handler = handler
    client = await RawClient.open(gateway.server.port)
    client.send(request(chat(), gateway.key) * 2)
    while not fake.requests:
        await asyncio.sleep(0)
    client.abort()
    await gateway.idle()
    gateway.server.log.close()
    calls = [line for line in gateway.logged() if line["event"] == "call"]
    assert [(call["status"], call["cause"]) for call in calls] == [(499, "client_closed")]
    assert len(fake.requests) == 1


async def test_a_client_that_leaves_while_its_answer_is_kept(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its call is over all the same: the drain need not wait for it, and the log tells of it."""
    asked = asyncio.Event()

    async def never(*_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway.server.store.replays, "finish", never)
    client = await RawClient.open(gateway.server.port)
    client.send(request(chat(), gateway.key, headers={"Idempotency-Key": "one"}))
    await asked.wait()
    client.abort()
    await gateway.idle()
    gateway.server.log.close()
    (call,) = [line for line in gateway.logged() if line["event"] == "call"]
    assert (call["status"], call["cause"]) == (499, "client_closed")


async def test_a_body_that_comes_before_it_is_read(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rest is no request's head: the connection may rest afterwards like any other."""
    keys = gateway.server.site.services.keys
    looked, found = asyncio.Event(), asyncio.Event()
    find = keys.find

    async def slow(secret: bytes) -> object:
        looked.set()
        await found.wait()
        return await find(secret)

    monkeypatch.setattr(keys, "find", slow)
    raw = request(chat(), gateway.key)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw[:-5])
        await looked.wait()
        client.send(raw[-5:])
        while not only(gateway).content.is_eof():
            await asyncio.sleep(0)
        found.set()
        assert (await client.answer()).status == 200
        room = gateway.server.room
        room.sweep(room.loop.time() + 20)
        client.send(ALIVE)
        assert (await client.answer()).status == 200


async def test_half_a_head_behind_a_form(gateway: Gateway, fake: FakeUpstream) -> None:
    """It has its deadline like any other: the form's body, once read, is nobody's any more."""
    release = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await exchange.gate(release)
        await exchange.send_json(200, {"text": "x"})

    fake.handler = handler
    kind, body = parts({"model": "ears-slug"}, {"file": wav(1_000)})
    path, room = "/v1/audio/transcriptions", gateway.server.room
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(body, gateway.key, path=path, headers={"Content-Type": kind}))
        while not fake.requests:
            await asyncio.sleep(0)
        connection = only(gateway)
        client.send(b"GET /healthz HTTP/1.1\r\n")
        while not connection._head_since:
            await asyncio.sleep(0)
        release.set()
        assert (await client.answer()).status == 200
        while connection._request_in_progress:
            await asyncio.sleep(0)
        room.sweep(room.loop.time() + 20)
        assert (await client.answer()).status == 408


async def test_closing_while_a_body_is_read(tmp_path, fake: FakeUpstream) -> None:
    """Nobody waits for a body whose connection is closed."""
    async with running(tmp_path, fake.url + "/v1") as gateway:
        client = await RawClient.open(gateway.server.port)
        client.send(request(chat(), gateway.key)[:-5])
        await waiting(gateway, "_body_since")
        tasks = [one._task_handler for one in gateway.server.room.connections]
    assert all(task.done() for task in tasks)
    assert (await client.answer()).status == 503
    assert await client.at_end()
    client.close()


async def test_an_open_stream_keeps_nothing_of_its_request(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """Its head, its body's reader and its exchange are let go of once it runs, but for the one head
    that all of the client's connections share.
    """
    release = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(FIRST))
        await exchange.gate(release)
        await exchange.send(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")

    fake.handler = handler
    gc.collect()
    before = heads()
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        assert heads() == before + len(gateway.server.room.heads) == before + 1
        release.set()
        assert await client.chunk() == FIRST


def heads() -> int:
    kinds = (RawRequestMessage, StreamReader, Served)
    return sum(isinstance(kept, kinds) for kept in gc.get_objects())


async def test_many_requests_behind_a_body_that_came_late(gateway: Gateway) -> None:
    """All are answered, though the parser stops at what it takes for as many as it may hold."""
    raw = request(chat(), gateway.key)
    cut = raw.index(b"\r\n\r\n") + 4
    async with await RawClient.open(gateway.server.port) as client:
        client.send(raw[:cut])
        await waiting(gateway, "_body_since")
        client.send(raw[cut:])
        assert (await client.answer()).status == 200
        client.send(40 * raw)
        assert [(await client.answer()).status for _ in range(40)] == 40 * [200]
        while only(gateway)._waiter is None:
            await asyncio.sleep(0)
        room = gateway.server.room
        room.sweep(room.loop.time() + 60)  # at rest, and not in the middle of a head
        client.send(raw)
        assert (await client.answer()).status == 200
