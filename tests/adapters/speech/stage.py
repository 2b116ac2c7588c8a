"""The speech routes of the shipped catalog, each before a fake of its provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from gateway.core.sound import riff
from tests.adapters.speech import hosts
from tests.fake_upstream import LAST_CHUNK, Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, running

SHIPPED = Path(__file__).parents[3] / "catalog.yaml"
# Routes that nobody knows a price of have one here, so that they can be called.
PRICES = {"glm-tts": {"per_mchar": "7.00"}}
MORE = {
    "grok-tts": ("xai", "grok-tts"),
    "voxtral": ("mistral", "voxtral-mini-tts"),
    "whole-gemini": ("google", "gemini-2.5-flash-preview-tts"),
}
WAVE = hosts.SOUND


def catalog(url: str) -> dict[str, Any]:
    """The shipped one, less all that does not speak, and with addresses of the fake's."""
    shipped = yaml.safe_load(SHIPPED.read_text())
    models = {name: one for name, one in shipped["models"].items() if one["kind"] == "speech"}
    for name, (provider, upstream) in MORE.items():
        route = {"provider": provider, "upstream": upstream, "price": {"per_mchar": "1.00"}}
        if name.startswith("whole"):
            route["options"] = {"whole": "true"}
        models[name] = {"name": name, "vendor": "Fake", "kind": "speech", "routes": {name: route}}
    routes = {slug: one for model in models.values() for slug, one in model["routes"].items()}
    for slug, route in routes.items():
        route["price"] = PRICES.get(slug, route["price"])
    providers = {}
    for name in {route["provider"] for route in routes.values()}:
        path = {"alibaba": "/alibaba/compatible-mode/v1"}.get(name, f"/{name}")
        providers[name] = {
            "adapter": shipped["providers"][name]["adapter"],
            "base_url": url + path,
            "credentials": [
                {"name": "main", "api_key": "sk-upstream-secret-0001"},
                {"name": "spare", "api_key": "sk-upstream-secret-0002", "tier": 1},
            ],
            "options": {"speech_url": f"{url}/chirp"} if name == "vertex" else {},
        }
    return {"version": 1, "surfaces": {"/v1": {"style": "openai"}}, "providers": providers,
            "models": models}  # fmt: skip


@asynccontextmanager
async def staged(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=json.dumps(catalog(fake.url))) as gateway:
        yield gateway


EVENTS = {
    "google": hosts.gemini(),
    "minimax": hosts.minimax(),
    "zhipu": hosts.zhipu(),
    "alibaba": hosts.alibaba(),
}


class Speaks:
    """Answers as each provider does; holds back its last bytes until `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.files: dict[str, bytes] = {}  # by format, of hosts that make them

    async def __call__(self, exchange: Exchange) -> None:
        try:
            await self._answer(exchange)
        except Exception:
            exchange.cut()
            raise

    async def _answer(self, exchange: Exchange) -> None:
        vendor = exchange.request.path.split("/")[1]
        asked = exchange.request.json()
        if vendor == "chirp":
            made = riff.header(len(WAVE)) + WAVE
            await exchange.send_json(200, {"audioContent": hosts.b64(made)})
        elif vendor == "mistral":
            await exchange.send_json(200, {"audio_data": hosts.b64(WAVE)})
        elif vendor == "google" and not exchange.request.path.endswith("alt=sse"):
            await exchange.send_json(200, hosts.whole_gemini())
        elif vendor in EVENTS:
            await self._stream(exchange, "text/event-stream; charset=utf-8", EVENTS[vendor])
        elif asked.get("stream_format") == "sse":
            await self._stream(exchange, "text/event-stream", hosts.openai())
        else:
            made = asked.get("response_format") or asked.get("output_format", {}).get("codec")
            sound = self.files.get(made or "mp3", WAVE)
            kind = {"pcm": "audio/pcm", "wav": "audio/wav"}.get(made, "audio/mpeg")
            await self._stream(exchange, kind, sound)

    async def _stream(self, exchange: Exchange, kind: str, body: bytes) -> None:
        lines = [("Content-Type", kind), ("Transfer-Encoding", "chunked")]
        half = len(body) // 2
        await exchange.send(head(200, lines) + chunk(body[:half]))
        await self.go_on.wait()
        for at in range(half, len(body), 5000):
            await exchange.send(chunk(body[at : at + 5000]))
        await exchange.send(LAST_CHUNK)
