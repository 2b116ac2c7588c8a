"""Transcripts in OpenAI's words, whole and streamed, from hosts that have a wire of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from gateway.core import sse
from gateway.core.talk.model import Losses
from gateway.domain import Usage
from gateway.errors import Fault, invalid
from gateway.sdk.adapter import Call, Reply
from gateway.sdk.hearing import TEXT


class Bit(Struct, frozen=True):
    """What a piece of another wire's stream adds to the transcript."""

    text: str = ""
    usage: Usage | None = None
    fault: Fault | None = None
    last: bool = False


class Source(Protocol):
    """Another wire's stream, read; exact for any split."""

    def feed(self, data: bytes) -> Iterable[Bit]: ...

    def finish(self) -> Iterable[Bit]: ...


class Events:
    """A source of bits from a stream of events, each of whose payloads `read` understands."""

    def __init__(self, read: Callable[[bytes], Bit | None]) -> None:
        self._splitter = sse.Splitter()
        self._read = read

    def feed(self, data: bytes) -> Iterable[Bit]:
        """Those that `data` completes."""
        for event in self._splitter.feed(data):
            payload = None if self._splitter.oversize else sse.data_of(event)
            yield from self._bit(payload)

    def finish(self) -> Iterable[Bit]:
        """A last event without its blank line."""
        if not self._splitter.oversize:
            yield from self._bit(sse.data_of(self._splitter.rest()))

    def _bit(self, payload: bytes | None) -> Iterable[Bit]:
        bit = None if payload is None else self._read(payload)
        if bit is not None:
            yield bit


class Transcript:
    """The translator that writes OpenAI's events from any source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text: list[str] = []
        self._size = 0
        self.usage: Usage | None = None
        self.fault: Fault | None = None
        self.complete = False

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        return self._written(self._source.feed(data))

    def finish(self) -> bytes:
        """The rest."""
        return self._written(self._source.finish())

    def _written(self, bits: Iterable[Bit]) -> bytes:
        if self.fault is not None or self.complete:
            return b""
        out: list[bytes] = []
        for bit in bits:
            self.usage = bit.usage or self.usage
            if bit.fault is not None:
                self.fault = bit.fault
                break
            if bit.text:
                self._keep(bit.text)
                out.append(_event({"type": "transcript.text.delta", "delta": bit.text}))
            if bit.last:
                self.complete = True
                out.append(self._done())
                break
        return b"".join(out)

    def _keep(self, text: str) -> None:
        """Its last event has all of the text, unless that is longer than an event may be."""
        self._size += len(text)
        if self._size <= sse.MAX_EVENT:
            self._text.append(text)

    def _done(self) -> bytes:
        whole = "".join(self._text) if self._size <= sse.MAX_EVENT else ""
        told: dict[str, Any] = {"type": "transcript.text.done", "text": whole}
        if self.usage is not None:
            told["usage"] = shown(self.usage)
        return _event(told)


def _event(told: dict[str, Any]) -> bytes:
    return sse.event(msgspec.json.encode(told))


def answer(call: Call, text: str, usage: Usage | None) -> Reply:
    """A transcript in the format that was asked for, JSON or text."""
    if call.body.value("response_format") == "text":
        return Reply(f"{text}\n".encode("utf-8", "replace"), usage, TEXT)
    told: dict[str, Any] = {"text": text}
    if usage is not None:
        told["usage"] = shown(usage)
    return Reply(msgspec.json.encode(told), usage)


def shown(usage: Usage) -> dict[str, Any]:
    """Usage as OpenAI tells it: by tokens where they are counted, else by seconds."""
    if not (usage.input or usage.output):
        return {"type": "duration", "seconds": usage.milliseconds / 1000}
    return {
        "type": "tokens",
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "input_token_details": {
            "audio_tokens": usage.audio_input,
            "text_tokens": usage.input - usage.audio_input,
        },
    }


def text_alone(call: Call) -> None:
    """Refuse what only a model that tells times and speakers can give."""
    asked = call.body.value("response_format")
    if asked not in (None, "json", "text"):
        raise invalid(
            f"This model gives a transcript as 'json' or 'text', not as '{asked}'.",
            "response_format",
        )
    if call.body.value("timestamp_granularities"):
        raise invalid("This model does not tell the times of words.", "timestamp_granularities")


def unsaid(call: Call, said: frozenset[str], losses: Losses) -> None:
    """Name the fields that have no place in a request."""
    for name in call.body.names():
        if name not in said and call.body.value(name) is not None:
            losses.lose(name)
