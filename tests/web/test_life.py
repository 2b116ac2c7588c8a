"""Draining, reloading, and what happens when something of ours breaks."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from gateway.errors import Fault
from gateway.pipeline import relay
from gateway.pipeline.record import Record
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, catalog_text, running
from tests.rawclient import RawClient, ask, chat, request

FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
LAST = b"data: [DONE]\n\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def held(release: asyncio.Event) -> object:
    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(FIRST))
        await exchange.gate(release)
        await exchange.send(chunk(LAST) + b"0\r\n\r\n")

    return handler


async def test_draining(gateway: Gateway, fake: FakeUpstream) -> None:
    """Readiness goes off, new calls are refused, the open stream finishes, then it is over."""
    release = asyncio.Event()
    fake.handler = held(release)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        gateway.server.stop()
        draining = asyncio.create_task(gateway.server.drain())
        await asyncio.sleep(0)
        assert (await ask(gateway.server.port, READY)).status == 503
        refused = await ask(gateway.server.port, request(chat(), gateway.key))
        assert (refused.status, refused.header("connection")) == (503, "close")
        assert refused.header("retry-after") == "1"
        assert not draining.done()
        release.set()
        assert [await client.chunk() for _ in range(3)] == [FIRST, LAST, b""]
        await asyncio.wait_for(draining, 5)


async def test_a_drain_that_takes_too_long(tmp_path: Path, fake: FakeUpstream) -> None:
    """What is still open when the time is up is told so, and cut."""
    fake.handler = held(asyncio.Event())
    async with running(tmp_path, fake.url + "/v1", drain=0.05) as gateway:
        client = await RawClient.open(gateway.server.port)
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        assert await client.chunk() == FIRST
        await gateway.server.drain()
    await asyncio.wait_for(fake.connections[0].closed.wait(), 2)
    told = json.loads((await client.chunk()).removeprefix(b"data: "))["error"]
    assert (told["code"], "shut down" in told["message"]) == ("no_upstream", True)
    assert await client.chunk() == b""
    assert await client.at_end()
    client.close()
    (line,) = [line for line in gateway.logged() if line["event"] == "call"]
    assert line["cause"] == "shut_down"


async def test_a_drain_that_takes_too_long_for_an_answer(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    """Who waits for an answer that will not come now is told when to ask again."""

    asked = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        asked.set()
        await exchange.client_closed()

    fake.handler = handler
    async with running(tmp_path, fake.url + "/v1", drain=0.05) as gateway:
        client = await RawClient.open(gateway.server.port)
        client.send(request(chat(), gateway.key))
        await asyncio.wait_for(asked.wait(), 5)
        await gateway.server.drain()
    answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (503, "no_upstream")
    assert answer.header("retry-after") == "1"
    assert await client.at_end()
    client.close()


class Process:
    """A gateway in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, key: str) -> None:
        self.process, self.port, self.key = process, port, key


async def started(tmp_path: Path, fake: FakeUpstream) -> Process:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(catalog_text(fake.url + "/v1"))
    db = str(tmp_path / "gateway.sqlite")
    command = [sys.executable, "-m", "gateway.cli"]
    made = await asyncio.create_subprocess_exec(
        *command, "keys", "create", "k", "--db", db, "--json", stdout=asyncio.subprocess.PIPE
    )
    key = json.loads((await made.communicate())[0])["key"]
    process = await asyncio.create_subprocess_exec(
        *command, "serve", "--catalog", str(catalog), "--db", db, "--port", "0", "--drain", "20",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 10))
    assert line["event"] == "listening"
    return Process(process, int(line["url"].rsplit(":", 1)[1]), key)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_order(
    tmp_path: Path, fake: FakeUpstream, number: int
) -> None:
    """The open stream finishes, the exit code is 0."""
    release = asyncio.Event()
    fake.handler = held(release)
    gateway = await started(tmp_path, fake)
    async with await RawClient.open(gateway.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        assert await client.chunk() == FIRST
        gateway.process.send_signal(number)
        while (await ask(gateway.port, READY)).status != 503:
            await asyncio.sleep(0.01)
        release.set()
        assert await client.chunk() == LAST
    await asyncio.wait_for(gateway.process.communicate(), 10)
    assert gateway.process.returncode == 0


EARLY = """
import os, signal
from gateway.cli import main
from gateway.server import Server

listen = Server._listen

async def listen_and_be_told(server):
    await listen(server)
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)

Server._listen = listen_and_be_told
main()
"""


async def test_signals_while_it_starts(tmp_path: Path) -> None:
    """From the first answer on there is an orderly end, though more has to be set up."""
    (tmp_path / "catalog.yaml").write_text(catalog_text("http://127.0.0.1:9/v1"))
    command = [sys.executable, "-c", EARLY, "serve", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert b'"event":"stopped"' in out


async def test_a_second_signal_ends_it_at_once(tmp_path: Path, fake: FakeUpstream) -> None:
    """Open streams are cut, the exit code is still 0."""
    fake.handler = held(asyncio.Event())
    gateway = await started(tmp_path, fake)
    async with await RawClient.open(gateway.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        gateway.process.send_signal(signal.SIGTERM)
        while (await ask(gateway.port, READY)).status != 503:
            await asyncio.sleep(0.01)
        gateway.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(gateway.process.communicate(), 5)
    assert gateway.process.returncode == 0
    await asyncio.wait_for(fake.connections[0].closed.wait(), 2)


async def test_sighup_reloads(tmp_path: Path, fake: FakeUpstream) -> None:
    """After SIGHUP the edited catalog is in force."""
    gateway = await started(tmp_path, fake)
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(catalog.read_text().replace("same-name:", "renamed:"))
    gateway.process.send_signal(signal.SIGHUP)
    raw = request(b"", gateway.key, path="/v1/models/renamed", method="GET")
    while (await ask(gateway.port, raw)).status != 200:
        await asyncio.sleep(0.01)
    gateway.process.terminate()
    await asyncio.wait_for(gateway.process.communicate(), 10)
    assert gateway.process.returncode == 0


async def reloaded(gateway: Gateway, revision: str) -> None:
    while gateway.server.catalog.revision == revision:
        await asyncio.sleep(0.005)


async def test_a_reload_drops_nothing(gateway: Gateway, fake: FakeUpstream) -> None:
    """A stream keeps the route it began with; new calls see the new file."""
    release = asyncio.Event()
    fake.handler = held(release)
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(chat(stream=True), gateway.key))
        await client.head()
        revision = gateway.server.catalog.revision
        text = gateway.catalog_path.read_text()
        gateway.catalog_path.write_text(text.replace("fake-slug:", "other-slug:"))
        await asyncio.wait_for(reloaded(gateway, revision), 10)
        assert (await ask(gateway.server.port, request(chat(), gateway.key))).status == 404
        fake.handler = held(release)
        release.set()
        assert [await client.chunk() for _ in range(3)] == [FIRST, LAST, b""]
        renamed = request(chat(model="other-slug", stream=True), gateway.key)
        assert (await ask(gateway.server.port, renamed)).status == 200


async def test_a_bad_file_changes_nothing(gateway: Gateway) -> None:
    """The old catalog serves on, and the status page says what is wrong and where."""
    gateway.catalog_path.write_text("version: 1\nmodels: {a: {b: c}}\n")

    async def noticed() -> None:
        while gateway.server.catalog.last_error is None:
            await asyncio.sleep(0.005)

    await asyncio.wait_for(noticed(), 10)
    raw = b"GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n"
    status = (await ask(gateway.server.port, raw)).json()
    assert "catalog.yaml:2" in status["catalog"]["last_error"]
    assert str(gateway.catalog_path.parent) not in status["catalog"]["last_error"]
    echo = request(chat(model="echo"), gateway.key)
    assert (await ask(gateway.server.port, echo)).status == 200


@pytest.mark.parametrize("stage", ["at_hand", "MAX_REPLY"])
async def test_a_failure_of_our_own(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """It is a 500 with the request's id; traceback, path and key stay out of the answer."""

    def broken(*_: object) -> None:
        raise RuntimeError("boom " + gateway.key)

    monkeypatch.setattr(relay, stage, broken)
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert str(answer.header("x-request-id")) in answer.error["message"]
    assert b"boom" not in answer.body
    assert b"Traceback" not in answer.body
    assert gateway.key.encode() not in answer.body
    assert (await ask(gateway.server.port, READY)).status == 200
    gateway.server.log.close()
    assert any(line["event"] == "unexpected" for line in gateway.logged())
    assert gateway.key not in json.dumps(gateway.logged())


async def test_nothing_secret_leaks_anywhere(gateway: Gateway, fake: FakeUpstream) -> None:
    """Client key, provider key and content stand in no answer but the content's own, and no log."""
    prompt = "canary-prompt-9137"

    async def handler(exchange: Exchange) -> None:
        message = f"no {exchange.request.header('Authorization')} {exchange.request.body.decode()}"
        await exchange.send_json(500, {"error": {"message": message}})

    fake.handler = handler
    body = chat(messages=[{"role": "user", "content": prompt}])
    for stream in (False, True):
        answer = await ask(gateway.server.port, request(body | {"stream": stream}, gateway.key))
        assert answer.status == 502
        assert b"sk-upstream" not in answer.body
        assert gateway.key.encode() not in answer.body
    await gateway.idle()
    gateway.server.log.close()
    logged = json.dumps(gateway.logged())
    for secret in (prompt, gateway.key, "sk-upstream"):
        assert secret not in logged
        assert secret not in gateway.server.site.metrics.render()


async def test_a_closed_output_stops_nothing(tmp_path: Path, fake: FakeUpstream) -> None:
    """With its log's reader gone the gateway serves on."""
    gateway = await started(tmp_path, fake)
    transport = gateway.process._transport.get_pipe_transport(1)
    transport.close()
    for _ in range(3):
        assert (await ask(gateway.port, request(chat(), gateway.key))).status == 200
        await asyncio.sleep(0.12)
    os.kill(gateway.process.pid, signal.SIGTERM)
    await asyncio.wait_for(gateway.process.wait(), 10)
    assert gateway.process.returncode == 0


@pytest.mark.parametrize("model", ["nope", "fake-slug"])
async def test_failed_calls_leave_nothing_behind(
    gateway: Gateway, fake: FakeUpstream, model: str
) -> None:
    """Neither the collector nor memory has to do with calls that failed: no cycle holds them."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(500, {"error": {"message": "no"}})

    fake.handler = handler
    gc.collect()
    before = of_calls()
    gc.disable()
    try:
        async with await RawClient.open(gateway.server.port) as client:
            for _ in range(50):
                gateway.forget_failures()
                client.send(request(chat(model=model), gateway.key))
                assert (await client.answer()).status in (404, 502)
        left = of_calls() - before
    finally:
        gc.enable()
    assert left <= 5


def of_calls() -> int:
    return sum(isinstance(kept, (Fault, Record)) for kept in gc.get_objects())
