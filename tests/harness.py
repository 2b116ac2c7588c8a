"""A real gateway on a free port, in the test's own event loop, before a provider of the test's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.observe.logs import Log
from gateway.pipeline.tasks import Pace
from gateway.sdk import Adapter
from gateway.server import Server
from gateway.settings import Settings
from gateway.store.database import Database
from tests.money import until

CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}, "/api/gateway": {{style: error_type}}, "/api/gateway/v1": {{style: error_type}}}}
providers:
  fake:
    adapter: {adapter}
    base_url: {base_url}
    credentials: [{{name: main, api_key: "sk-upstream-secret-0001"}}]
    timeouts: {{connect: {connect}, first_byte: {first_byte}, idle: {idle}, total: {total}}}
    max_connections: {max_connections}
  keyless: {{adapter: openai-compatible, base_url: "{base_url}", credentials: [{{name: main, api_key: "${{UNSET_KEY}}"}}]}}
  foreign: {{adapter: not-installed, base_url: "{base_url}", needs_credential: false}}
  sim: {{adapter: sim, base_url: "sim:", needs_credential: false}}
models:
  fake-model:
    name: Fake Model
    vendor: Fake
    kind: chat
    context: 128000
    capabilities: [streaming, tools, vision]
    routes:
      fake-slug: {{provider: fake, upstream: fake-upstream, price: {{input_per_mtok: "3.00", output_per_mtok: "15.00"}}}}
  same-model:
    name: Same Model
    vendor: Fake
    kind: chat
    context: 128000
    capabilities: [streaming, tools, vision]
    routes:
      same-name: {{provider: fake, upstream: same-name, price: {{input_per_mtok: "3.00", output_per_mtok: "15.00"}}}}
  keyless-model:
    {{name: Keyless, vendor: Fake, kind: chat, routes: {{keyless-slug: {{provider: keyless, upstream: k, price: {{input_per_mtok: "1", output_per_mtok: "1"}}}}}}}}
  foreign-model:
    {{name: Foreign, vendor: Fake, kind: chat, routes: {{foreign-slug: {{provider: foreign, upstream: f, price: {{input_per_mtok: "1", output_per_mtok: "1"}}}}}}}}
  fake-embedding:
    {{name: Embedder, vendor: Fake, kind: embedding, routes: {{embed-slug: {{provider: fake, upstream: embed-up, price: {{input_per_mtok: "0.02"}}}}}}}}
  fake-image:
    {{name: Painter, vendor: Fake, kind: image, routes: {{image-slug: {{provider: fake, upstream: i, price: {{per_image: "0.04"}}}}}}}}
  fake-ears:
    {{name: Ears, vendor: Fake, kind: transcription, routes: {{ears-slug: {{provider: fake, upstream: e, price: {{per_minute: "0.006"}}}}}}}}
  echo:
    {{name: Echo, vendor: Isthmus, kind: chat, routes: {{echo: {{provider: sim, upstream: echo, price: {{input_per_mtok: "0", output_per_mtok: "0"}}}}}}}}
"""


@dataclass
class Gateway:
    """A running gateway and a key for it."""

    server: Server
    key: str
    catalog_path: Path
    lines: list[bytes] = field(default_factory=list)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    @property
    def base(self) -> str:
        return self.root + "/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def logged(self) -> list[dict[str, Any]]:
        """The log so far, decoded."""
        return [json.loads(line) for chunk in self.lines for line in chunk.splitlines()]

    def forget_failures(self) -> None:
        """Let every credential and route be as if it had never failed."""
        self.server.site.services.routing.forget()

    async def idle(self) -> None:
        """Wait until no call is open."""
        done = asyncio.Event()
        self.server.site.on_idle = done.set
        if self.server.site.open_calls:
            await asyncio.wait_for(done.wait(), 10)


def catalog_text(base_url: str, **changes: Any) -> str:
    """The test catalog with the fake provider's address."""
    values = {
        "adapter": "openai-compatible",
        "connect": 5,
        "first_byte": 10,
        "idle": 10,
        "total": 60,
        "max_connections": 200,
    }
    return CATALOG.format(base_url=base_url, **(values | changes))


@asynccontextmanager
async def running(
    tmp_path: Path,
    base_url: str = "http://127.0.0.1:9/v1",
    *,
    drain: float = 5.0,
    max_connections: int = 10_000,
    text: str | None = None,
    adapter_wait: float = 1.0,
    adapter_limit: float = 5.0,
    watch_every: float = 0.02,
    pace: Pace | None = None,
    media: str | None = None,
    adapters: Mapping[str, Adapter] | None = None,
    **changes: Any,
) -> AsyncIterator[Gateway]:
    """Serve the test catalog until the block ends."""
    path = tmp_path / "catalog.yaml"
    path.write_text(text or catalog_text(base_url, **changes))
    lines: list[bytes] = []
    log = Log(lines.append, "json")
    settings = Settings(
        catalog=path,
        db=tmp_path / "gateway.sqlite",
        port=0,
        drain=drain,
        max_connections=max_connections,
        watch_every=watch_every,
        adapter_wait=adapter_wait,
        adapter_limit=adapter_limit,
        media=media,
    )
    if not settings.db.exists():
        settings.db.write_bytes(await _empty_database())
    server = Server(settings, {}, log)
    if pace is not None:
        server.pace = pace
    try:
        await server.start()
        server.plugins.adapters.update(adapters or {})
        made = await server.store.keys.create("test")
        yield Gateway(server, str(made.secret), path, lines)
    finally:
        await server.close()
        log.close()


_EMPTY: list[bytes] = []


async def _empty_database() -> bytes:
    """A database's file as a first start makes it: made once, since making it takes many syncs."""
    if not _EMPTY:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "empty.sqlite"
            await (await Database.open(path)).close()
            _EMPTY.append(path.read_bytes())
    return _EMPTY[0]


async def waiting(gateway: Gateway, state: str) -> None:
    """Until the gateway has read so far that a connection is in the given state."""
    await until(lambda: any(getattr(c, state) for c in gateway.server.room.connections))
