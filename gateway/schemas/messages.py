"""POST messages and messages/count_tokens: the fields the gateway itself reads or vouches for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.schemas.chat import Count, Message, Text, UsageOptions


class CountRequest(Struct):
    """The known fields of a call that counts its input alone."""

    model: Text
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: Literal[False] | None = None
    tools: list[dict[str, Raw]] | None = None
    tool_choice: dict[str, Raw] | None = None
    thinking: dict[str, Raw] | None = None
    fidelity: str | None = None


class MessagesRequest(Struct):
    """The known fields of a call in the Messages dialect."""

    model: Text
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Count
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1 << 31)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Raw]] | None = None
    tool_choice: dict[str, Raw] | None = None
    thinking: dict[str, Raw] | None = None
    metadata: dict[str, Raw] | None = None
    usage: UsageOptions | None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(MessagesRequest)
count_decoder = msgspec.json.Decoder(CountRequest)
