"""Pictures by the models that take a prompt and settings at `predict`, some at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.sdk import Call, Usage, clean, invalid, painting
from gateway.sdk.talk import Losses
from providers_plugins.google.answer import UNREADABLE
from providers_plugins.google.faults import fault_within
from providers_plugins.google.home import last_segment
from providers_plugins.google.reader import unreadable

MOST: Final = 4
_EDITOR = "imagen-3.0-capability-001"
_RATIOS = ("1:1", "3:4", "4:3", "9:16", "16:9")
# The sizes that these shapes have here; all others are the nearest that there is.
_EXACT = frozenset({"1024x1024", "896x1280", "1280x896", "768x1408", "1408x768"})
_FORMATS = {"png": "image/png", "jpeg": "image/jpeg"}
_OWN: Mapping[str, str] = {
    name: theirs
    for theirs, snake in (
        ("negativePrompt", "negative_prompt"),
        ("personGeneration", "person_generation"),
        ("safetySetting", "safety_setting"),
        ("addWatermark", "add_watermark"),
        ("enhancePrompt", "enhance_prompt"),
        ("seed", "seed"),
        ("language", "language"),
    )
    for name in (theirs, snake)
}


class _Prediction(Struct, rename="camel"):
    bytes_base64_encoded: str = ""
    mime_type: str = "image/png"
    rai_filtered_reason: str = ""
    prompt: str = ""


class _Answer(Struct):
    predictions: list[_Prediction] = []


_decode = msgspec.json.Decoder(_Answer).decode


def is_one(model: str) -> bool:
    """Whether a model is of this family."""
    return last_segment(model).startswith("imagen")


def body(call: Call, losses: Losses) -> dict[str, Any]:
    """The prompt and the settings. These models make pictures from words alone."""
    wish = painting.wish_of(call)
    painting.refuse_transparent(wish)
    settings: dict[str, Any] = {"sampleCount": min(wish.count, MOST), "includeRaiReason": True}
    ratio = _ratio(call, wish.sized, losses)
    if ratio:
        settings["aspectRatio"] = ratio
    said = {"size", "aspect_ratio", *_OWN}
    if wish.output_format in _FORMATS:
        said |= {"output_format", "output_compression"}
        output: dict[str, Any] = {"mimeType": _FORMATS[wish.output_format]}
        if wish.output_compression is not None:
            output["compressionQuality"] = wish.output_compression
        settings["outputOptions"] = output
    for name, theirs in _OWN.items():
        if call.body.get(name) not in (None, b"null"):
            settings[theirs] = call.body.value(name)
    if "seed" in settings:
        settings.setdefault("addWatermark", False)  # the two exclude each other
    painting.lose_others(call, losses, said)
    instance: dict[str, Any] = {"prompt": wish.prompt}
    if call.operation == "image_edits":
        instance["referenceImages"] = _given(call)
        settings["editMode"] = "EDIT_MODE_DEFAULT"
    return {"instances": [instance], "parameters": settings}


def editor_of(model: str) -> str | None:
    """The model that edits, of this model's generation; None where there is none."""
    name = last_segment(model)
    return _EDITOR if name.startswith(("imagen-3.0-generate", _EDITOR)) else None


def _given(call: Call) -> list[dict[str, Any]]:
    # Its masks mean by light and dark what OpenAI's mean by what is transparent.
    if painting.references(call, "mask"):
        raise invalid("This model edits without a mask: say in the prompt what changes.", "mask")
    given = painting.references(call)
    if not given:
        raise invalid("'image' is required: the picture to edit.", "image")
    return [
        {
            "referenceType": "REFERENCE_TYPE_RAW",
            "referenceId": number,
            "referenceImage": {"bytesBase64Encoded": _data(address)},
        }
        for number, address in enumerate(given, 1)
    ]


def _data(address: str) -> str:
    found = painting.data_of(address)
    if found is None:
        raise invalid("This model takes pictures as files or as `data:` addresses.", "images")
    return found[1]


def _ratio(call: Call, size: str, losses: Losses) -> str:
    told = call.body.value("aspect_ratio")
    if isinstance(told, str) and told:
        return told
    if not size or painting.is_shape(size):
        return size
    pixels = painting.pixels_of(size)
    ratio = painting.shape_of(*pixels, _RATIOS) if pixels else None
    if ratio is None:
        raise invalid(
            f"This model makes no picture of '{size[:40]}'. Ask for pixels such as 1024x1024 in a "
            f"shape of {', '.join(_RATIOS)}, or for such a shape.",
            "size",
        )
    if size not in _EXACT:
        losses.lose("size")
    return ratio


def read(raw: bytes) -> painting.Made:
    """The pictures that came; those that a filter held back are missing, or say so."""
    fault = fault_within(raw) if b'"error"' in raw else None
    if fault is not None:
        raise fault
    try:
        found = _decode(raw).predictions
    except UNREADABLE:
        raise unreadable() from None
    pictures = [
        painting.Picture(one.bytes_base64_encoded, "", one.mime_type, one.prompt)
        for one in found
        if one.bytes_base64_encoded
    ]
    if not pictures:
        said = next((one.rai_filtered_reason for one in found if one.rai_filtered_reason), "")
        raise painting.nothing_made(clean(said))
    return painting.Made(pictures, Usage(images=len(pictures)))
