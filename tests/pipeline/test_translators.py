"""What the gateway does with a stranger's translator, good or bad."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter, Call, Credential, Operation, Reply, UpstreamRequest, Usage
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, running
from tests.rawclient import Answer, ask, chat, request

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'


def build(call: Call, credential: Credential) -> UpstreamRequest:
    del credential
    return UpstreamRequest("POST", call.base_url, (("X-Option", call.options.get("o", "")),), b"{}")


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    del status, headers
    if body == b"boom":
        raise KeyError("secret")
    usage = Usage(input=5, output=1, cached=20, cache_write=3)
    return Reply(json.dumps({"model": call.upstream}).encode(), usage)


class Stream:
    """A letter a command."""

    def __init__(self, call: Call) -> None:
        if call.body.get("explode") is not None:
            raise RuntimeError("secret")
        self.usage: Usage | None = None
        self.fault: Fault | None = None
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        out = b""
        for letter in data.decode():
            if letter == "e":
                out += EVENT
            elif letter == "b":
                raise KeyError("secret")
            elif letter == "f":
                self.fault = Fault(UPSTREAM_ERROR, "It said no.", cause="said_no")
            elif letter == ".":
                self.complete = True
        return out

    def finish(self) -> bytes:
        if self.complete:
            return b"data: [DONE]\n\n"
        return b""


ADAPTER = Adapter(
    "stranger",
    {"chat": Operation(build=build, parse=parse, stream=Stream)},
    cached_inside_input=False,
)


async def said(gateway: Gateway, fake: FakeUpstream, pieces: list[bytes], **more: object) -> Answer:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(head(200, [("Transfer-Encoding", "chunked")]))
        for piece in pieces:
            await exchange.send(chunk(piece))
        await exchange.send(b"0\r\n\r\n")

    fake.handler = handler
    gateway.server.plugins.adapters["openai-compatible"] = ADAPTER
    gateway.server.site.services.known.forget()
    return await ask(gateway.server.port, request(chat(**more), gateway.key))


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([b"ee."], 200, EVENT * 2 + b"data: [DONE]\n\n"),
        ([b"b"], 502, b"stranger"),
        ([b"f"], 502, b"It said no."),
        ([b"."], 200, b"data: [DONE]\n\n"),
        ([b""], 502, b"complete"),
    ],
)
async def test_streams(tmp_path: Path, pieces: list[bytes], status: int, body: bytes) -> None:
    """Good output passes; a translator that fails, faults or never completes is a proper error."""
    pieces = [piece for piece in pieces if piece]
    async with FakeUpstream() as fake, running(tmp_path, fake.url) as gateway:
        answer = await said(gateway, fake, pieces, stream=True)
    assert answer.status == status
    assert body.replace(b"stranger", b"adapter 'openai-compatible' failed") in answer.body
    assert b"secret" not in answer.body


@pytest.mark.parametrize(("letter", "told"), [("b", "failed on this call"), ("f", "It said no.")])
async def test_faults_in_mid_stream(tmp_path: Path, letter: str, told: str) -> None:
    """Once events have passed, the fault is an error event in the surface's style, and the end."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send(head(200, [("Transfer-Encoding", "chunked")]) + chunk(b"e"))
        for _ in range(50):  # the first event is on its way before the next bytes are
            await ask(gateway.server.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            if any(c._request_in_progress for c in gateway.server.room.connections):
                break
        await exchange.send(chunk(letter.encode()) + b"0\r\n\r\n")

    async with FakeUpstream(handler) as fake, running(tmp_path, fake.url) as gateway:
        gateway.server.plugins.adapters["openai-compatible"] = ADAPTER
        raw = request(chat(stream=True), gateway.key, path="/api/gateway/chat/completions")
        answer = await ask(gateway.server.port, raw)
    assert answer.body.startswith(EVENT)
    event = json.loads(answer.body[len(EVENT) + 6 :])
    assert told in event["error"]["message"]
    assert event["error_type"] == "upstream_error"
    assert b"[DONE]" not in answer.body


async def test_a_translator_that_does_not_open(tmp_path: Path) -> None:
    """It is the route's failure, not the gateway's."""
    async with FakeUpstream() as fake, running(tmp_path, fake.url) as gateway:
        answer = await said(gateway, fake, [b"e."], stream=True, explode=1)
    assert (answer.status, answer.error["code"]) == (502, "upstream_error")


async def test_whole_answers(tmp_path: Path) -> None:
    """`parse` is given the call; cached tokens outside the input are added to it; bugs are 502."""
    async with FakeUpstream() as fake, running(tmp_path, fake.url) as gateway:
        good = await said(gateway, fake, [b"fine"])
        bad = await said(gateway, fake, [b"boom"])
        await gateway.idle()
        gateway.server.log.close()
        lines = [line for line in gateway.logged() if line["event"] == "call"]
    assert good.json() == {"model": "fake-upstream"}
    assert (lines[0]["input_tokens"], lines[0]["cached_tokens"]) == (28, 20)
    assert bad.status == 502
    assert lines[1]["cause"] == "adapter_failed:KeyError"
