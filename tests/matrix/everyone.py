"""Every family behind one gateway, for tests that throw anything at all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.matrix.families import FAMILIES
from tests.matrix.family import Family
from tests.matrix.said import HELLO

PROVIDER = """
  {name}:
    adapter: {family.adapter}
    base_url: "{base}"
    credentials: [{family.credentials}]
    options: {family.options}
    timeouts: {{first_byte: 5, idle: 5}}"""
MODEL = """
  the-{name}:
    name: The Model
    vendor: Fake
    kind: chat
    context: 200000
    max_output: 64000
    capabilities: [streaming, tools, vision, reasoning]
    routes:
      {name}:
        provider: {name}
        upstream: "{family.upstream}"
        options: {family.route_options}
        price: {{input_per_mtok: "3", output_per_mtok: "15", cached_input_per_mtok: "0.3"}}"""


@dataclass
class Everyone:
    """The gateway, and the fake of each family; a route is named for its family."""

    gateway: Gateway
    fakes: dict[str, FakeUpstream]


def _says_hello(family: Family) -> FakeUpstream:
    async def handler(exchange: Exchange) -> None:
        if "count" in exchange.request.path.lower():
            told = {"input_tokens": 7, "inputTokens": 7, "totalTokens": 7}
            await exchange.send_json(200, told)
        elif _streams(exchange):
            await family.stream(exchange, family.events(HELLO))
        else:
            await exchange.send_json(200, family.whole(HELLO))

    return FakeUpstream(handler)


def _streams(exchange: Exchange) -> bool:
    method = exchange.request.path.rpartition("/")[2].lower()
    return "stream" in method or exchange.request.json().get("stream") is True


@asynccontextmanager
async def everyone(
    tmp_path: Path, edited: Callable[[str], str] = str
) -> AsyncIterator[Everyone]:
    """Serve every family; each answers with what `HELLO` says. The catalog may be edited."""
    async with AsyncExitStack() as stack:
        fakes = {
            name: await stack.enter_async_context(_says_hello(family))
            for name, family in FAMILIES.items()
        }
        providers = [
            PROVIDER.format(name=name, family=family, base=family.base(fakes[name].url))
            for name, family in FAMILIES.items()
        ]
        models = [MODEL.format(name=name, family=family) for name, family in FAMILIES.items()]
        text = (
            'version: 1\nsurfaces: {"/v1": {style: openai}}\n'
            f"providers:{''.join(providers)}\nmodels:{''.join(models)}\n"
        )
        served = running(tmp_path, text=edited(text), adapter_wait=30.0, adapter_limit=30.0)
        gateway = await stack.enter_async_context(served)
        yield Everyone(gateway, fakes)
