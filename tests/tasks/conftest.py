"""A studio, and a gateway in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, running
from tests.tasks.studio import ADAPTERS, QUICK, Client, Studio, catalog


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def studio(fake: FakeUpstream) -> Studio:
    made = Studio(fake)
    fake.handler = made
    return made


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=catalog(fake), pace=QUICK, adapters=ADAPTERS) as served:
        yield served


@pytest.fixture
def client(gateway: Gateway) -> Client:
    return Client(gateway.server.port, gateway.key)
