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
_HEARD = "conversation.item.input_audio_transcription."  # a transcript of what a user has said
_SAYS = ("conversation.item.create", "response.create")
_PICTURE = 1_000 * _BYTES_PER_TOKEN  # what one is taken for
_MOST_ANSWERS = 64
_NO_WORDS = frozenset({"audio", "image_url", "type", "role", "id", "event_id", "item_id"})
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
    response_id: msgspec.Raw = _NOTHING
    item_id: msgspec.Raw = _NOTHING
    response: msgspec.Raw = _NOTHING


class _Named(Struct, gc=False):
    id: msgspec.Raw = _NOTHING


_decode_named = msgspec.json.Decoder(_Named).decode
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


class _Answer:
    """What has passed of one answer, or of a transcript, in bytes; of sound in base64."""

    __slots__ = ("heard", "over", "sound", "text")

    def __init__(self, heard: bool) -> None:
        self.heard = heard  # a transcript
        self.sound = self.text = 0
        self.over = False  # its end has passed; its count may still come


class Passing:
    """Measures the sound and text that pass and are not in any provider's count yet.

    An answer is given the whole conversation: what its client has said since the last count, and
    as much as was counted then. Answers may come side by side; each is measured until its count.
    """

    __slots__ = (
        "_answers", "_context", "_early", "_input", "_input_rate", "_open", "_output",
        "_output_rate", "_said", "_text", "_wishes",
    )  # fmt: skip

    def __init__(self) -> None:
        self._answers: dict[bytes, _Answer] = {}
        self._input = self._output = self._text = self._said = self._wishes = 0
        self._input_rate = self._output_rate = _USUAL_RATE
        self._context = 0  # tokens
        self._open = 0  # answers that go on
        self._early = False  # a count has come before the end of what it counts

    @property
    def answering(self) -> bool:
        """Whether an answer is on its way."""
        return self._open > 0

    def wished(self, session: bytes) -> None:
        """What a session is to begin with."""
        self._wishes, sound = _weight(session)
        self._input += sound

    def from_client(self, event: Event, message: bytes) -> None:
        """An event that the client has sent."""
        kind = event.type
        if kind == "input_audio_buffer.append":
            self._input += _length(event.audio)
        elif kind == "session.update":
            self.wished(message)
        elif kind in _SAYS:
            text, sound = _weight(message)
            self._said += text
            self._input += sound

    def to_client(self, event: Event, message: bytes) -> None:
        """An event that the client is sent."""
        kind = event.type
        if kind in _AUDIO:
            length = _length(event.delta)
            self._answer(_name_of(event)).sound += length
            self._output += length
        elif kind in _TEXT:
            self._add_text(self._answer(_name_of(event)), event)
        elif kind == "response.created":
            self._answer(_name_of(event))
        elif kind == "response.done":
            self._end(_name_of(event))
        elif kind.startswith(_HEARD):
            transcript = self._answer(_HEARD.encode() + bytes(event.item_id), heard=True)
            if kind.endswith(".delta"):
                self._add_text(transcript, event)
            else:
                self._close(transcript)
        elif kind in ("session.created", "session.updated"):
            self._formats(message)

    def told(self, tokens: int = 0) -> None:
        """The provider has counted something: with the end of an answer, that was all of it."""
        self._context = max(self._context, tokens)
        if any(answer.over for answer in self._answers.values()):
            self._forget()
        elif self._open:
            self._early = True

    @property
    def usage(self) -> Usage | None:
        """What has passed of an answer that nobody has counted; None where there was none."""
        if not self._output and not self._text:
            return None
        heard, said = self.milliseconds
        text = self._text // _BYTES_PER_TOKEN
        asked = (self._said + self._wishes) // _BYTES_PER_TOKEN
        sound_in, sound_out = heard // INPUT_TOKEN_MS, said // OUTPUT_TOKEN_MS
        return Usage(
            input=self._context + asked + sound_in,
            output=text + sound_out,
            cached=self._context,
            audio_input=sound_in,
            audio_output=sound_out,
            audio_input_ms=heard,
            audio_output_ms=said,
        )

    @property
    def milliseconds(self) -> tuple[int, int]:
        """How much sound has passed uncounted, from the client and to it."""
        return self._input * 3 // 4 // self._input_rate, self._output * 3 // 4 // self._output_rate

    def _answer(self, name: bytes, *, heard: bool = False) -> _Answer:
        found = self._answers.get(name)
        if found is None and len(self._answers) >= _MOST_ANSWERS:
            name, found = b"", self._answers.get(b"")
        if found is None and not heard:  # one that was begun without its name may be this
            found = self._answers.pop(b"", None)
        if found is None:
            found = _Answer(heard)
            self._open += 1
        elif found.over:
            found.over = False
            self._open += 1
        self._answers[name] = found
        return found

    def _add_text(self, answer: _Answer, event: Event) -> None:
        length = _length(event.delta)
        answer.text += length
        self._text += length

    def _close(self, answer: _Answer) -> None:
        self._open -= not answer.over
        answer.over = True

    def _end(self, name: bytes) -> None:
        if not self._answers:  # one of which nothing was seen: its count may come all the same
            self._answer(name)
        found = self._answers.get(name)
        for answer in [*self._answers.values()] if found is None else [found]:
            self._close(answer)
        if self._early:
            self._forget()

    def _forget(self) -> None:
        """What is over is counted; with an answer, what was said before it as well."""
        self._early = False
        for name, answer in [*self._answers.items()]:
            if not answer.over:
                continue
            self._output -= answer.sound
            self._text -= answer.text
            if not answer.heard:
                self._input = self._said = self._wishes = 0
            del self._answers[name]

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


def _name_of(event: Event) -> bytes:
    """Which answer an event is of, as its name stands in JSON; nothing where it has none."""
    if event.response_id:
        return bytes(event.response_id)
    try:
        return bytes(_decode_named(bytes(event.response)).id)
    except _UNREADABLE:
        return b""


def _weight(message: bytes) -> tuple[int, int]:
    """How much text a message of the client's holds, and how much sound in base64."""
    text = sound = 0
    try:
        left: list[Any] = [msgspec.json.decode(message)]
    except _UNREADABLE:
        return 0, 0
    while left:
        one = left.pop()
        if isinstance(one, str):
            text += len(one.encode("utf-8", "replace"))
        elif isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            sound += len(one["audio"]) if isinstance(one.get("audio"), str) else 0
            text += _PICTURE if "image_url" in one else 0
            left += [told for name, told in one.items() if name not in _NO_WORDS]
    return text, sound


def _length(raw: msgspec.Raw) -> int:
    """A string's length, as it stands in JSON."""
    return max(0, memoryview(raw).nbytes - 2)


def _rate(way: _Way | None, older: str) -> int:
    named = older if way is None or way.format is None else way.format.type
    return _RATES.get(named, _USUAL_RATE)
