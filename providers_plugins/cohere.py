"""Cohere: its own v2 wire for conversations, embeddings in OpenAI's form, and reranking.

The native wire says what the host's OpenAI-compatible one cannot: thinking, top-k, citations.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.sdk import (
    Adapter,
    Call,
    Credential,
    UpstreamRequest,
    bearer,
    hearing,
    ranking,
    vectors,
)
from gateway.sdk.talk import Wire
from providers_plugins.causes import EXHAUSTED, POLICY, by_code
from providers_plugins.cohere_answers import ChatReader, bad_answer, embedding_usage, read_answer
from providers_plugins.cohere_requests import build_chat

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MOST = 96  # texts in one request
_SEARCHED = 100  # documents in what is billed as one search
_UNRANKED = frozenset({"max_chunks_per_doc", "return_documents"})
_UNHEARD = frozenset({
    "chunking_strategy", "include", "known_speaker_names", "known_speaker_references", "prompt",
    "stream", "timestamp_granularities",
})  # fmt: skip

fault = by_code({"402": EXHAUSTED, "498": POLICY})


class _Meta(msgspec.Struct):
    billed_units: msgspec.Raw = msgspec.Raw()


class _Embedded(msgspec.Struct):
    embeddings: dict[str, list[msgspec.Raw]] | list[msgspec.Raw]
    meta: _Meta | None = None


def build_embeddings(call: Call, credential: Credential) -> UpstreamRequest:
    """Texts, and what they are for: the client's own `input_type`, or the route's option."""
    body = call.body
    texts = vectors.texts_of(call)
    purpose = body.value("input_type") or call.options.get("input_type", "search_document")
    form = "base64" if body.value("encoding_format") == "base64" else "float"
    ask: dict[str, object] = {
        "model": call.upstream,
        "texts": texts,
        "input_type": purpose,
        "embedding_types": [form],
    }
    if body.value("dimensions") is not None:
        ask["output_dimension"] = body.value("dimensions")
    known = {"model", "input", "input_type", "encoding_format", "dimensions", "user"}
    for name in body.names():
        if name not in known:
            ask[name] = msgspec.Raw(body.get(name) or b"null")
    return UpstreamRequest(
        method="POST",
        url=f"{call.base_url}/v2/embed",
        headers=bearer(credential),
        body=msgspec.json.encode(ask),
        adapted=("user",) if "user" in body else (),
    )


def read_embeddings(
    call: Call, status: int, headers: Mapping[str, str], body: bytes
) -> vectors.Embedded:
    """The vectors as they came: as numbers, or in base64 where that was asked for."""
    del call, status, headers
    try:
        said = msgspec.json.decode(body, type=_Embedded)
    except _BAD:
        raise bad_answer() from None
    found = said.embeddings
    if isinstance(found, dict):
        found = next(iter(found.values()), [])
    usage = embedding_usage(b"" if said.meta is None else bytes(said.meta.billed_units))
    return vectors.Embedded(found, usage)


def probe(call: Call, credential: Credential) -> UpstreamRequest:
    """The list of models."""
    url = call.base_url + (call.upstream or "/v1/models?page_size=1")
    return UpstreamRequest("GET", url, bearer(credential))


WIRE = Wire(build=build_chat, read=read_answer, reader=ChatReader, fault=fault)

ADAPTER = Adapter(
    "cohere",
    operations={
        "embeddings": vectors.embedding(
            build_embeddings, read_embeddings, most=lambda call: _MOST, fault=fault
        ),
        "rerank": ranking.reranking(
            "/v2/rerank", texts=True, searched=_SEARCHED, drop=_UNRANKED, fault=fault
        ),
        "transcriptions": hearing.heard("/v2/audio/transcriptions", drop=_UNHEARD, fault=fault),
    },
    wire=WIRE,
    probe=probe,
)
