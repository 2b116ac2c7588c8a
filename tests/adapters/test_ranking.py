"""Reranking: one shape of answers, whatever shape a host has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk import Adapter, Call, JsonBody, Reply, Usage
from providers_plugins import openrouter
from providers_plugins.alibaba import ADAPTER as ALIBABA
from providers_plugins.cohere import ADAPTER as COHERE
from providers_plugins.compatible import GENERIC, VLLM
from tests.adapters.hearing_calls import KEY

DOCUMENTS = ["bears", {"text": "pandas"}, "cars"]
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.25}]


def call(**members: Any) -> Call:
    asked = {"model": "m", "query": "q", "documents": DOCUMENTS, **members}
    body = JsonBody.parse(json.dumps(asked).encode())
    base = "https://h.example/compatible-mode/v1"
    return Call("rerank", "up", base, body, id="req_1")


def ranked(said: Any, adapter: Adapter = GENERIC, **members: Any) -> tuple[Any, Usage | None]:
    parse = adapter.operations["rerank"].parse
    assert callable(parse)
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    reply = parse(call(**members), 200, {}, body)
    assert isinstance(reply, Reply)
    return json.loads(reply.body), reply.usage


def test_hosts_are_asked_in_their_words() -> None:
    """Texts alone where they take no objects, at their own paths, and what they lack is named."""
    members = {"top_n": 2, "return_documents": True, "max_chunks_per_doc": 3}
    sent = COHERE.operations["rerank"].build(call(**members), KEY)
    assert sent.url == "https://h.example/compatible-mode/v1/v2/rerank"
    assert json.loads(sent.body) == {
        "model": "up", "query": "q", "documents": ["bears", "pandas", "cars"], "top_n": 2,
    }  # fmt: skip
    assert sent.adapted == ("max_chunks_per_doc",)
    sent = ALIBABA.operations["rerank"].build(call(**members), KEY)
    assert sent.url == "https://h.example/compatible-api/v1/reranks"
    assert sent.adapted == ("max_chunks_per_doc",)
    for adapter in (GENERIC, VLLM, openrouter.ADAPTER):
        sent = adapter.operations["rerank"].build(call(**members), KEY)
        assert sent.url == "https://h.example/compatible-mode/v1/rerank"
        asked = {"model": "up", "query": "q", "documents": DOCUMENTS, **members}
        assert json.loads(sent.body) == asked
        assert dict(sent.headers)["Authorization"] == "Bearer sk-secret"
        assert sent.adapted == ()


def test_a_document_that_is_no_text_is_refused_where_texts_are_due() -> None:
    """By its place."""
    with pytest.raises(Fault) as caught:
        COHERE.operations["rerank"].build(call(documents=["a", {"title": "x"}]), KEY)
    assert (caught.value.kind.status, caught.value.param) == (400, "documents[1]")


@pytest.mark.parametrize(
    "said",
    [
        {"results": RESULTS},
        {"data": RESULTS, "object": "list"},
        {"results": RESULTS[::-1]},
        {"results": [{"index": one["index"], "score": one["relevance_score"]} for one in RESULTS]},
        {"results": [{**one, "document": {"text": "other"}} for one in RESULTS]},
    ],
)
def test_one_shape(said: Any) -> None:
    """The best first; the documents are the client's own, if it wants them back."""
    told, usage = ranked(said)
    assert told == {"id": "req_1", "model": "up", "results": RESULTS, "usage": {}}
    assert usage is None
    told, _ = ranked(said, return_documents=True)
    shown = [one["document"] for one in told["results"]]
    assert shown == [{"text": "pandas"}, {"text": "bears"}]
    assert [one["index"] for one in ranked(said, top_n=1)[0]["results"]] == [1]


@pytest.mark.parametrize(
    ("more", "tokens", "told"),
    [
        ({"usage": {"prompt_tokens": 55, "total_tokens": 55}}, 55, {}),
        ({"usage": {"total_tokens": 43}}, 43, {}),
        ({"usage": {"total_tokens": 17, "cost": 3.4e-7}}, 17, {}),
        ({"meta": {"billed_units": {"search_units": 3}}}, None, {"search_units": 3}),
        ({"meta": {"billed_units": {"search_units": 2, "input_tokens": 9.0}}}, 9,
         {"search_units": 2}),
    ],
)  # fmt: skip
def test_what_was_taken(more: dict[str, Any], tokens: int | None, told: dict[str, Any]) -> None:
    """Tokens where they are told; units are shown."""
    answer, usage = ranked({"id": "i", "model": "x", "results": RESULTS, **more})
    assert (answer["id"], answer["model"]) == ("i", "x")
    assert usage is not None
    assert (usage.input, usage.problem) == (tokens or 0, "")
    assert usage.requests == told.get("search_units", 0)
    if tokens is not None:
        told = {**told, "prompt_tokens": tokens, "total_tokens": tokens}
    assert answer["usage"] == told


@pytest.mark.parametrize("tokens", ["55", -1, 1.5, True, []])
def test_impossible_counts_are_a_problem(tokens: Any) -> None:
    """They are not charged by."""
    _, usage = ranked({"results": RESULTS, "usage": {"total_tokens": tokens}})
    assert usage is not None
    assert usage.problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"results":[{"index":3,"relevance_score":1}]}',
        b'{"results":[{"index":-1,"relevance_score":1}]}',
        b'{"results":[{"index":0}]}',
        b'{"results":[{"relevance_score":1}]}',
        b'{"results":7}',
        b'{"error":{"message":"m","code":"x"}}',
    ],
)
def test_hostile_answers(body: bytes) -> None:
    """They are the provider's failures: a place that no document has is one."""
    with pytest.raises(Fault) as caught:
        ranked(body)
    assert caught.value.kind is UPSTREAM_ERROR


def test_a_long_list_is_several_searches() -> None:
    """Where a host bills it so; as many are set aside."""
    expects = COHERE.operations["rerank"].expects
    assert expects is not None
    counts = [expects(call(documents=["d"] * many)).requests for many in (1, 100, 101, 250)]
    assert counts == [1, 1, 2, 3]
