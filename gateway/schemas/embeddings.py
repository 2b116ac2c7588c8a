"""POST embeddings, straight through."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from gateway.schemas.chat import Count, Text


class EmbeddingRequest(Struct):
    """The known fields of an embedding call. It never streams."""

    model: Text
    input: str | list[Any]
    dimensions: Count | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    stream: Literal[False] | None = None
    stream_options: None = None


decoder = msgspec.json.Decoder(EmbeddingRequest)
