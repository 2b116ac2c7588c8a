"""POST completions: the old text endpoint, straight through."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.schemas.chat import Count, StreamOptions, Text, UsageOptions, text_or_list


class CompletionRequest(Struct):
    """The known fields of a text completion."""

    model: Text
    prompt: Raw
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=0, le=1 << 31)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    best_of: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    usage: UsageOptions | None = None
    max_cost: str | float | None = None
    fidelity: str | None = None

    def __post_init__(self) -> None:
        text_or_list(self.prompt, "prompt")


decoder = msgspec.json.Decoder(CompletionRequest)
