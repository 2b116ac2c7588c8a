"""Transcriptions and translations on OpenAI's wire: a form with a file, and what is heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw, Struct, structs

from gateway.core import sse
from gateway.core.faults import fault_in_body, provider_fault
from gateway.core.talk.model import Losses
from gateway.core.usage import is_object, openai_usage
from gateway.domain import Credential, File, UpstreamRequest, Usage
from gateway.errors import UPSTREAM_ERROR, Fault, invalid
from gateway.sdk.adapter import Call, Operation, Reply, is_one_line
from gateway.sdk.forms import form

PATHS: Final[Mapping[str, str]] = {
    "transcriptions": "/audio/transcriptions",
    "translations": "/audio/translations",
}
TEXT: Final = "text/plain; charset=utf-8"
Headers = tuple[tuple[str, str], ...]
Said = TypeVar("Said", bound=Struct)
_WRITTEN = ("text", "srt", "vtt")  # formats that are text, and no JSON
_TEXTS = ("text/plain", "text/vtt", "text/srt", "application/x-subrip")
_MOST_SECONDS = 10_000_000
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ODD_LENGTH = "its length is not a number of seconds"


def heard(
    path: str,
    *,
    drop: frozenset[str] = frozenset(),
    url: Callable[[Call, str], str] = lambda call, path: call.base_url + path,
    key: Callable[[Credential], Headers] | None = None,
    fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    fault: Callable[[int, Mapping[str, str], bytes], Fault] = provider_fault,
) -> Operation:
    """An operation of a host that takes OpenAI's form; `drop` names fields that it refuses.

    `url` and `key` are for a host with an address or a login of its own.
    """

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        sound(call)
        losses = Losses()
        fields = [("model", call.upstream), *fields_of(call, drop, losses)]
        content_type, pieces = form(call, fields, [(one.field, one) for one in call.files])
        headers = (("Content-Type", content_type), *(key or login)(credential))
        return UpstreamRequest(
            "POST", url(call, path), headers, adapted=losses.names, pieces=pieces
        )

    def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        kind = written(call, headers)
        if kind is not None:
            return Reply(body, content_type=kind)
        found = fault_in(body)
        if found is not None:
            raise found
        return Reply(body, usage_of(body))

    return Operation(
        build=build,
        parse=parse,
        stream=lambda call: TranscriptMeter(fault_in),
        fault=fault,
    )


def form_request(
    call: Call, credential: Credential, fields: Iterable[tuple[str, str]], losses: Losses
) -> UpstreamRequest:
    """The request of a host that takes a form like OpenAI's, with fields of its own."""
    content_type, pieces = form(call, fields, [("file", sound(call))])
    headers = (("Content-Type", content_type), *login(credential))
    url = call.base_url + PATHS["transcriptions"]
    return UpstreamRequest("POST", url, headers, adapted=losses.names, pieces=pieces)


def said_in(
    body: bytes, kind: type[Said], fault_in: Callable[[bytes], Fault | None] = fault_in_body
) -> Said:
    """What a host of its own wire has answered, unless that tells of a failure."""
    found = fault_in(body)
    if found is not None:
        raise found
    try:
        return msgspec.json.decode(body, type=kind)
    except _BAD:
        raise unreadable() from None


def login(credential: Credential) -> Headers:
    """The usual header; a host that needs no key gets none."""
    if not credential.api_key:
        return ()
    return (("Authorization", f"Bearer {credential.api_key}"),)


def sound(call: Call) -> File:
    """The file that is to be heard."""
    for file in call.files:
        if file.field == "file":
            return file
    raise invalid("Send the sound as a file, in the form's field 'file'.", "file")


_KINDS = {
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "audio/mp4",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "webm": "audio/webm",
}
_ALIASES = {"audio/x-wav": "audio/wav", "audio/wave": "audio/wav", "audio/mp3": "audio/mpeg"}


def kind_of(file: File) -> str:
    """What kind of sound a file is: as its client says, or as its name ends."""
    kind = file.content_type.partition(";")[0].strip().lower()
    if kind.startswith(("audio/", "video/")):
        return _ALIASES.get(kind, kind)
    return _KINDS.get(file.name.rpartition(".")[2].lower(), "audio/mpeg")


def fields_of(
    call: Call, drop: frozenset[str], losses: Losses, many: str = "[]"
) -> Iterable[tuple[str, str]]:
    """The form's other fields as they are sent on; `many` stands behind the names of lists."""
    for name in call.body.names():
        value = call.body.value(name)
        if name == "model" or value is None:
            continue
        if name in drop:
            losses.lose(name)
        elif isinstance(value, list):
            yield from ((name + many, _told(one)) for one in value)
        else:
            yield name, _told(value)


def _told(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def written(call: Call, headers: Mapping[str, str]) -> str | None:
    """The content type of a transcript that was asked for as text, or with subtitles' times."""
    given = headers.get("content-type", "").strip()
    kind = given.partition(";")[0].strip().lower()
    if call.body.value("response_format") not in _WRITTEN:
        return None
    if kind.endswith("json") or kind == "text/event-stream":
        return None
    # What stands behind it may be anything.
    return given if kind in _TEXTS and is_one_line(given) else TEXT


class _Answer(Struct):
    usage: Raw = Raw()
    duration: Any = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def usage_of(body: bytes) -> Usage | None:
    """What an answer, or a stream's last event, says that it took: tokens, seconds, or both."""
    try:
        found = _decode_answer(body)
    except _BAD:
        raise unreadable() from None
    usage = counted(bytes(found.usage)) if is_object(found.usage) else None
    if found.duration is None or (usage is not None and usage.milliseconds):
        return usage
    length = _milliseconds(found.duration)
    if usage is not None:
        return structs.replace(usage, milliseconds=length or 0)
    raw = msgspec.json.encode({"duration": found.duration})
    return Usage(
        milliseconds=length or 0, raw=raw, problem="" if length is not None else _ODD_LENGTH
    )


def counted(raw: bytes) -> Usage:
    """A usage object: of tokens, or of seconds; some hosts tell both."""
    try:
        said: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except _BAD:
        return openai_usage(raw)
    seconds = said.get("seconds", said.get("prompt_audio_seconds"))
    length = 0 if seconds is None else _milliseconds(seconds)
    if length is None:
        return Usage(raw=raw, problem=_ODD_LENGTH)
    if said.get("type") == "duration" or not any("token" in name for name in said):
        return Usage(milliseconds=length, raw=raw)
    usage = openai_usage(raw)
    details = said.get("input_token_details")
    audio = details.get("audio_tokens") if isinstance(details, dict) else None
    if isinstance(audio, int) and not isinstance(audio, bool) and 0 <= audio <= usage.input:
        usage = structs.replace(usage, audio_input=audio)
    if usage.audio_input > usage.input:  # some hosts count sound beside the words of the prompt
        usage = structs.replace(usage, input=usage.input + usage.audio_input)
    return structs.replace(usage, milliseconds=length)


def _milliseconds(seconds: Any) -> int | None:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds):
        return None
    return round(seconds * 1000) if 0 <= seconds <= _MOST_SECONDS else None


def unreadable() -> Fault:
    """A 502 for what is no transcript."""
    return Fault(UPSTREAM_ERROR, "The provider's answer cannot be read.", cause="unreadable_answer")


class _Event(Struct):
    type: str = ""
    error: Any = None


_decode_event = msgspec.json.Decoder(_Event).decode


class TranscriptMeter:
    """The translator of a stream that is in OpenAI's events already; they pass as they came."""

    def __init__(self, fault_in: Callable[[bytes], Fault | None] = fault_in_body) -> None:
        self._splitter = sse.Splitter()
        self._fault_in = fault_in
        self.usage: Usage | None = None
        self.fault: Fault | None = None
        self.complete = False
        self.events = self.produced = 0

    def feed(self, data: bytes) -> bytes:
        """The events that `data` completes."""
        passed: list[bytes] = []
        if self.fault is not None:
            return b""
        for event in self._splitter.feed(data):
            payload = None if self._splitter.oversize else sse.data_of(event)
            if payload is not None and not self._passes(payload):
                break
            passed.append(event)
        return b"".join(passed)

    def finish(self) -> bytes:
        """A last event without its blank line still counts, if it is the end."""
        rest = self._splitter.rest()
        payload = None if self._splitter.oversize else sse.data_of(rest)
        if payload is None or self.fault is not None or not self._passes(payload):
            return b""
        return rest + b"\n\n" if self.complete else b""

    def _passes(self, payload: bytes) -> bool:
        """Read an event; one that tells of a failure is not passed on."""
        self.events += 1
        self.produced += len(payload)
        if payload == b"[DONE]":
            self.complete = True
            return True
        try:
            event = _decode_event(payload)
        except _BAD:
            return True
        if event.error is not None or event.type == "error":
            self.fault = self._fault_in(payload) or unreadable()
            return False
        if event.type == "transcript.text.done":
            self.complete = True
            self.usage = usage_of(payload)
        return True
