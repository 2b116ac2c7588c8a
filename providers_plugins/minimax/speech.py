"""T2A: the voice and the sound are told apart in the request; sound comes in hexadecimal events."""

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
from providers_plugins.minimax.chat import fault, fault_in

_MAKES = ("mp3", "flac", "wav", "pcm")
_RATES = {"mp3": 32_000, "flac": 32_000, "wav": 24_000, "pcm": 24_000}
_DEFAULT = "English_expressive_narrator"
_VOICES = {
    "alloy": "male-qn-qingse", "ash": "male-qn-jingying", "ballad": "male-qn-daxuesheng",
    "coral": "female-tianmei", "echo": "male-qn-jingying", "fable": "female-shaonv",
    "nova": "female-yujie", "onyx": "male-qn-badao", "sage": "female-chengshu",
    "shimmer": "female-tianmei", "verse": "male-qn-daxuesheng", "marin": "female-yujie",
    "cedar": "male-qn-badao",
}  # fmt: skip
# Members of the host's own that clients may use as they are, and those that belong to the voice.
_OWN = ("language_boost", "pronunciation_dict", "timbre_weights", "voice_modify")
_OF_VOICE = ("vol", "pitch", "emotion", "text_normalization", "latex_read")
_DONE = 2


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = voices.wish_of(call, _MAKES, losses)
    voices.lose_others(call, losses, *_OWN, *_OF_VOICE, lost=("instructions",))
    default = call.options.get("default_voice", _DEFAULT)
    voice: dict[str, Any] = {
        "voice_id": voices.named(wish.voice, _VOICES, default, losses),
        "speed": voices.in_range(wish.speed, 0.5, 2.0, losses),
    }
    voice |= {name: call.body.value(name) for name in _OF_VOICE if name in call.body}
    made = wish.manner.format
    body: dict[str, Any] = {
        "model": call.upstream,
        "text": wish.text,
        "stream": True,
        "stream_options": {"exclude_aggregated_audio": True},
        "output_format": "hex",
        "voice_setting": voice,
        "audio_setting": {
            "sample_rate": _RATES[made],
            "format": "pcm" if made == "wav" else made,  # no WAV is streamed
            "channel": 1,
        },
    }
    if made == "mp3":
        body["audio_setting"]["bitrate"] = 128_000
    body |= {name: call.body.value(name) for name in _OWN if name in call.body}
    return UpstreamRequest(
        "POST",
        f"{call.base_url}/t2a_v2",
        bearer(credential),
        normalise.encoded(body),
        adapted=losses.names,
    )


class _Data(Struct):
    audio: str | None = None
    status: int | None = None


class _Extra(Struct):
    usage_characters: int = 0
    audio_length: int = 0
    audio_sample_rate: int = 0


class _Event(Struct):
    data: _Data | None = None
    extra_info: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Event).decode
_decode_extra = msgspec.json.Decoder(_Extra).decode


class _Reader:
    """The last event may hold all of the sound again: it counts only where nothing came before."""

    def __init__(self) -> None:
        self._heard = False

    def __call__(self, payload: bytes) -> voices.Heard:
        """Read one event."""
        broken = fault_in(payload)
        if broken is not None:
            raise broken
        event = _decode(payload)
        data = event.data or _Data()
        done = data.status == _DONE
        sound = b"" if done and self._heard else bytes.fromhex(data.audio or "")
        self._heard = self._heard or bool(sound)
        return voices.Heard(sound=sound, usage=_usage(bytes(event.extra_info)), done=done)


def _usage(raw: bytes) -> Usage | None:
    """The characters that the host bills, and how long it spoke."""
    if not raw.startswith(b"{"):
        return None
    try:
        extra = _decode_extra(raw)
    except msgspec.DecodeError:
        return Usage(raw=raw, problem="it cannot be read")
    if extra.usage_characters < 0 or extra.audio_length < 0:
        return Usage(raw=raw, problem="a count is negative")
    if not extra.usage_characters:
        return None
    return Usage(characters=extra.usage_characters, milliseconds=extra.audio_length, raw=raw)


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """What comes whole is a failure, or all of the sound at once."""
    del status, headers
    try:
        heard = _Reader()(body)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError):
        raise Fault(
            UPSTREAM_ERROR,
            "The provider sent an answer that cannot be read.",
            cause="unreadable_answer",
        ) from None
    manner = voices.manner_of(call, _MAKES)
    return voices.spoken(manner, heard.sound, heard.usage, bare=manner.format in ("wav", "pcm"))


SPEECH = voices.streamed_speech(
    _build, _MAKES, _Reader, _parse, fault, coded=voices.in_hex, repeats=True
)
