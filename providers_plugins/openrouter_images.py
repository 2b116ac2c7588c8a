"""OpenRouter's pictures: one path for making and editing, always in base64."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import structs

from gateway.sdk import Call, Credential, Operation, UpstreamRequest, bearer, invalid, painting
from gateway.sdk.talk import Losses

_GIVEN = ("image", "images", "mask", "stream", "partial_images", "response_format")


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    if painting.wish_of(call).partial:
        losses.lose("partial_images")
    changes: dict[str, bytes | None] = {name: None for name in _GIVEN if name in call.body}
    changes["model"] = msgspec.json.encode(call.upstream)
    if call.operation == "image_edits":
        changes["input_references"] = msgspec.json.encode(_references(call))
    body = call.body.replace(changes)
    request = painting.pictures_request(
        call, f"{call.base_url}/images", bearer(credential), msgspec.Raw(body.raw), losses
    )
    return structs.replace(request, translated=False)


def _references(call: Call) -> list[dict[str, object]]:
    if painting.references(call, "mask"):
        raise invalid("This provider edits without a mask: say in the prompt what changes.", "mask")
    given = painting.references(call)
    if not given:
        raise invalid("'image' is required: the picture to edit.", "image")
    return [{"type": "image_url", "image_url": {"url": address}} for address in given]


IMAGES: Mapping[str, Operation] = {
    name: painting.picture_operation(_build, streams=False, forms=False)
    for name in ("images", "image_edits")
}
