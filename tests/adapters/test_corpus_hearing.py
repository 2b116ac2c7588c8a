"""Recorded transcripts, embeddings, ranks and moderations, read beside a plain reading of them."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.core.money.checks import problem_of
from gateway.sdk import Adapter, Call, JsonBody, Reply, vectors
from providers_plugins import mistral, openrouter
from providers_plugins.cohere import ADAPTER as COHERE
from providers_plugins.compatible import GENERIC
from providers_plugins.openai import ADAPTER as OPENAI
from tests import recorded
from tests.adapters.hearing_calls import KEY, answered, heard

pytestmark = recorded.needs_corpus

ADAPTERS: dict[str, Adapter] = {
    "openai": OPENAI,
    "mistral": mistral.ADAPTER,
    "openrouter": openrouter.ADAPTER,
    "cohere": COHERE,
}
EARS = ("openai", "mistral", "openrouter", "cohere", "venice")
RANKS = ("cohere", "llamacpp", "openrouter", "together", "voyage")
VECTORS = ("azure", "llamacpp", "mistral", "openai", "openrouter", "venice", "voyage")


def cases(providers: tuple[str, ...], operation: str) -> Any:
    return recorded.parameters(
        [case for provider in providers for case in recorded.cases(provider, operation)]
    )


def adapter_of(case: Path) -> Adapter:
    return ADAPTERS.get(case.parts[-3], GENERIC)


@cases(EARS, "transcription")
def test_transcripts(case: Path) -> None:
    """The text, and what it took by tokens or by seconds."""
    raw = recorded.response_file(case).read_bytes()
    said = json.loads(raw)
    told, usage = answered(adapter_of(case), heard(), raw)
    assert told["text"] == said["text"]
    counted = said.get("usage") or {}
    seconds = counted.get("seconds") or counted.get("prompt_audio_seconds") or said.get("duration")
    if not counted and seconds is None:
        assert usage is None
        return
    assert usage is not None
    assert problem_of(usage) == ""
    sound = counted.get("prompt_tokens_details", {}).get("audio_tokens", 0)
    assert usage.input == counted.get("input_tokens", counted.get("prompt_tokens", 0) + sound)
    assert usage.input + usage.output == counted.get("total_tokens", 0)
    assert usage.output == counted.get("output_tokens", counted.get("completion_tokens", 0))
    assert usage.milliseconds == round((seconds or 0) * 1000)


@cases(RANKS, "rerank")
def test_ranks(case: Path) -> None:
    """The same results in one shape."""
    said = json.loads(recorded.response_file(case).read_bytes())
    results = said.get("results") or said["data"]
    asked = {"model": "m", "query": "q", "documents": ["d"] * 100, "return_documents": True}
    body = JsonBody.parse(json.dumps(asked).encode())
    parse = adapter_of(case).operations["rerank"].parse
    assert callable(parse)
    reply = parse(Call("rerank", "up", "https://h", body), 200, {}, json.dumps(said).encode())
    assert isinstance(reply, Reply)
    told = json.loads(reply.body)
    assert told["results"] == [
        {"index": it["index"], "relevance_score": it["relevance_score"], "document": {"text": "d"}}
        for it in results
    ]
    counted = said.get("usage") or {}
    taken = counted.get("prompt_tokens", counted.get("total_tokens"))
    assert (reply.usage.input if reply.usage else None) == taken
    assert told["usage"].get("total_tokens") == taken


@cases(VECTORS, "embeddings")
def test_vectors(case: Path) -> None:
    """Number by number, and as 32-bit floats in base64."""
    raw = recorded.response_file(case).read_bytes()
    said = json.loads(raw)
    read = vectors.openai_embedded(vectors.total_usage)
    operation = vectors.embedding(OPENAI.operations["embeddings"].build, read, most=lambda _: 9)
    assert callable(operation.parse)
    given = ["t"] * len(said["data"])
    packed = isinstance(said["data"][0]["embedding"], str)
    for encoding in ("base64",) if packed else ("base64", "float"):
        asked = {"model": "m", "input": given, "encoding_format": encoding}
        body = JsonBody.parse(json.dumps(asked).encode())
        reply = operation.parse(Call("embeddings", "up", "https://h", body), 200, {}, raw)
        assert isinstance(reply, Reply)
        told = json.loads(reply.body)
        for it, there in zip(told["data"], said["data"], strict=True):
            if encoding == "float" or packed:
                assert it["embedding"] == there["embedding"]
            else:
                data = base64.b64decode(it["embedding"])
                found = struct.unpack(f"<{len(data) // 4}f", data)
                assert list(found) == pytest.approx(there["embedding"], abs=1e-6)
        counted = said["usage"]
        assert reply.usage is not None
        assert reply.usage.input == counted.get("prompt_tokens", counted["total_tokens"])
        assert problem_of(reply.usage) == ""


@cases(("openai",), "moderations")
def test_moderations(case: Path) -> None:
    """The request goes through but for the model, and so does the answer."""
    asked = JsonBody.parse((case / "request.json").read_bytes())
    operation = OPENAI.operations["moderations"]
    sent = operation.build(Call("moderations", "omni", "https://h", asked), KEY)
    assert json.loads(sent.body) == {**json.loads(asked.raw), "model": "omni"}
    assert sent.url == "https://h/moderations"
    assert not callable(operation.parse)
    assert operation.fault_in(recorded.response_file(case).read_bytes()) is None
