"""Pumping, back-pressure, consumers that fail, cancellation."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Fault
from tests.fake_upstream import LAST_CHUNK, FakeUpstream, chunk, head
from tests.upstream.helpers import channel, fault_of, fetch, post, turns

CHUNKED = [("Transfer-Encoding", "chunked")]


async def test_each_chunk_is_pushed_as_it_arrives(http):
    gate = asyncio.Queue()

    async def handler(exchange):
        await exchange.send(head(200, CHUNKED))
        for number in range(5):
            await exchange.send(chunk(b"%d" % number))
            await gate.get()
        await exchange.send(LAST_CHUNK)

    async with FakeUpstream(handler) as fake:
        got = []
        reply = await http.send(post(fake.url), channel())

        def receive(data):
            got.append(data)
            gate.put_nowait(None)

        await reply.pump(receive)
        assert got == [b"0", b"1", b"2", b"3", b"4"]
        assert http.stats()["p"].idle == 1


@pytest.mark.parametrize("attach_first", [True, False])
async def test_slow_consumer_keeps_memory_bounded(http, attach_first):
    """The provider has 50 MB to send; only what the sockets and our buffer hold leaves it."""
    piece, count = b"x" * 100_000, 500
    sent = 0

    async def handler(exchange):
        nonlocal sent
        await exchange.send(head(200, [("Content-Length", str(len(piece) * count))]))
        for _ in range(count):
            await exchange.send(piece)
            sent += len(piece)

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())
        got = 0
        filled = asyncio.Event()

        def receive(data):
            nonlocal got
            got += len(data)
            if not filled.is_set():
                reply.pause()
                filled.set()

        if attach_first:
            task = asyncio.create_task(reply.pump(receive))
            await filled.wait()
        connection = fake.connections[0]
        await turns(lambda: not connection._writable.is_set())
        before = sent
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent - before <= 8_000_000
        assert sent < 20_000_000
        assert got + reply._held_bytes < 1_000_000
        http.sweep(asyncio.get_running_loop().time() + 1000)  # paused: the idle clock stands still
        if not attach_first:
            filled.set()
            task = asyncio.create_task(reply.pump(receive))
        reply.resume()
        await task
        assert got == len(piece) * count
        assert await _is_reusable(http, fake)


async def _is_reusable(http, fake):
    async def handler(exchange):
        await exchange.send_json(200, {})

    fake.handler = handler
    return await fetch(http, fake) == b"{}" and len(fake.connections) == 1


async def test_consumer_that_raises_ends_the_pump_and_cuts(http):
    async def handler(exchange):
        await exchange.send(head(200, CHUNKED) + chunk(b"a"))
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())

        def receive(data):
            raise LookupError("mine")

        with pytest.raises(LookupError, match="mine"):
            await reply.pump(receive)
        await fake.connections[0].closed.wait()
        assert http.stats()["p"].active == 0


async def test_consumer_that_raises_later_ends_the_pump_and_cuts(http):
    go = asyncio.Event()

    async def handler(exchange):
        await exchange.send(head(200, CHUNKED) + chunk(b"a"))
        await exchange.gate(go)
        await exchange.send(chunk(b"b"))
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())

        def receive(data):
            go.set()
            if data == b"b":
                raise StopIteration

        with pytest.raises((StopIteration, RuntimeError)):
            await reply.pump(receive)
        await fake.connections[0].closed.wait()


async def test_close_inside_the_consumer_ends_the_pump(http):
    async def handler(exchange):
        await exchange.send(head(200, CHUNKED) + chunk(b"a"))
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())
        fault = await fault_of(reply.pump(lambda data: reply.close()))
        assert fault.cause == "closed"
        await fake.connections[0].closed.wait()


async def test_close_of_an_unread_answer_cuts(http):
    async def handler(exchange):
        await exchange.send(head(200, CHUNKED))
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())
        reply.close()
        reply.close()
        await fake.connections[0].closed.wait()
        assert http.stats()["p"].active == 0
        with pytest.raises(RuntimeError):
            await reply.read(1)


@pytest.mark.parametrize("stage", ["head", "body"])
async def test_cancellation_closes_at_once(http, stage):
    async def handler(exchange):
        if stage == "body":
            await exchange.send(head(200, CHUNKED) + chunk(b"a"))
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        begun = asyncio.Event()

        async def call():
            reply = await http.send(post(fake.url), channel())
            await reply.pump(lambda data: begun.set())

        task = asyncio.create_task(call())
        await (begun.wait() if stage == "body" else turns(lambda: len(fake.requests) == 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await fake.connections[0].closed.wait()
        assert fake.connections[0].ended_by_client
        assert http.stats()["p"].active == 0


async def test_cancellation_after_the_answer_came_hurts_nobody_else(http):
    """The answer ends and its connection serves another call before the first caller wakes."""
    async with FakeUpstream() as fake:
        first = asyncio.create_task(http.send(post(fake.url), channel()))
        await turns(lambda: http.stats() and http.stats()["p"].idle == 1)
        if not first.done():
            first.cancel()
        second = asyncio.create_task(fetch(http, fake))
        await asyncio.gather(first, return_exceptions=True)
        assert await second == b"{}"


@pytest.mark.parametrize("turns_before", range(30))
async def test_cancellation_at_any_turn_leaks_nothing(http, turns_before):
    async with FakeUpstream() as fake:
        task = asyncio.create_task(fetch(http, fake, max_connections=1))
        for _ in range(turns_before):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await fetch(http, fake, max_connections=1) == b"{}"
        assert http.stats()["p"] == (0, 1, 0)


async def test_pause_and_resume_after_the_end_do_nothing(http):
    async with FakeUpstream() as fake:
        reply = await http.send(post(fake.url), channel())
        reply.pause()
        reply.resume()
        assert await reply.read(10) == b"{}"
        assert await fetch(http, fake) == b"{}"
        assert len(fake.connections) == 1


async def test_pause_inside_the_last_push_does_not_stop_the_next_request(http):
    gate = asyncio.Event()

    async def handler(exchange):
        await exchange.send(head(200, CHUNKED) + chunk(b"a"))
        await exchange.gate(gate)
        await exchange.send(chunk(b"b") + LAST_CHUNK)

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())

        def receive(data):
            if data == b"b":
                reply.pause()
            gate.set()

        await reply.pump(receive)
        assert await _is_reusable(http, fake)


async def test_fault_type_is_fault(http):
    async with FakeUpstream() as fake:
        with pytest.raises(Fault):
            await fetch(http, fake, limit=1)


class StubTransport:
    """Just enough of a transport to drive a connection by hand, turn by turn."""

    aborted = False

    def get_extra_info(self, name):
        return None

    def write(self, data):
        pass

    def is_closing(self):
        return self.aborted

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        self.aborted = True


async def test_a_late_cancellation_does_not_cut_the_next_exchange():
    """The answer came, the connection is another's already; only then is the first caller told."""
    from gateway.domain import Timeouts
    from gateway.upstream.connection import Connection

    freed = []
    loop = asyncio.get_running_loop()
    connection = Connection("h:1", loop, lambda _, good: freed.append(good))
    transport = StubTransport()
    connection.connection_made(transport)
    answer = head(200, [("Content-Length", "2")])

    def call():
        return asyncio.create_task(connection.exchange(b"x", Timeouts(), float("inf")))

    first = call()
    await asyncio.sleep(0)
    second = call()  # its first turn comes before the first caller wakes
    connection.data_received(answer + b"ok")
    first.cancel()
    await asyncio.sleep(0)
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    assert freed == [True]
    assert not transport.aborted
    connection.data_received(answer + b"me")
    assert await (await second).read(2) == b"me"
