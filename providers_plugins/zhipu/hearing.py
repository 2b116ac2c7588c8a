"""GLM-ASR: a form like OpenAI's, for text alone; its stream ends without the whole text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk import (
    Call,
    Credential,
    Operation,
    Reply,
    UpstreamRequest,
    hearing,
    transcripts,
)
from gateway.sdk.talk import Losses
from providers_plugins.zhipu.chat import fault, fault_in

_UNHEARD = frozenset({
    "chunking_strategy", "include", "known_speaker_names", "known_speaker_references", "language",
    "response_format", "temperature",
})  # fmt: skip
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Answer(msgspec.Struct):
    text: str
    usage: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: str = ""
    usage: dict[str, Any] | None = None


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The same form, less what this host does not know."""
    transcripts.text_alone(call)
    losses = Losses()
    fields = [("model", call.upstream), *hearing.fields_of(call, _UNHEARD, losses)]
    losses.keep("response_format")
    return hearing.form_request(call, credential, fields, losses)


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The text, in the format that was asked for."""
    del status, headers
    said = hearing.said_in(body, _Answer, fault_in)
    return transcripts.answer(call, said.text, hearing.usage_of(body))


def read(payload: bytes) -> transcripts.Bit | None:
    """One event. The end is told by its type, and once more by the mark that ends all streams."""
    if payload == b"[DONE]":
        return transcripts.Bit(last=True)
    found = fault_in(payload)
    if found is not None:
        return transcripts.Bit(fault=found)
    try:
        event = msgspec.json.decode(payload, type=_Event)
    except _BAD:
        return None
    last = event.type == "transcript.text.done"
    usage = hearing.usage_of(payload) if event.usage else None
    return transcripts.Bit(text="" if last else event.delta, usage=usage, last=last)


TRANSCRIPTIONS = Operation(
    build=build,
    parse=parse,
    stream=lambda call: transcripts.Transcript(transcripts.Events(read)),
    fault=fault,
)
