"""The official Python SDK, unmodified, against the gateway in front of a scripted provider."""

from __future__ import annotations

import asyncio
import base64
import struct
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, catalog_text, running
from tests.sdk_clients.openai_scripts import (
    HELLO,
    USAGE,
    ask,
    completion,
    delta,
    says,
    streams,
    usage_event,
)


async def test_a_plain_call(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Text, usage and the request's id come through."""
    fake.handler = says(completion({"content": "hello"}))
    answer = await ask(client)
    assert answer.choices[0].message.content == "hello"
    assert answer.usage.total_tokens == 12
    assert answer._request_id.startswith("req_")


async def test_the_other_base_url(gateway: Gateway, fake: FakeUpstream) -> None:
    """/api/gateway serves the same SDK, and the sync client as well as the async one."""
    fake.handler = says(completion({"content": "hello"}))

    def call() -> str | None:
        with OpenAI(base_url=gateway.root + "/api/gateway", api_key=gateway.key) as client:
            made = client.chat.completions.create(model="fake-slug", messages=HELLO)
            return made.choices[0].message.content

    assert await asyncio.to_thread(call) == "hello"


async def test_a_stream(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Chunks come in order; the usage chunk only to who asked."""
    events = [delta({"role": "assistant", "content": ""}), delta({"content": "a"}),
              delta({"content": "b"}), delta({}, "stop"), usage_event()]  # fmt: skip
    fake.handler = streams(*events)
    seen = [part async for part in await ask(client, stream=True)]
    assert "".join(part.choices[0].delta.content or "" for part in seen) == "ab"
    assert all(part.usage is None for part in seen)
    asked = await ask(client, stream=True, stream_options={"include_usage": True})
    seen = [part async for part in asked]
    assert seen[-1].usage.total_tokens == 12


async def test_the_streaming_helper(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """`chat.completions.stream` assembles the final completion."""
    fake.handler = streams(
        delta({"role": "assistant", "content": "he"}), delta({"content": "llo"}),
        delta({}, "stop"), usage_event(),
    )  # fmt: skip
    options: Any = {"include_usage": True}
    async with client.chat.completions.stream(
        model="fake-slug", messages=HELLO, stream_options=options
    ) as stream:
        kinds = [item.type async for item in stream]
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content == "hello"
    assert final.usage is not None


async def test_completions(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The old endpoint works, streamed and not."""
    body = {"id": "x", "object": "text_completion", "created": 1, "model": "m"}
    choice = {"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": None}
    fake.handler = says({**body, "choices": [choice], "usage": USAGE})
    answer = await client.completions.create(model="fake-slug", prompt="is it")
    assert answer.choices[0].text == "yes"
    fake.handler = streams({**body, "choices": [choice]})
    stream = await client.completions.create(model="fake-slug", prompt="is it", stream=True)
    assert [part.choices[0].text async for part in stream] == ["yes"]


async def test_embeddings(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The SDK's own base64 form decodes to the floats that were sent."""
    vector = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    item = {"object": "embedding", "index": 0, "embedding": vector}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    fake.handler = says({"object": "list", "model": "m", "data": [item], "usage": usage})
    answer = await client.embeddings.create(model="embed-slug", input="x")
    assert answer.data[0].embedding == [0.5, -1.0, 2.0]
    assert fake.requests[0].json()["encoding_format"] == "base64"


async def test_real_vectors(tmp_path: Any) -> None:
    """Base64 and plain floats are the same vector, for each of several inputs in order."""
    text = catalog_text("http://127.0.0.1:9/v1").replace(
        "embed-slug: {provider: fake", "embed-slug: {provider: sim"
    )
    async with (
        running(tmp_path, text=text) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
    ):
        asked: Any = {"model": "embed-slug", "input": ["a", "b"], "dimensions": 64}
        first = await client.embeddings.create(**asked)
        plain = await client.embeddings.create(**asked, encoding_format="float")
    assert [item.index for item in first.data] == [0, 1]
    for packed, floats in zip(first.data, plain.data, strict=True):
        assert len(packed.embedding) == 64
        assert packed.embedding == pytest.approx(floats.embedding, abs=1e-6)
    assert first.data[0].embedding != first.data[1].embedding


async def test_models(client: AsyncOpenAI) -> None:
    """List and retrieve, ids with slashes included."""
    listed = [model.id async for model in client.models.list()]
    assert {"fake-slug", "echo"} <= set(listed)
    assert (await client.models.retrieve("fake-slug")).owned_by == "Fake"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("a/b")


async def test_ids_with_slashes(tmp_path: Any) -> None:
    """A model whose id holds a slash is listed, retrieved and called by it."""
    text = catalog_text("http://127.0.0.1:9/v1").replace("routes: {echo:", 'routes: {"us/echo":')
    async with (
        running(tmp_path, text=text) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
    ):
        assert "us/echo" in [model.id async for model in client.models.list()]
        assert (await client.models.retrieve("us/echo")).id == "us/echo"
        assert (await ask(client, model="us/echo")).choices[0].message.content == "hi"


async def test_extra_fields(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """What the SDK sends beside its own fields reaches the provider."""
    fake.handler = says(completion({"content": "x"}))
    await ask(client, extra_body={"top_k": 4, "nested": {"a": [1]}}, logit_bias={"1": 2})
    sent = fake.requests[0].json()
    assert (sent["top_k"], sent["nested"], sent["logit_bias"]) == (4, {"a": [1]}, {"1": 2})


async def test_the_offline_model(client: AsyncOpenAI) -> None:
    """`echo` answers without any provider, streamed or not, and misbehaves on request."""
    answer = await ask(client, model="echo", messages=[{"role": "user", "content": "one two"}])
    assert answer.choices[0].message.content == "one two"
    parts = [p async for p in await ask(client, model="echo", stream=True)]
    assert "".join(p.choices[0].delta.content or "" for p in parts) == "hi"
    with pytest.raises(openai.RateLimitError):
        await ask(client.with_options(max_retries=0), model="echo",
                  extra_body={"sim": {"status": 429}})  # fmt: skip
    with pytest.raises(openai.APIError):  # noqa: PT012 - the loop is what raises
        stream = await ask(client, model="echo", stream=True,
                           extra_body={"sim": {"tokens": 9, "cut": 3, "pace": 0.001}})  # fmt: skip
        async for _ in stream:
            pass


@pytest.mark.parametrize("base", ["/v1", "/api/gateway", "/api/gateway/v1"])
async def test_every_base_url(gateway: Gateway, fake: FakeUpstream, base: str) -> None:
    """Each surface serves the SDK, plain and streamed, with the same classes of errors."""
    async with AsyncOpenAI(base_url=gateway.root + base, api_key=gateway.key) as client:
        fake.handler = says(completion({"content": "hello"}))
        assert (await ask(client)).choices[0].message.content == "hello"
        fake.handler = streams(delta({"content": "a"}), delta({}, "stop"))
        parts = [part async for part in await ask(client, stream=True)]
        assert parts[0].choices[0].delta.content == "a"
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(client, model="nope")
        assert str(caught.value.code).lower() == "model_not_found"
        assert caught.value.type == "not_found_error"


async def test_the_sync_client(gateway: Gateway, fake: FakeUpstream) -> None:
    """Streams, the helper and errors in the synchronous client."""
    fake.handler = streams(
        delta({"role": "assistant", "content": "a"}), delta({"content": "b"}), delta({}, "stop")
    )

    def call() -> tuple[str, str | None]:
        with OpenAI(base_url=gateway.base, api_key=gateway.key) as client:
            made = client.chat.completions.create(model="fake-slug", messages=HELLO, stream=True)
            text = "".join(part.choices[0].delta.content or "" for part in made)
            with client.chat.completions.stream(model="fake-slug", messages=HELLO) as stream:
                final = stream.get_final_completion().choices[0].message.content
            with pytest.raises(openai.NotFoundError):
                client.models.retrieve("nope")
            return text, final

    assert await asyncio.to_thread(call) == ("ab", "ab")


async def test_raw_responses_and_headers(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The raw response shows our request id; a client's own headers stop at the gateway."""
    fake.handler = says(completion({"content": "x"}), 200, ("x-ratelimit-limit-requests", "7"))
    mine = client.with_options(default_headers={"X-Mine": "secret"})
    raw = await mine.chat.completions.with_raw_response.create(model="fake-slug", messages=HELLO)
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    assert raw.headers["x-gateway-route"] == "fake-slug"
    assert "x-ratelimit-limit-requests" not in raw.headers
    assert raw.parse().choices[0].message.content == "x"
    assert fake.requests[0].header("X-Mine") is None
    assert fake.requests[0].header("Authorization") == "Bearer sk-upstream-secret-0001"
