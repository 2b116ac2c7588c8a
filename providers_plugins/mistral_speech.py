"""Voxtral's speech: OpenAI's request, answered in JSON with the sound in base64."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Struct

from gateway.sdk import (
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    Operation,
    Quirks,
    Reply,
    UpstreamRequest,
    adapted,
    bearer,
    voices,
)
from gateway.sdk.talk import Losses

# Its samples are floating-point numbers, which is not what OpenAI's clients take `pcm` for.
_MAKES = ("mp3", "wav", "flac", "opus")
_NO_WORDS = ("instructions", "speed")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Answer(Struct):
    audio_data: bytes


def mistral_speech(fault: Callable[[int, Mapping[str, str], bytes], Fault]) -> Operation:
    """Speech, whole."""
    return Operation(build=_build, parse=_parse, fault=fault, expects=voices.expected)


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = voices.wish_of(call, _MAKES, losses)
    body = adapted(call, Quirks(), losses)
    changes: dict[str, bytes | None] = {"stream_format": None}
    for name in _NO_WORDS:
        if name in body:
            changes[name] = None
    voices.lose_others(call, losses, *body.names(), lost=_NO_WORDS)
    if wish.voice:
        changes["voice"] = msgspec.json.encode(wish.voice)
    return UpstreamRequest(
        "POST",
        f"{call.base_url}/audio/speech",
        bearer(credential),
        body.replace(changes).raw,
        adapted=losses.names,
    )


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    del status, headers
    try:
        sound = msgspec.json.decode(body, type=_Answer).audio_data
    except _UNREADABLE:
        raise Fault(
            UPSTREAM_ERROR,
            "The provider sent an answer that cannot be read.",
            cause="unreadable_answer",
        ) from None
    return voices.spoken(voices.manner_of(call, _MAKES), sound)
