"""Anthropic: the Messages wire as its maker serves it.

Clients that speak it pass through untouched; all others go through the wire. A credential's secret
is `api_key`, or `auth_token` for a bearer token.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway.sdk import Adapter, Call, Credential, Operation, UpstreamRequest
from gateway.sdk.talk import (
    Answer,
    Losses,
    Media,
    MessagesMeter,
    MessagesReader,
    Talk,
    ToolResult,
    Wire,
    messages_fault,
    messages_fault_in,
    messages_usage,
    read_messages_answer,
    write_messages,
)

_VERSION: Final = "2023-06-01"
_FILES: Final = "files-api-2025-04-14"
_MAX_TOKENS: Final = 8_192
_HEARD: Final = ("anthropic-beta", "anthropic-version")
_MESSAGES: Final = "/v1/messages"
_COUNT: Final = "/v1/messages/count_tokens"

Headers = tuple[tuple[str, str], ...]


def _headers(credential: Credential, version: str = "", beta: str = "") -> Headers:
    """Login, version, and the features in beta that the call asks for."""
    written = [("Content-Type", "application/json"), ("anthropic-version", version or _VERSION)]
    token = credential.secrets.get("auth_token", "")
    if token:
        written.append(("Authorization", f"Bearer {token}"))
    elif credential.api_key:
        written.append(("x-api-key", credential.api_key))
    if beta:
        written.append(("anthropic-beta", beta))
    return tuple(written)


def _passing(path: str) -> Callable[[Call, Credential], UpstreamRequest]:
    def build(call: Call, credential: Credential) -> UpstreamRequest:
        heard = call.headers
        return UpstreamRequest(
            method="POST",
            url=call.base_url + path,
            headers=_headers(
                credential, heard.get("anthropic-version", ""), heard.get("anthropic-beta", "")
            ),
            body=call.body.replace({"model": msgspec.json.encode(call.upstream)}).raw,
        )

    return build


def _meter(call: Call) -> MessagesMeter:
    return MessagesMeter()


def _speak(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
    """The request of a client that speaks another dialect."""
    return UpstreamRequest(
        method="POST",
        url=call.base_url + _MESSAGES,
        headers=_headers(credential, beta=_FILES if _has_files(talk) else ""),
        body=write_messages(talk, losses, max_tokens=_ceiling(call.options)),
    )


def _ceiling(options: Mapping[str, str]) -> int:
    """How long an answer may be where the client doesn't say: the wire wants to be told."""
    said = options.get("max_output", "")
    sane = said.isascii() and said.isdigit() and len(said) < 10 and int(said) > 0
    return int(said) if sane else _MAX_TOKENS


def _has_files(talk: Talk) -> bool:
    for message in talk.messages:
        for part in message.parts:
            inner = part.parts if isinstance(part, ToolResult) else [part]
            if any(isinstance(found, Media) and found.file_id for found in inner):
                return True
    return False


def _read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
    fault = messages_fault_in(body[:_ERROR_AT_MOST]) if body.startswith(_ERROR) else None
    if fault is not None:
        raise fault
    return read_messages_answer(body)


_ERROR: Final = b'{"type":"error"'
_ERROR_AT_MOST: Final = 65_536


def _reader(call: Call) -> MessagesReader:
    return MessagesReader()


def _probe(call: Call, credential: Credential) -> UpstreamRequest:
    url = call.base_url + (call.upstream or "/v1/models?limit=1")
    return UpstreamRequest("GET", url, _headers(credential))


ADAPTER = Adapter(
    name="anthropic",
    operations={
        "messages": Operation(
            build=_passing(_MESSAGES),
            stream=_meter,
            usage=messages_usage,
            fault_in=messages_fault_in,
            fault=messages_fault,
            hears=_HEARD,
        ),
        "count_tokens": Operation(
            build=_passing(_COUNT),
            usage=messages_usage,
            fault_in=messages_fault_in,
            fault=messages_fault,
            hears=_HEARD,
        ),
    },
    cached_inside_input=True,
    wire=Wire(build=_speak, read=_read, reader=_reader, fault=messages_fault),
    probe=_probe,
)
