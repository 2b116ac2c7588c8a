"""Embeddings: OpenAI's wire, 64 texts at a time, as lists of numbers alone."""

from __future__ import annotations

from gateway.sdk import (
    Call,
    Credential,
    Quirks,
    UpstreamRequest,
    adapted,
    bearer,
    openai_usage,
    vectors,
)
from gateway.sdk.talk import Losses
from providers_plugins.zhipu.chat import fault, fault_in

_MOST = 64
_QUIRKS = Quirks(rename={"user": "user_id"})


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The texts; how their vectors are written is settled here."""
    vectors.texts_of(call)
    losses = Losses()
    body = adapted(call, _QUIRKS, losses).replace({"encoding_format": None})
    url = f"{call.base_url}/embeddings"
    return UpstreamRequest("POST", url, bearer(credential), body.raw, adapted=losses.names)


EMBEDDINGS = vectors.embedding(
    build, vectors.openai_embedded(openai_usage, fault_in), most=lambda call: _MOST, fault=fault
)
