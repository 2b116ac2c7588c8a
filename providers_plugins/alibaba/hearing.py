"""Qwen3-ASR: a conversation in which one message is sound, and the answer what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.sdk import (
    Call,
    Credential,
    Encoded,
    Fault,
    Operation,
    Reply,
    UpstreamRequest,
    bearer,
    fault_in_body,
    hearing,
    transcripts,
)
from gateway.sdk.talk import Losses
from providers_plugins.alibaba.chat import fault

_SAID = frozenset({"model", "language", "prompt", "response_format", "stream"})
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Said(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Said | None = None
    delta: _Said | None = None


class _Piece(msgspec.Struct):
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The sound stands in base64 between the two halves of a request for a conversation."""
    transcripts.text_alone(call)
    file = hearing.sound(call)
    losses = Losses()
    transcripts.unsaid(call, _SAID, losses)
    before, after = msgspec.json.encode(_asked(call, hearing.kind_of(file))).split(b"\\u0000")
    return UpstreamRequest(
        "POST",
        f"{call.base_url}/chat/completions",
        bearer(credential),
        translated=True,
        adapted=losses.names,
        pieces=(before, Encoded(file), after),
    )


def _asked(call: Call, kind: str) -> dict[str, Any]:
    """The request; the prompt is words that may be heard, as this host takes them."""
    data = f"data:{kind};base64,\x00"
    told = [{"type": "input_audio", "input_audio": {"data": data}}]
    messages: list[dict[str, Any]] = [{"role": "user", "content": told}]
    prompt = call.body.value("prompt")
    if prompt:
        words = [{"type": "text", "text": prompt.replace("\x00", "")}]
        messages.insert(0, {"role": "system", "content": words})
    asked: dict[str, Any] = {"model": call.upstream, "messages": messages}
    language = call.body.value("language")
    if language:
        asked["asr_options"] = {"language": language.replace("\x00", "")}
    if call.stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return asked


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The text of the answer."""
    del status, headers
    piece = hearing.said_in(body, _Piece)
    said = piece.choices[0].message if piece.choices else None
    if said is None:
        raise hearing.unreadable()
    return transcripts.answer(call, said.content or "", hearing.usage_of(body))


def read(payload: bytes) -> transcripts.Bit | None:
    """One chunk; usage comes with the last of them, before the end mark."""
    if payload == b"[DONE]":
        return transcripts.Bit(last=True)
    found = fault_in_body(payload)
    if found is not None:
        return transcripts.Bit(fault=found)
    try:
        piece = msgspec.json.decode(payload, type=_Piece)
        usage = hearing.usage_of(payload)
    except (*_BAD, Fault):
        return None
    said = piece.choices[0].delta if piece.choices else None
    return transcripts.Bit(text=(said.content or "") if said else "", usage=usage)


TRANSCRIPTIONS = Operation(
    build=build,
    parse=parse,
    stream=lambda call: transcripts.Transcript(transcripts.Events(read)),
    fault=fault,
)
