"""Voxtral: a form like OpenAI's; times and speakers are asked for and told in words of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk import (
    Call,
    Credential,
    Fault,
    Operation,
    Reply,
    UpstreamRequest,
    fault_in_body,
    hearing,
    invalid,
    transcripts,
)
from gateway.sdk.talk import Losses
from providers_plugins.causes import FaultOf

_UNHEARD = frozenset({
    "chunking_strategy", "include", "known_speaker_names", "known_speaker_references", "prompt",
    "response_format",
})  # fmt: skip
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Segment(msgspec.Struct):
    text: str
    start: float
    end: float
    speaker_id: str | None = None


class _Answer(msgspec.Struct):
    text: str
    language: str | None = None
    segments: list[_Segment] | None = None


class _Event(msgspec.Struct):
    type: str = ""
    text: str = ""


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The same form; formats with times or speakers become the members that bring them."""
    asked = call.body.value("response_format")
    if asked in ("srt", "vtt"):
        raise invalid(
            f"This model does not write '{asked}'; 'verbose_json' tells its times.",
            "response_format",
        )
    losses = Losses()
    fields = [("model", call.upstream), *hearing.fields_of(call, _UNHEARD, losses, many="")]
    losses.keep("response_format")
    if asked == "diarized_json":
        fields += [("diarize", "true")]
    timed = call.body.value("timestamp_granularities")
    if asked in ("verbose_json", "diarized_json") and not timed:
        fields += [("timestamp_granularities", "segment")]
    return hearing.form_request(call, credential, fields, losses)


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """What was heard, in the format that was asked for."""
    del status, headers
    said = hearing.said_in(body, _Answer)
    usage = hearing.usage_of(body)
    asked = call.body.value("response_format")
    if asked not in ("verbose_json", "diarized_json"):
        return transcripts.answer(call, said.text, usage)
    shown = _spoken if asked == "diarized_json" else _timed
    told: dict[str, Any] = {
        "task": "transcribe",
        "language": said.language,
        "duration": usage.milliseconds / 1000 if usage else None,
        "text": said.text,
        "segments": [shown(place, one) for place, one in enumerate(said.segments or ())],
    }
    if usage is not None:
        told["usage"] = transcripts.shown(usage)
    return Reply(msgspec.json.encode(told), usage)


def _timed(place: int, segment: _Segment) -> dict[str, Any]:
    return {"id": place, "start": segment.start, "end": segment.end, "text": segment.text}


def _spoken(place: int, segment: _Segment) -> dict[str, Any]:
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{place}",
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "speaker": segment.speaker_id or "",
    }


def read(payload: bytes) -> transcripts.Bit | None:
    """One event of a stream; its names are nearly OpenAI's."""
    found = fault_in_body(payload)
    if found is not None:
        return transcripts.Bit(fault=found)
    try:
        event = msgspec.json.decode(payload, type=_Event)
        last = event.type == "transcription.done"
        usage = hearing.usage_of(payload) if last else None
    except (*_BAD, Fault):
        return None
    if last:
        return transcripts.Bit(usage=usage, last=True)
    text = event.text if event.type == "transcription.text.delta" else ""
    return transcripts.Bit(text=text)


def transcriptions(fault: FaultOf) -> Operation:
    """The operation, with the host's own reading of failures."""
    return Operation(
        build=build,
        parse=parse,
        stream=lambda call: transcripts.Transcript(transcripts.Events(read)),
        fault=fault,
    )
