"""What an adapter of speech needs: what a client asks for, and how sound is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.meter import Translator
from gateway.core.sound.riff import header as wav_header
from gateway.core.talk.model import Losses
from gateway.domain import Usage
from gateway.errors import Fault, invalid
from gateway.sdk.adapter import Build, Call, Operation, Parse, is_one_line
from gateway.sdk.long_events import Coded, in_base64, in_hex
from gateway.sdk.speaking import (
    EVENTS,
    FORMATS,
    Heard,
    Manner,
    PassingSpeech,
    SpokenStream,
    samples_in,
    spoken,
)

__all__ = [
    "Heard",
    "Manner",
    "Wish",
    "expected",
    "in_hex",
    "in_range",
    "lose_others",
    "manner_of",
    "named",
    "samples_in",
    "speech_operation",
    "spoken",
    "streamed_speech",
    "wav_header",
    "wish_of",
]

_KNOWN = frozenset(
    {"model", "input", "voice", "instructions", "response_format", "speed", "stream_format"}
)
_AS_USUAL = (b'""', b"1", b"1.0")  # no instructions, and the speed that is meant anyway
# About fifteen letters or four ideographs a second, and some to spare: by the byte of UTF-8.
_MILLISECONDS_A_BYTE = 100
_SHORTEST = 500


class Wish(Struct, frozen=True):
    """What is to be said, and how."""

    text: str
    voice: str
    instructions: str
    speed: float
    manner: Manner


def wish_of(call: Call, makes: tuple[str, ...], losses: Losses) -> Wish:
    """What the client asks for, of a host that makes these formats, the best one first.

    A format that it cannot make is refused. Who names none means mp3, and gets the first one.
    """
    body = call.body
    asked = body.value("response_format")
    if isinstance(asked, str) and asked not in makes:
        told = f"This model cannot answer in '{asked}'. Ask for one of: {', '.join(makes)}."
        raise invalid(told, "response_format")
    if asked is None and "mp3" not in makes:
        losses.lose("response_format")
    speed = body.value("speed")
    return Wish(
        text=_text(body.value("input")),
        voice=voice_of(call),
        instructions=_text(body.value("instructions")),
        speed=speed if isinstance(speed, int | float) else 1.0,
        manner=manner_of(call, makes),
    )


def manner_of(call: Call, makes: tuple[str, ...] = ("mp3",)) -> Manner:
    """How the answer is to come."""
    asked = call.body.value("response_format")
    events = call.body.value("stream_format") == "sse"
    if isinstance(asked, str) and asked in FORMATS:
        return Manner(asked, events)
    return Manner("mp3" if "mp3" in makes else makes[0], events)


def voice_of(call: Call) -> str:
    """The voice by its name or its id; empty where none is asked for."""
    voice = call.body.value("voice")
    if isinstance(voice, dict):
        voice = voice.get("id")
    return _text(voice)


def named(voice: str, known: Mapping[str, str], default: str, losses: Losses) -> str:
    """A host's own voice for one of OpenAI's, which is a loss; other names are the host's."""
    if not voice:
        return default
    own = known.get(voice.lower())
    if own is None:
        return voice
    losses.lose("voice")
    return own


def in_range(speed: float, low: float, high: float, losses: Losses) -> float:
    """A speed that the host can speak at."""
    if not low <= speed <= high:
        losses.lose("speed")
    return min(max(speed, low), high)


def lose_others(call: Call, losses: Losses, *taken: str, lost: tuple[str, ...] = ()) -> None:
    """Name what the host has no word for: members nobody reads, and those in `lost` if used."""
    for name in call.body.names():
        given = call.body.get(name)
        odd = name not in _KNOWN and name not in taken
        if given != b"null" and (odd or (name in lost and given not in _AS_USUAL)):
            losses.lose(name)


def expected(call: Call) -> Usage:
    """What is to be said is counted by its characters; how long it will sound is a guess."""
    text = _text(call.body.value("input"))
    speed = call.body.value("speed")
    fast = speed if isinstance(speed, int | float) and speed > 0 else 1.0
    time = len(text.encode("utf-8", "replace")) * _MILLISECONDS_A_BYTE
    return Usage(characters=len(text), milliseconds=_SHORTEST + int(time / fast))


def speech_operation(
    build: Build,
    *,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault,
) -> Operation:
    """Speech at a host whose answers are bytes, or OpenAI's events."""

    def stream(call: Call) -> Translator:
        return PassingSpeech(manner_of(call), fault_in)

    return Operation(
        build=build,
        stream=stream,
        fault_in=fault_in,
        fault=fault,
        media=_own_type,
        expects=expected,
    )


def streamed_speech(
    build: Build,
    makes: tuple[str, ...],
    reader: Callable[[], Callable[[bytes], Heard]],
    parse: Parse,
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault,
    *,
    coded: Callable[[], Coded] = in_base64,
    repeats: bool = False,
) -> Operation:
    """Speech at a host that sends it in events of its own; `parse` reads what is no stream.

    Each stream has its `reader`, which is given the events one by one. WAV is made of samples.
    Where the host `repeats` all of the sound in its last event, the reader sees to that.
    """

    def media(call: Call, headers: Mapping[str, str]) -> str | None:
        streams = headers.get("content-type", "").strip().lower().startswith(EVENTS)
        return manner_of(call, makes).content_type if streams else None

    def stream(call: Call) -> Translator:
        manner = manner_of(call, makes)
        bare = manner.format in ("wav", "pcm")
        return SpokenStream(manner, reader(), bare=bare, coded=coded, repeats=repeats)

    return Operation(
        build=build, parse=parse, stream=stream, fault=fault, media=media, expects=expected
    )


def _own_type(call: Call, headers: Mapping[str, str]) -> str | None:
    """The content type of a host's own bytes; answers in JSON hold no sound."""
    given = headers.get("content-type", "")
    kind = given.partition(";")[0].strip().lower()
    if kind.endswith("json"):
        return None
    if call.body.value("stream_format") == "sse":
        return EVENTS
    # What stands behind it may be anything.
    own = kind.startswith("audio/") and is_one_line(given)
    return given if own else manner_of(call).content_type


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
