"""Pictures by a model that talks: a prompt as one turn, the pictures out of its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from msgspec import Struct, structs

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
    clean,
    invalid,
    painting,
)
from gateway.sdk.talk import Losses, Media
from providers_plugins.google import imagen
from providers_plugins.google.answer import UNREADABLE, Piece, decode_part, reason_of, usage_of
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.home import CLOUD, STUDIO, Home, generation
from providers_plugins.google.media import media_part
from providers_plugins.google.places import (
    Headers,
    cloud_headers,
    cloud_url,
    studio_headers,
    studio_url,
)
from providers_plugins.google.reader import piece_of, unreadable

_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_SIZES = ("1K", "2K", "4K")
# The most pixels that a picture of each size has, with some room.
_PIXELS = ((2_100_000, "1K"), (6_000_000, "2K"), (17_000_000, "4K"))
_EXACT = {"1K": 1024, "2K": 2048, "4K": 4096}
_FORMATS = {"png": "image/png", "jpeg": "image/jpeg"}
_SAID = frozenset({"size", "aspect_ratio", "seed", "temperature"})
_BY_FORMAT = frozenset({"output_format", "output_compression"})

Place = Callable[[Call, Credential, str], tuple[str, Headers]]


class Frame(Struct, frozen=True):
    """A picture's shape and size, each empty where the model shall choose."""

    ratio: str = ""
    size: str = ""
    exact: bool = True  # else the pixels that were asked for are not those that come

    @property
    def label(self) -> str:
        """The size by which it is priced."""
        return (self.size or "1K").lower()


def _studio(call: Call, credential: Credential, method: str) -> tuple[str, Headers]:
    return studio_url(call, method), studio_headers(credential)


def _cloud(call: Call, credential: Credential, method: str) -> tuple[str, Headers]:
    return cloud_url(call, credential, method), cloud_headers(credential)


def _operation(place: Place, home: Home) -> Operation:
    def build(call: Call, credential: Credential) -> UpstreamRequest:
        losses = Losses()
        if imagen.is_one(call.upstream):
            url, headers = place(_predicting(call, home), credential, "predict")
            body = imagen.body(call, losses)
        else:
            url, headers = place(call, credential, "generateContent")
            body = _body(call, home, losses)
        return painting.pictures_request(call, url, headers, body, losses)

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply | Further:
        del status, headers

        def read(raw: bytes) -> painting.Made:
            return imagen.read(raw) if imagen.is_one(call.upstream) else _read(call, raw)

        def reply(made: painting.Made) -> Reply:
            return painting.pictures_reply(call, made.pictures, made.usage)

        first = read(body)
        later = painting.batches(call, _most(call))[1:]
        rest = [partial(build, painting.with_count(call, few)) for few in later]
        return painting.once_more(rest, first, read, reply) if rest else reply(first)

    return Operation(build=build, parse=parse, fault=wire_fault, expects=_expects)


def _predicting(call: Call, home: Home) -> Call:
    """The call to the model that does it: these edit by another model, at one home alone."""
    if call.operation != "image_edits":
        return call
    editor = imagen.editor_of(call.upstream) if home is CLOUD else None
    if editor is None:
        raise invalid("This model makes pictures from words alone; it edits none.", "model")
    return structs.replace(call, upstream=editor)


def _most(call: Call) -> int:
    """How many pictures one request makes."""
    return imagen.MOST if imagen.is_one(call.upstream) else 1


def _expects(call: Call) -> Usage:
    size = "" if imagen.is_one(call.upstream) else frame_of(call).label
    return Usage(images=painting.wish_of(call).count, size=size)


def _body(call: Call, home: Home, losses: Losses) -> dict[str, Any]:
    wish = painting.wish_of(call)
    painting.refuse_transparent(wish)
    given = painting.references(call)
    if call.operation == "image_edits" and not given:
        raise invalid("'image' is required: the picture to edit.", "image")
    if painting.references(call, "mask"):
        raise invalid("This model edits without a mask: say in the prompt what changes.", "mask")
    media = [media_part(Media("image", url=url), home, call.base_url, losses) for url in given]
    frame = frame_of(call)
    if not frame.exact:
        losses.lose("size")
    picture: dict[str, Any] = {}
    if frame.ratio:
        picture["aspectRatio"] = frame.ratio
    if frame.size:
        picture["imageSize"] = frame.size
    said = _SAID
    if home is CLOUD and wish.output_format in _FORMATS:
        said = said | _BY_FORMAT
        output: dict[str, Any] = {"mimeType": _FORMATS[wish.output_format]}
        if wish.output_compression is not None:
            output["compressionQuality"] = wish.output_compression
        picture["imageOutputOptions"] = output
    settings: dict[str, Any] = {"responseModalities": ["IMAGE"]}
    if picture:
        settings["imageConfig"] = picture
    for name in ("seed", "temperature"):
        if call.body.get(name) not in (None, b"null"):
            settings[name] = call.body.value(name)
    painting.lose_others(call, losses, said)
    turn = {"role": "user", "parts": [{"text": wish.prompt}, *media]}
    return {"contents": [turn], "generationConfig": settings}


def frame_of(call: Call) -> Frame:
    """The shape and size that a call for pictures asks for, where this model makes it."""
    size, ratio = painting.wish_of(call).sized, call.body.value("aspect_ratio")
    frame = _frame(size)
    if isinstance(ratio, str) and painting.is_shape(ratio):
        frame = structs.replace(frame, ratio=ratio)
    if generation(call.upstream) >= (3, 0):
        return frame
    if frame.size not in ("", "1K"):
        raise invalid(f"This model makes no picture of '{size}': it has one size alone.", "size")
    return structs.replace(frame, size="")


def _frame(size: str) -> Frame:
    if size.upper() in _SIZES:
        return Frame(size=size.upper())
    if not size or painting.is_shape(size):
        return Frame(size)
    pixels = painting.pixels_of(size)
    ratio = painting.shape_of(*pixels, _RATIOS) if pixels else None
    if pixels is None or ratio is None:
        raise invalid(
            f"This model makes no picture of '{size[:40]}'. Ask for pixels such as 1024x1024 in a "
            f"shape of {', '.join(_RATIOS)}, for such a shape, or for 1K, 2K or 4K.",
            "size",
        )
    width, height = pixels
    named = next((name for most, name in _PIXELS if width * height <= most), None)
    if named is None:
        raise invalid(f"'{size}' is larger than any picture of this model.", "size")
    return Frame(ratio, named, width == height == _EXACT[named])


def _read(call: Call, body: bytes) -> painting.Made:
    try:
        piece = piece_of(body)
        pictures = _pictures(piece)
    except (*UNREADABLE, ValueError):
        raise unreadable() from None
    if not pictures:
        raise _without(piece)
    usage = usage_of(bytes(piece.usage_metadata)) or Usage()
    label = frame_of(call).label
    return painting.Made(pictures, structs.replace(usage, images=len(pictures), size=label))


def _pictures(piece: Piece) -> list[painting.Picture]:
    """All that are no drafts."""
    parts = [
        decode_part(bytes(raw))
        for candidate in piece.candidates or ()
        if candidate.content is not None
        for raw in candidate.content.parts or ()
    ]
    return [
        painting.Picture(data=part.inline_data.data, mime=part.inline_data.mime_type)
        for part in parts
        if part.inline_data is not None
        and part.inline_data.data
        and part.inline_data.mime_type.startswith("image/")
        and not part.thought
    ]


def _without(piece: Piece) -> Fault:
    """Held back by a filter, or a mishap of the model's."""
    candidate, feedback = piece.candidate, piece.prompt_feedback
    finish = candidate.finish_reason if candidate is not None else None
    message = candidate.finish_message if candidate is not None else None
    finish, message = (clean(one) if isinstance(one, str) else "" for one in (finish, message))
    blocked = feedback.block_reason if feedback is not None else None
    if blocked or reason_of(finish, False) == "filter":
        return painting.nothing_made(message or clean(str(blocked or finish)))
    said = f" ({finish})" if finish else ""
    return Fault(UPSTREAM_ERROR, f"The provider's model made no picture{said}.", cause="no_picture")


STUDIO_IMAGES: Mapping[str, Operation] = {
    name: _operation(_studio, STUDIO) for name in ("images", "image_edits")
}
CLOUD_IMAGES: Mapping[str, Operation] = {
    name: _operation(_cloud, CLOUD) for name in ("images", "image_edits")
}
