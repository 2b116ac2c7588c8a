"""POST embeddings, straight through."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from gateway.schemas.chat import Count, Text, text_or_list


class EmbeddingRequest(Struct):
    """The known fields of an embedding call. It never streams."""

    model: Text
    input: Raw
    dimensions: Count | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    stream: Literal[False] | None = None
    stream_options: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None

    def __post_init__(self) -> None:
        text_or_list(self.input, "input")


decoder = msgspec.json.Decoder(EmbeddingRequest)
