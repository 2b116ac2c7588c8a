"""Two turns by the official SDKs: what a model signed comes back to it as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange
from tests.matrix.clients import CLIENTS, client_of
from tests.matrix.everyone import Everyone, everyone
from tests.matrix.families import FAMILIES
from tests.matrix.said import CALLS

SIGNATURE = "c2lnbmVkLXRob3VnaHQ="
SAID = replace(CALLS, thinking=("Let me", " think"), signature=SIGNATURE, reasoning=5)
CELLS = [
    (dialect, family)
    for dialect in CLIENTS
    for family in FAMILIES
    if family != "chat" and (family != "bedrock-invoke" or dialect == "messages")
]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with everyone(tmp_path) as made:
        yield made


def words(value: Any) -> Iterator[str]:
    """Every string, wherever it stands."""
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            yield from words(item)
        elif isinstance(item, str):
            yield item


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("dialect", "family"), CELLS)
async def test_what_was_signed_comes_back(
    stage: Everyone, dialect: str, family: str, streamed: bool
) -> None:
    """The signature of a thought, or of a tool's call, through each dialect's own history."""
    wire, fake = FAMILIES[family], stage.fakes[family]

    async def handler(exchange: Exchange) -> None:
        await wire.answer(exchange, SAID)

    fake.handler = handler
    root, key = stage.gateway.root, stage.gateway.key
    async with client_of(dialect, root, key, family) as client:
        first = await (client.stream if streamed else client.plain)(client.request(tools=True))
        await client.plain(client.again(first, {"get_weather": "sunny", "get_time": "noon"}))
    sent = list(words(fake.requests[-1].json()))
    if family in ("google", "vertex"):
        assert "c2lnbmVk" in sent  # the first call's; this fake signs no streamed thought
    if family not in ("google", "vertex") or not streamed:
        assert SIGNATURE in sent
