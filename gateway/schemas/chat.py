"""POST chat/completions: the fields the gateway itself reads or vouches for.

All others pass through unread. Ranges that differ between providers are the provider's to judge.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from gateway.errors import invalid

Count = Annotated[int, Meta(ge=1, le=1 << 31)]
Text = Annotated[str, Meta(min_length=1, max_length=512)]


def text_or_list(raw: Raw, name: str) -> None:
    """A field that may be large is checked by its first byte alone."""
    if bytes(memoryview(raw)[:1]) not in (b'"', b"["):
        raise invalid(f"'{name}' must be a string or an array.", name)


class StreamOptions(Struct):
    """Of the stream's options only this one matters to the gateway."""

    include_usage: bool | None = None


class UsageOptions(Struct):
    """`usage: {include: true}`: the client wants to see what the call cost."""

    include: bool | None = None


class Part(Struct, gc=False):
    """A content part or a tool says what it is; no more is decoded, so none costs memory."""

    type: str


class Message(Struct, gc=False):
    """A message has a role; what else it holds is between client and provider."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[Part] | None = None


class ChatRequest(Struct):
    """The known fields of a chat call."""

    model: Text
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    stop: str | list[str] | None = None
    seed: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    tools: list[Part] | None = None
    tool_choice: str | dict[str, Raw] | None = None
    response_format: dict[str, Raw] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    parallel_tool_calls: bool | None = None
    user: str | None = None
    usage: UsageOptions | None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(ChatRequest)
