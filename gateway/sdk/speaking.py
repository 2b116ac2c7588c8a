"""How sound is handed over: as bytes or as events, bare samples in a WAV file if one is due."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct, structs

from gateway.core import sse
from gateway.core.faults import fault_in_body
from gateway.core.sound import riff
from gateway.core.sound.meter import SoundMeter
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import UPSTREAM_ERROR, Fault
from gateway.sdk.adapter import Reply
from gateway.sdk.long_events import Coded, LongEvents, in_base64

EVENTS: Final = "text/event-stream"
SAMPLES_A_SECOND: Final = 24_000
# What speech comes as, by OpenAI's names; Ogg is what holds opus.
FORMATS: Final = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_RATE = re.compile(rb"rate=(\d{4,6})\b")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError)


class Manner(Struct, frozen=True):
    """How a client wants its sound: in a format of OpenAI's names, as bytes or as events."""

    format: str
    events: bool = False

    @property
    def content_type(self) -> str:
        """What an answer in this manner is."""
        return EVENTS if self.events else FORMATS[self.format]


class Heard(Struct, frozen=True):
    """What an event of a host's says: a bit of sound, what it took, that it was the last."""

    sound: bytes = b""
    rate: int = SAMPLES_A_SECOND  # of bare samples
    usage: Usage | None = None
    done: bool = False


class Speaker:
    """Writes sound in a client's manner. `bare`: it comes as samples of 16 bits, one channel."""

    def __init__(self, manner: Manner, *, bare: bool = False) -> None:
        self._manner = manner
        self._wraps = bare and manner.format == "wav"
        self._bare = bare
        self._meter: SoundMeter | None = None
        self.begun = False

    @property
    def milliseconds(self) -> int:
        """How long what was written sounds."""
        return 0 if self._meter is None else self._meter.milliseconds

    def write(self, sound: bytes, rate: int = SAMPLES_A_SECOND, size: int | None = None) -> bytes:
        """More sound; `size` of all of it, where that is known, stands in a WAV header."""
        if self._meter is None:
            kind = f"audio/pcm;rate={rate}" if self._bare else FORMATS[self._manner.format]
            self._meter = SoundMeter(kind)
        self._meter.feed(sound)
        if self._wraps and not self.begun:
            sound = riff.header(size, rate) + sound
        self.begun = True
        if not self._manner.events:
            return sound
        coded = base64.b64encode(sound)
        return sse.event(b'{"type":"speech.audio.delta","audio":"%b"}' % coded)

    def end(self, usage: Usage | None) -> bytes:
        """What comes after the last of it."""
        if not self._manner.events:
            return b""
        done: dict[str, object] = {"type": "speech.audio.done"}
        if usage is not None and (usage.input or usage.output):
            done["usage"] = {
                "input_tokens": usage.input,
                "output_tokens": usage.output,
                "total_tokens": usage.input + usage.output,
            }
        return sse.event(msgspec.json.encode(done))

    def counted(self, told: Usage | None) -> Usage | None:
        """What the host counted, and how long the sound is."""
        if told is None and not self.milliseconds:
            return None
        told = told or Usage()
        return structs.replace(told, milliseconds=told.milliseconds or self.milliseconds)


class SpokenStream:
    """The translator for hosts that send sound in events, which `read` reads.

    `read` may raise a Fault; anything that it cannot read breaks the sound, and so the answer.
    Sound is `coded` in strings; a host may repeat all of it at the end.
    """

    def __init__(
        self,
        manner: Manner,
        read: Callable[[bytes], Heard],
        *,
        bare: bool = False,
        coded: Callable[[], Coded] = in_base64,
        repeats: bool = False,
    ) -> None:
        self._speaker = Speaker(manner, bare=bare)
        self._repeats = repeats
        self._read = read
        self._events = LongEvents(coded)
        self._told: Usage | None = None
        self.fault: Fault | None = None
        self.complete = False
        self.events = self.produced = 0
        self._within = False  # an event that is too long to be kept

    @property
    def usage(self) -> Usage | None:
        """What the host has counted so far, and the time of what has passed."""
        return self._speaker.counted(self._told)

    def feed(self, data: bytes) -> bytes:
        """The sound in the events that these bytes complete."""
        made: list[bytes] = []
        if self.fault is not None:
            return b""
        try:
            for payload, sound in self._events.feed(data):
                made.append(self._take(payload) if sound is None else self._early(sound))
        except ValueError:
            self.fault = self.fault or unreadable()
        out = b"".join(made)
        self.produced += len(out)
        return out

    def finish(self) -> bytes:
        """The end of the bytes; an end without any sound is no answer."""
        last = self._events.rest()
        made = b"" if self.complete or not last else self._last(last)
        if self.fault is None and self.complete:
            if not self._speaker.begun:
                self.fault = silence()
                return b""
            made += self._speaker.end(self._told)
        return made

    def _last(self, payload: bytes) -> bytes:
        """A last event without its blank line counts where it is whole."""
        try:
            msgspec.json.decode(payload, type=msgspec.Raw)
        except _UNREADABLE:
            return b""
        return self._take(payload)

    def _early(self, sound: bytes) -> bytes:
        """Sound of an event that is too long to wait for its end.

        Where a host `repeats` all of it in its last event, that one alone is so long.
        """
        if self.fault is not None or (self._repeats and self._speaker.begun and not self._within):
            return b""
        self._within = True
        told = _RATE.search(self._events.kept)
        return self._speaker.write(sound, int(told[1]) if told else SAMPLES_A_SECOND)

    def _take(self, payload: bytes) -> bytes:
        self._within = False
        if self.fault is not None:
            return b""
        try:
            heard = self._read(payload)
        except Fault as fault:
            self.fault = fault
            return b""
        except _UNREADABLE:
            self.fault = unreadable()
            return b""
        self._told = heard.usage or self._told
        written = self._speaker.write(heard.sound, heard.rate) if heard.sound else b""
        self.complete = self.complete or heard.done
        return written


class PassingSpeech:
    """The translator for hosts that speak OpenAI's wire: bytes pass as they are, and so do events.

    Where a client asked for events and the host sends bytes, events are made of them.
    """

    def __init__(
        self, manner: Manner, fault_in: Callable[[bytes], Fault | None] = fault_in_body
    ) -> None:
        self._manner = manner
        self._fault_in = fault_in
        self._begun = b""
        self._came = False  # anything at all
        self._events: sse.Splitter | None = None
        self._speaker: Speaker | None = None
        self._meter = SoundMeter(FORMATS[manner.format])
        self._told: Usage | None = None
        self._done = False
        self.fault: Fault | None = None
        self.events = self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """What the host told in its last event; of bytes it tells nothing."""
        if self._speaker is not None:
            return self._speaker.counted(None)
        time = self._meter.milliseconds
        if self._told is None and not time:
            return None
        return structs.replace(self._told or Usage(), milliseconds=time)

    @property
    def complete(self) -> bool:
        """Bytes are complete when the wire says that they are; events when the last one came."""
        return self._done or self._events is None

    def feed(self, data: bytes) -> bytes:
        """Bytes as they are, or whole events."""
        self._came = self._came or bool(data)
        made = self._turned(data) if self._manner.events else data
        self.produced += len(made)
        return made

    def _turned(self, data: bytes) -> bytes:
        if self._events is None and self._speaker is None:
            data = self._begun + data
            if len(data) < 6:
                self._begun = data
                return b""
            self._decide(data)
        if self._speaker is not None:
            return self._speaker.write(data) if data else b""
        return self._passed(data)

    def finish(self) -> bytes:
        """The end of the bytes; an end without any sound is no answer."""
        if not self._came and self.fault is None:
            self.fault = silence()
        return self._ended() if self._manner.events and self.fault is None else b""

    def _ended(self) -> bytes:
        made = b""
        if self._events is None and self._speaker is None and self._begun:
            self._decide(self._begun)
            made = self._speaker.write(self._begun) if self._speaker else b""
        if self._speaker is not None:
            return made + self._speaker.end(None)
        rest = b"" if self._events is None or self._events.oversize else self._events.rest()
        return rest if rest and self._note(rest) and self._done else made

    def _decide(self, begun: bytes) -> None:
        """Sound never begins as an event does."""
        if begun.lstrip(sse.BOM + b"\r\n").startswith((b"data:", b"event:", b": ")):
            self._events = sse.Splitter()
        else:
            self._speaker = Speaker(self._manner)

    def _passed(self, data: bytes) -> bytes:
        splitter = self._events
        assert splitter is not None
        events = splitter.feed(data)
        return b"".join([event for event in events if splitter.oversize or self._note(event)])

    def _note(self, event: bytes) -> bool:
        """Read an event that passes: its sound is timed, its usage kept. An error ends all."""
        if self.fault is not None:
            return False
        payload = sse.data_of(event)
        if payload is None:
            return True
        self.fault = self._fault_in(payload)
        if self.fault is not None:
            return False  # it is told in the gateway's own words
        try:
            told = _decode(payload)
            if told.audio:
                self._meter.feed(base64.b64decode(told.audio))
        except _UNREADABLE:
            return True
        if told.type == "speech.audio.done":
            self._done = True
            self._told = openai_usage(bytes(told.usage)) if len(told.usage) > 2 else None
        return True


class _Told(Struct):
    type: str = ""
    audio: str = ""
    usage: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Told).decode


def spoken(
    manner: Manner,
    sound: bytes,
    usage: Usage | None = None,
    *,
    bare: bool = False,
    rate: int = SAMPLES_A_SECOND,
) -> Reply:
    """The answer for sound that came whole."""
    if not sound:
        raise silence()
    speaker = Speaker(manner, bare=bare)
    body = speaker.write(sound, rate, len(sound)) + speaker.end(usage)
    return Reply(body, speaker.counted(usage), manner.content_type)


def samples_in(wave: bytes) -> bytes:
    """What a WAV file holds behind its header; bytes that are none are taken as they are."""
    at = wave.find(b"data", 12, 4096)
    return wave[at + 8 :] if riff.is_wave(wave) and at >= 0 else wave


def silence() -> Fault:
    """A 502 for an answer without any sound."""
    return Fault(UPSTREAM_ERROR, "The provider's answer holds no sound.", cause="empty_answer")


def unreadable() -> Fault:
    """A 502 for what cannot be sound."""
    return Fault(
        UPSTREAM_ERROR,
        "The provider sent an answer that cannot be read.",
        cause="unreadable_answer",
    )
