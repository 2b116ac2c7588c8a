"""Realtime sessions with hosts that speak OpenAI's own events: all passes as it comes."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Struct

from gateway.core.body import JsonBody
from gateway.core.faults import provider_fault, read_error
from gateway.core.realtime import INPUT_TOKEN_MS, OUTPUT_TOKEN_MS, error_event
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.errors import Fault
from gateway.sdk.adapter import Call, Frames, Operation

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_NOTHING = msgspec.Raw()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_UPDATES = ("session.update", "transcription_session.update")
_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
# The statuses that refusals would have had, had they been told before the websocket was open.
_STATUS_OF = {
    "invalid_api_key": 401,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "model_not_found": 404,
    "invalid_model": 404,
}
# What a session says of itself that is no wish: its model is the route's.
_NOT_WISHED = {"model": None, "type": None}


class _CachedDetails(Struct, gc=False):
    audio_tokens: _Count = 0


class _InputDetails(Struct, gc=False):
    cached_tokens: _Count = 0
    audio_tokens: _Count = 0
    image_tokens: _Count = 0
    cached_tokens_details: _CachedDetails | None = None


class _OutputDetails(Struct, gc=False):
    audio_tokens: _Count = 0


class _Counted(Struct, gc=False):
    input_tokens: _Count = 0
    output_tokens: _Count = 0
    input_token_details: _InputDetails | None = None
    output_token_details: _OutputDetails | None = None
    seconds: float = 0.0


class _Response(Struct, gc=False):
    usage: msgspec.Raw = _NOTHING


class _Event(Struct, gc=False):
    type: str = ""
    response: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_response = msgspec.json.Decoder(_Response).decode
_decode_counted = msgspec.json.Decoder(_Counted).decode


def response_usage(raw: bytes) -> Usage:
    """What one answer used. Sound is counted in tokens and, by OpenAI's measure, in milliseconds.

    Sound that was in the provider's cache was not said again: it counts as tokens alone.
    """
    try:
        counted = _decode_counted(raw)
    except _UNREADABLE:
        return Usage(raw=raw, problem="it cannot be read")
    given = counted.input_token_details or _InputDetails()
    made = counted.output_token_details or _OutputDetails()
    cached = given.cached_tokens_details or _CachedDetails()
    fresh = max(0, given.audio_tokens - cached.audio_tokens)
    return Usage(
        input=counted.input_tokens,
        output=counted.output_tokens,
        cached=given.cached_tokens,
        audio_input=given.audio_tokens,
        audio_output=made.audio_tokens,
        cached_audio=cached.audio_tokens,
        image_input=given.image_tokens,
        audio_input_ms=fresh * INPUT_TOKEN_MS,
        audio_output_ms=made.audio_tokens * OUTPUT_TOKEN_MS,
        raw=raw,
    )


def transcription_usage(raw: bytes) -> Usage:
    """What the transcript of something said used: its tokens, or its length as tokens."""
    try:
        counted = _decode_counted(raw)
    except _UNREADABLE:
        return Usage(raw=raw, problem="it cannot be read")
    heard = int(min(max(counted.seconds, 0.0), 1e9) * 1000) // INPUT_TOKEN_MS
    return Usage(input=counted.input_tokens or heard, output=counted.output_tokens, raw=raw)


class PassingDialogue:
    """A session that is not translated: its events go through byte for byte, and are counted.

    A client's `session.update` cannot name another model than the route's.
    """

    def __init__(self, call: Call) -> None:
        self._upstream = msgspec.json.encode(call.upstream)
        self._id = call.id
        self._session = call.body.get("session")
        self._used: list[Usage] = []
        self.fault: Fault | None = None

    def opening(self) -> Frames:
        """What was wished for before the session began."""
        if self._session is None or self._session == b"null":
            return Frames()
        wishes = JsonBody.parse(self._session).replace(_NOT_WISHED)
        if not wishes.names():
            return Frames()
        wished = wishes.replace({"type": b'"realtime"'})
        return Frames(to_provider=(b'{"type":"session.update","session":' + wished.raw + b"}",))

    def greeting(self, message: bytes) -> Fault | None:
        """What the first message stands for, where it is not the beginning of a session."""
        try:
            kind = _decode_event(message).type
        except _UNREADABLE:
            kind = ""
        if kind != "error":
            return None
        said = read_error(message)
        status = _STATUS_OF.get(said.code or "") or _STATUS_OF.get(said.type or "", 500)
        return provider_fault(status, {}, message)

    def from_client(self, message: bytes) -> Frames:
        """As it is, but for the model of a session."""
        if b"session" in message or b"\\u" in message:
            try:
                message = self._pinned(message)
            except Fault as fault:
                return Frames(to_client=(error_event(fault, self._id),))
        return Frames(to_provider=(message,))

    def from_provider(self, message: bytes) -> Frames:
        """As it is; what it counts is noted."""
        try:
            event = _decode_event(message)
        except _UNREADABLE:
            return Frames(to_client=(message,))
        if event.type == "response.done":
            self._note(event.response)
        elif event.type == _TRANSCRIBED and bytes(event.usage)[:1] == b"{":
            self._used.append(transcription_usage(bytes(event.usage)))
        return Frames(to_client=(message,))

    def take_usage(self) -> tuple[Usage, ...]:
        """What was counted since this was last asked."""
        used, self._used = self._used, []
        return tuple(used)

    def _note(self, response: msgspec.Raw) -> None:
        try:
            usage = bytes(_decode_response(bytes(response)).usage)
        except _UNREADABLE:
            return
        if usage[:1] == b"{":
            self._used.append(response_usage(usage))

    def _pinned(self, message: bytes) -> bytes:
        body = JsonBody.parse(message)
        session = body.get("session")
        if body.value("type") not in _UPDATES or session is None or session[:1] != b"{":
            return message
        wishes = JsonBody.parse(session)
        if "model" not in wishes:
            return message
        return body.replace({"session": wishes.replace({"model": self._upstream}).raw}).raw


def passing(path: str = "/realtime", *headers: tuple[str, str]) -> Operation:
    """The operation `realtime` of a host that speaks OpenAI's events under `path`."""

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        login = (("Authorization", f"Bearer {credential.api_key}"),) if credential.api_key else ()
        return UpstreamRequest(
            method="GET",
            url=f"{websocket_url(call.base_url)}{path}?model={quote(call.upstream, safe='')}",
            headers=login + headers,
        )

    return Operation(build=build, session=_passing)


def _passing(call: Call, credential: Credential) -> PassingDialogue:
    del credential
    return PassingDialogue(call)


def websocket_url(url: str) -> str:
    """The same place for a websocket: `https` becomes `wss`."""
    return "ws" + url.removeprefix("http") if url.startswith("http") else url
