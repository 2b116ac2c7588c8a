"""POST audio/transcriptions and audio/translations: forms, whose values are all text."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.schemas.chat import Text

Format = Literal["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]


class TranscriptionRequest(Struct):
    """The known fields; the file itself comes beside them."""

    model: Text
    language: str | None = None
    prompt: str | None = None
    response_format: Format | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    timestamp_granularities: list[Literal["word", "segment"]] | None = None
    include: list[str] | None = None
    chunking_strategy: str | None = None
    known_speaker_names: list[str] | None = None
    known_speaker_references: list[str] | None = None
    stream: bool | None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(TranscriptionRequest, strict=False)
