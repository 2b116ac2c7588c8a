"""Embeddings, ten texts at a time and as lists of numbers; reranking, at an address of its own."""

from __future__ import annotations

from gateway.sdk import Call, Credential, Quirks, UpstreamRequest, adapted, bearer, ranking, vectors
from gateway.sdk.talk import Losses
from providers_plugins.alibaba.chat import fault

_MOST = 10
_COMPATIBLE = "/compatible-mode/v1"
_RERANKS = "/compatible-api/v1/reranks"
_QUIRKS = Quirks(drop=frozenset({"user"}))


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The texts; how their vectors are written is settled here."""
    vectors.texts_of(call)
    losses = Losses()
    body = adapted(call, _QUIRKS, losses).replace({"encoding_format": b'"float"'})
    url = f"{call.base_url}/embeddings"
    return UpstreamRequest("POST", url, bearer(credential), body.raw, adapted=losses.names)


def reranks(call: Call, path: str) -> str:
    """Beside the conversations' path, on the same host."""
    return call.base_url.removesuffix("/").removesuffix(_COMPATIBLE) + path


EMBEDDINGS = vectors.embedding(
    build, vectors.openai_embedded(), most=lambda call: _MOST, fault=fault
)

RERANK = ranking.reranking(
    _RERANKS,
    url=reranks,
    texts=True,
    drop=frozenset({"max_chunks_per_doc", "max_tokens_per_doc", "return_documents"}),
    fault=fault,
)
