"""Embeddings: OpenAI's request to either home, and what is refused or named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.core.money.checks import problem_of
from gateway.domain import Credential
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter, Call, Reply, UpstreamRequest
from providers_plugins.google import GOOGLE, VERTEX

BASE = {
    "google": "https://generativelanguage.googleapis.com/v1beta",
    "vertex": "https://aiplatform.googleapis.com/v1",
}
KEY = Credential("c", {"api_key": "AIzaCanary"})
LOGGED_IN = Credential("c", {"access_token": "t", "project": "p"})


def call(adapter: Adapter, model: str, **members: Any) -> Call:
    body = JsonBody.parse(json.dumps({"model": "x", **members}).encode())
    return Call("embeddings", model, BASE[adapter.name], body)


def sent(adapter: Adapter, model: str = "gemini-embedding-001", **members: Any) -> UpstreamRequest:
    credential = KEY if adapter is GOOGLE else LOGGED_IN
    return adapter.operations["embeddings"].build(call(adapter, model, **members), credential)


def parsed(body: Any, **members: Any) -> Reply:
    operation = GOOGLE.operations["embeddings"]
    assert callable(operation.parse)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return operation.parse(call(GOOGLE, "m", **members), 200, {}, raw)


def test_many_texts_at_the_studio() -> None:
    """One request for each, with the settings in every one."""
    request = sent(
        GOOGLE, input=["a", "b"], dimensions=8, task_type="CLUSTERING", encoding_format="base64"
    )
    assert request.url == f"{BASE['google']}/models/gemini-embedding-001:batchEmbedContents"
    assert dict(request.headers)["x-goog-api-key"] == "AIzaCanary"
    shared = {"outputDimensionality": 8, "taskType": "CLUSTERING"}
    assert json.loads(request.body) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                **shared,
            }
            for text in ("a", "b")
        ]
    }
    assert request.adapted == ()


def test_what_does_not_arrive_is_named() -> None:
    """The user, and what only the other home knows."""
    request = sent(GOOGLE, input="a", user="u", auto_truncate=False, odd=1)
    assert request.adapted == ("user", "auto_truncate", "odd")
    assert b"runcate" not in request.body
    assert sent(VERTEX, input="a", user="u", auto_truncate=False).adapted == ("user",)


def test_many_texts_at_the_cloud() -> None:
    """Instances, with what is shared beside them."""
    model = "text-embedding-005"
    request = sent(VERTEX, model, input=["a", "b"], dimensions=8, title="t", auto_truncate=False)
    assert request.url.endswith(f"/publishers/google/models/{model}:predict")
    assert json.loads(request.body) == {
        "instances": [{"content": "a", "title": "t"}, {"content": "b", "title": "t"}],
        "parameters": {"outputDimensionality": 8, "autoTruncate": False},
    }
    assert json.loads(sent(VERTEX, input="a").body) == {"instances": [{"content": "a"}]}


def test_newer_models_of_the_cloud_take_one_text() -> None:
    """At a method of their own; the others follow in requests of theirs."""
    model = "gemini-embedding-2-preview"
    request = sent(VERTEX, model, input=["a"], dimensions=8)
    assert request.url.endswith(f"/{model}:embedContent")
    assert json.loads(request.body) == {
        "content": {"parts": [{"text": "a"}]},
        "embedContentConfig": {"outputDimensionality": 8},
    }
    assert sent(VERTEX, model, input=["a", "b"], dimensions=8) == request
    older = sent(VERTEX, "gemini-embedding-001", input=["a", "b"])
    assert json.loads(older.body) == {"instances": [{"content": "a"}]}


@pytest.mark.parametrize("given", [[1, 2], [[1], [2]], [], ["a", 1], 7, None, {}])
@pytest.mark.parametrize("adapter", [GOOGLE, VERTEX], ids=["google", "vertex"])
def test_tokens_are_refused(adapter: Adapter, given: Any) -> None:
    """They are another vocabulary's, and mean nothing here."""
    with pytest.raises(Fault) as caught:
        sent(adapter, input=given)
    assert (caught.value.kind.status, caught.value.param) == (400, "input")


def test_numbers_keep_their_spelling() -> None:
    """As the provider wrote them; without its count, none is claimed."""
    reply = parsed(b'{"embeddings":[{"values":[4.6e-05, 1,-0.10]},{"values":[]}]}')
    assert b'"embedding":[4.6e-05, 1,-0.10]' in reply.body
    assert reply.usage is None
    assert "usage" not in json.loads(reply.body)
    one = parsed({"embedding": {"values": [1.0]}, "usageMetadata": {"promptTokenCount": 4}})
    assert json.loads(one.body)["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert one.usage is not None
    assert (one.usage.input, one.usage.output) == (4, 0)


@pytest.mark.parametrize("count", ["4", True, -1, 1.5, 1e300, None, [], float("inf")])
def test_impossible_counts_are_a_problem(count: Any) -> None:
    """The vectors arrive, and the gateway counts for itself."""
    vectors = [{"embeddings": {"values": [1.0], "statistics": {"token_count": it}}}
               for it in (4.0, count)]  # fmt: skip
    body = json.dumps({"predictions": vectors}).replace("Infinity", "1e400").encode()
    try:
        reply = parsed(body)
    except Fault as fault:
        assert b"1e400" in body, fault  # noqa: PT017 - no float at all
        return
    assert reply.usage is not None
    assert problem_of(reply.usage)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"embeddings":[]}',
        b'{"embeddings":[{}]}',
        b'{"embeddings":[{"values":"x"}]}',
        b'{"embeddings":[{"values":[null]}]}',
        b'{"embeddings":[{"values":[1,"x"]}]}',
        b'{"predictions":[{"embeddings":7}]}',
        b'{"embeddings":' + b"[" * 100_000,
        b"\xff",
        b'{"error":{"code":500,"message":"m"}}',
    ],
    ids=range(13),
)
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_hostile_answers(body: bytes, encoding: str) -> None:
    """They are the provider's failures."""
    with pytest.raises(Fault) as caught:
        parsed(body, encoding_format=encoding)
    assert caught.value.kind is UPSTREAM_ERROR


def test_a_number_too_large_for_the_encoding() -> None:
    """It cannot be packed; as text it can be told."""
    body = {"embeddings": [{"values": [1e300]}]}
    assert b"1e+300" in parsed(body).body or b"1e300" in parsed(body).body
    with pytest.raises(Fault):
        parsed(body, encoding_format="base64")
