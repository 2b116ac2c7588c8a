"""A gateway between one SDK and one fake provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.matrix.clients import Client, client_of
from tests.matrix.family import Family
from tests.matrix.said import Said
from tests.money import charges, entries

CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}}}
providers:
  it:
    adapter: {family.adapter}
    base_url: "{base}"
    credentials: [{family.credentials}]
    options: {family.options}
    timeouts: {{first_byte: 5, idle: 5}}
models:
  the-model:
    name: The Model
    vendor: Fake
    kind: chat
    context: 200000
    max_output: 64000
    capabilities: [streaming, tools, vision, reasoning]
    routes:
      slug:
        provider: it
        upstream: "{family.upstream}"
        options: {family.route_options}
        price: {{input_per_mtok: "3.00", output_per_mtok: "15.00", cached_input_per_mtok: "0.30"}}
"""


class Stage:
    """A gateway between one SDK and one fake provider."""

    def __init__(
        self, gateway: Gateway, fake: FakeUpstream, family: Family, client: Client
    ) -> None:
        self.gateway, self.fake, self.family, self.client = gateway, fake, family, client

    def says(self, what: Said) -> None:
        async def handler(exchange: Exchange) -> None:
            try:
                await self.family.answer(exchange, what)
            except BaseException:
                exchange.cut()
                raise

        self.fake.handler = handler

    @property
    def told(self) -> Any:
        return self.family.told(self.fake.requests[-1])

    async def charged(self) -> list[int]:
        await self.gateway.idle()
        await self.gateway.server.store.ledger.flush()
        return charges(entries(self.gateway.server.settings.db))


@asynccontextmanager
async def staged(tmp_path: Path, dialect: str, family: Family) -> AsyncIterator[Stage]:
    """All of it, for one dialect and one family."""
    async with FakeUpstream() as fake:
        text = CATALOG.format(family=family, base=family.base(fake.url))
        async with (
            running(tmp_path, text=text) as gateway,
            client_of(dialect, gateway.root, gateway.key, "slug") as client,
        ):
            yield Stage(gateway, fake, family, client)
