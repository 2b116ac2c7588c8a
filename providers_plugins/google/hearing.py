"""Transcripts and translations: the sound and an instruction, asked of a talking model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from gateway.sdk import (
    INVALID_REQUEST,
    Call,
    Credential,
    Encoded,
    Fault,
    Operation,
    Reply,
    UpstreamRequest,
    Usage,
    hearing,
    transcripts,
)
from gateway.sdk.talk import Broke, Ended, Event, Grew, Losses, Opened, Stopped, Text, Used
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.home import generation
from providers_plugins.google.places import cloud_headers, cloud_url, studio_headers, studio_url
from providers_plugins.google.reader import GenerateReader
from providers_plugins.google.whole import read

_SAID = frozenset({"model", "language", "prompt", "response_format", "stream", "temperature"})
_TASKS = {
    "transcriptions": "Write down, word for word, what is said in this recording, in the language "
    "in which it is said.",
    "translations": "Translate what is said in this recording into English.",
}
_FORM = (
    " Answer with that text alone: no introduction, no remarks, no times, no names of speakers, no "
    "formatting. If nothing is said, answer with nothing."
)
_PLACE = "\x00"
_TOKENS_A_SECOND = 32
Place = Callable[[Call, Credential, str], str]
Key = Callable[[Credential], tuple[tuple[str, str], ...]]


def studio_hearing() -> dict[str, Operation]:
    """Both operations, with an API key."""
    return _operations(lambda call, _, method: studio_url(call, method), studio_headers)


def cloud_hearing() -> dict[str, Operation]:
    """Both operations, with a login."""
    return _operations(cloud_url, cloud_headers)


def _operations(place: Place, key: Key) -> dict[str, Operation]:
    def build(call: Call, credential: Credential) -> UpstreamRequest:
        transcripts.text_alone(call)
        file = hearing.sound(call)
        losses = Losses()
        transcripts.unsaid(call, _SAID, losses)
        method = "streamGenerateContent" if call.stream else "generateContent"
        query = "?alt=sse" if call.stream else ""
        before, after = msgspec.json.encode(_asked(call, hearing.kind_of(file))).split(b"\\u0000")
        return UpstreamRequest(
            "POST",
            place(call, credential, method) + query,
            key(credential),
            translated=True,
            adapted=losses.names,
            pieces=(before, Encoded(file), after),
        )

    operation = Operation(
        build=build,
        expects=_expects,
        parse=_parse,
        stream=lambda call: transcripts.Transcript(_Heard(call)),
        fault=wire_fault,
    )
    return dict.fromkeys(_TASKS, operation)


def _expects(call: Call) -> Usage:
    length = sum(file.milliseconds for file in call.files)
    tokens = length * _TOKENS_A_SECOND // 1000
    return Usage(milliseconds=length, input=tokens, audio_input=tokens)


def _asked(call: Call, kind: str) -> dict[str, Any]:
    parts = [{"text": _instruction(call)}, {"inlineData": {"mimeType": kind, "data": _PLACE}}]
    asked: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}]}
    config = _thinking(call.upstream)
    temperature = call.body.value("temperature")
    if temperature is not None:
        config["temperature"] = temperature
    return asked | ({"generationConfig": config} if config else {})


def _instruction(call: Call) -> str:
    told = _TASKS[call.operation] + _FORM
    language, prompt = call.body.value("language"), call.body.value("prompt")
    if language:
        told += f" The recording is in the language '{language}'."
    if prompt:
        told += f"\nWhat may help with names, spelling and style:\n{prompt}"
    return told.replace(_PLACE, "")


def _thinking(model: str) -> dict[str, Any]:
    """There is little to think about; how little can be said differs by generation."""
    made, large = generation(model), "pro" in model
    if made >= (3, 0):
        return {"thinkingConfig": {"thinkingLevel": "LOW" if large else "MINIMAL"}}
    if made >= (2, 5):
        return {"thinkingConfig": {"thinkingBudget": 128 if large else 0}}
    return {}


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    del status
    found = read(call, headers, body)
    text = "".join(part.text for part in found.parts if isinstance(part, Text))
    fault = _unfinished(found.reason, bool(text))
    if fault is not None:
        raise fault
    return transcripts.answer(call, text.strip(), found.usage)


def _unfinished(reason: str, began: bool) -> Fault | None:
    """Why this is no whole transcript, if it is none."""
    if reason == "length":
        return Fault(
            INVALID_REQUEST,
            "The transcript is longer than this model's longest answer: send a shorter recording.",
            param="file",
            cause="too_long",
        )
    if reason == "filter":
        ended = "broke off" if began else "refused"
        return Fault(
            INVALID_REQUEST,
            f"The provider {ended} the transcript for what is said in it.",
            param="file",
            cause="content_policy",
        )
    return None


class _Heard:
    """Reads a stream of a conversation's answer: its text, and none of its thoughts."""

    def __init__(self, call: Call) -> None:
        self._reader = GenerateReader(call.now, longest=0)
        self._words: set[int] = set()
        self._fault: Fault | None = None

    def feed(self, data: bytes) -> Iterable[transcripts.Bit]:
        """What these bytes add."""
        return map(self._bit, self._reader.feed(data))

    def finish(self) -> Iterable[transcripts.Bit]:
        """The end is told by the end of the bytes, if a reason was given before it."""
        return map(self._bit, self._reader.finish())

    def _bit(self, event: Event) -> transcripts.Bit:
        if isinstance(event, Opened) and isinstance(event.part, Text):
            self._words.add(event.index)
            return transcripts.Bit(text=event.part.text)
        if isinstance(event, Grew) and event.index in self._words:
            return transcripts.Bit(text=event.text)
        if isinstance(event, Stopped):
            self._fault = _unfinished(event.reason, bool(self._words))
        elif isinstance(event, Used):
            return transcripts.Bit(usage=event.usage)
        elif isinstance(event, Broke):
            return transcripts.Bit(fault=event.fault)
        elif isinstance(event, Ended):
            return transcripts.Bit(fault=self._fault, last=True)
        return transcripts.Bit()
