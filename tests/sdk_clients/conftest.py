"""A scripted provider, the gateway in front of it, and the official Python client on top."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, running
from tests.official import openai_client


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Any, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, fake.url + "/v1") as served:
        yield served


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with openai_client(gateway.base, gateway.key) as made:
        yield made
