"""The kinds of calls: what each is for, where it is found, and how its use is measured."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from gateway.domain import File, Usage
from gateway.sdk import JsonBody

NOTHING = Usage()
_LEAST_SOUND = 8  # bytes a millisecond, for a file that does not tell how long it sounds
ONE_PICTURE = Usage(images=1)  # what a talk with a model of pictures is for
_SLOW_SPEECH = 80  # milliseconds a character, for what is set aside; what came is measured


class Kind(Struct, frozen=True):
    """An operation: the kind of model that it serves, and its path.

    `talks`: its answer is text whose length can be bounded and is counted in tokens. `also` are
    kinds of models that are usually asked elsewhere, and can be asked here.
    """

    model: str
    path: str
    talks: bool = False
    also: tuple[str, ...] = ()


OPERATIONS: Mapping[str, Kind] = {
    "chat": Kind("chat", "chat/completions", talks=True, also=("image",)),
    "messages": Kind("chat", "messages", talks=True),
    "responses": Kind("chat", "responses", talks=True),
    "count_tokens": Kind("chat", "messages/count_tokens", talks=True),
    "completions": Kind("chat", "completions", talks=True),
    "embeddings": Kind("embedding", "embeddings"),
    "images": Kind("image", "images/generations"),
    "image_edits": Kind("image", "images/edits"),
    "speech": Kind("speech", "audio/speech"),
    "transcriptions": Kind("transcription", "audio/transcriptions"),
    "translations": Kind("transcription", "audio/translations"),
    "moderations": Kind("moderation", "moderations"),
    "rerank": Kind("rerank", "rerank"),
    "videos": Kind("video", "videos/generations"),
    "music": Kind("music", "music/generations"),
    "realtime": Kind("realtime", "realtime"),
}
# What a model of each kind is usually asked by.
ENDPOINT_OF: dict[str, str] = {}
for _kind in OPERATIONS.values():
    ENDPOINT_OF.setdefault(_kind.model, _kind.path)
# What is answered in words, and the kind of model that is talked with so. Another kind that can be
# asked there makes what is no words: that is counted as it is where it is usually asked.
TALKS = {name: kind.model for name, kind in OPERATIONS.items() if kind.talks}


def expected(operation: str, body: JsonBody, files: tuple[File, ...]) -> Usage:
    """What a call will use that is not counted in tokens, by what OpenAI's words for it mean."""
    if operation in ("images", "image_edits"):
        return Usage(images=_whole(body.value("n"), 1), size=_text(body.value("size")))
    if operation == "speech":
        said = len(_text(body.value("input")))
        return Usage(characters=said, milliseconds=said * _SLOW_SPEECH)
    if operation in ("transcriptions", "translations"):
        length = sum(file.milliseconds or file.size // _LEAST_SOUND for file in files)
        return Usage(milliseconds=length)
    if operation == "videos":
        seconds = _whole(body.value("seconds") or body.value("duration_seconds"), 0)
        return Usage(milliseconds=seconds * 1000, size=_text(body.value("size")))
    return NOTHING


def _whole(value: object, otherwise: int) -> int:
    """A count, as JSON or a form has it."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    return otherwise


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
