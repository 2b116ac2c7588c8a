"""A gateway before two scripted realtime providers, and what OpenAI's events look like."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from gateway.store.verify import verify
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import entries
from tests.money import sound as adds_up
from tests.sockets import Client, ProviderSocket, upgrade

CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}, "/api/gateway/v1": {{style: error_type}}}}
providers:
  first:
    adapter: openai
    base_url: {first}/v1
    credentials: [{{name: main, api_key: "sk-upstream-secret-0001"}}]
    timeouts: {{connect: 5, first_byte: 5, idle: 5, total: 60}}
  second:
    adapter: openai
    base_url: {second}/v1
    credentials: [{{name: main, api_key: "sk-upstream-secret-0002"}}]
models:
  talker:
    name: Talker
    vendor: Fake
    kind: realtime
    context: 32000
    max_output: 4096
    routes:
      talker:
        provider: first
        upstream: up/talker 1
        price:
          input_per_mtok: "5.00"
          output_per_mtok: "20.00"
          audio_input_per_minute: "0.06"
          audio_output_per_minute: "0.24"
      talker-second:
        provider: second
        upstream: talker-2
        price:
          input_per_mtok: "5.00"
          output_per_mtok: "20.00"
          audio_input_per_minute: "0.06"
          audio_output_per_minute: "0.24"
  token-talker:
    name: Tokens
    vendor: Fake
    kind: realtime
    routes:
      token-talker:
        provider: first
        upstream: t
        price:
          input_per_mtok: "4"
          output_per_mtok: "16"
          cached_input_per_mtok: "0.4"
          audio_input_per_mtok: "32"
          audio_output_per_mtok: "64"
          cached_audio_input_per_mtok: "0.4"
  chatter:
    name: Chatter
    vendor: Fake
    kind: chat
    routes:
      chatter:
        {{provider: first, upstream: c, price: {{input_per_mtok: "1", output_per_mtok: "1"}}}}
"""
PATH = "/v1/realtime?model=talker"
# Nanodollars a token and a millisecond, by the prices above.
IN, OUT, HEARD, SAID = 5_000, 20_000, 1_000, 4_000


@asynccontextmanager
async def stage(
    tmp_path: Path, first: FakeUpstream, second: FakeUpstream | None = None, **options: Any
) -> AsyncIterator[Gateway]:
    """A gateway before these providers."""
    urls = {"first": first.url, "second": (second or first).url}
    async with running(tmp_path, text=CATALOG.format(**urls), **options) as gateway:
        yield gateway


def hurry(gateway: Gateway, **guards: float) -> None:
    """Other deadlines for sessions."""
    services = gateway.server.site.services
    services.sessions = structs.replace(services.sessions, **guards)


def usage(
    *, text_in: int = 0, audio_in: int = 0, text_out: int = 0, audio_out: int = 0,
    cached: int = 0, cached_audio: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The usage of an answer as OpenAI has it."""
    return {
        "total_tokens": text_in + audio_in + text_out + audio_out,
        "input_tokens": text_in + audio_in,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {
                "text_tokens": cached - cached_audio,
                "audio_tokens": cached_audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


def done(used: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """The end of an answer."""
    response = {"object": "realtime.response", "id": "resp_1", "status": "completed", **more}
    if used is not None:
        response["usage"] = used
    return {"type": "response.done", "event_id": "event_9", "response": response}


def sound(milliseconds: int) -> str:
    """So much silence in 24 kHz, in base64."""
    return base64.b64encode(bytes(48 * milliseconds)).decode()


def spoken(milliseconds: int) -> dict[str, Any]:
    """So much of an answer."""
    return {"type": "response.output_audio.delta", "response_id": "resp_1",
        "delta": sound(milliseconds)}  # fmt: skip


class Provider:
    """Plays a part: `handler` for a FakeUpstream; each websocket that it opened, and its events."""

    def __init__(self) -> None:
        self.sockets: list[ProviderSocket] = []

    async def __call__(self, exchange: Exchange) -> None:
        socket = await upgrade(exchange)
        self.sockets.append(socket)
        await socket.send({"type": "session.created", "session": {"model": "talker"}})

    @property
    def socket(self) -> ProviderSocket:
        return self.sockets[-1]


async def session(gateway: Gateway, client: Client, path: str = PATH, **options: Any) -> None:
    """Open one, up to the provider's first words."""
    await client.open(path, options.pop("key", gateway.key), options.pop("headers", None))
    assert (await client.event())["type"] == "session.created"


@asynccontextmanager
async def opened(
    tmp_path: Path, provider: Provider, **options: Any
) -> AsyncIterator[tuple[Gateway, Client]]:
    """A session that is open at this provider, until the block ends."""
    async with (
        FakeUpstream(provider) as fake,
        stage(tmp_path, fake, **options) as gateway,
        Client(gateway.server.port) as client,
    ):
        await session(gateway, client)
        yield gateway, client


async def over(gateway: Gateway) -> list[dict[str, Any]]:
    """The ledger once no session is open and all is written; it adds up."""
    await gateway.idle()
    assert await gateway.server.store.ledger.flush() is None
    path = gateway.catalog_path.parent / "gateway.sqlite"
    rows = entries(path)
    adds_up(rows)
    assert verify(path).problems == []  # receipts among it, by arithmetic of their own
    return rows


async def logged(gateway: Gateway) -> dict[str, Any]:
    """The line in the log of a session that is over; nothing more is logged after this."""
    await gateway.idle()
    gateway.server.log.close()
    return next(one for one in reversed(gateway.logged()) if one.get("operation") == "realtime")
