"""xAI's pictures: near OpenAI's wire, with shapes instead of pixels and edits in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.sdk import (
    Call,
    Credential,
    Operation,
    UpstreamRequest,
    Usage,
    bearer,
    invalid,
    painting,
)
from gateway.sdk.talk import Losses

_RATIOS: Final = (
    "1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "2:1", "1:2", "20:9", "9:20",
)  # fmt: skip
_SIZES = {"1k": (1024, 2_100_000), "2k": (2048, 6_000_000)}
_OWN = ("aspect_ratio", "resolution", "user")


def _build(path: str, call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = painting.wish_of(call)
    painting.refuse_transparent(wish)
    body: dict[str, Any] = {"model": call.upstream, "prompt": wish.prompt}
    if wish.n is not None:
        body["n"] = wish.n
    if call.stream or wish.response_format:
        body["response_format"] = "b64_json" if call.stream else wish.response_format
    if call.operation == "image_edits":
        body["images"] = [{"type": "image_url", "url": one} for one in _given(call)]
    body |= _frame(wish.sized, losses)
    for name in _OWN:
        if call.body.get(name) not in (None, b"null"):
            body[name] = call.body.value(name)
    painting.lose_others(call, losses, ("size", *_OWN))
    return painting.pictures_request(call, call.base_url + path, bearer(credential), body, losses)


def _given(call: Call) -> list[str]:
    if painting.references(call, "mask"):
        raise invalid("This model edits without a mask: say in the prompt what changes.", "mask")
    given = painting.references(call)
    if not given:
        raise invalid("'image' is required: the picture to edit.", "image")
    return given


def _frame(size: str, losses: Losses) -> dict[str, str]:
    """The shape, and one of two resolutions: pixels are not asked for by number here."""
    if not size:
        return {}
    if size.lower() in _SIZES:
        return {"resolution": size.lower()}
    if painting.is_shape(size):
        return {"aspect_ratio": size}
    pixels = painting.pixels_of(size)
    ratio = painting.shape_of(*pixels, _RATIOS) if pixels else None
    named = None
    if pixels is not None:
        area = pixels[0] * pixels[1]
        named = next((name for name, (_, most) in _SIZES.items() if area <= most), None)
    if pixels is None or ratio is None or named is None:
        raise invalid(
            f"This model makes no picture of '{size[:40]}'. Ask for up to 2048x2048 pixels in a "
            f"shape of {', '.join(_RATIOS)}, for such a shape, or for 1k or 2k.",
            "size",
        )
    if pixels != (_SIZES[named][0],) * 2:
        losses.lose("size")
    return {"aspect_ratio": ratio, "resolution": named}


def _generations(call: Call, credential: Credential) -> UpstreamRequest:
    return _build("/images/generations", call, credential)


def _edits(call: Call, credential: Credential) -> UpstreamRequest:
    return _build("/images/edits", call, credential)


def _expects(call: Call) -> Usage:
    wish = painting.wish_of(call)
    told = call.body.value("resolution") or _frame(wish.sized, Losses()).get("resolution")
    return Usage(images=wish.count, size=told if isinstance(told, str) else "")


IMAGES: Mapping[str, Operation] = {
    name: painting.picture_operation(build, streams=False, forms=False, expects=_expects)
    for name, build in (("images", _generations), ("image_edits", _edits))
}
