"""POST rerank, in the shape that hosts of such models share."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from gateway.schemas.chat import Count, Text


class RerankRequest(Struct):
    """The known fields: what is looked for, and what is put in order by how near it comes."""

    model: Text
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | dict[str, Any]], Meta(min_length=1, max_length=10_000)]
    top_n: Count | None = None
    return_documents: bool | None = None
    max_chunks_per_doc: Count | None = None
    max_tokens_per_doc: Count | None = None
    stream: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(RerankRequest)
