"""Every dialect, by its official SDK, over every family of providers on its real wire.

The cells: plain, streamed, cut short, tools, tools streamed and answered, thinking, pictures,
refusals, failures in mid-stream, truncation, clients that leave; what each says it used, and what
it is charged.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import LAST_CHUNK, Exchange, chunk
from tests.matrix import said
from tests.matrix.clients import ASK, CLIENTS, SYSTEM, same_tools
from tests.matrix.families import FAMILIES
from tests.matrix.family import SECRET, Family
from tests.matrix.said import CALLS, HELLO, LONG, PICTURE, THOUGHT, TOOLS, Heard, Said
from tests.matrix.stage import Stage, staged

RESULTS = {"get_weather": "sunny", "get_time": "noon"}
CELLS = [
    pytest.param(dialect, FAMILIES[family], id=f"{dialect}-{family}")
    for dialect in CLIENTS
    for family in FAMILIES
    if family != "bedrock-invoke" or dialect == "messages"
]
cell = pytest.mark.parametrize(("dialect", "family"), CELLS)


@pytest.fixture
async def stage(tmp_path: Path, dialect: str, family: Family) -> AsyncIterator[Stage]:
    async with staged(tmp_path, dialect, family) as made:
        yield made


def check(heard: Heard, what: Said) -> None:
    """All of it arrived, and the figures are the provider's."""
    assert heard.text == "".join(what.text)
    assert heard.stop == what.stop
    assert same_tools(heard.tools, what.tools)
    assert (heard.input, heard.cached, heard.output) == (what.input, what.cached, what.output)


@cell
@pytest.mark.parametrize("what", [HELLO, LONG], ids=["stop", "length"])
async def test_plain(stage: Stage, what: Said) -> None:
    """A whole answer, its request told in the provider's own words, its cost to the nanodollar."""
    stage.says(what)
    check(await stage.client.plain(stage.client.request()), what)
    told = stage.told
    assert told.model == stage.family.upstream or stage.family.name.startswith("bedrock")
    assert (told.system, told.user, told.max_tokens) == (SYSTEM, ASK, 900)
    assert told.secret == SECRET
    assert await stage.charged() == [what.nanos]


@cell
@pytest.mark.parametrize("what", [HELLO, LONG], ids=["stop", "length"])
async def test_streamed(stage: Stage, what: Said) -> None:
    """The same in pieces, each as the provider sent it."""
    stage.says(what)
    seen: list[str] = []
    check(await stage.client.stream(stage.client.request(), seen), what)
    assert [piece for piece in seen if piece] == list(what.text)
    assert await stage.charged() == [what.nanos]


@cell
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_tools(stage: Stage, streamed: bool) -> None:
    """Two calls at once, whole or in fragments; then their results go back."""
    client = stage.client
    stage.says(CALLS)
    ask = client.stream if streamed else client.plain
    heard = await ask(client.request(tools=True))
    check(heard, CALLS)
    assert stage.told.tools == {name: schema for name, (_, schema) in TOOLS.items()}
    stage.says(HELLO)
    check(await ask(client.again(heard, RESULTS)), HELLO)
    told = stage.told
    assert told.calls == [(tool.name, json.loads(tool.arguments)) for tool in CALLS.tools]
    assert len(told.results) == 2
    assert "sunny" in told.results[0]
    assert "noon" in told.results[1]
    assert await stage.charged() == [CALLS.nanos, HELLO.nanos]


@cell
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_thinking(stage: Stage, streamed: bool) -> None:
    """What the model thought is shown apart from what it says."""
    client = stage.client
    stage.says(THOUGHT)
    heard = await (client.stream if streamed else client.plain)(client.request())
    check(heard, replace(THOUGHT))
    if not (stage.family.name == "chat" and client.name == "chat" and streamed):
        assert heard.thinking == "".join(THOUGHT.thinking)
    assert await stage.charged() == [THOUGHT.nanos]


@cell
async def test_a_picture(stage: Stage) -> None:
    """An inline picture reaches the provider, byte for byte."""
    stage.says(HELLO)
    check(await stage.client.plain(stage.client.request(picture=True)), HELLO)
    assert stage.told.picture == PICTURE
    assert stage.told.user == ASK


@cell
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_refused(stage: Stage, streamed: bool) -> None:
    """A provider's 429 is the SDK's own error, with the time to wait, and costs nothing."""
    status, body, lines = stage.family.refusal()

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(status, body, lines)

    stage.fake.handler = handler
    client = stage.client
    with pytest.raises(client.refused) as caught:
        await (client.stream if streamed else client.plain)(client.request())
    error: Any = caught.value
    assert error.response.headers["retry-after"] == "7"
    assert error.request_id.startswith("req_")
    assert SECRET not in str(error)
    assert await stage.charged() == [0]


class Seen(list[str]):
    """Pieces as they arrive; says when the one has come that the provider waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = asyncio.Event()

    def append(self, piece: str) -> None:
        super().append(piece)
        if "wor" in piece:
            self.arrived.set()


def up_to_wor(family: Family) -> list[bytes]:
    """The first events of an answer, up to its second word."""
    events = family.events(HELLO)
    return events[: next(n for n, event in enumerate(events) if b"wor" in _plain(event)) + 1]


@cell
async def test_broken_in_mid_stream(stage: Stage) -> None:
    """A failure that the provider tells inside its stream is an error for the client as well."""
    family, client, seen = stage.family, stage.client, Seen()

    async def handler(exchange: Exchange) -> None:
        await family.stream(exchange, up_to_wor(family), end=False)
        await seen.arrived.wait()
        await exchange.send(chunk(family.broken()) + LAST_CHUNK)

    stage.fake.handler = handler
    with pytest.raises(client.lost) as caught:
        await client.stream(client.request(), seen)
    assert "".join(seen) == "Hello, wor"
    assert SECRET not in str(caught.value)
    (charge,) = await stage.charged()
    assert 0 < charge < HELLO.nanos * 5


@cell
async def test_truncated(stage: Stage) -> None:
    """A stream that ends without its end is never taken for whole."""
    family, client, seen = stage.family, stage.client, Seen()

    async def handler(exchange: Exchange) -> None:
        await family.stream(exchange, up_to_wor(family), end=False)
        await seen.arrived.wait()
        await exchange.send(LAST_CHUNK)

    stage.fake.handler = handler
    with pytest.raises(client.lost):
        await client.stream(client.request(), seen)
    (charge,) = await stage.charged()
    assert charge > 0


@cell
async def test_the_client_leaves(stage: Stage) -> None:
    """When the client is gone the provider's connection is cut, and what came is charged."""
    family, client, seen = stage.family, stage.client, Seen()
    gone = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        await family.stream(exchange, up_to_wor(family), end=False)
        await exchange.client_closed()
        gone.set()

    stage.fake.handler = handler
    call = asyncio.create_task(client.stream(client.request(), seen))
    await asyncio.wait_for(seen.arrived.wait(), 10)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.wait_for(gone.wait(), 10)
    (charge,) = await stage.charged()
    assert charge > 0


def _plain(event: bytes) -> bytes:
    """An event with what is wrapped in base64 laid open."""
    _, mark, rest = event.partition(b'{"bytes": "')
    return said.unwrapped(rest) if mark else event
