"""What a client asks of pictures, in OpenAI's words, for providers that have words of their own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, structs

from gateway.core.body import decode_as
from gateway.core.talk.model import Losses
from gateway.domain import Encoded, Piece, UpstreamRequest, Usage
from gateway.errors import invalid
from gateway.sdk.adapter import Call

_MOST: Final = 10
_PIXELS = re.compile(r"(\d{2,5})x(\d{2,5})\Z")
_RATIO = re.compile(r"(\d{1,3}(?:\.\d)?):(\d{1,3}(?:\.\d)?)\Z")
_NEAR = 0.13  # how far a shape may be from the one asked for: 3:2 may become 4:3
_BY_ENDING = {"png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp", "gif": "gif"}
# What asks for nothing that a provider would not do anyway.
_IDLE: Mapping[str, tuple[str, ...]] = {
    "quality": ("auto", "standard"),
    "background": ("auto", "opaque"),
    "moderation": ("auto",),
    "partial_images": ("0",),
}
_HANDLED = frozenset({
    "model", "prompt", "n", "response_format", "stream", "image", "images", "mask",
})  # fmt: skip


class PictureWish(Struct):
    """What is asked for. The values of a form are text, and are read as what they stand for."""

    prompt: str = ""
    n: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    size: str | None = None
    quality: str | None = None
    response_format: str | None = None
    background: str | None = None
    output_format: str | None = None
    output_compression: int | None = None
    partial_images: int | None = None

    @property
    def count(self) -> int:
        """How many pictures."""
        return self.n or 1

    @property
    def partial(self) -> bool:
        """Whether pictures are wanted before they are complete."""
        return bool(self.partial_images)

    @property
    def sized(self) -> str:
        """The size, where one is asked for."""
        return "" if self.size in (None, "auto") else self.size or ""


_decoder = msgspec.json.Decoder(PictureWish, strict=False)


def wish_of(call: Call) -> PictureWish:
    """What the client asks for; a value that cannot be is a 400 that names its field."""
    wish: PictureWish = decode_as(call.body.raw, _decoder)
    return wish


def expected_pictures(call: Call) -> Usage:
    """What a call will use at most: as many pictures as asked for, of the size asked for."""
    wish = wish_of(call)
    return Usage(images=wish.count, size=wish.sized)


def lose_others(call: Call, losses: Losses, said: Collection[str] = ()) -> None:
    """Name each member that asks for something and that the provider's request does not say."""
    for name in call.body.names():
        if name in _HANDLED or name in said:
            continue
        value = call.body.value(name)
        if value not in (None, "") and str(value) not in _IDLE.get(name, ()):
            losses.lose(name)


def refuse_transparent(wish: PictureWish) -> None:
    """A picture with a background is no picture without one."""
    if wish.background == "transparent":
        raise invalid("This model cannot make a transparent background.", "background")


def batches(call: Call, most: int) -> list[int]:
    """How many pictures each request makes, where one makes no more than so many."""
    count = wish_of(call).count
    return [min(most, count - begun) for begun in range(0, count, most)]


def with_count(call: Call, count: int) -> Call:
    """The same call for so many pictures."""
    return structs.replace(call, body=call.body.replace({"n": b"%d" % count}))


# --- sizes ---


def pixels_of(size: str) -> tuple[int, int] | None:
    """Width and height of a size such as 1536x1024."""
    found = _PIXELS.match(size)
    return (int(found[1]), int(found[2])) if found else None


def shape_of(width: int, height: int, ratios: Iterable[str]) -> str | None:
    """That of these shapes which comes near to a width and a height; None where none does."""
    asked = width / height if height else 0.0

    def off(ratio: str) -> float:
        return abs(_number(ratio) / asked - 1) if asked else 1.0

    best = min(ratios, key=off)
    return best if off(best) <= _NEAR else None


def is_shape(text: str) -> bool:
    """Whether a size is said as a shape, such as 16:9."""
    return _RATIO.match(text) is not None


def _number(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return float(width) / float(height)


# --- pictures that come with a request ---


def references(call: Call, name: str = "image") -> list[str]:
    """The pictures to begin from, as addresses: https, or `data:` with the bytes in base64.

    Where the client sent a file, a mark stands for its bytes until `pictures_request` puts them in.
    """
    found = [
        f"data:{_file_type(file.content_type, file.name)};base64,{_mark(call)}{number}"
        for number, file in enumerate(call.files)
        if file.field.removesuffix("[]") == name
    ]
    given = call.body.value("images" if name == "image" else name)
    for number, item in enumerate(given if isinstance(given, list) else [given] if given else []):
        address = item.get("image_url") if isinstance(item, dict) else None
        where = f"images[{number}]" if name == "image" else name
        if not isinstance(address, str) or not address.startswith(("https://", "data:")):
            raise invalid("A picture is a `data:` or https address here, or a file.", where)
        found.append(address)
    return found


def data_of(address: str) -> tuple[str, str] | None:
    """The type and the base64 of a `data:` address; None for any other."""
    head, comma, data = address.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    return head[5:-7].partition(";")[0] or "image/png", data


def pictures_request(
    call: Call, url: str, headers: tuple[tuple[str, str], ...], body: Any, losses: Losses
) -> UpstreamRequest:
    """A request in JSON, with the client's files where their marks stand."""
    written = msgspec.json.encode(body)
    pieces = _with_files(call, written) if call.files else ()
    return UpstreamRequest(
        "POST", url, headers, b"" if pieces else written, True, losses.names, pieces
    )


def _with_files(call: Call, written: bytes) -> tuple[Piece, ...]:
    parts = re.split(re.escape(_mark(call).encode()) + rb"(\d+)", written)
    if len(parts) == 1:
        return ()
    # What is split at is in between: every second part is the number of a file.
    return tuple(
        Encoded(call.files[int(part)]) if place % 2 else part for place, part in enumerate(parts)
    )


def _mark(call: Call) -> str:
    """What no client can guess, and so no prompt can hold."""
    return f"{call.boundary}-file-"


def _file_type(told: str, name: str) -> str:
    if told.startswith("image/"):
        return told
    return "image/" + _BY_ENDING.get(name.rpartition(".")[2].lower(), "png")
