"""One script, two players: in process and over a socket; both look the same to the caller."""

from __future__ import annotations

import asyncio
import base64
import gzip

import msgspec
import pytest

from gateway.core.script import Cut, Script, Send, Wait, decode
from gateway.errors import Fault
from gateway.upstream import SimUpstream, Upstreams
from tests.fake_upstream import FakeUpstream
from tests.upstream.helpers import channel, fault_of, post

GZIPPED = base64.b64encode(gzip.compress(b"packed")).decode()
SSE = [("Content-Type", "text/event-stream")]
SCRIPTS = {
    "plain": Script(200, [("Content-Type", "text/plain")], [Send("hello")]),
    "stream": Script(
        200, SSE, [Send("data: a\n\n"), Send("data: ü\n\n"), Send("data: [DONE]\n\n")]
    ),
    "error": Script(429, [("Retry-After", "3")], [Send('{"error": {}}')]),
    "empty": Script(),
    "204": Script(204),
    "bytes": Script(steps=[Send(base64="AAH/")]),
    "gzip": Script(200, [("Content-Encoding", "gzip")], [Send(base64=GZIPPED)]),
    "cut in the body": Script(200, SSE, [Send("data: a\n\n"), Cut()]),
    "cut at once": Script(200, SSE, [Cut()]),
    "brotli": Script(200, [("Content-Encoding", "br")], [Send("x")]),
    "silent at first": Script(200, SSE, [Wait(30), Send("late")]),
    "silent inside": Script(200, SSE, [Send("a"), Wait(30), Send("b")]),
}


async def outcome(upstream, url, script, **times):
    """What the caller sees of a script."""
    got = []
    try:
        reply = await upstream.send(post(url, script.encode()), channel(**times))
        await reply.pump(got.append)
    except Fault as fault:
        return fault.cause, b"".join(got)
    return reply.status, reply.headers.get("retry-after"), b"".join(got)


@pytest.fixture
async def upstreams():
    both = Upstreams({})
    yield both
    await both.close()


@pytest.mark.parametrize("name", SCRIPTS)
async def test_both_players_agree(upstreams, name):
    script, times = SCRIPTS[name], {"first_byte": 0.05, "idle": 0.05}

    async def handler(exchange):
        await exchange.play(decode(exchange.request.body))

    async with FakeUpstream(handler) as fake:
        simulated = await outcome(upstreams, "sim:chat", script, **times)
        assert simulated == await outcome(upstreams, fake.url, script, **times)
    causes = {"cut in the body": "truncated", "cut at once": "reset", "brotli": "bad_response",
              "silent at first": "first_byte_timeout", "silent inside": "idle_timeout"}  # fmt: skip
    assert simulated[0] == causes.get(name, script.status)


@pytest.mark.parametrize("pack", [msgspec.json.encode, msgspec.msgpack.encode])
def test_scripts_travel_as_json_or_msgpack(pack):
    script = SCRIPTS["cut in the body"]
    assert decode(pack(script)) == script


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"steps": [{"type": "x"}]}', b"\xff", b"{\xff"]
)
async def test_a_body_that_is_no_script(body):
    fault = await fault_of(SimUpstream().send(post("sim:", body), channel()))
    assert fault.kind.status == 500


class Time:
    """A sleep that only counts."""

    def __init__(self):
        self.slept = []

    async def __call__(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_total_time_is_honoured_without_waiting():
    time = Time()
    sim = SimUpstream(sleep=time)
    script = Script(steps=[Send("a"), Wait(40), Send("b"), Wait(40), Send("c")])
    assert await outcome(sim, "sim:", script, total=60) == ("total_timeout", b"ab")
    assert time.slept == [40, 20]


async def test_waits_in_a_row_are_one_silence():
    script = Script(steps=[Send("a"), Wait(40), Wait(40), Send("c")])
    assert (await outcome(SimUpstream(sleep=Time()), "sim:", script, idle=60))[0] == "idle_timeout"


async def test_pause_stops_the_player_and_close_ends_it():
    sim = SimUpstream()
    script = Script(steps=[Send("x" * 1000)] * 1000)
    reply = await sim.send(post("sim:", script.encode()), channel())
    got, paused = [], asyncio.Event()

    def receive(data):
        got.append(data)
        if len(got) == 100:
            reply.pause()
            paused.set()

    task = asyncio.create_task(reply.pump(receive))
    await paused.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(got) == 100
    reply.resume()
    await task
    assert len(got) == 1000
    assert not sim._players


async def test_unread_scripts_are_held_back_and_closed():
    sim = SimUpstream()
    script = Script(steps=[Send("x" * 10_000)] * 1000)
    reply = await sim.send(post("sim:", script.encode()), channel())
    for _ in range(100):
        await asyncio.sleep(0)
    assert reply._held_bytes < 100_000
    reply.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not sim._players


async def test_closing_the_simulator_ends_its_scripts():
    sim = SimUpstream()
    reply = await sim.send(post("sim:", Script(steps=[Send("a"), Wait(100)]).encode()), channel())
    task = asyncio.create_task(reply.pump(lambda data: None))
    await asyncio.sleep(0)
    await sim.close()
    assert (await fault_of(task)).cause == "closed"


async def test_cancelling_the_pump_ends_the_script():
    sim = SimUpstream()
    came = asyncio.Event()
    reply = await sim.send(post("sim:", Script(steps=[Send("a"), Wait(100)]).encode()), channel())
    task = asyncio.create_task(reply.pump(lambda data: came.set()))
    await came.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not sim._players


async def test_read_and_its_limit():
    sim = SimUpstream()
    body = Script(steps=[Send("hello"), Send(" world")]).encode()
    assert await (await sim.send(post("sim:", body), channel())).read(11) == b"hello world"
    reply = await sim.send(post("sim:", body), channel())
    assert (await fault_of(reply.read(10))).cause == "oversize"
