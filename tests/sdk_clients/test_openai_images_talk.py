"""The official SDK's conversations with models of pictures, and pictures of other hosts."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import payer
from tests.sdk_clients import painters
from tests.sdk_clients.painters import B64, PNG, answers, bodies, charged


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=painters.shipped(fake.url), adapter_wait=5.0) as served:
        yield served


ASKED: list[Any] = [{"role": "user", "content": "a cat"}]


@pytest.mark.parametrize(
    ("model", "said", "url", "nanos"),
    [
        ("gpt-image-1", painters.openai(B64), "", 12 * 5_000 + 64 * 10_000 + 120 * 40_000),
        ("gpt-image-2", painters.openai(B64), "", 40_000_000),
        ("nano-banana-2", painters.gemini(), "", 67_000_000),
        ("vertex-imagen-3", painters.imagen(B64), "", 40_000_000),
        ("minimax-image-01", painters.minimax(B64), "", 4_000_000),
        ("cogview-4", painters.zhipu("https://a/1.png"), "https://a/1.png", 50_000_000),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_pictures_in_a_conversation(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream,
    model: str, said: Any, url: str, nanos: int, stream: bool,
) -> None:  # fmt: skip
    """Every model of pictures answers a chat with one, whole or streamed, at its own price."""
    fake.handler = _as_asked(said)
    if stream:
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model=model, messages=ASKED, stream=True
            )
        ]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        images = [one for delta in deltas for one in getattr(delta, "images", None) or ()]
        assert chunks[-1].choices[0].finish_reason == "stop"
    else:
        answer = await client.chat.completions.create(model=model, messages=ASKED)
        images = answer.choices[0].message.images  # type: ignore[attr-defined]
        assert answer.choices[0].finish_reason == "stop"
    assert images == [
        {
            "type": "image_url",
            "image_url": {"url": url or f"data:image/{_kind(model)};base64,{B64}"},
            "index": 0,
        }
    ]
    assert len(fake.requests) == 1
    assert await charged(gateway) == [nanos]


def _kind(model: str) -> str:
    return "jpeg" if model.startswith("minimax") else "png"


def _as_asked(said: Any) -> Any:
    """The answer whole, or as one event where the provider's wire streams; both formats."""

    async def handler(exchange: Exchange) -> None:
        if "stream" in exchange.request.path:
            await exchange.sse([said], done=False)
        else:
            await exchange.send_json(200, said)

    return handler


async def test_a_picture_is_changed_in_a_conversation(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """Pictures in the message make it an edit; in strict mode nothing is left out of it."""
    fake.handler = answers(painters.openai(B64))
    look = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}
    turn: Any = {"role": "user", "content": [{"type": "text", "text": "green"}, look]}
    answer = await client.chat.completions.create(model="gpt-image-1", messages=[turn])
    assert answer.choices[0].message.images  # type: ignore[attr-defined]
    (request,) = fake.requests
    assert request.path == "/openai/images/edits"
    assert request.json()["images"] == [{"image_url": f"data:image/png;base64,{B64}"}]
    before: Any = {"role": "assistant", "content": "which?"}
    with pytest.raises(openai.BadRequestError, match="messages"):
        await client.chat.completions.create(
            model="gpt-image-1", messages=[*ASKED, before, turn], extra_body={"fidelity": "strict"}
        )


async def test_the_size_of_a_picture_in_a_conversation(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """Asked for as other gateways' clients do, and paid for as such."""
    fake.handler = answers(painters.gemini(words="here"))
    answer = await client.chat.completions.create(
        model="nano-banana-pro", messages=ASKED,
        extra_body={"modalities": ["image", "text"], "image_config": {"image_size": "4K"}},
    )  # fmt: skip
    assert answer.choices[0].message.content == "here"
    assert bodies(fake)[0]["generationConfig"] == {
        "responseModalities": ["IMAGE", "TEXT"],
        "imageConfig": {"imageSize": "4K"},
    }
    assert await charged(gateway) == [240_000_000]


async def test_money_is_set_aside_for_all_of_them(gateway: Gateway, fake: FakeUpstream) -> None:
    """What ten pictures may cost must be there; then what came is charged."""
    poor = await payer(gateway.server.store, 100_000_000)
    fake.handler = answers(painters.openai("a"))
    async with AsyncOpenAI(base_url=gateway.base, api_key=poor.secret, max_retries=0) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.images.generate(model="gpt-image-2", prompt="a cat", n=10)
        assert caught.value.status_code == 402
        await client.images.generate(model="gpt-image-2", prompt="a cat", n=2)
    assert await charged(gateway) == [40_000_000]


# --- hosts that are not in the shipped catalog ---


@pytest.fixture
async def compatible(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, fake.url + "/v1") as served:
        yield served


async def test_any_compatible_host(compatible: Gateway, fake: FakeUpstream) -> None:
    """Pictures, edits, streams and conversations, as it says them."""
    async with AsyncOpenAI(base_url=compatible.base, api_key=compatible.key) as client:
        fake.handler = answers({"data": [{"b64_json": B64}]})
        made = await client.images.generate(model="image-slug", prompt="a cat")
        assert made.data is not None
        assert made.data[0].b64_json == B64
        await client.images.edit(model="image-slug", image=PNG, prompt="green")
        stream = await client.images.generate(model="image-slug", prompt="a cat", stream=True)
        assert [event.type async for event in stream] == ["image_generation.completed"]
        answer = await client.chat.completions.create(model="image-slug", messages=ASKED)
        assert answer.choices[0].message.images  # type: ignore[attr-defined]
        fake.handler = answers(400)
        with pytest.raises(openai.BadRequestError):
            await client.images.generate(model="image-slug", prompt="a cat")
    assert [request.path for request in fake.requests] == [
        "/v1/images/generations",
        "/v1/images/edits",
        "/v1/images/generations",
        "/v1/images/generations",
        "/v1/images/generations",
    ]
    assert await charged(compatible) == [40_000_000] * 4 + [0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_host_that_talks_in_pictures(
    tmp_path: Path, fake: FakeUpstream, stream: bool
) -> None:
    """Its own chat is asked; what it does not count is one picture."""
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{B64}"}}
    said = {"role": "assistant", "content": "here", "images": [image]}
    usage = {"prompt_tokens": 9, "completion_tokens": 1120, "total_tokens": 1129}

    async def handler(exchange: Exchange) -> None:
        name = "delta" if stream else "message"
        choice = {"index": 0, name: said, "finish_reason": "stop"}
        body = {"id": "c", "object": "x", "created": 1, "model": "m", "choices": [choice]}
        if stream:
            await exchange.sse([body, {**body, "choices": [], "usage": usage}])
        else:
            await exchange.send_json(200, {**body, "usage": usage})

    fake.handler = handler
    async with (
        running(tmp_path, fake.url + "/v1", adapter="openrouter") as served,
        AsyncOpenAI(base_url=served.base, api_key=served.key) as client,
    ):
        if stream:
            chunks = await client.chat.completions.create(
                model="image-slug", messages=ASKED, stream=True
            )
            first, *_ = [chunk async for chunk in chunks]
            assert first.choices[0].delta.images == [image]  # type: ignore[attr-defined]
        else:
            answer = await client.chat.completions.create(model="image-slug", messages=ASKED)
            assert answer.choices[0].message.images == [image]  # type: ignore[attr-defined]
        assert fake.requests[0].path == "/v1/chat/completions"
        assert await charged(served) == [40_000_000]


async def test_an_edit_in_json_of_files(tmp_path: Path, fake: FakeUpstream) -> None:
    """A host that takes no forms gets the same files in base64."""
    fake.handler = answers({"data": [{"url": "https://a/1.jpeg"}]})
    async with (
        running(tmp_path, fake.url + "/v1", adapter="xai") as served,
        AsyncOpenAI(base_url=served.base, api_key=served.key) as client,
    ):
        made = await client.images.edit(model="image-slug", image=PNG, prompt="green")
        assert made.data is not None
        assert made.data[0].url == "https://a/1.jpeg"
        (image,) = fake.requests[0].json()["images"]
        assert base64.b64decode(image["url"].partition(",")[2]) == PNG
        assert await charged(served) == [40_000_000]


async def test_words_alone_are_no_picture(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    """A model that answers with a question has made nothing that has a price."""
    said = painters.gemini(words="which cat?")
    said["candidates"][0]["content"]["parts"].pop()
    fake.handler = answers(said)
    answer = await client.chat.completions.create(model="nano-banana", messages=ASKED)
    assert answer.choices[0].message.content == "which cat?"
    assert await charged(gateway) == [0]


async def test_money_for_a_picture_in_a_conversation(gateway: Gateway, fake: FakeUpstream) -> None:
    """It is there before the provider is asked, streamed or not."""
    poor = await payer(gateway.server.store, 30_000_000)
    async with AsyncOpenAI(base_url=gateway.base, api_key=poor.secret, max_retries=0) as client:
        for model in ("gpt-image-2", "nano-banana-pro", "vertex-imagen-3"):
            for stream in (False, True):
                with pytest.raises(openai.APIStatusError) as caught:
                    await client.chat.completions.create(model=model, messages=ASKED, stream=stream)
                assert caught.value.status_code == 402
    assert fake.requests == []


@pytest.mark.parametrize("model", ["nano-banana-pro", "gpt-image-2"])
async def test_a_large_picture_in_a_stream(
    gateway: Gateway, client: AsyncOpenAI, fake: FakeUpstream, model: str
) -> None:
    """Megabytes in one event are neither cut nor taken for a long answer."""
    large = "A" * (3 << 20)
    fake.handler = _as_asked(
        painters.gemini(large) if model.startswith("nano") else painters.openai(large)
    )
    stream = await client.chat.completions.create(
        model=model, messages=ASKED, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    (image,) = [one for delta in deltas for one in getattr(delta, "images", None) or ()]
    assert image["image_url"]["url"].endswith(large)
    assert chunks[-1].usage is not None
    assert await charged(gateway) == [134_000_000 if model.startswith("nano") else 40_000_000]
