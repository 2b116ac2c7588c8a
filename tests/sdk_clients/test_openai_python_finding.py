"""Embeddings, moderations and ranks through the SDK; every priced route charged to the nanodollar.

The routes are the shipped catalog's, each before its provider's own wire.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from struct import pack
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from gateway.catalog.load import load
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import charges, entries
from tests.sdk_clients.hearing_stage import ROOT, shipped, wav

KINDS = ("embedding", "moderation", "rerank", "transcription")
CATALOG = load(ROOT / "catalog.yaml", {})
ROUTES = {
    slug: route
    for slug, route in CATALOG.routes.items()
    if route.model.kind in KINDS and not route.price.unpriced
}
MINUTE = wav(60_000)


@pytest.fixture
async def gateway(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, text=shipped(fake.url)) as served:
        yield served


def vector(text: str) -> list[float]:
    return [0.5, float(text)]


def answer_of(path: str, body: Any) -> Any:
    """What each provider answers on its own wire: a text is a token, and so is a document."""
    texts = body.get("input", body.get("texts"))
    if path.endswith("/moderations"):
        return {"id": "modr-1", "model": "omni", "results": [{"flagged": True, "categories": {}}]}
    if path.endswith("rerank"):
        ranks = [{"index": n, "relevance_score": 0.5} for n in range(len(body["documents"]))]
        return {"id": "r", "results": ranks, "meta": {"billed_units": {"search_units": 2}}}
    if path.endswith("reranks"):
        ranks = [{"index": 0, "relevance_score": 0.5}]
        return {"id": "r", "results": ranks, "usage": {"total_tokens": 20_000}}
    if path.endswith("/v2/embed"):
        assert body["embedding_types"] == ["base64"]  # which the SDK asks for by itself
        packed = [b64encode(pack("<2f", *vector(it))).decode() for it in texts]
        units = {"input_tokens": len(texts)}
        return {"embeddings": {"base64": packed}, "meta": {"billed_units": units}}
    if path.endswith(":batchEmbedContents"):
        given = [one["content"]["parts"][0]["text"] for one in body["requests"]]
        return {"embeddings": [{"values": vector(it)} for it in given],
                "usageMetadata": {"promptTokenCount": len(given)}}  # fmt: skip
    if path.endswith(":predict"):
        return {"predictions": [{"embeddings": {"values": vector(it["content"]),
                                                "statistics": {"token_count": 1}}}
                                for it in body["instances"]]}  # fmt: skip
    if path.endswith("/invoke"):
        return {"embedding": vector(body["inputText"]), "inputTextTokenCount": 1}
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": n, "embedding": vector(it)}
                for n, it in enumerate(texts)]  # fmt: skip
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return {"object": "list", "data": data, "model": "m", "usage": usage}
    if path.endswith("/chat/completions"):
        return {"choices": [{"message": {"content": "hi"}}],
                "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11,
                          "seconds": 30}}  # fmt: skip
    raise AssertionError(path)


async def answers(exchange: Exchange) -> None:
    """Any provider's answer to what it is asked."""
    request = exchange.request
    path = request.path.partition("?")[0]
    answer: Any = {"text": "hi"}
    if path.endswith(":generateContent"):
        sound = {"modality": "AUDIO", "tokenCount": 1_920}
        usage = {"promptTokenCount": 1_940, "candidatesTokenCount": 10, "totalTokenCount": 1_950,
                 "promptTokensDetails": [sound]}  # fmt: skip
        said = {"content": {"parts": [{"text": "hi"}]}, "finishReason": "STOP"}
        answer = {"candidates": [said], "usageMetadata": usage}
    elif not (request.header("Content-Type") or "").startswith("multipart/"):
        try:
            answer = answer_of(path, request.json())
        except BaseException:
            exchange.cut()  # or the call would wait for an answer
            raise
    await exchange.send_json(200, answer)


async def spend(client: AsyncOpenAI, slug: str, kind: str) -> None:
    """One call of a route's kind: two texts, 150 documents, a minute of sound."""
    if kind == "embedding":
        made = await client.embeddings.create(model=slug, input=["1", "2"])
        assert [one.embedding for one in made.data] == [[0.5, 1.0], [0.5, 2.0]]
    elif kind == "moderation":
        moderated = await client.moderations.create(model=slug, input="x")
        assert moderated.results[0].flagged
    elif kind == "rerank":
        body = {"model": slug, "query": "q", "documents": ["d"] * 150}
        ranked: Any = await client.post("/rerank", body=body, cast_to=object)
        assert ranked["results"][0] == {"index": 0, "relevance_score": 0.5}
    else:
        heard = await client.audio.transcriptions.create(model=slug, file=("a.wav", MINUTE))
        assert heard.text == "hi"


# In nanodollars: two tokens of input, two searches, a minute, or what is said beside it.
COSTS = {
    "text-embedding-3-small": 40,
    "text-embedding-3-large": 260,
    "gemini-embedding-001": 300,
    "vertex-gemini-embedding-001": 300,
    "text-embedding-v4": 140,
    "embed-v4.0": 240,
    "bedrock-titan-embed-text-v2": 40,
    "omni-moderation-latest": 0,
    "rerank-v3.5": 4_000_000,
    "rerank-v4.0-pro": 5_000_000,
    "rerank-v4.0-fast": 4_000_000,
    "qwen3-rerank": 2_000_000,  # 20,000 tokens
    "gpt-4o-transcribe": 6_000_000,
    "whisper-1": 6_000_000,
    "groq-whisper-large-v3-turbo": 667_000,
    "groq-whisper-large-v3": 1_850_000,
    "glm-asr-2512": 2_400_000,
    "qwen3-asr-flash": 1_050_000,  # half a minute by the provider's own count
    "gemini-3-flash-transcribe": 1_960_000,  # 1,920 tokens of sound, 20 of words, 10 of text
}


async def test_every_route_reaches_its_wire_at_its_price(
    client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream
) -> None:
    """None answers 501, and each charge is what the catalog says, to the nanodollar."""
    assert set(COSTS) == set(ROUTES)
    fake.handler = answers
    path = gateway.server.store.database.path
    for slug, cost in COSTS.items():
        before = sum(charges(entries(path)))
        await spend(client, slug, ROUTES[slug].model.kind)
        await gateway.idle()
        assert sum(charges(entries(path))) - before == cost, slug


@pytest.mark.parametrize(
    ("slug", "count", "requests"),
    [("text-embedding-v4", 25, 3), ("gemini-embedding-001", 201, 3),
     ("bedrock-titan-embed-text-v2", 40, 40), ("text-embedding-3-small", 300, 1)],
)  # fmt: skip
async def test_as_many_requests_as_it_takes(
    client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream, slug: str, count: int, requests: int
) -> None:
    """The client sees one answer: vectors in their order, one usage, one charge."""
    fake.handler = answers
    made = await client.embeddings.create(model=slug, input=[str(n) for n in range(count)])
    assert [one.index for one in made.data] == list(range(count))
    assert [one.embedding[1] for one in made.data] == list(range(count))
    assert made.usage.total_tokens == count
    assert len(fake.requests) == requests
    assert len({sent.header("Authorization") for sent in fake.requests}) == 1
    await gateway.idle()
    assert len(charges(entries(gateway.server.store.database.path))) == 1


async def test_one_of_many_requests_fails(
    client: AsyncOpenAI, gateway: Gateway, fake: FakeUpstream
) -> None:
    """Then the call has failed, and nothing is charged."""

    async def handler(exchange: Exchange) -> None:
        if "24" in exchange.request.json()["input"]:
            error = {"error": {"message": "no such text", "code": "invalid_parameter"}}
            await exchange.send_json(400, error)
        else:
            await answers(exchange)

    fake.handler = handler
    with pytest.raises(openai.BadRequestError):
        await client.embeddings.create(model="text-embedding-v4", input=[str(n) for n in range(25)])
    await gateway.idle()
    rows = entries(gateway.server.store.database.path)
    assert sum(row["held"] for row in rows) == sum(row["revenue"] for row in rows) == 0


async def test_openais_embeddings_go_through(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Tokens, dimensions and the encoding as they are asked for; the SDK reads base64 by itself."""
    data = [{"object": "embedding", "index": 0, "embedding": "AAAAPwAAgD8="}]
    usage = {"prompt_tokens": 2, "total_tokens": 2}
    answer = {"object": "list", "model": "m", "data": data, "usage": usage}
    fake.handler = lambda exchange: exchange.send_json(200, answer)
    made = await client.embeddings.create(
        model="text-embedding-3-small", input=[1, 2], dimensions=2, user="u"
    )
    assert made.data[0].embedding == [0.5, 1.0]
    assert fake.requests[0].json() == {
        "model": "text-embedding-3-small", "input": [1, 2], "dimensions": 2, "user": "u",
        "encoding_format": "base64",
    }  # fmt: skip
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(model="text-embedding-v4", input=[1, 2])
    assert caught.value.param == "input"


async def test_moderations_without_a_model(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Who names none gets the catalog's first: OpenAI's clients may leave it out."""
    fake.handler = answers
    made = await client.moderations.create(input="x")
    assert made.id == "modr-1"
    assert fake.requests[-1].json()["model"] == "omni-moderation-latest"


async def test_moderations_of_pictures(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Parts go through, and the answer comes back as it was."""
    fake.handler = answers
    parts: Any = [{"type": "text", "text": "x"},
                  {"type": "image_url", "image_url": {"url": "https://h/a.png"}}]  # fmt: skip
    made = await client.moderations.create(model="omni-moderation-latest", input=parts)
    assert made.id == "modr-1"
    assert json.loads(fake.requests[0].body)["input"] == parts


async def test_ranks_with_their_documents(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """One shape; objects with a text, and no more results than asked for."""
    fake.handler = answers
    body = {"model": "rerank-v3.5", "query": "q", "top_n": 1, "return_documents": True,
            "documents": [{"text": "a"}, "b"]}  # fmt: skip
    ranked: Any = await client.post("/rerank", body=body, cast_to=object)
    result = {"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}
    assert ranked == {"id": "r", "model": "rerank-v3.5", "results": [result],
                      "usage": {"search_units": 2}}  # fmt: skip
    assert fake.requests[0].path == "/cohere/v2/rerank"
    assert fake.requests[0].json() == {
        "model": "rerank-v3.5", "query": "q", "top_n": 1, "documents": ["a", "b"],
    }  # fmt: skip
