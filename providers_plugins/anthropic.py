"""Anthropic: the Messages wire at home. Clients of that dialect have their bytes passed through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import structs

from gateway.sdk import Adapter, Call, Credential, Operation, UpstreamRequest
from gateway.sdk.talk import (
    Answer,
    Losses,
    MessagesMeter,
    MessagesReader,
    Reader,
    Talk,
    Traits,
    Wire,
    fault_in_answer,
    messages_fault,
    messages_usage,
    read_messages_answer,
    write_messages,
)

_VERSION = "2023-06-01"
_HEARD = ("anthropic-beta", "anthropic-version")
_BUDGETED = Traits(max_output=64_000)
_ADAPTIVE = Traits(max_output=128_000, adaptive=True)
_LATEST = Traits(128_000, adaptive=True, budgets=False, sampling=False, xhigh=True)
_NO_SCHEMAS = Traits(max_output=32_000, schemas=False)
_OLDEST = Traits(max_output=4_096, thinks=False, schemas=False)
# The first row whose words a model's id holds; ids of later generations take what the latest do.
MODELS: Final[tuple[tuple[tuple[str, ...], Traits], ...]] = (
    (("opus-4-7", "opus-4-8", "sonnet-5", "fable-5", "opus-5"), _LATEST),
    (("opus-4-6", "sonnet-4-6"), _ADAPTIVE),
    (("opus-4-5", "sonnet-4-5", "haiku-4-5"), _BUDGETED),
    (("opus-4-1",), Traits(max_output=32_000)),
    (("sonnet-4",), Traits(max_output=64_000, schemas=False)),
    (("opus-4", "3-7-sonnet"), _NO_SCHEMAS),
    (("3-5-", "3-haiku", "3-opus", "3-sonnet", "claude-2"), _OLDEST),
)


def traits_of(call: Call) -> Traits:
    """What the model takes; the longest answer is the catalog's, where it names one."""
    found = next(
        (traits for words, traits in MODELS if any(word in call.upstream for word in words)),
        _LATEST,
    )
    known = call.options.get("max_output", "")
    return structs.replace(found, max_output=int(known)) if known.isdigit() else found


def headers(call: Call, credential: Credential) -> tuple[tuple[str, str], ...]:
    """The credential, and what of the client's headers is for the provider."""
    token = credential.secrets.get("auth_token")
    proof = ("Authorization", f"Bearer {token}") if token else ("x-api-key", credential.api_key)
    version = call.headers.get("anthropic-version", _VERSION)
    lines = [("Content-Type", "application/json"), proof, ("anthropic-version", version)]
    betas = call.headers.get("anthropic-beta")
    if betas:
        lines.append(("anthropic-beta", betas))
    return tuple(lines)


def _post(call: Call, credential: Credential, path: str, body: bytes) -> UpstreamRequest:
    return UpstreamRequest("POST", call.base_url + path, headers(call, credential), body)


def _pass(call: Call, credential: Credential) -> UpstreamRequest:
    body = call.body.replace({"model": msgspec.json.encode(call.upstream)})
    return _post(call, credential, "/v1/messages", body.raw)


def _count(call: Call, credential: Credential) -> UpstreamRequest:
    body = call.body.replace({"model": msgspec.json.encode(call.upstream)})
    return _post(call, credential, "/v1/messages/count_tokens", body.raw)


def _meter(call: Call) -> MessagesMeter:
    del call
    return MessagesMeter()


def _build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
    return _post(call, credential, "/v1/messages", write_messages(talk, losses, traits_of(call)))


def _read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
    del call, headers
    fault = fault_in_answer(body)
    if fault is not None:
        raise fault
    return read_messages_answer(body)


def _reader(call: Call) -> Reader:
    del call
    return MessagesReader()


ADAPTER = Adapter(
    "anthropic",
    operations={
        "messages": Operation(
            build=_pass,
            stream=_meter,
            usage=messages_usage,
            fault_in=fault_in_answer,
            fault=messages_fault,
            hears=_HEARD,
        ),
        "count_tokens": Operation(
            build=_count, fault_in=fault_in_answer, fault=messages_fault, hears=_HEARD
        ),
    },
    wire=Wire(_build, _read, _reader, messages_fault),
)
