"""The official Python SDK asks for speech at every kind of host that the gateway knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from gateway.core.sound import riff
from tests.adapters.speech.hosts import SOUND, heard
from tests.adapters.speech.stage import Speaks, staged
from tests.core import sounds
from tests.fake_upstream import Exchange, FakeUpstream, chunk, event_bytes, head
from tests.harness import Gateway
from tests.money import charges, entries, payer
from tests.rawclient import Answer, RawClient, ask, request

TIME = len(SOUND) * 1000 // 48_000
WAV = riff.header() + SOUND
SIZED = riff.header(len(SOUND)) + SOUND
STREAMED = {
    "gpt-4o-mini-tts": SOUND,
    "tts-1": SOUND,
    "tts-1-hd": SOUND,
    "grok-tts": SOUND,
    "gemini-3.1-flash-tts": WAV,
    "gemini-2.5-flash-tts": WAV,
    "minimax-speech-2.6": WAV,
    "minimax-speech-2.5-turbo": WAV,
    "minimax-speech-02-hd": WAV,
    "glm-tts": WAV,
    "qwen3-tts-flash": WAV,
}
WHOLE = {"vertex-chirp-3": SIZED, "voxtral": SOUND, "whole-gemini": SIZED}


@pytest.fixture
def speaks(fake: FakeUpstream) -> Speaks:
    fake.handler = Speaks()
    return fake.handler


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with staged(tmp_path, fake) as served:
        yield served


async def said(gateway: Gateway, asked: dict[str, Any], key: str = "") -> Answer:
    """A call without the SDK, and its answer."""
    raw = request(json.dumps(asked).encode(), key or gateway.key, path="/v1/audio/speech")
    return await ask(gateway.server.port, raw)


async def test_the_first_sound_is_there_before_the_last_is_made(
    client: AsyncOpenAI, speaks: Speaks
) -> None:
    """At every host that streams, through the SDK's own way to read as it comes."""
    for model, due in STREAMED.items():
        speaks.go_on.clear()
        async with client.audio.speech.with_streaming_response.create(
            model=model, voice="coral", input="Hello there.", response_format="wav"
        ) as answer:
            assert answer.headers["content-type"] == "audio/wav"
            assert "content-length" not in answer.headers
            made = b""
            async for piece in answer.iter_bytes():
                made += piece
                if not speaks.go_on.is_set():
                    assert due.startswith(made), model
                    speaks.go_on.set()
            assert made == due, model


async def test_create(client: AsyncOpenAI, speaks: Speaks, fake: FakeUpstream) -> None:
    """All at once, and with a plain voice that each host knows by a name of its own."""
    for model, due in (STREAMED | WHOLE).items():
        fake.requests.clear()
        answer = await client.audio.speech.create(
            model=model, voice="alloy", input="Hello there.", response_format="wav"
        )
        assert await answer.aread() == due, model
        assert answer.response.headers["content-type"] == "audio/wav"
        assert len(fake.requests) == 1


async def test_events(gateway: Gateway, speaks: Speaks) -> None:
    """`stream_format: sse` is served by all of them, in OpenAI's events."""
    for model, due in (STREAMED | WHOLE).items():
        answer = await said(gateway, {"model": model, "input": "Hello there.", "voice": "x",
                            "stream_format": "sse", "response_format": "wav"})  # fmt: skip
        assert (answer.status, answer.header("content-type")) == (200, "text/event-stream")
        assert answer.clean
        sound, done = heard(answer.body)
        assert sound == due, model
        if model == "gpt-4o-mini-tts":
            assert done["usage"]["total_tokens"] == 115


# What 36 characters of input and this much sound cost at each route of the catalog, in nanodollars.
WORDS = "Hello there. " * 2 + "Hello you."
MP3 = sounds.mp3(400)
COSTS = {
    "gpt-4o-mini-tts": -(-15_000_000 * 10_448 // 60_000),
    "tts-1": 36 * 15_000,
    "tts-1-hd": 36 * 30_000,
    "gemini-3.1-flash-tts": 11 * 1_000 + 111 * 20_000,
    "gemini-2.5-flash-tts": 11 * 500 + 111 * 10_000,
    "vertex-chirp-3": 36 * 30_000,
    "minimax-speech-2.6": 26 * 100_000,  # as the provider counts
    "minimax-speech-2.5-turbo": 26 * 60_000,
    "minimax-speech-02-hd": 26 * 100_000,
    "glm-tts": 36 * 7_000,
    "qwen3-tts-flash": 12 * 10_000,
    "grok-tts": 36 * 1_000,
    "voxtral": 36 * 1_000,
    "whole-gemini": 36 * 1_000,
}


async def test_what_each_route_costs(gateway: Gateway, client: AsyncOpenAI, speaks: Speaks) -> None:
    """By what the provider counts, else by what was to be said; time is what was heard."""
    assert COSTS.keys() == gateway.server.site.services.catalog.current.routes.keys()
    speaks.files["mp3"] = MP3
    for model in COSTS:
        fmt = "mp3" if model.startswith(("gpt", "tts")) else "wav"
        await client.audio.speech.create(
            model=model,
            voice="x",
            input=WORDS,
            response_format=fmt,  # type: ignore[arg-type]
        )
        await gateway.idle()
    made = charges(entries(gateway.server.store.database.path))
    assert dict(zip(COSTS, made, strict=True)) == COSTS


async def test_a_minute_costs_the_same_in_every_format(gateway: Gateway, speaks: Speaks) -> None:
    """The gateway's own clock, where the provider sends bytes and tells nothing."""
    flac = sounds.flac_head(0) + b"".join(map(sounds.flac_frame, range(65)))
    speaks.files |= {"mp3": sounds.mp3(230), "wav": sounds.wav(6000), "pcm": bytes(288_000),
                     "opus": sounds.opus(300), "aac": sounds.adts(258), "flac": flac}  # fmt: skip
    asked = {"model": "gpt-4o-mini-tts", "input": "Hi.", "voice": "x"}
    for made in speaks.files:
        assert (await said(gateway, asked | {"response_format": made})).status == 200
    events = asked | {"response_format": "pcm", "stream_format": "sse"}
    assert (await said(gateway, events)).status == 200
    await gateway.idle()
    charged = charges(entries(gateway.server.store.database.path))
    for number, due in enumerate([6000] * 6 + [TIME]):
        assert charged[number] == pytest.approx(15_000_000 * due / 60_000, rel=0.02), number


async def test_what_it_may_cost_must_be_there(gateway: Gateway, speaks: Speaks) -> None:
    """Beforehand time is a guess with some to spare; what was not needed is given back."""
    store = gateway.server.store
    poor = await payer(store, 100_000_000)
    asked = {"model": "gpt-4o-mini-tts", "input": "word " * 2_000, "voice": "x"}
    for model in ("gpt-4o-mini-tts", "tts-1-hd", "vertex-chirp-3", "minimax-speech-2.6"):
        answer = await said(gateway, asked | {"model": model}, poor.secret)
        assert (answer.status, answer.error["code"]) == (402, "budget_exhausted"), model
    speaks.files["mp3"] = sounds.mp3(230)
    answer = await said(gateway, asked | {"input": "word " * 200}, poor.secret)
    assert answer.status == 200
    await gateway.idle()
    rows = entries(store.database.path, poor.account)
    assert max(row["held"] for row in rows) > 20_000_000
    assert sum(row["held"] for row in rows) == 0
    assert charges(rows) == [pytest.approx(1_500_000, rel=0.01)]


async def test_a_second_credential_speaks_where_the_first_may_not(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """As long as nothing was heard; the client notices nothing."""
    speaks = Speaks()

    async def handler(exchange: Exchange) -> None:
        if exchange.request.header("Authorization") == "Bearer sk-upstream-secret-0001":
            code = {"status_code": 1008, "status_msg": "no balance"}
            await exchange.send_json(200, {"base_resp": code})
        else:
            await speaks(exchange)

    fake.handler = handler
    asked = {"model": "minimax-speech-2.6", "input": "Hi.", "voice": "x", "response_format": "pcm"}
    for _ in range(3):
        answer = await said(gateway, asked)
        assert (answer.status, answer.body) == (200, SOUND)
    seen = [request.header("Authorization") for request in fake.requests]
    assert "Bearer sk-upstream-secret-0002" in seen


async def test_what_is_lost_is_named(gateway: Gateway, speaks: Speaks) -> None:
    """In the header; who wants nothing lost is refused."""
    asked = {"model": "gemini-2.5-flash-tts", "input": "Hi.", "voice": "alloy", "speed": 2}
    answer = await said(gateway, asked)
    told = answer.header("x-gateway-fidelity") or ""
    assert all(name in told for name in ("response_format", "speed", "voice"))
    assert answer.header("content-type") == "audio/wav"
    answer = await said(gateway, asked | {"fidelity": "strict"})
    assert answer.status == 400


async def test_a_format_that_cannot_be_made(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.speech.create(
            model="glm-tts", voice="x", input="Hi.", response_format="aac"
        )
    assert refused.value.param == "response_format"
    assert "wav, pcm" in refused.value.message
    assert not fake.requests


async def test_what_openai_would_refuse(gateway: Gateway, fake: FakeUpstream) -> None:
    """Before anything is sent; the field is named."""
    for field, value in (("input", ""), ("input", "x" * 100_001), ("speed", 5), ("speed", 0.1),
                         ("response_format", "ogg"), ("stream_format", "json"),
                         ("voice", 3)):  # fmt: skip
        asked = {"model": "tts-1", "input": "Hi.", "voice": "alloy"} | {field: value}
        answer = await said(gateway, asked)
        assert (answer.status, answer.error["param"]) == (400, field)
    assert not fake.requests


async def test_a_failure_inside_a_200(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """It is an error with its own status as long as nothing was heard."""

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(200, {"base_resp": {"status_code": 2013, "status_msg": "voice"}})

    fake.handler = handler
    with pytest.raises(openai.BadRequestError) as refused:
        await client.audio.speech.create(model="minimax-speech-2.6", voice="x", input="Hi.")
    assert "voice" in refused.value.message


@pytest.mark.parametrize("events", [False, True])
async def test_sound_that_breaks_off_is_no_whole(
    gateway: Gateway, fake: FakeUpstream, events: bool
) -> None:
    """A client can tell: the connection ends without the end of the body, or an event says so."""
    heard_first = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        first = {"data": {"audio": "0102", "status": 1}, "base_resp": {"status_code": 0}}
        broke = {"base_resp": {"status_code": 1001, "status_msg": "timeout"}}
        await exchange.send(head(200, lines) + chunk(event_bytes(first)))
        await exchange.gate(heard_first)
        await exchange.send(chunk(event_bytes(broke)) + b"0\r\n\r\n")

    fake.handler = handler
    asked = {"model": "minimax-speech-2.6", "input": "Hi.", "voice": "x"}
    asked |= {"stream_format": "sse"} if events else {}
    async with await RawClient.open(gateway.server.port) as client:
        client.send(request(json.dumps(asked).encode(), gateway.key, path="/v1/audio/speech"))
        assert (await client.head()).status == 200
        first = await client.chunk()
        heard_first.set()
        if not events:
            assert first == b"\x01\x02"
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.chunk()
            return
        assert first == b'data: {"type":"speech.audio.delta","audio":"AQI="}\n\n'
        last = await client.chunk()
        assert b'"error"' in last
        assert b"speech.audio.done" not in last


async def test_who_leaves_early_ends_the_providers_work(
    gateway: Gateway, client: AsyncOpenAI, speaks: Speaks, fake: FakeUpstream
) -> None:
    """The provider's connection is closed, and what was said is charged once."""
    speaks.go_on.clear()
    async with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=WORDS, response_format="wav"
    ) as answer:
        async for _ in answer.iter_bytes():
            break
    await asyncio.wait_for(fake.connections[-1].closed.wait(), 5)
    await gateway.idle()
    await gateway.server.store.ledger.flush()
    assert charges(entries(gateway.server.store.database.path)) == [36 * 15_000]


async def test_silence_costs_nothing(gateway: Gateway, fake: FakeUpstream) -> None:
    """A provider that breaks off before its first sound."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "audio/mpeg"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        exchange.close()

    fake.handler = handler
    for model in ("gpt-4o-mini-tts", "tts-1"):
        answer = await said(gateway, {"model": model, "input": WORDS, "voice": "x"})
        assert answer.status == 502, model
    await gateway.idle()
    await gateway.server.store.ledger.flush()
    rows = entries(gateway.server.store.database.path)
    assert [one for one in charges(rows) if one] == []
    assert sum(row["held"] for row in rows) == 0


async def test_half_an_answer_costs_half_its_time(gateway: Gateway, fake: FakeUpstream) -> None:
    """Where time has a price, what was heard is charged and no more."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "audio/mpeg"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(sounds.mp3(115)))
        exchange.close()

    fake.handler = handler
    asked = {"model": "gpt-4o-mini-tts", "input": "word " * 500, "voice": "x"}
    answer = await said(gateway, asked)
    assert (answer.status, answer.clean) == (200, False)
    await gateway.idle()
    await gateway.server.store.ledger.flush()
    made = charges(entries(gateway.server.store.database.path))
    assert made == [pytest.approx(750_000, rel=0.02)]
