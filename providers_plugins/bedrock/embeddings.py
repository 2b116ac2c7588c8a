"""Embeddings in OpenAI's shape, from models that each have a shape of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from gateway.sdk import Call, Credential, UpstreamRequest, Usage, invalid, vectors
from providers_plugins.bedrock import faults
from providers_plugins.bedrock.endpoint import written
from providers_plugins.bedrock.lenient import Raw, items, members, number, text, value

_COUNT = "x-amzn-bedrock-input-token-count"
_OURS = frozenset({
    "dimensions", "encoding_format", "input", "max_cost", "model", "stream", "stream_options",
    "user",
})  # fmt: skip
_MOST_COHERE = 96


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The request of the model's family."""
    inputs = vectors.texts_of(call)
    said = _family(call.upstream)(call, inputs)
    said |= {
        name: Raw(call.body.get(name) or b"null") for name in call.body.names() if name not in _OURS
    }
    request = written(call, credential, "invoke", msgspec.json.encode(said))
    lost = tuple(name for name in ("user",) if value(call.body.get(name)) is not None)
    return structs.replace(request, translated=True, adapted=lost)


def read(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> vectors.Embedded:
    """The vectors in their order, each number as the provider wrote it."""
    del status
    found = members(body)
    return vectors.Embedded(
        _vectors(found), _usage(found, headers), text(call.body.get("model")) or ""
    )


def most(call: Call) -> int:
    """How many texts the model's family takes at once."""
    return _MOST_COHERE if "cohere." in call.upstream else 1


def _titan(call: Call, inputs: list[str]) -> dict[str, Any]:
    return {"inputText": inputs[0], **_sized(call, "dimensions")}


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
            "text": {"truncationMode": "NONE", "value": inputs[0]},
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
        return [found["embedding"]]
    given = found.get("embeddings")
    listed = items(given) or items(members(given).get("float"))
    return [members(item).get("embedding", item) for item in listed]


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


EMBEDDINGS = vectors.embedding(build, read, most=most, fault=faults.fault)
