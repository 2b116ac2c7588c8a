"""How large a picture is that a conversation asks for: by that it is priced."""

from __future__ import annotations

from typing import Any

from gateway.sdk import Call, Usage, invalid

_USUAL = "1k"
_ORDER = ("1k", "2k", "4k")
_CONFIGS = ("imageConfig", "image_config")
_SIZES = ("imageSize", "image_size")
_NAMES = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}


def picture_config(found: object) -> dict[str, Any]:
    """`image_config`, as chat clients say it, in this wire's words."""
    if not isinstance(found, dict):
        raise invalid("'image_config' must be an object.", "image_config")
    return {_NAMES.get(str(name), str(name)): value for name, value in found.items()}


def spoken_size(call: Call) -> str:
    """The label of the size that a conversation asks for; empty for models without pictures.

    It can be said in several places, and in two spellings each: the largest is what is paid for.
    """
    if "image" not in call.upstream:
        return ""
    settings = [_part(call.body.value(name)) for name in ("generationConfig", "generation_config")]
    configs = [_part(found.get(name)) for found in settings for name in _CONFIGS]
    configs.append(_part(call.body.value("image_config")))
    sizes = [size for config in configs for name in _SIZES if (size := _text(config.get(name)))]
    return max(sizes, key=_largest, default=_USUAL)


def spoken_expects(call: Call) -> Usage:
    """One picture: what a model that makes them is asked for."""
    size = spoken_size(call)
    return Usage(images=1 if size else 0, size=size)


def _largest(label: str) -> int:
    return _ORDER.index(label) if label in _ORDER else len(_ORDER)


def _text(size: object) -> str:
    return size.lower()[:20] if isinstance(size, str) else ""


def _part(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
