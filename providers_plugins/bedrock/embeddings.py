"""Embeddings in OpenAI's shape, from models that each have a shape of their own."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from gateway.sdk import (
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    invalid,
)
from providers_plugins.bedrock import faults
from providers_plugins.bedrock.endpoint import written
from providers_plugins.bedrock.lenient import Raw, items, members, number, text, value

_COUNT = "x-amzn-bedrock-input-token-count"
_OURS = frozenset({
    "dimensions", "encoding_format", "input", "max_cost", "model", "stream", "stream_options",
    "user",
})  # fmt: skip
_VECTOR = msgspec.json.Decoder(list[float])


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The request of the model's family."""
    inputs = _inputs(call)
    said = _family(call.upstream)(call, inputs)
    said |= {
        name: Raw(call.body.get(name) or b"null") for name in call.body.names() if name not in _OURS
    }
    request = written(call, credential, "invoke", msgspec.json.encode(said))
    lost = tuple(name for name in ("user",) if value(call.body.get(name)) is not None)
    return structs.replace(request, translated=True, adapted=lost)


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The vectors in their order, each number as the provider wrote it."""
    found = members(body)
    vectors = _vectors(found)
    if not vectors:
        raise Fault(
            UPSTREAM_ERROR, "The provider's answer cannot be read.", cause="unreadable_answer"
        )
    usage = _usage(found, headers)
    packed = text(call.body.get("encoding_format")) == "base64"
    answer = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _packed(vector) if packed else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": value(call.body.get("model")),
        "usage": {
            "prompt_tokens": usage.input if usage else 0,
            "total_tokens": usage.input if usage else 0,
        },
    }
    return Reply(msgspec.json.encode(answer), usage)


def _inputs(call: Call) -> list[str]:
    found = value(call.body.get("input"))
    inputs = [found] if isinstance(found, str) else found
    if not isinstance(inputs, list) or not all(isinstance(item, str) for item in inputs):
        raise invalid("This model embeds text: 'input' may not be a list of tokens.", "input")
    if not inputs:
        raise invalid("'input' is empty.", "input")
    return inputs


def _single(call: Call, inputs: list[str]) -> str:
    if len(inputs) > 1:
        raise invalid(
            "This model takes one input per call: send each text in a call of its own.", "input"
        )
    return inputs[0]


def _titan(call: Call, inputs: list[str]) -> dict[str, Any]:
    return {"inputText": _single(call, inputs), **_sized(call, "dimensions")}


def _cohere(call: Call, inputs: list[str]) -> dict[str, Any]:
    kinds = value(call.body.get("embedding_types"))
    if kinds is not None and (not isinstance(kinds, list) or "float" not in kinds):
        raise invalid("'embedding_types' must hold 'float' here.", "embedding_types")
    return {
        "texts": inputs,
        "input_type": "search_document",
        **_sized(call, "output_dimension"),
    }


def _nova(call: Call, inputs: list[str]) -> dict[str, Any]:
    return {
        "taskType": "SINGLE_EMBEDDING",
        "singleEmbeddingParams": {
            "embeddingPurpose": "GENERIC_INDEX",
            **_sized(call, "embeddingDimension"),
            "text": {"truncationMode": "NONE", "value": _single(call, inputs)},
        },
    }


def _sized(call: Call, name: str) -> dict[str, Any]:
    wanted = value(call.body.get("dimensions"))
    return {} if wanted is None else {name: wanted}


def _family(upstream: str) -> Callable[[Call, list[str]], dict[str, Any]]:
    for mark, family in (("titan", _titan), ("cohere.", _cohere), ("nova", _nova)):
        if mark in upstream:
            return family
    raise invalid("This model makes no embeddings here.", "model")


def _vectors(found: dict[str, Raw]) -> list[Raw]:
    """Titan's one vector; Cohere's list, or its lists by type; Nova's list of objects."""
    if "embedding" in found:
        return _sound([found["embedding"]])
    given = found.get("embeddings")
    listed = items(given) or items(members(given).get("float"))
    return _sound([members(item).get("embedding", item) for item in listed])


def _sound(vectors: list[Raw]) -> list[Raw]:
    """The vectors if all of them are lists of numbers."""
    try:
        for vector in vectors:
            _VECTOR.decode(vector)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return vectors


def _packed(vector: Raw) -> str:
    """A vector as OpenAI's clients like it: 32-bit floats in base64."""
    numbers = _VECTOR.decode(vector)
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except OverflowError:
        raise Fault(
            UPSTREAM_ERROR, "The provider's vector cannot be read.", cause="unreadable_answer"
        ) from None


def _usage(found: dict[str, Raw], headers: Mapping[str, str]) -> Usage | None:
    """The count stands in the answer, or in a header."""
    raw = found.get("inputTextTokenCount")
    said = headers.get(_COUNT) if raw is None else bytes(raw).decode("utf-8", "replace")
    if said is None:
        return None
    counted = number(said.encode())
    usage = msgspec.json.encode({"inputTextTokenCount": said if counted is None else counted})
    problem = "'inputTextTokenCount' is not a count" if counted is None else ""
    return Usage(input=counted or 0, raw=usage, problem=problem)


EMBEDDINGS = Operation(build=build, parse=parse, fault=faults.fault)
