"""Speech as xAI makes it: an endpoint without models, whose answers are bytes."""

from __future__ import annotations

from typing import Any

from gateway.sdk import Call, Credential, UpstreamRequest, bearer, normalise, voices
from gateway.sdk.talk import Losses

_MAKES = ("mp3", "wav", "pcm")
_DEFAULT = "eve"
_OWN = ("text_normalization", "optimize_streaming_latency", "replace")
_VOICES = {
    "alloy": "ara", "ash": "leo", "ballad": "sal", "coral": "eve", "echo": "rex", "fable": "sal",
    "nova": "eve", "onyx": "leo", "sage": "ara", "shimmer": "ara", "verse": "rex", "marin": "ara",
    "cedar": "leo",
}  # fmt: skip


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = voices.wish_of(call, _MAKES, losses)
    voices.lose_others(call, losses, "language", *_OWN, lost=("instructions",))
    default = call.options.get("default_voice", _DEFAULT)
    body: dict[str, Any] = {
        "text": wish.text,
        "voice_id": voices.named(wish.voice, _VOICES, default, losses),
        "language": call.body.value("language") or "auto",
        "output_format": {"codec": wish.manner.format, "sample_rate": 24_000},
    }
    if wish.speed != 1:
        body["speed"] = voices.in_range(wish.speed, 0.7, 1.5, losses)
    body |= {name: call.body.value(name) for name in _OWN if name in call.body}
    return UpstreamRequest(
        "POST",
        f"{call.base_url}/tts",
        bearer(credential),
        normalise.encoded(body),
        adapted=losses.names,
    )


SPEECH = voices.speech_operation(_build)
