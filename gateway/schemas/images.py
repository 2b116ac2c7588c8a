"""POST images/generations and images/edits, as JSON or as a form.

What a provider can make (sizes, formats, qualities) is the provider's to judge.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from gateway.errors import invalid
from gateway.schemas.chat import Text

Prompt = Annotated[str, Meta(min_length=1)]
Some = Annotated[int, Meta(ge=1, le=10)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Partial = Annotated[int, Meta(ge=0, le=3)]
_MOST_IMAGES = 16


class ImageRequest(Struct):
    """The known fields of a call for pictures from words."""

    model: Text
    prompt: Prompt
    n: Some | None = None
    size: Text | None = None
    quality: Text | None = None
    response_format: Literal["url", "b64_json"] | None = None
    background: Text | None = None
    output_format: Text | None = None
    output_compression: Percent | None = None
    moderation: Text | None = None
    style: Text | None = None
    user: str | None = None
    stream: bool | None = None
    partial_images: Partial | None = None
    max_cost: str | float | None = None
    fidelity: str | None = None


class EditRequest(ImageRequest):
    """The same, with pictures to begin from: in a form they are files, in JSON addresses."""

    input_fidelity: Text | None = None


class Address(Struct):
    """Where a picture is: an address, which may hold it, or a file that the provider keeps."""

    image_url: Annotated[str, Meta(min_length=1)] | None = None
    file_id: Text | None = None


class JsonEditRequest(EditRequest, kw_only=True):
    """An edit without files."""

    images: Annotated[list[Address], Meta(min_length=1, max_length=_MOST_IMAGES)]
    mask: Address | None = None

    def __post_init__(self) -> None:
        for number, image in enumerate(self.images):
            _one_of(image, f"images[{number}]")
        if self.mask is not None:
            _one_of(self.mask, "mask")


def _one_of(image: Address, name: str) -> None:
    if (image.image_url is None) == (image.file_id is None):
        raise invalid(f"'{name}' needs either 'image_url' or 'file_id'.", name)


decoder = msgspec.json.Decoder(ImageRequest)
edit_decoder = msgspec.json.Decoder(JsonEditRequest)
# The values of a form are all text.
form_decoder = msgspec.json.Decoder(EditRequest, strict=False)
