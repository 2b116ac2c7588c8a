"""Embeddings of hosts with limits: split, joined, and in the encoding that was asked for."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.money.checks import problem_of
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter, Answered, Call, Further, JsonBody, Reply, UpstreamRequest, vectors
from providers_plugins.alibaba import ADAPTER as ALIBABA
from providers_plugins.bedrock import ADAPTER as BEDROCK
from providers_plugins.cohere import ADAPTER as COHERE
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.zhipu import ADAPTER as ZHIPU
from tests.adapters.hearing_calls import KEY


def call(model: str = "up", **members: Any) -> Call:
    body = JsonBody.parse(json.dumps({"model": "m", **members}).encode())
    return Call("embeddings", model, "https://h.example/compatible-mode/v1", body)


def built(adapter: Adapter, asked: Call) -> UpstreamRequest:
    return adapter.operations["embeddings"].build(asked, KEY)


def openai_answer(body: dict[str, Any]) -> dict[str, Any]:
    given = body["input"]
    texts = [given] if isinstance(given, str) else given
    data = [
        {"object": "embedding", "index": place, "embedding": [len(text), int(text)]}
        for place, text in reversed(list(enumerate(texts)))
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return {"object": "list", "data": data, "model": "up", "usage": usage}


def cohere_answer(body: dict[str, Any]) -> dict[str, Any]:
    vectors = [[len(text), int(text)] for text in body["texts"]]
    units = {"input_tokens": len(vectors)}
    return {"embeddings": {"float": vectors}, "meta": {"billed_units": units}}


def studio_answer(body: dict[str, Any]) -> dict[str, Any]:
    texts = [one["content"]["parts"][0]["text"] for one in body["requests"]]
    counts = {"promptTokenCount": len(texts), "totalTokenCount": len(texts)}
    return {
        "embeddings": [{"values": [len(it), int(it)]} for it in texts],
        "usageMetadata": counts,
    }


def cloud_answer(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "predictions": [
            {"embeddings": {"values": [len(it["content"]), int(it["content"])],
                            "statistics": {"token_count": 1}}}
            for it in body["instances"]
        ]
    }  # fmt: skip


def titan_answer(body: dict[str, Any]) -> dict[str, Any]:
    text = body["inputText"]
    return {"embedding": [len(text), int(text)], "inputTextTokenCount": 1}


HOSTS: dict[str, tuple[Adapter, str, int, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "alibaba": (ALIBABA, "text-embedding-v4", 10, openai_answer),
    "zhipu": (ZHIPU, "embedding-3", 64, openai_answer),
    "cohere": (COHERE, "embed-v4.0", 96, cohere_answer),
    "studio": (GOOGLE, "gemini-embedding-001", 100, studio_answer),
    "cloud": (VERTEX, "text-embedding-005", 250, cloud_answer),
    "cloud, one": (VERTEX, "gemini-embedding-001", 1, cloud_answer),
    "titan": (BEDROCK, "amazon.titan-embed-text-v2:0", 1, titan_answer),
}


def embed(name: str, texts: list[str], **members: Any) -> tuple[dict[str, Any], Any, int]:
    """The whole answer, what it used, and how many requests it took."""
    adapter, model, _, answer = HOSTS[name]
    operation = adapter.operations["embeddings"]
    asked = call(model, input=texts, **members)
    parse = operation.parse
    assert callable(parse)

    def ask(request: UpstreamRequest) -> bytes:
        return json.dumps(answer(json.loads(request.body))).encode()

    requests = 1
    made = parse(asked, 200, {}, ask(operation.build(asked, KEY)))
    while isinstance(made, Further):
        assert len(made.requests) <= 32
        requests += len(made.requests)
        brought = [ask(one(KEY)) for one in made.requests if callable(one)]
        made = made.then(tuple(Answered(200, {}, body) for body in brought))
    assert isinstance(made, Reply)
    return json.loads(made.body), made.usage, requests


@pytest.mark.parametrize("name", HOSTS)
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_around_the_limit(name: str, over: int) -> None:
    """Vectors in the order of their texts, one usage for all."""
    most = HOSTS[name][2]
    texts = [str(n) for n in range(max(1, 2 * most + over))]
    told, usage, requests = embed(name, texts)
    assert requests == -(-len(texts) // most)
    assert [one["index"] for one in told["data"]] == list(range(len(texts)))
    assert [one["embedding"][1] for one in told["data"]] == list(range(len(texts)))
    assert told["usage"] == {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    assert usage.input == len(texts)
    assert problem_of(usage) == ""


@given(st.integers(1, 400), st.sampled_from(sorted(HOSTS)))
def test_any_number_of_texts(count: int, name: str) -> None:
    """However many there are: as many vectors."""
    told, usage, _ = embed(name, [str(n) for n in range(count)], encoding_format="base64")
    unpacked = [struct.unpack("<2f", base64.b64decode(it["embedding"])) for it in told["data"]]
    assert [int(one[1]) for one in unpacked] == list(range(count))
    assert usage.input == count


def test_more_than_openai_takes_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(Fault) as caught:
        built(ALIBABA, call(input=["1"] * 2_049))
    assert (caught.value.kind.status, caught.value.param) == (400, "input")
    assert len(json.loads(built(ALIBABA, call(input=["1"] * 2_048)).body)["input"]) == 10


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "titan"])
@pytest.mark.parametrize("bad", [[1, 2], [[1], [2]], ["a", 1] * 300, [], None, 7])
def test_tokens_are_refused(name: str, bad: Any) -> None:
    """They are another vocabulary's."""
    adapter, model, _, _ = HOSTS[name]
    with pytest.raises(Fault) as caught:
        built(adapter, call(model, input=bad))
    assert (caught.value.kind.status, caught.value.param) == (400, "input")


def test_what_is_sent_for_one_request() -> None:
    """Dimensions go on; the encoding is settled here; the rest is untouched."""
    asked = call(input=["1"], dimensions=64, encoding_format="base64", user="u", odd=1)
    sent = built(ALIBABA, asked)
    assert json.loads(sent.body) == {
        "model": "up", "input": ["1"], "dimensions": 64, "encoding_format": "float", "odd": 1,
    }  # fmt: skip
    assert sent.adapted == ("user",)
    sent = built(ZHIPU, asked)
    assert json.loads(sent.body) == {
        "model": "up", "input": ["1"], "dimensions": 64, "user_id": "u", "odd": 1,
    }  # fmt: skip
    assert sent.adapted == ()


def test_numbers_keep_their_spelling() -> None:
    """As the host wrote them, when numbers were asked for."""
    parse = ALIBABA.operations["embeddings"].parse
    assert callable(parse)
    body = b'{"data":[{"index":0,"embedding":[4.6e-05, 1,-0.10]}],"model":"text-embedding-v4"}'
    reply = parse(call(input="x"), 200, {}, body)
    assert isinstance(reply, Reply)
    assert b'"embedding":[4.6e-05, 1,-0.10]' in reply.body
    assert b'"model":"text-embedding-v4"' in reply.body
    assert reply.usage is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data":[]}',
        b'{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]}]}',
        b'{"data":[{"index":0,"embedding":["x"]}]}',
        b'{"data":[{"index":0,"embedding":"\xff"}]}',
        b'{"data":[{"index":0,"embedding":"no base64!"}]}',
        b'{"data":[{"index":0,"embedding":[1e300, 1e400]}]}',
    ],
)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_hostile_answers(body: bytes, encoding: str) -> None:
    """They are the provider's failures: also too many vectors, or too few."""
    parse = ALIBABA.operations["embeddings"].parse
    assert callable(parse)
    with pytest.raises(Fault) as caught:
        parse(call(input="x", encoding_format=encoding), 200, {}, body)
    assert caught.value.kind is UPSTREAM_ERROR


def test_a_failure_among_further_requests_is_the_calls() -> None:
    """By its own status; and without a usage from each, none is told."""
    asked = call(input=[str(n) for n in range(20)])
    operation = ALIBABA.operations["embeddings"]
    assert callable(operation.parse)
    body = json.dumps(openai_answer({"input": [str(n) for n in range(10)]})).encode()
    more = operation.parse(asked, 200, {}, body)
    assert isinstance(more, Further)
    refused = b'{"error":{"code":"Arrearage","message":"m"}}'
    with pytest.raises(Fault) as caught:
        more.then((Answered(400, {}, refused),))
    assert caught.value.cause == "credential_exhausted"
    uncounted = body.replace(b'"usage"', b'"usage_"')
    reply = more.then((Answered(200, {}, uncounted),))
    assert isinstance(reply, Reply)
    assert reply.usage is None


def test_totals_alone_are_input() -> None:
    """As hosts tell them that count embeddings only."""
    assert vectors.total_usage(b'{"total_tokens":7}').input == 7
    assert vectors.total_usage(b'{"total_tokens":-7}').problem
    assert vectors.total_usage(b'{"prompt_tokens":3,"total_tokens":3}').input == 3
