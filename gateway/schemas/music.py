"""POST music/generations: the fields the gateway itself reads or vouches for."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from gateway.schemas.chat import Text
from gateway.schemas.videos import Seconds, Short, Url, Words


class MusicRequest(Struct):
    """The known fields of a call for music. It never streams."""

    model: Text
    prompt: Words | None = None
    lyrics: Words | None = None
    duration_seconds: Seconds | None = None
    duration: Seconds | None = None
    seconds: Seconds | None = None
    format: Short | None = None
    response_format: Short | None = None
    instrumental: bool | Literal["true", "false"] | None = None
    negative_prompt: Words | None = None
    seed: int | Short | None = None
    user: str | None = None
    webhook: Url | None = None
    webhook_url: Url | None = None
    stream: Literal[False] | None = None
    stream_options: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(MusicRequest)
