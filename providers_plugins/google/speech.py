"""Speech by Gemini at either home, and by Chirp through Cloud Text-to-Speech."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from gateway.sdk import (
    INVALID_REQUEST,
    UPSTREAM_ERROR,
    Call,
    Credential,
    Fault,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    normalise,
    voices,
)
from gateway.sdk.talk import Losses
from providers_plugins.google.answer import (
    UNREADABLE,
    Blob,
    Candidate,
    decode_part,
    is_failure,
    reason_of,
    usage_of,
)
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.places import cloud_headers, cloud_url, studio_headers, studio_url
from providers_plugins.google.reader import piece_of, unreadable

# Both families speak with the same voices, under the same names.
_DEFAULT = "Kore"
_VOICES = {
    "alloy": "Kore", "ash": "Charon", "ballad": "Orus", "coral": "Aoede", "echo": "Puck",
    "fable": "Fenrir", "nova": "Leda", "onyx": "Algenib", "sage": "Callirrhoe",
    "shimmer": "Zephyr", "verse": "Iapetus", "marin": "Sulafat", "cedar": "Sadaltager",
}  # fmt: skip
_MAKES = ("wav", "pcm")
_RATE = re.compile(r"rate=(\d{4,6})\b")
_USUAL_RATE = 24_000
# Cloud Text-to-Speech stands at an address of its own; `speech_url` of the options is another.
SPEECH_URL = "https://texttospeech.googleapis.com/v1"
_ENCODINGS = {"mp3": "MP3", "opus": "OGG_OPUS", "wav": "LINEAR16", "pcm": "LINEAR16"}
_CHIRP_DEFAULT = "en-US-Chirp3-HD-Kore"
_CHIRP_MAKES = tuple(_ENCODINGS)
Place = Callable[[Call, Credential, str], tuple[str, tuple[tuple[str, str], ...]]]


def _studio(call: Call, credential: Credential, method: str) -> tuple[str, Any]:
    return studio_url(call, method), studio_headers(credential)


def _cloud(call: Call, credential: Credential, method: str) -> tuple[str, Any]:
    return cloud_url(call, credential, method), cloud_headers(credential)


def _gemini(place: Place) -> Callable[[Call, Credential], UpstreamRequest]:
    def build(call: Call, credential: Credential) -> UpstreamRequest:
        losses = Losses()
        wish = voices.wish_of(call, _MAKES, losses)
        voices.lose_others(call, losses, "language_code", lost=("speed",))
        default = call.options.get("default_voice", _DEFAULT)
        voice = voices.named(wish.voice, _VOICES, default, losses)
        spoken: dict[str, Any] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
        if call.body.value("language_code"):
            spoken["languageCode"] = call.body.value("language_code")
        body = {
            "contents": [{"role": "user", "parts": [{"text": _directed(wish)}]}],
            "generationConfig": {"responseModalities": ["AUDIO"], "speechConfig": spoken},
        }
        whole = call.options.get("whole") == "true"
        method = "generateContent" if whole else "streamGenerateContent"
        url, headers = place(call, credential, method)
        if not whole:
            url += "?alt=sse"
        return UpstreamRequest("POST", url, headers, normalise.encoded(body), adapted=losses.names)

    return build


def _directed(wish: voices.Wish) -> str:
    """How it is to be said stands in front of what is to be said."""
    how = wish.instructions.strip().rstrip(".:;,!")
    return f"{how}: {wish.text}" if how else wish.text


class _Reader:
    """Reads the pieces of an answer; all that such a model makes is sound."""

    def __init__(self) -> None:
        self._heard = False

    def __call__(self, payload: bytes) -> voices.Heard:
        """Read one piece."""
        piece = piece_of(payload)
        candidate = piece.candidate
        blobs = _blobs(candidate)
        sound = b"".join([base64.b64decode(blob.data, validate=True) for blob in blobs])
        self._heard = self._heard or bool(sound)
        finish = candidate.finish_reason if candidate else None
        blocked = piece.prompt_feedback.block_reason if piece.prompt_feedback else None
        ended = finish if isinstance(finish, str) and finish else blocked
        if isinstance(ended, str) and ended:
            self._check(ended, blocked is not None)
        return voices.Heard(
            sound=sound,
            rate=_rate_of(blobs),
            usage=_usage(bytes(piece.usage_metadata)),
            done=bool(ended),
        )

    def _check(self, ended: str, blocked: bool) -> None:
        """Why there is no sound, or no more of it."""
        if blocked or reason_of(ended, called=False) == "filter":
            raise Fault(
                INVALID_REQUEST,
                "The provider refused the content of the request.",
                param="input",
                cause="content_policy",
            )
        if not self._heard and is_failure(ended):
            raise Fault(UPSTREAM_ERROR, "The provider's model spoke nothing.", cause="empty_answer")


def _blobs(candidate: Candidate | None) -> list[Blob]:
    parts = candidate.content.parts if candidate and candidate.content else None
    found = [decode_part(part).inline_data for part in parts or ()]
    return [blob for blob in found if blob is not None and blob.data]


def _rate_of(blobs: list[Blob]) -> int:
    told = _RATE.search(blobs[0].mime_type) if blobs else None
    return int(told[1]) if told else _USUAL_RATE


def _usage(raw: bytes) -> Usage | None:
    """All that is made is sound, also where it is not said so."""
    usage = usage_of(raw)
    if usage is None or usage.audio_output or usage.problem:
        return usage
    return structs.replace(usage, audio_output=usage.output - usage.reasoning)


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """An answer that came whole."""
    del status, headers
    try:
        heard = _Reader()(body)
    except (*UNREADABLE, ValueError):
        raise unreadable() from None
    manner = voices.manner_of(call, _MAKES)
    return voices.spoken(manner, heard.sound, heard.usage, bare=True, rate=heard.rate)


def studio_speech() -> Operation:
    """By Gemini, with an API key."""
    return voices.streamed_speech(_gemini(_studio), _MAKES, _Reader, _parse, wire_fault)


def cloud_speech() -> Operation:
    """By Gemini or by Chirp, whichever the route's model is."""
    gemini = voices.streamed_speech(_gemini(_cloud), _MAKES, _Reader, _parse, wire_fault)

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        return (_build_chirp if _is_chirp(call) else gemini.build)(call, credential)

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        return (_parse_chirp if _is_chirp(call) else _parse)(call, status, headers, body)

    return structs.replace(gemini, build=build, parse=parse)


def _is_chirp(call: Call) -> bool:
    return "chirp" in call.upstream.lower()


def _build_chirp(call: Call, credential: Credential) -> UpstreamRequest:
    losses = Losses()
    wish = voices.wish_of(call, _CHIRP_MAKES, losses)
    voices.lose_others(call, losses, "language_code", lost=("instructions",))
    voice = _full_name(call, wish.voice, losses)
    made: dict[str, Any] = {"audioEncoding": _ENCODINGS[wish.manner.format]}
    if made["audioEncoding"] == "LINEAR16":
        made["sampleRateHertz"] = _USUAL_RATE
    if wish.speed != 1:
        made["speakingRate"] = voices.in_range(wish.speed, 0.25, 2.0, losses)
    body = {
        "input": {"text": wish.text},
        "voice": {"languageCode": "-".join(voice.split("-")[:2]), "name": voice},
        "audioConfig": made,
    }
    base = call.options.get("speech_url", SPEECH_URL)
    return UpstreamRequest(
        "POST",
        f"{base}/text:synthesize",
        cloud_headers(credential),
        normalise.encoded(body),
        adapted=losses.names,
    )


def _full_name(call: Call, voice: str, losses: Losses) -> str:
    """`Kore` in the language asked for; a name with a language in it stands for itself."""
    default = call.options.get("default_voice", _CHIRP_DEFAULT)
    chosen = voices.named(voice, _VOICES, "", losses)
    if "-" in chosen:
        return chosen
    locale, _, rest = default.partition("-Chirp3-HD-")
    language = call.body.value("language_code")
    if not chosen and not language:
        return default
    return f"{language or locale}-Chirp3-HD-{chosen or rest or _DEFAULT}"


class _Synthesized(msgspec.Struct, rename="camel"):
    audio_content: bytes


def _parse_chirp(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """A file in base64; bare samples are what is in a WAV file."""
    del status, headers
    try:
        sound = msgspec.json.decode(body, type=_Synthesized).audio_content
    except UNREADABLE:
        raise unreadable() from None
    manner = voices.manner_of(call, _CHIRP_MAKES)
    if manner.format == "pcm":
        sound = voices.samples_in(sound)
    return voices.spoken(manner, sound, bare=manner.format == "pcm")
