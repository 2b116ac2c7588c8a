"""Qwen TTS: DashScope's native endpoint, with samples in the events of its own stream."""

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
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
    normalise,
    voices,
)
from gateway.sdk.talk import Losses
from providers_plugins.alibaba.chat import fault

_MAKES = ("wav", "pcm")
_DEFAULT = "Cherry"
_VOICES = {
    "alloy": "Cherry", "ash": "Ethan", "ballad": "Ethan", "coral": "Serena", "echo": "Ethan",
    "fable": "Chelsie", "nova": "Cherry", "onyx": "Ethan", "sage": "Serena", "shimmer": "Chelsie",
    "verse": "Ethan", "marin": "Serena", "cedar": "Ethan",
}  # fmt: skip
_COMPATIBLE = "/compatible-mode/v1"
_PATH = "/services/aigc/multimodal-generation/generation"
_MOST = 1 << 40


def native_url(call: Call) -> str:
    """The host's own API stands beside its compatible one."""
    base = call.base_url
    return call.options.get("native_url") or (
        base.removesuffix(_COMPATIBLE) + "/api/v1" if base.endswith(_COMPATIBLE) else base
    )


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = voices.wish_of(call, _MAKES, losses)
    hears = "instruct" in call.upstream
    lost = ("speed",) if hears else ("speed", "instructions")
    voices.lose_others(call, losses, "language_type", "optimize_instructions", lost=lost)
    default = call.options.get("default_voice", _DEFAULT)
    given: dict[str, Any] = {
        "text": wish.text,
        "voice": voices.named(wish.voice, _VOICES, default, losses),
        "language_type": call.body.value("language_type") or "Auto",
    }
    if hears and wish.instructions:
        given["instructions"] = wish.instructions
        if "optimize_instructions" in call.body:
            given["optimize_instructions"] = call.body.value("optimize_instructions")
    return UpstreamRequest(
        "POST",
        native_url(call) + _PATH,
        (*bearer(credential), ("X-DashScope-SSE", "enable")),
        normalise.encoded({"model": call.upstream, "input": given}),
        adapted=losses.names,
    )


class _Audio(Struct):
    data: bytes | None = None


class _Output(Struct):
    audio: _Audio | None = None
    finish_reason: str | None = None


class _Event(Struct):
    output: _Output | None = None
    usage: dict[str, Any] | None = None
    code: str | None = None


_decode = msgspec.json.Decoder(_Event).decode


def _read(payload: bytes) -> voices.Heard:
    event = _decode(payload)
    if event.code:
        raise fault(500, {}, payload)
    output = event.output or _Output()
    audio = output.audio or _Audio()
    return voices.Heard(
        sound=audio.data or b"",
        usage=_usage(event.usage),
        done=output.finish_reason not in (None, "", "null"),
    )


def _usage(found: dict[str, Any] | None) -> Usage | None:
    """Characters, which this host counts in its own way, or tokens at models before these."""
    if not found:
        return None
    counts = [found.get(name, 0) for name in ("characters", "input_tokens", "output_tokens")]
    raw = normalise.encoded(found)
    if not all(isinstance(count, int) and 0 <= count < _MOST for count in counts):
        return Usage(raw=raw, problem="it cannot be read")
    characters, read, made = counts
    if not any(counts):
        return None
    return Usage(input=read, output=made, audio_output=made, characters=characters, raw=raw)


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """What comes whole is a failure: sound was asked for in events."""
    del call, headers
    try:
        told = _decode(body).code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = None
    if told:
        raise fault(500 if status < 400 else status, {}, body)
    raise Fault(
        UPSTREAM_ERROR,
        "The provider's answer holds no sound.",
        cause="empty_answer",
    )


SPEECH = voices.streamed_speech(_build, _MAKES, lambda: _read, _parse, fault)
