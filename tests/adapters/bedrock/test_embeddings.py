"""Embeddings: what each family takes, and OpenAI's shape of what it gives."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from gateway.errors import Fault
from gateway.sdk import Answered, Further, Reply
from providers_plugins.bedrock import ADAPTER
from tests.adapters.bedrock.calls import KEY, SIGNING, call

OPERATION = ADAPTER.operations["embeddings"]
TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"


def asked(upstream: str, **said: Any) -> Any:
    return OPERATION.build(call(upstream, {"model": "m", **said}), KEY)


def answered(upstream: str, answer: Any, headers: Any = None, **said: Any) -> Any:
    body = json.dumps(answer).encode()
    return OPERATION.parse(call(upstream, {"model": "m", **said}), 200, headers or {}, body)  # type: ignore[operator]


def test_one_input_a_call_where_the_model_takes_one() -> None:
    request = asked(TITAN, input=["a"], dimensions=256, normalize=False, user="u")
    assert json.loads(request.body) == {"inputText": "a", "dimensions": 256, "normalize": False}
    assert request.url.endswith("/model/amazon.titan-embed-text-v2%3A0/invoke")
    assert request.adapted == ("user",)


def test_more_inputs_are_more_calls_of_that_model() -> None:
    """Each is signed for itself, and the vectors come in the order of the texts."""
    first = asked(TITAN, input=["a", "b", "c"])
    assert json.loads(first.body) == {"inputText": "a"}
    more = answered(TITAN, {"embedding": [1], "inputTextTokenCount": 1}, input=["a", "b", "c"])
    assert isinstance(more, Further)
    requests = [request(SIGNING) for request in more.requests if callable(request)]
    assert [json.loads(one.body) for one in requests] == [{"inputText": "b"}, {"inputText": "c"}]
    assert len({dict(one.headers)["Authorization"] for one in (first, *requests)}) == 3
    brought = [
        Answered(200, {}, json.dumps({"embedding": [n], "inputTextTokenCount": n}).encode())
        for n in (2, 3)
    ]
    reply = more.then(tuple(brought))
    assert isinstance(reply, Reply)
    found = json.loads(reply.body)
    assert [(one["index"], one["embedding"]) for one in found["data"]] == [
        (0, [1]),
        (1, [2]),
        (2, [3]),
    ]
    assert found["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    assert reply.usage is not None
    assert reply.usage.input == 6
    refused = Answered(429, {}, b'{"message":"slow"}')
    with pytest.raises(Fault) as raised:
        more.then((brought[0], refused))
    assert raised.value.kind.status == 429


def test_a_list_where_it_takes_one() -> None:
    request = asked(COHERE, input=["a", "b"], input_type="search_query", dimensions=8)
    assert json.loads(request.body) == {
        "texts": ["a", "b"], "input_type": "search_query", "output_dimension": 8,
    }  # fmt: skip


def test_vectors_of_other_numbers_are_refused_before_they_cost() -> None:
    with pytest.raises(Fault, match="float"):
        asked(COHERE, input="a", embedding_types=["int8"])
    kinds = ["int8", "float"]
    assert (
        json.loads(asked(COHERE, input="a", embedding_types=kinds).body)["embedding_types"] == kinds
    )


@pytest.mark.parametrize("value", [[1, 2], [[1]], [], ["a", 1]])
def test_tokens_are_refused(value: Any) -> None:
    with pytest.raises(Fault) as raised:
        asked(COHERE, input=value)
    assert raised.value.param == "input"


def test_a_model_that_makes_none_is_refused() -> None:
    with pytest.raises(Fault, match="no embeddings"):
        asked("meta.llama3", input="a")


def test_vectors_in_base64() -> None:
    reply = answered(
        TITAN, {"embedding": [0.5, -1], "inputTextTokenCount": 3}, encoding_format="base64"
    )
    found = json.loads(reply.body)
    assert struct.unpack("<2f", base64.b64decode(found["data"][0]["embedding"])) == (0.5, -1.0)
    assert found["model"] == "m"
    assert reply.usage.input == 3


def test_the_count_may_stand_in_a_header_or_be_missing() -> None:
    count = "x-amzn-bedrock-input-token-count"
    assert answered(COHERE, {"embeddings": [[1.0]]}, {count: "4"}).usage.input == 4
    assert answered(COHERE, {"embeddings": [[1.0]]}, {count: "-4"}).usage.problem
    assert answered(COHERE, {"embeddings": [[1.0]]}, {count: '"x\\'}).usage.problem
    assert answered(COHERE, {"embeddings": [[1.0]]}).usage is None


@pytest.mark.parametrize(
    "answer", [{}, [], {"embedding": "x"}, {"embeddings": [[1], ["a"]]}, {"embeddings": {}}]
)
def test_what_is_no_vector_is_a_fault(answer: Any) -> None:
    with pytest.raises(Fault, match="cannot be read"):
        answered(COHERE, answer)


def test_a_number_too_large_for_32_bits_is_a_fault() -> None:
    with pytest.raises(Fault, match="cannot be read"):
        answered(TITAN, {"embedding": [1e300]}, encoding_format="base64")
