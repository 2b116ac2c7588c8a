"""POST videos and videos/generations: the fields the gateway itself reads or vouches for.

Two spellings of one request: the house's (`duration_seconds`, `resolution`, `aspect_ratio`,
`image`) and OpenAI's (`seconds`, `size`, `input_reference`). Adapters understand both. A form's
fields are strings, so numbers and switches may come as such. What a provider offers is its
adapter's to judge.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.schemas.chat import Text

Short = Annotated[str, Meta(max_length=32)]
Words = Annotated[str, Meta(max_length=200_000)]
Seconds = (
    Annotated[float, Meta(gt=0, le=3_600)] | Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,3}$")]
)
Url = Annotated[str, Meta(min_length=1, max_length=2_048)]


class Reference(Struct):
    """A picture by its address, as data, or by a provider's own name for it."""

    url: str | None = None
    image_url: str | dict[str, str] | None = None
    file_id: Annotated[str, Meta(max_length=512)] | None = None


Picture = str | Reference
PICTURES = ("image", "image_url", "input_reference", "last_frame")


class VideoRequest(Struct):
    """The known fields of a call for a video. It never streams."""

    model: Text
    prompt: Words | None = None
    duration_seconds: Seconds | None = None
    duration: Seconds | None = None
    seconds: Seconds | None = None
    size: Short | None = None
    resolution: Short | None = None
    aspect_ratio: Short | None = None
    image: Picture | None = None
    image_url: Picture | None = None
    input_reference: Picture | None = None
    last_frame: Picture | None = None
    negative_prompt: Words | None = None
    seed: int | Short | None = None
    audio: bool | Literal["true", "false"] | None = None
    n: int | None = None
    user: str | None = None
    webhook: Url | None = None
    webhook_url: Url | None = None
    stream: Literal[False] | None = None
    stream_options: None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


decoder = msgspec.json.Decoder(VideoRequest)
form_decoder = msgspec.json.Decoder(VideoRequest, strict=False)
