"""Cohere: its own v2 wire for conversations, and embeddings in OpenAI's form.

The native wire says what the host's OpenAI-compatible one cannot: thinking, top-k, citations.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.sdk import (
    Adapter,
    Call,
    Credential,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    invalid,
)
from gateway.sdk.talk import Wire
from providers_plugins.causes import EXHAUSTED, POLICY, by_code
from providers_plugins.cohere_answers import ChatReader, bad_answer, embedding_usage, read_answer
from providers_plugins.cohere_requests import build_chat

_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_MOST = 96  # texts in one request

fault = by_code({"402": EXHAUSTED, "498": POLICY})


class _Meta(msgspec.Struct):
    billed_units: msgspec.Raw = msgspec.Raw()


class _Embedded(msgspec.Struct):
    embeddings: dict[str, list[msgspec.Raw]] | list[msgspec.Raw]
    meta: _Meta | None = None


def build_embeddings(call: Call, credential: Credential) -> UpstreamRequest:
    """Texts, and what they are for: the client's own `input_type`, or the route's option."""
    body = call.body
    given = body.value("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise invalid("This model embeds texts, not tokens.", "input")
    if len(texts) > _MOST:
        raise invalid(f"This model embeds at most {_MOST} texts in one request.", "input")
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


def parse_embeddings(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The vectors as they came, in OpenAI's list."""
    del status, headers
    try:
        said = msgspec.json.decode(body, type=_Embedded)
    except _BAD:
        raise bad_answer() from None
    vectors = said.embeddings
    if isinstance(vectors, dict):
        vectors = next(iter(vectors.values()), [])
    usage = embedding_usage(b"" if said.meta is None else bytes(said.meta.billed_units))
    data = [
        {"object": "embedding", "index": place, "embedding": vector}
        for place, vector in enumerate(vectors)
    ]
    told = {"object": "list", "data": data, "model": call.upstream, "usage": _shown(usage)}
    return Reply(msgspec.json.encode(told), usage)


def _shown(usage: Usage | None) -> dict[str, int]:
    tokens = 0 if usage is None else usage.input
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def probe(call: Call, credential: Credential) -> UpstreamRequest:
    """The list of models."""
    url = call.base_url + (call.upstream or "/v1/models?page_size=1")
    return UpstreamRequest("GET", url, bearer(credential))


WIRE = Wire(build=build_chat, read=read_answer, reader=ChatReader, fault=fault)

ADAPTER = Adapter(
    "cohere",
    operations={
        "embeddings": Operation(build=build_embeddings, parse=parse_embeddings, fault=fault)
    },
    wire=WIRE,
    probe=probe,
)
