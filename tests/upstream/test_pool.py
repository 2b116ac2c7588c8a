"""Limits, queues and slots (reliability B 38)."""

from __future__ import annotations

import asyncio

from tests.fake_upstream import FakeUpstream
from tests.upstream.helpers import channel, fault_of, fetch, post, turns


async def test_a_thousand_requests_on_a_hundred_places_half_cancelled(http):
    gate = asyncio.Event()

    async def handler(exchange):
        await exchange.gate(gate)
        await exchange.send_json(200, {})

    async with FakeUpstream(handler) as fake:
        tasks = [asyncio.create_task(fetch(http, fake, max_connections=100)) for _ in range(1000)]
        await turns(lambda: len(fake.requests) == 100)
        assert http.stats()["p"] == (100, 0, 900)
        for task in tasks[::2]:
            task.cancel()
        # The cancelled half of the holders freed their places to the next in the queue.
        await turns(lambda: len(fake.requests) == 150)
        assert http.stats()["p"].active == 100
        gate.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers[1::2] == [b"{}"] * 500
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
        assert http.stats()["p"] == (0, 100, 0)
        assert len(fake.connections) == 150


async def test_the_wait_for_a_place_ends(http):
    async def handler(exchange):
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        kind = {"max_connections": 1, "connect": 10}
        holder = asyncio.create_task(fetch(http, fake, **kind))
        await turns(lambda: len(fake.requests) == 1)
        waiters = [asyncio.create_task(fetch(http, fake, **kind)) for _ in range(3)]
        await turns(lambda: http.stats()["p"].waiting == 3)
        http.sweep(asyncio.get_running_loop().time() + 11)
        for waiter in waiters:
            fault = await fault_of(waiter)
            assert (fault.kind.status, fault.cause) == (503, "pool_exhausted")
            assert fault.retry_after == 1
        assert http.stats()["p"] == (1, 0, 0)
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)


async def test_places_are_given_in_order(http):
    order = []

    async def handler(exchange):
        order.append(exchange.request.body)
        await exchange.send_json(200, {})

    async with FakeUpstream(handler) as fake:

        async def call(number):
            reply = await http.send(post(fake.url, b"%d" % number), channel(max_connections=1))
            await reply.read(10)

        await asyncio.gather(*(call(number) for number in range(20)))
        assert order == [b"%d" % number for number in range(20)]
        assert len(fake.connections) == 1


async def test_cancelled_just_as_its_turn_comes(http):
    """The place must go on to the next, whether it came as a connection or as leave to open."""

    async def handler(exchange):
        await exchange.gate(gate)
        await exchange.send_json(200, {}, [("Connection", mode)])

    async with FakeUpstream(handler) as fake:
        for mode in ("keep-alive", "close"):  # noqa: B007 - the handler reads it
            gate = asyncio.Event()
            seen = len(fake.requests)
            first = asyncio.create_task(fetch(http, fake, max_connections=1))
            await turns(lambda: len(fake.requests) == seen + 1)  # noqa: B023
            second, third = (
                asyncio.create_task(fetch(http, fake, max_connections=1)) for _ in range(2)
            )
            await turns(lambda: http.stats()["p"].waiting == 2)
            first.add_done_callback(lambda _: second.cancel())  # noqa: B023
            gate.set()
            assert await third == b"{}"
            await asyncio.gather(first, second, return_exceptions=True)
            assert http.stats()["p"].active == 0


async def test_failed_connects_free_their_places(http):
    async with FakeUpstream() as fake:
        port = fake.port
    calls = [
        fault_of(http.send(post(f"http://127.0.0.1:{port}"), channel(max_connections=2)))
        for _ in range(10)
    ]
    assert {fault.cause for fault in await asyncio.gather(*calls)} == {"connect"}
    assert http.stats()["p"] == (0, 0, 0)


async def test_stale_retry_stays_within_the_limit(http):
    """The dead connection's place goes down the queue; the retry queues like anybody else."""
    async with FakeUpstream() as fake:
        await fetch(http, fake, max_connections=1)
        peak = 0

        async def handler(exchange):
            nonlocal peak
            peak = max(peak, fake.open_connections)
            if exchange.connection.number == 0:
                exchange.cut()
            else:
                await exchange.send_json(200, {})

        fake.handler = handler
        calls = [fetch(http, fake, max_connections=1) for _ in range(5)]
        assert await asyncio.gather(*calls) == [b"{}"] * 5
        assert peak == 1
        # The first fresh one serves the queue; the retry insists on its own and replaces it.
        assert len(fake.connections) == 3


async def test_raising_the_limit_takes_effect(http):
    gate = asyncio.Event()

    async def handler(exchange):
        await exchange.gate(gate)
        await exchange.send_json(200, {})

    async with FakeUpstream(handler) as fake:
        tasks = [asyncio.create_task(fetch(http, fake, max_connections=1)) for _ in range(2)]
        await turns(lambda: http.stats() and http.stats()["p"].waiting == 1)
        tasks.append(asyncio.create_task(fetch(http, fake, max_connections=3)))
        await turns(lambda: len(fake.requests) >= 2)
        gate.set()
        assert await asyncio.gather(*tasks) == [b"{}"] * 3
