"""Every step of a call has its own deadline (reliability B 20, 21, 28, 32)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.upstream.pool import TICK
from tests.fake_upstream import FakeUpstream, chunk, head
from tests.upstream.helpers import channel, fault_of, fetch, post, turns

CHUNKED = [("Transfer-Encoding", "chunked")]


def later(seconds):
    return asyncio.get_running_loop().time() + seconds


async def silent(exchange):
    await exchange.client_closed()


async def test_no_first_byte(http):
    async with FakeUpstream(silent) as fake:
        task = asyncio.create_task(fetch(http, fake, first_byte=30, total=100))
        await turns(lambda: len(fake.requests) == 1)
        http.sweep(later(29))
        assert http.stats()["p"].active == 1
        http.sweep(later(31))
        fault = await fault_of(task)
        assert (fault.cause, fault.kind.status) == ("first_byte_timeout", 504)
        assert "30 s" in fault.message
        await fake.connections[0].closed.wait()
        assert len(fake.requests) == 1


async def test_interim_answers_do_not_extend_the_first_byte(http):
    async def handler(exchange):
        await exchange.send(b"HTTP/1.1 103 Hints\r\n\r\n" * 3)
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        task = asyncio.create_task(fetch(http, fake, first_byte=30, total=100))
        await turns(lambda: len(fake.requests) == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        http.sweep(later(31))
        assert (await fault_of(task)).cause == "first_byte_timeout"


async def test_a_reused_connection_that_times_out_is_not_retried(http):
    async with FakeUpstream() as fake:
        await fetch(http, fake)
        fake.handler = silent
        task = asyncio.create_task(fetch(http, fake, first_byte=30))
        await turns(lambda: len(fake.requests) == 2)
        http.sweep(later(31))
        assert (await fault_of(task)).cause == "first_byte_timeout"
        assert len(fake.requests) == 2


async def streaming(http, fake, **times):
    """A running pump, and the event that says that its first piece came."""
    reply = await http.send(post(fake.url), channel(**times))
    came = asyncio.Event()
    task = asyncio.create_task(reply.pump(lambda data: came.set()))
    await came.wait()
    return reply, task


async def one_chunk(exchange):
    await exchange.send(head(200, CHUNKED) + chunk(b"a"))
    await exchange.client_closed()


async def test_silence_inside_the_body(http):
    async with FakeUpstream(one_chunk) as fake:
        _, task = await streaming(http, fake, idle=30, total=100)
        http.sweep(later(29))
        assert not task.done()
        http.sweep(later(31))
        assert (await fault_of(task)).cause == "idle_timeout"
        await fake.connections[0].closed.wait()


async def test_total_time(http):
    async with FakeUpstream(one_chunk) as fake:
        _, task = await streaming(http, fake, idle=300, total=100)
        http.sweep(later(101))
        assert (await fault_of(task)).cause == "total_timeout"


async def test_paused_by_the_client_only_the_total_runs(http):
    async with FakeUpstream(one_chunk) as fake:
        reply, task = await streaming(http, fake, idle=30, total=100)
        reply.pause()
        http.sweep(later(90))
        assert not task.done()
        reply.resume()
        http.sweep(later(31))
        assert (await fault_of(task)).cause == "idle_timeout"


async def test_paused_by_the_client_total_cuts(http):
    async with FakeUpstream(one_chunk) as fake:
        reply, task = await streaming(http, fake, idle=30, total=100)
        reply.pause()
        http.sweep(later(101))
        assert (await fault_of(task)).cause == "total_timeout"


async def test_chunk_extensions_are_no_progress(http):
    """Bytes that carry no body do not keep an answer alive."""
    sent = asyncio.Event()

    async def handler(exchange):
        await exchange.send(head(200, CHUNKED) + chunk(b"a") + b"5;")
        sent.set()
        for _ in range(50):
            await exchange.send(b"x" * 100)
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        _, task = await streaming(http, fake, idle=30, total=1000)
        await sent.wait()
        http.sweep(later(31))
        assert (await fault_of(task)).cause == "idle_timeout"


async def test_the_timer_does_it_by_itself_and_then_rests(http):
    """Real time: the sweeper finds the overdue within a tick and stops when nothing runs."""
    async with FakeUpstream(silent) as fake:
        started = later(0)
        fault = await fault_of(fetch(http, fake, first_byte=0.05))
        assert fault.cause == "first_byte_timeout"
        assert later(0) - started < 0.05 + 2 * TICK + 0.3
        async with asyncio.timeout(5):
            while http.stats():  # noqa: ASYNC110 - the empty pool forgets itself at its next tick
                await asyncio.sleep(TICK / 4)


async def test_idle_pool_wakes_for_the_expiry_only(http):
    async with FakeUpstream() as fake:
        await fetch(http, fake)
        pool = next(iter(http._pools.values()))
        pool._timer.cancel()
        pool._tick()
        assert not pool._fast
        assert pool._timer.when() - later(0) > 30


# --- connecting ---


@pytest.fixture
def blackhole():
    """A port whose queue of connections is full: further SYNs get no answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port
        for filler in fillers:
            filler.close()


async def test_blackhole_ends_in_the_connect_deadline(http, blackhole):
    fault = await fault_of(http.send(post(f"http://127.0.0.1:{blackhole}"), channel(connect=0.1)))
    assert (fault.cause, fault.kind.status) == ("connect_timeout", 504)
    assert http.stats()["p"] == (0, 0, 0)


async def test_total_also_bounds_connecting(http, blackhole):
    kind = channel(connect=5, total=0.1)
    fault = await fault_of(http.send(post(f"http://127.0.0.1:{blackhole}"), kind))
    assert fault.cause == "total_timeout"


async def test_refused_connection(http):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        fault = await fault_of(http.send(post(f"http://127.0.0.1:{port}"), channel()))
        assert (fault.cause, fault.kind.status) == ("connect", 502)
        assert fault.detail == f"127.0.0.1:{port}"
        assert "127.0.0.1" not in fault.message


async def test_handshake_that_stalls(http):
    async with FakeUpstream(hold_accept=True, keep_raw=True) as fake:
        url = fake.url.replace("http:", "https:")
        fault = await fault_of(http.send(post(url), channel(connect=0.4)))
        assert fault.cause == "connect_timeout"
        await fake.connections[0].closed.wait()
        assert b"sk-canary" not in fake.connections[0].raw


# --- names ---


class Names:
    """Stands in for the resolver of the loop."""

    def __init__(self, loop):
        self.calls = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error = None
        self.addresses = ["127.0.0.1"]
        self.loop = loop

    async def __call__(self, host, port, **kind):
        found = self.addresses
        if host[0].isdigit():  # uvloop passes addresses through here when it connects
            found = [host]
        else:
            self.calls.append(host)
        await self.gate.wait()
        if self.error:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]


@pytest.fixture
async def names(monkeypatch):
    loop = asyncio.get_running_loop()
    stand_in = Names(loop)
    monkeypatch.setattr(loop, "getaddrinfo", stand_in, raising=False)
    return stand_in


async def test_unknown_name_then_back(http, names):
    async with FakeUpstream() as fake:
        url = f"http://models.example:{fake.port}"
        names.error = socket.gaierror(-2, "Name or service not known")
        fault = await fault_of(http.send(post(url), channel()))
        assert (fault.cause, fault.kind.status) == ("dns", 502)
        assert fault.detail == "models.example"
        names.error = None
        reply = await http.send(post(url), channel())
        assert await reply.read(10) == b"{}"
        assert fake.requests[0].header("host") == f"models.example:{fake.port}"


async def test_a_second_address_serves_where_the_first_does_not(http, names):
    names.addresses = ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first
    async with FakeUpstream() as fake:
        reply = await http.send(post(f"http://models.example:{fake.port}"), channel())
        assert await reply.read(10) == b"{}"
    assert names.calls == ["models.example"]


async def test_slow_names_end_in_the_connect_deadline_and_are_asked_once(http, names):
    names.gate.clear()
    url = "http://models.example"
    calls = [http.send(post(url), channel(connect=0.05)) for _ in range(5)]
    for fault in await asyncio.gather(*map(fault_of, calls)):
        assert fault.cause == "connect_timeout"
    assert names.calls == ["models.example"]


async def test_names_are_remembered_for_a_while_and_shared(http, names):
    async with FakeUpstream() as fake:
        url = f"http://models.example:{fake.port}"
        names.gate.clear()
        tasks = [asyncio.create_task(http.send(post(url), channel())) for _ in range(4)]
        await turns(lambda: names.calls)
        tasks[0].cancel()  # whoever asked first must not take the answer away from the others
        await asyncio.gather(tasks[0], return_exceptions=True)
        names.gate.set()
        for task in tasks[1:]:
            await (await task).read(10)
        await (await http.send(post(url), channel(credential="other"))).read(10)
        assert names.calls == ["models.example"]


async def test_remembered_names_are_bounded(http, names):
    from gateway.upstream.connect import DNS_ENTRIES

    resolver = http._connector._resolver
    for number in range(DNS_ENTRIES + 20):
        await resolver.resolve(f"h{number}.example", 80)
    assert len(resolver._cache) == DNS_ENTRIES
    await resolver.resolve("h0.example", 80)
    assert names.calls.count("h0.example") == 2
