"""How large a picture is that a conversation asks for: by that it is priced."""

from __future__ import annotations

from typing import Any

from gateway.sdk import Call, Usage, invalid

_USUAL = "1k"
_NAMES = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}


def picture_config(found: object) -> dict[str, Any]:
    """`image_config`, as chat clients say it, in this wire's words."""
    if not isinstance(found, dict):
        raise invalid("'image_config' must be an object.", "image_config")
    return {_NAMES.get(str(name), str(name)): value for name, value in found.items()}


def spoken_size(call: Call) -> str:
    """The label of the size that a conversation asks for; empty for models without pictures."""
    if "image" not in call.upstream:
        return ""
    for name in ("generationConfig", "generation_config"):
        size = _size(_part(_part(call.body.value(name)).get("imageConfig")))
        if size:
            return size
    return _size(_part(call.body.value("image_config"))) or _USUAL


def spoken_expects(call: Call) -> Usage:
    """One picture: what a model that makes them is asked for."""
    size = spoken_size(call)
    return Usage(images=1 if size else 0, size=size)


def _size(config: dict[str, Any]) -> str:
    size = config.get("imageSize") or config.get("image_size")
    return size.lower()[:20] if isinstance(size, str) else ""


def _part(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
