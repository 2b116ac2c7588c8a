"""GLM-TTS: near OpenAI's request, with samples in the events of a conversation's stream."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from gateway.sdk import (
    Call,
    Credential,
    ProviderError,
    Quirks,
    Reply,
    UpstreamRequest,
    Usage,
    adapted,
    bearer,
    normalise,
    openai_usage,
    voices,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import FAILED, POLICY, caused
from providers_plugins.zhipu.chat import fault, fault_in

_MAKES = ("wav", "pcm")
_DEFAULT = "tongtong"
_VOICES = {
    "alloy": "tongtong", "ash": "xiaochen", "ballad": "jam", "coral": "tongtong",
    "echo": "xiaochen", "fable": "kazi", "nova": "tongtong", "onyx": "luodo", "sage": "douji",
    "shimmer": "tongtong", "verse": "jam", "marin": "tongtong", "cedar": "xiaochen",
}  # fmt: skip
_BROKEN = {"sensitive": POLICY, "network_error": FAILED, "error": FAILED}


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = voices.wish_of(call, _MAKES, losses)
    if wish.instructions:
        losses.lose("instructions")
    default = call.options.get("default_voice", _DEFAULT)
    voice = voices.named(wish.voice, _VOICES, default, losses)
    body = adapted(call, Quirks(), losses).replace(
        {
            "voice": normalise.encoded(voice),
            "response_format": b'"pcm"',  # all that is streamed
            "stream": b"true",
            "encode_format": b'"base64"',
            "speed": normalise.encoded(voices.in_range(wish.speed, 0.5, 2.0, losses)),
            "instructions": None,
            "stream_format": None,
        }
    )
    return UpstreamRequest(
        "POST", f"{call.base_url}/audio/speech", bearer(credential), body.raw, adapted=losses.names
    )


class _Delta(Struct):
    content: bytes | None = None
    return_sample_rate: int | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Event(Struct):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Event).decode


def _read(payload: bytes) -> voices.Heard:
    broken = fault_in(payload)
    if broken is not None:
        raise broken
    event = _decode(payload)
    choice = event.choices[0] if event.choices else _Choice()
    finish = choice.finish_reason
    if finish in _BROKEN:
        raise caused(_BROKEN[finish], finish, ProviderError(200, code=finish))
    delta = choice.delta or _Delta()
    return voices.Heard(
        sound=delta.content or b"",
        rate=delta.return_sample_rate or 24_000,
        usage=_usage(bytes(event.usage)),
        done=bool(finish),
    )


def _usage(raw: bytes) -> Usage | None:
    """What is counted in tokens; a count of nothing is none."""
    found = openai_usage(raw) if raw.startswith(b"{") else None
    return found if found and (found.input or found.output) else None


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """A host that does not stream answers with a file, or with a failure."""
    broken = fault_in(body)
    if broken is not None:
        raise broken
    if headers.get("content-type", "").lower().startswith("audio/"):
        samples = voices.samples_in(body)
        return voices.spoken(voices.manner_of(call, _MAKES), samples, bare=True)
    raise caused(FAILED, "its answer holds no sound", ProviderError(200))


SPEECH = voices.streamed_speech(_build, _MAKES, lambda: _read, _parse, fault)
