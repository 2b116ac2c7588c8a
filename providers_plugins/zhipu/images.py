"""Zhipu's pictures: one a call, and only where it is to be had."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from gateway.sdk import (
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    Further,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    invalid,
    painting,
)
from gateway.sdk.talk import Losses
from providers_plugins.zhipu.chat import fault, fault_in

_LEAST_SIDE, _LONGEST_SIDE, _MOST_PIXELS = 512, 2048, 1 << 21
_QUALITIES = {"hd": "hd", "high": "hd", "standard": "standard", "medium": "standard"}
_OWN = ("watermark_enabled", "sensitive_word_check", "request_id")


class _Item(Struct):
    url: str = ""
    b64_json: str = ""


class _Answer(Struct):
    data: list[_Item] | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = painting.wish_of(call)
    painting.refuse_transparent(wish)
    body: dict[str, Any] = {"model": call.upstream, "prompt": wish.prompt}
    if wish.sized:
        body["size"] = _size(wish.sized)
    quality = _QUALITIES.get(wish.quality or "")
    if quality:
        body["quality"] = quality
    for name, theirs in (("user", "user_id"), *((own, own) for own in ("user_id", *_OWN))):
        if call.body.get(name) not in (None, b"null"):
            body[theirs] = call.body.value(name)
    said = {"size", "user", "user_id", *_OWN} | ({"quality"} if quality else set())
    painting.lose_others(call, losses, said)
    headers = (*bearer(credential), ("Accept-Language", "en-US,en"))
    return painting.pictures_request(
        call, f"{call.base_url}/images/generations", headers, body, losses
    )


def _size(size: str) -> str:
    width, height = painting.pixels_of(size) or (0, 0)
    sides = all(_LEAST_SIDE <= one <= _LONGEST_SIDE and one % 16 == 0 for one in (width, height))
    if not sides or width * height > _MOST_PIXELS:
        raise invalid(
            f"This model makes no picture of '{size[:40]}': each side has {_LEAST_SIDE} to "
            f"{_LONGEST_SIDE} pixels, in sixteens, and all are at most {_MOST_PIXELS}.",
            "size",
        )
    return size


def _read(body: bytes) -> painting.Made:
    told = fault_in(body)
    if told is not None:
        raise told
    try:
        items = _decode(body).data or []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(
            UPSTREAM_ERROR, "The provider's answer holds no pictures.", cause="unreadable_answer"
        ) from None
    pictures = [
        painting.Picture(data=item.b64_json, url="" if item.b64_json else item.url)
        for item in items
        if item.url or item.b64_json
    ]
    if not pictures:
        raise painting.nothing_made()
    return painting.Made(pictures, Usage(images=len(pictures)))


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Further:
    del status, headers
    inline = call.stream or painting.wish_of(call).response_format == "b64_json"

    def reply(made: painting.Made) -> Reply:
        return painting.pictures_reply(call, made.pictures, made.usage)

    def handed(made: painting.Made) -> Reply | Further:
        if not inline:
            return reply(made)
        return painting.fetched(
            call, made.pictures, lambda held: reply(painting.Made([*held], made.usage))
        )

    first = _read(body)
    later = painting.batches(call, 1)[1:]
    rest = [partial(_build, painting.with_count(call, few)) for few in later]
    return painting.once_more(rest, first, _read, handed) if rest else handed(first)


IMAGES: Mapping[str, Operation] = {
    "images": Operation(build=_build, parse=_parse, fault=fault, expects=painting.expected_pictures)
}
