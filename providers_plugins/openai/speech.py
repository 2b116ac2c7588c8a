"""Speech as OpenAI makes it: bytes through, or events with the sound in base64."""

from __future__ import annotations

from gateway.sdk import Call, Credential, Quirks, UpstreamRequest, adapted, bearer, voices
from gateway.sdk.talk import Losses

# The older models hear no instructions, and have no events: those are made of their bytes.
_OLDER = "tts-1"


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    body = adapted(call, Quirks(), losses)
    if call.upstream.startswith(_OLDER):
        if body.value("instructions"):
            losses.lose("instructions")
        body = body.replace({"instructions": None, "stream_format": None})
    return UpstreamRequest(
        "POST", f"{call.base_url}/audio/speech", bearer(credential), body.raw, adapted=losses.names
    )


SPEECH = voices.speech_operation(_build)
