"""Streams that go wrong after they began: secrets in errors, money that runs out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import LAST_CHUNK, Exchange, chunk
from tests.matrix.bedrock import frame
from tests.matrix.clients import CLIENTS, client_of
from tests.matrix.everyone import Everyone, everyone
from tests.matrix.families import FAMILIES
from tests.matrix.family import SECRET
from tests.matrix.said import HELLO, Said
from tests.money import IN, OUT, charges, entries, payer
from tests.rawclient import RawClient, request

CELLS = [
    (dialect, family)
    for dialect in CLIENTS
    for family in FAMILIES
    if family != "bedrock-invoke" or dialect == "messages"
]
cell = pytest.mark.parametrize(("dialect", "family"), CELLS)
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
CEILINGS = {
    "chat": "max_completion_tokens",
    "messages": "max_tokens",
    "responses": "max_output_tokens",
}
STOPPED = 7  # the ledger's flag


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with everyone(tmp_path) as made:
        yield made


def asked(dialect: str, model: str) -> dict[str, Any]:
    """A streamed request."""
    turn = {"role": "user", "content": "hi"}
    said = {"input": [turn]} if dialect == "responses" else {"messages": [turn]}
    most = {"max_tokens": 2000} if dialect == "messages" else {}
    return {"model": model, "stream": True, **said, **most}


def echo(family: str) -> bytes:
    """An error inside a stream that repeats what the gateway called with."""
    broken = FAMILIES[family].broken()
    if family.startswith("bedrock"):
        return frame("validationException", {"message": f"bad key {SECRET}"}, "exception")
    return broken.replace(b"Overloaded just now", f"bad key {SECRET}".encode())


@cell
async def test_an_error_is_told_once_and_never_shows_the_credential(
    stage: Everyone, dialect: str, family: str
) -> None:
    """Where bytes pass untouched too: the provider's own event is masked, and stands alone."""
    wire = FAMILIES[family]
    begun = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        events = wire.events(HELLO)
        await wire.stream(exchange, events[: len(events) // 2], end=False)
        await begun.wait()
        await exchange.send(chunk(echo(family)) + LAST_CHUNK)

    stage.fakes[family].handler = handler
    raw = request(asked(dialect, family), stage.gateway.key, path=PATHS[dialect])
    async with await RawClient.open(stage.gateway.server.port) as client:
        client.send(raw)
        assert (await client.head()).status == 200
        body = await client.chunk()
        begun.set()
        while piece := await client.chunk():
            body += piece
    assert SECRET.encode() not in body
    payloads = [line[6:] for line in body.decode().split("\n") if line.startswith("data: {")]
    told = [data for data in map(json.loads, payloads) if "message" in str(data.get("error", data))]
    errors = [data for data in told if data.get("type") == "error" or "error" in data]
    assert len(errors) == 1, errors


@cell
async def test_money_that_runs_out_ends_an_answer_as_its_dialect_would(
    stage: Everyone, dialect: str, family: str
) -> None:
    """The SDK hears of an answer that was cut short; the account is charged to its last token."""
    server = stage.gateway.server
    money = 3_000 * IN + 60 * OUT
    who = await payer(server.store, money, name="short")
    long = Said(text=tuple(f"word{number} " for number in range(2_000)))

    async def handler(exchange: Exchange) -> None:
        await FAMILIES[family].stream(exchange, FAMILIES[family].events(long), end=False)
        await exchange.client_closed()

    stage.fakes[family].handler = handler
    async with client_of(dialect, stage.gateway.root, who.secret, family) as client:
        heard = await client.stream(client.request() | {CEILINGS[dialect]: 60_000})
    assert heard.stop == "length"
    assert heard.text.startswith("word0 word1 ")
    assert "".join(long.text).startswith(heard.text)
    await stage.gateway.idle()
    await server.store.ledger.flush()
    rows = entries(server.settings.db, who.account)
    assert charges(rows) == [money]
    assert rows[-1]["flag"] == STOPPED
