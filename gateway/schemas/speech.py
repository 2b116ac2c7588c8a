"""POST audio/speech: the fields that the gateway itself reads or vouches for."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.schemas.chat import Text


class Voice(Struct):
    """A voice of the client's own."""

    id: Text


class SpeechRequest(Struct):
    """The known fields of a call for speech. How long it may be is the provider's to judge."""

    model: Text
    input: Annotated[str, Meta(min_length=1, max_length=100_000)]
    voice: Text | Voice | None = None
    instructions: str | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4)] | None = None
    stream_format: Literal["audio", "sse"] | None = None
    stream: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(SpeechRequest)
