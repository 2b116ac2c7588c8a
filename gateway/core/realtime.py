"""What the gateway itself reads and says in a realtime session, in OpenAI's events.

The client's side of a session is always spoken in these, whoever the provider is, so what passes
there can be measured without asking an adapter.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.domain import Usage
from gateway.errors import Fault

# OpenAI counts what a user says as a token each 100 ms, and what the model says as one each 50 ms.
INPUT_TOKEN_MS = 100
OUTPUT_TOKEN_MS = 50

_NOTHING = msgspec.Raw()
_BYTES_PER_TOKEN = 4
# Bytes of sound a millisecond, by the names of formats in both generations of the protocol.
_USUAL_RATE = 48
_RATES = {"audio/pcmu": 8, "audio/pcma": 8, "g711_ulaw": 8, "g711_alaw": 8}
_AUDIO = ("response.output_audio.delta", "response.audio.delta")
_TEXT = (
    "response.output_text.delta",
    "response.text.delta",
    "response.output_audio_transcript.delta",
    "response.audio_transcript.delta",
    "response.function_call_arguments.delta",
)
_SUMS = tuple(name for name in Usage.__struct_fields__ if name not in ("raw", "size", "problem"))
# What OpenAI's clients look for, where it differs from the gateway's own code; and ends that are
# nobody's failure, by their causes.
_CODES = {"budget_exhausted": "insufficient_quota"}
_ENDS = ("session_expired", "session_idle", "draining")


class _Format(Struct, gc=False):
    type: str = ""


class _Way(Struct, gc=False):
    format: _Format | None = None


class _Audio(Struct, gc=False):
    input: _Way | None = None
    output: _Way | None = None


class _Session(Struct, gc=False, frozen=True):
    audio: _Audio | None = None
    input_audio_format: str = ""
    output_audio_format: str = ""


class _Told(Struct, gc=False):
    session: _Session = _Session()


class Event(Struct, gc=False):
    """What is read of an event; sound and text are only measured."""

    type: str = ""
    delta: msgspec.Raw = _NOTHING
    audio: msgspec.Raw = _NOTHING


_decode_event = msgspec.json.Decoder(Event).decode
_decode_told = msgspec.json.Decoder(_Told).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ODD = Event()


def event_of(message: bytes) -> Event:
    """The head of an event; an empty one for what is none."""
    try:
        return _decode_event(message)
    except _UNREADABLE:
        return _ODD


class Passing:
    """Measures the sound and text that pass and are not in any provider's count yet."""

    __slots__ = ("_input", "_input_rate", "_output", "_output_rate", "_text", "_told", "answering")

    def __init__(self) -> None:
        self._input = self._output = self._text = 0  # bytes; of sound in base64
        self._input_rate = self._output_rate = _USUAL_RATE
        self._told = False  # a count has come since the answer began
        self.answering = False

    def from_client(self, event: Event) -> None:
        """An event that the client has sent."""
        if event.type == "input_audio_buffer.append":
            self._input += _length(event.audio)

    def to_client(self, event: Event, message: bytes) -> None:
        """An event that the client is sent."""
        kind = event.type
        if kind in _AUDIO:
            self._begun()
            self._output += _length(event.delta)
        elif kind in _TEXT:
            self._begun()
            self._text += _length(event.delta)
        elif kind == "response.created":
            self._begun()
        elif kind == "response.done":
            self.answering = False
            if self._told:
                self._forget()
        elif kind in ("session.created", "session.updated"):
            self._formats(message)

    def told(self) -> None:
        """The provider has counted something: with the end of the answer, that was all of it."""
        self._told = True
        if not self.answering:
            self._forget()

    @property
    def usage(self) -> Usage | None:
        """What has passed of an answer that nobody has counted; None where there was none."""
        if not self._output and not self._text:
            return None
        heard, said = self.milliseconds
        text = self._text // _BYTES_PER_TOKEN
        sound_in, sound_out = heard // INPUT_TOKEN_MS, said // OUTPUT_TOKEN_MS
        return Usage(
            input=sound_in,
            output=text + sound_out,
            audio_input=sound_in,
            audio_output=sound_out,
            audio_input_ms=heard,
            audio_output_ms=said,
        )

    @property
    def milliseconds(self) -> tuple[int, int]:
        """How much sound has passed uncounted, from the client and to it."""
        return self._input * 3 // 4 // self._input_rate, self._output * 3 // 4 // self._output_rate

    def _begun(self) -> None:
        if not self.answering:
            self.answering, self._told = True, False

    def _forget(self) -> None:
        self._input = self._output = self._text = 0

    def _formats(self, message: bytes) -> None:
        try:
            session = _decode_told(message).session
        except _UNREADABLE:
            return
        audio = session.audio or _Audio()
        self._input_rate = _rate(audio.input, session.input_audio_format)
        self._output_rate = _rate(audio.output, session.output_audio_format)


def total(counted: Usage | None, more: Usage) -> Usage:
    """Two counts as one. Of what the provider said, the last is kept as an example."""
    if counted is None:
        return more
    changes: dict[str, Any] = {
        name: value + getattr(counted, name) for name in _SUMS if (value := getattr(more, name))
    }
    if more.raw:
        changes["raw"] = more.raw
    return structs.replace(counted, **changes)


def counts(usage: Usage) -> bool:
    """Whether anything at all was counted."""
    return any(getattr(usage, name) for name in _SUMS)


def code_of(fault: Fault) -> str:
    """What an end is called, in its error event and as the reason of its close frame."""
    if fault.cause in _ENDS:
        return fault.cause
    return _CODES.get(fault.kind.code, fault.kind.code)


def error_event(fault: Fault, number: str) -> bytes:
    """A fault as the client's protocol tells it."""
    kind, code = fault.kind, code_of(fault)
    error: dict[str, Any] = {
        "type": kind.type,
        "code": code,
        "message": fault.message,
        "param": fault.param,
        "event_id": None,
    }
    if code != kind.code:
        error["gateway_code"] = kind.code
    return msgspec.json.encode({"type": "error", "event_id": f"event_{number}", "error": error})


def _length(raw: msgspec.Raw) -> int:
    """A string's length, as it stands in JSON."""
    return max(0, memoryview(raw).nbytes - 2)


def _rate(way: _Way | None, older: str) -> int:
    named = older if way is None or way.format is None else way.format.type
    return _RATES.get(named, _USUAL_RATE)
