"""The same over sockets: a raw websocket client, the gateway, and a provider that is scripted."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import charges
from tests.realtime.stage import over, sound
from tests.sockets import BINARY, Client, ProviderSocket, upgrade

CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}, "/api/gateway/v1": {{style: error_type}}}}
providers:
  google:
    adapter: google
    base_url: {url}/v1beta
    credentials: [{{name: main, api_key: "AIzaCanary0001"}}]
  vertex:
    adapter: vertex
    base_url: {url}/v1
    options: {{location: europe-west4}}
    credentials: [{{name: main, api_key: "AIzaExpress001"}}]
  zhipu:
    adapter: zhipu
    base_url: {url}/api/paas/v4
    credentials: [{{name: main, api_key: "glm.canary0001"}}]
models:
  live:
    name: Live
    vendor: Google
    kind: realtime
    routes:
      live: {{provider: google, upstream: gemini-3.1-flash-live-preview, price: {price}}}
  cloud-live:
    name: Cloud
    vendor: Google
    kind: realtime
    routes:
      cloud-live: {{provider: vertex, upstream: gemini-live-2.5-flash, price: {price}}}
  glm:
    name: GLM
    vendor: Zhipu
    kind: realtime
    routes:
      glm: {{provider: zhipu, upstream: glm-realtime, price: {price}}}
"""
PRICE = """{input_per_mtok: "0.75", output_per_mtok: "4.50", audio_input_per_minute: "0.005",
        audio_output_per_minute: "0.018"}"""
STUDIO = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
CLOUD = "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent"
COUNT = {
    "promptTokenCount": 100,
    "responseTokenCount": 60,
    "totalTokenCount": 160,
    "promptTokensDetails": [
        {"modality": "TEXT", "tokenCount": 40},
        {"modality": "AUDIO", "tokenCount": 60},
    ],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
}


class Provider:
    """Opens each websocket and leaves it to the test."""

    def __init__(self) -> None:
        self.socket: ProviderSocket
        self.exchange: Exchange

    async def __call__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.socket = await upgrade(exchange)

    async def says(self, *messages: dict[str, Any]) -> None:
        """JSON in binary frames, as the Live API sends it."""
        for message in messages:
            await self.socket.frame(BINARY, json.dumps(message).encode())


@asynccontextmanager
async def opened(tmp_path: Path, model: str) -> AsyncIterator[tuple[Gateway, Client, Provider]]:
    """A session with this model, and its provider."""
    provider = Provider()
    async with (
        FakeUpstream(provider) as fake,
        running(tmp_path, text=CATALOG.format(url=fake.url, price=PRICE)) as gateway,
        Client(gateway.server.port) as client,
    ):
        await client.open(f"/v1/realtime?model={model}", gateway.key)
        yield gateway, client, provider


async def charged(gateway: Gateway, client: Client) -> int:
    """What it costs, once it is over."""
    await client.close()
    await client.ended()
    (one,) = charges(await over(gateway))
    return one


async def test_a_live_session(tmp_path: Path) -> None:
    """From OpenAI's first event to the charge; sound by the minute, its tokens for nothing."""
    async with opened(tmp_path, "live") as (gateway, client, provider):
        created = await client.event()
        assert created["type"] == "session.created"
        assert created["session"]["model"] == "live"
        await client.send(
            {"type": "session.update", "session": {"type": "realtime", "instructions": "Hi."}}
        )
        assert (await client.event())["type"] == "session.updated"
        await client.send({"type": "input_audio_buffer.append", "audio": sound(2_000)})
        setup = await provider.socket.event()
        assert setup["setup"]["model"] == "models/gemini-3.1-flash-live-preview"
        assert setup["setup"]["systemInstruction"] == {"parts": [{"text": "Hi."}]}
        assert provider.exchange.request.path == STUDIO
        assert provider.exchange.request.header("x-goog-api-key") == "AIzaCanary0001"
        await provider.says({"setupComplete": {}})
        heard = await provider.socket.event()
        assert heard["realtimeInput"]["audio"]["data"] == sound(2_000)
        speech = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": sound(1_000)}}
        await provider.says(
            {"serverContent": {"modelTurn": {"parts": [speech]}}},
            {"serverContent": {"outputTranscription": {"text": "Hello."}}},
            {"serverContent": {"turnComplete": True}, "usageMetadata": COUNT},
        )
        delta = await client.until("response.output_audio.delta")
        assert delta["delta"] == sound(1_000)
        done = (await client.until("response.done"))["response"]
        assert done["status"] == "completed"
        assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hello."}]
        assert done["usage"]["input_token_details"]["audio_tokens"] == 60
        # 40 tokens of text in and 10 out, two seconds heard and one spoken
        costs = 40 * 750 + 10 * 4_500 + 2_000 * 5_000_000 // 60_000 + 1_000 * 18_000_000 // 60_000
        assert 0 <= await charged(gateway, client) - costs <= 1


async def test_at_a_location(tmp_path: Path) -> None:
    """The other address and the model's whole name; and a provider that breaks off."""
    async with opened(tmp_path, "cloud-live") as (gateway, client, provider):
        await client.event()
        await client.send({"type": "response.create"})
        setup = await provider.socket.event()
        assert setup["setup"]["model"] == "publishers/google/models/gemini-live-2.5-flash"
        assert provider.exchange.request.path == CLOUD
        assert provider.exchange.request.header("x-goog-api-key") == "AIzaExpress001"
        await provider.says({"setupComplete": {}})
        assert await provider.socket.event() == {"clientContent": {"turnComplete": True}}
        await provider.socket.close(1007, "Request contains an invalid argument.")
        error = await client.until("error")
        assert error["error"]["code"] == "upstream_error"
        assert "invalid argument" not in json.dumps(error)
        await client.ended()
        await client.close()
        await over(gateway)


async def test_what_the_session_was_opened_with_is_refused(tmp_path: Path) -> None:
    """A provider that refuses the websocket: the client is told before it is opened."""

    async def refuse(exchange: Exchange) -> None:
        error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota."}
        await exchange.send_json(429, {"error": error})

    async with (
        FakeUpstream(refuse) as fake,
        running(tmp_path, text=CATALOG.format(url=fake.url, price=PRICE)) as gateway,
        Client(gateway.server.port) as client,
    ):
        answer = await client.refused("/v1/realtime?model=live", gateway.key)
        assert answer.status == 429


async def test_a_glm_session(tmp_path: Path) -> None:
    """The beta's events under their names of today; without a count, sound is charged by length."""
    async with opened(tmp_path, "glm") as (gateway, client, provider):
        update = await provider.socket.event()
        assert update["type"] == "session.update"
        assert update["session"]["model"] == "glm-realtime"
        assert provider.exchange.request.path == "/api/paas/v4/realtime"
        await provider.socket.send({"type": "session.created", "session": {"id": "s-1"}})
        await provider.socket.send({"type": "heartbeat"})
        created = await client.event()
        assert (created["type"], created["session"]["id"]) == ("session.created", "s-1")
        await client.send({"type": "input_audio_buffer.append", "audio": sound(500)})
        heard = await provider.socket.event()
        assert heard["audio"].startswith("UklGR")  # RIFF
        for event in (
            {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
            {"type": "response.audio.delta", "response_id": "r", "delta": sound(1_500)},
            {"type": "response.done", "response": {"id": "r", "usage": {"total_tokens": 0}}},
        ):
            await provider.socket.send(event)
        assert (await client.event())["type"] == "response.created"
        assert (await client.event())["type"] == "response.output_audio.delta"
        assert (await client.event())["type"] == "response.done"
        costs = 500 * 5_000_000 // 60_000 + 1_500 * 18_000_000 // 60_000
        assert 0 <= await charged(gateway, client) - costs <= 1


async def test_openais_own_client(tmp_path: Path) -> None:
    """The SDK talks to the Live API: text in, a function called, its output, text out."""
    provider = Provider()
    async with (
        FakeUpstream(provider) as fake,
        running(tmp_path, text=CATALOG.format(url=fake.url, price=PRICE)) as gateway,
    ):
        port = gateway.server.port
        openai = AsyncOpenAI(
            api_key=gateway.key,
            base_url=f"http://127.0.0.1:{port}/v1",
            websocket_base_url=f"ws://127.0.0.1:{port}/v1",
        )
        async with openai, openai.realtime.connect(model="live") as session:
            look = {"type": "function", "name": "look", "parameters": {"type": "object"}}
            await session.session.update(
                session={"type": "realtime", "output_modalities": ["text"], "tools": [look]}
            )
            await session.conversation.item.create(item=said("What do you see?"))
            await session.response.create()
            await provider.socket.event()
            await provider.says({"setupComplete": {}})
            assert (await provider.socket.event())["clientContent"]["turnComplete"] is True
            call = {"id": "f-1", "name": "look", "args": {"z": 1}}
            await provider.says({"toolCall": {"functionCalls": [call]}})
            arguments = await until(session, "response.function_call_arguments.done")
            assert (arguments.name, arguments.arguments) == ("look", '{"z": 1}')
            await session.conversation.item.create(
                item={"type": "function_call_output", "call_id": "f-1", "output": "a cat"}
            )
            await session.response.create()
            (answer,) = (await provider.socket.event())["toolResponse"]["functionResponses"]
            assert answer == {"id": "f-1", "name": "look", "response": {"result": "a cat"}}
            await provider.says(
                {"serverContent": {"modelTurn": {"parts": [{"text": "A cat."}]}}},
                {"serverContent": {"turnComplete": True}, "usageMetadata": COUNT},
            )
            text = await until(session, "response.output_text.done")
            assert text.text == "A cat."
            done = await until(session, "response.done")
            assert done.response.usage.output_tokens == 60
        await over(gateway)


def said(words: str) -> Any:
    content = [{"type": "input_text", "text": words}]
    return {"type": "message", "role": "user", "content": content}


async def until(session: Any, kind: str) -> Any:
    """The next event of this type."""
    while (event := await session.recv()).type != kind:
        pass
    return event
