"""MiniMax's pictures: a shape or exact pixels, as addresses or in base64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from gateway.sdk import (
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    JsonBody,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    invalid,
    painting,
)
from gateway.sdk.talk import Losses
from providers_plugins.minimax.chat import fault, fault_in

_MOST = 9
_LEAST_SIDE, _LONGEST_SIDE = 512, 2048
_OWN = (
    "aspect_ratio",
    "width",
    "height",
    "seed",
    "prompt_optimizer",
    "aigc_watermark",
    "subject_reference",
)


class _Data(Struct):
    image_urls: list[str] | None = None
    image_base64: list[str] | None = None


class _Answer(Struct):
    data: _Data | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = painting.wish_of(call)
    painting.refuse_transparent(wish)
    if wish.count > _MOST:
        raise invalid(f"This model makes at most {_MOST} pictures a call.", "n")
    body: dict[str, Any] = {"model": call.upstream, "prompt": wish.prompt, "n": wish.count}
    body["response_format"] = "base64" if _in_base64(call) else "url"
    body |= _size(wish.sized)
    for name in _OWN:
        if call.body.get(name) not in (None, b"null"):
            body[name] = call.body.value(name)
    painting.lose_others(call, losses, ("size", *_OWN))
    return painting.pictures_request(
        call, f"{call.base_url}/image_generation", bearer(credential), body, losses
    )


def _in_base64(call: Call) -> bool:
    return call.stream or painting.wish_of(call).response_format == "b64_json"


def _size(size: str) -> dict[str, Any]:
    if not size:
        return {}
    if painting.is_shape(size):
        return {"aspect_ratio": size}
    pixels = painting.pixels_of(size) or (0, 0)
    if any(not _LEAST_SIDE <= side <= _LONGEST_SIDE or side % 8 for side in pixels):
        raise invalid(
            f"This model makes no picture of '{size[:40]}': each side has {_LEAST_SIDE} to "
            f"{_LONGEST_SIDE} pixels, in eights.",
            "size",
        )
    return {"width": pixels[0], "height": pixels[1]}


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    del status, headers
    told = fault_in(body)
    if told is not None:
        raise told
    try:
        data = _decode(body).data or _Data()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(
            UPSTREAM_ERROR, "The provider's answer holds no pictures.", cause="unreadable_answer"
        ) from None
    pictures = [painting.Picture(data=one, mime="image/jpeg") for one in data.image_base64 or ()]
    pictures += [painting.Picture(url=one, mime="image/jpeg") for one in data.image_urls or ()]
    raw = JsonBody(body).get("metadata") or b""
    return painting.pictures_reply(call, pictures, Usage(images=len(pictures), raw=raw))


IMAGES: Mapping[str, Operation] = {
    "images": Operation(
        build=_build,
        parse=_parse,
        fault_in=fault_in,
        fault=fault,
        expects=painting.expected_pictures,
    )
}
