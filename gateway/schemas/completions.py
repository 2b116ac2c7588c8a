"""POST completions: the old text endpoint, straight through."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.errors import invalid
from gateway.schemas.chat import Count, StreamOptions, Text, UsageOptions, text_or_list

_MOST_PROMPTS = 2_048
_list = msgspec.json.Decoder(list[Raw])


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

    def prompts(self) -> int:
        """How many prompts it holds, each of which has answers of its own."""
        raw = bytes(memoryview(self.prompt))
        if raw[:1] == b'"' or raw[1:].lstrip()[:1] not in (b'"', b"["):  # a text, or its tokens
            return 1
        given = len(_list.decode(raw))
        if given > _MOST_PROMPTS:
            raise invalid(f"'prompt' may hold {_MOST_PROMPTS} prompts at most.", "prompt")
        return given


decoder = msgspec.json.Decoder(CompletionRequest)
