"""The official SDK's transcriptions and translations, in every format, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import charges, entries
from tests.sdk_clients.hearing_stage import form_of, says, shipped, wav

SOUND = wav(90_000)
OLD = pytest.mark.filterwarnings(
    "ignore:deprecated:DeprecationWarning"
)  # client.audio.translations
TOKENS = {
    "type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
}  # fmt: skip
SRT = b"1\n00:00:00,000 --> 00:00:01,500\nI see.\n\n"
VTT = b"WEBVTT\n\n00:00.000 --> 00:01.500\nI see.\n"


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=shipped(fake.url)) as served:
        yield served


def last_charge(gateway: Gateway) -> int:
    return charges(entries(gateway.server.store.database.path))[-1]


def answers(body: Any, kind: str = "application/json") -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda exchange: says(exchange, raw, kind)


async def test_json(client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream) -> None:
    """The form arrives whole; tokens are told, and the price by the minute is what was measured."""
    fake.handler = answers({"text": "I see.", "usage": TOKENS})
    made = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe",
        file=("talk.wav", SOUND),
        language="de",
        prompt="Straße",
        temperature=0.2,
        include=["logprobs"],
        chunking_strategy="auto",
    )
    assert made.text == "I see."
    assert made.usage is not None
    assert made.usage.type == "tokens"
    (sent,) = fake.requests
    assert sent.path == "/openai/audio/transcriptions"
    assert dict(form_of(sent)) == {
        "model": b"gpt-4o-transcribe", "language": b"de", "prompt": "Straße".encode(),
        "temperature": b"0.2", "include[]": b"logprobs", "chunking_strategy": b"auto",
        "file": SOUND,
    }  # fmt: skip
    await gateway.idle()
    assert last_charge(gateway) == 9_000_000  # a minute and a half at $0.006


@pytest.mark.parametrize(
    ("wanted", "body", "kind"),
    [("text", b"I see.\n", "text/plain; charset=utf-8"), ("srt", SRT, "text/plain; charset=utf-8"),
     ("vtt", VTT, "text/vtt")],
)  # fmt: skip
async def test_text_and_subtitles(
    client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream, wanted: Any, body: bytes, kind: str
) -> None:
    """They are no JSON and pass as they come; the provider counts nothing."""
    fake.handler = answers(body, kind)
    raw = await client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=("talk.wav", SOUND), response_format=wanted
    )
    made: Any = raw.parse()
    assert made == body.decode()
    assert raw.headers["content-type"] == kind
    await gateway.idle()
    assert last_charge(gateway) == 9_000_000


async def test_verbose_json(client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream) -> None:
    """Words and segments; seconds as the provider counts them are what is charged."""
    fake.handler = answers({
        "task": "transcribe", "language": "english", "duration": 36.7, "text": "I see.",
        "words": [{"word": "I", "start": 0, "end": 0.66}],
        "usage": {"type": "duration", "seconds": 37},
    })  # fmt: skip
    made = await client.audio.transcriptions.create(
        model="whisper-1",
        file=("talk.wav", SOUND),
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert made.words is not None
    assert (made.text, made.words[0].word) == ("I see.", "I")
    parts = form_of(fake.requests[0])
    assert [value for name, value in parts if name == "timestamp_granularities[]"] == [
        b"word", b"segment",
    ]  # fmt: skip
    await gateway.idle()
    assert last_charge(gateway) == 3_700_000


EVENTS = [
    {"type": "transcript.text.delta", "delta": "I "},
    {"type": "transcript.text.delta", "delta": "see."},
    {"type": "transcript.text.done", "text": "I see.", "usage": TOKENS},
]


async def test_a_stream(client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream) -> None:
    """Events as they come, and the charge when they end."""
    fake.handler = lambda exchange: exchange.sse(EVENTS, done=False)
    stream = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("talk.wav", SOUND), stream=True
    )
    seen = [event async for event in stream]
    assert [event.type for event in seen] == [event["type"] for event in EVENTS]
    assert seen[-1].text == "I see."  # type: ignore[union-attr]
    assert dict(form_of(fake.requests[0]))["stream"] == b"true"
    await gateway.idle()
    assert last_charge(gateway) == 9_000_000


async def test_a_stream_that_breaks(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """It does not end as if it were whole."""

    async def handler(exchange: Exchange) -> None:
        await exchange.sse(EVENTS[:1], done=False)
        exchange.close()

    fake.handler = handler
    stream = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe", file=("talk.wav", SOUND), stream=True
    )
    with pytest.raises(openai.APIError):
        async for _ in stream:
            pass


async def test_a_stream_where_there_is_none(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A model that does not stream answers whole, as it does without the gateway."""
    fake.handler = answers({"text": "I see.", "usage": {"type": "duration", "seconds": 90}})
    stream = await client.audio.transcriptions.with_raw_response.create(
        model="whisper-1", file=("talk.wav", SOUND), stream=True
    )
    assert stream.headers["content-type"] == "application/json"
    assert json.loads(await stream.http_response.aread())["text"] == "I see."


@OLD
@pytest.mark.parametrize("wanted", ["json", "text"])
async def test_translations(
    client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream, wanted: Any
) -> None:
    """The same at another path."""
    kind = "application/json" if wanted == "json" else "text/plain"
    body = b'{"text":"I see."}' if wanted == "json" else b"I see."
    fake.handler = answers(body, kind)
    made: Any = await client.audio.translations.create(
        model="groq-whisper-large-v3", file=("talk.mp3", b"ID3"), response_format=wanted
    )
    assert (made if wanted == "text" else made.text) == "I see."
    assert fake.requests[0].path == "/groq/audio/translations"


async def test_diarized_json(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Speakers, and samples of them as data URLs."""
    segment = {"type": "transcript.text.segment", "id": "seg_0", "start": 0, "end": 1,
               "text": "I see.", "speaker": "A"}  # fmt: skip
    fake.handler = answers({"text": "I see.", "task": "transcribe", "duration": 3.7,
                            "segments": [segment], "usage": TOKENS})  # fmt: skip
    made = await client.audio.transcriptions.create(
        model="gpt-4o-transcribe",
        file=("talk.wav", SOUND),
        response_format="diarized_json",
        known_speaker_names=["agent"],
        known_speaker_references=["data:audio/wav;base64,UklG"],
        chunking_strategy={"type": "server_vad", "threshold": 0.5},
    )
    assert made.segments[0].speaker == "A"
    parts = dict(form_of(fake.requests[0]))
    assert parts["known_speaker_names[]"] == b"agent"
    assert parts["chunking_strategy[type]"] == b"server_vad"


@OLD
async def test_gemini_hears_and_translates(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A model for conversations behind the same calls, streamed too."""
    answer = {
        "candidates": [{"content": {"parts": [{"text": "I see."}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 2_930, "candidatesTokenCount": 4,
                          "totalTokenCount": 2_934,
                          "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 2_880}]},
    }  # fmt: skip
    fake.handler = answers(answer)
    made: Any = await client.audio.translations.create(
        model="gemini-3-flash-transcribe", file=("talk.wav", SOUND)
    )
    assert made.text == "I see."
    sent = fake.requests[0].json()
    assert sent["contents"][0]["parts"][1]["inlineData"]["mimeType"] == "audio/wav"
    fake.handler = lambda exchange: exchange.sse([answer], done=False)
    stream = await client.audio.transcriptions.create(
        model="gemini-3-flash-transcribe", file=("talk.wav", SOUND), stream=True
    )
    seen = [event async for event in stream]
    assert seen[-1].text == "I see."  # type: ignore[union-attr]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.audio.transcriptions.create(
            model="gemini-3-flash-transcribe", file=("talk.wav", SOUND), response_format="srt"
        )
    assert caught.value.param == "response_format"
    assert len(fake.requests) == 2


async def test_what_is_wrong_is_named(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The field, or the endpoint that is right; nothing is sent."""
    bad: Any = {"model": "whisper-1", "response_format": "docx"}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.audio.transcriptions.create(file=("a.wav", SOUND), **bad)
    assert caught.value.param == "response_format"
    with pytest.raises(openai.BadRequestError, match="chat/completions"):
        await client.audio.transcriptions.create(model="gpt-4o-mini", file=("a.wav", SOUND))
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post(
            "/audio/transcriptions",
            body={"model": "whisper-1"},
            files={"other": ("a.wav", SOUND)},
            cast_to=object,
            options={"headers": {"Content-Type": "multipart/form-data"}},
        )
    assert caught.value.param == "file"
    assert not fake.requests
