"""The Responses API of providers that have one: as an operation, and as a wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from gateway.core.talk.events import Reader as AnyReader
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.core.talk.responses import (
    Reader,
    ResponsesMeter,
    Writer,
    read_answer,
    read_request,
    responses_usage,
    write_answer,
    write_request,
)
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.sdk.adapter import PASSTHROUGH, Call, Operation, Wire
from gateway.sdk.compatible import bearer
from gateway.sdk.spoken import Dialect

Headers = Callable[[Credential], tuple[tuple[str, str], ...]]

RESPONSES = Dialect("responses", read_request, write_answer, Writer, free_text=True)


def responses_operation(
    path: str = "/responses",
    headers: Headers = bearer,
    usage: Callable[[bytes], Usage] = responses_usage,
) -> Operation:
    """The operation of a provider that speaks this dialect itself: bytes pass untouched."""

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        changes: dict[str, bytes | None] = {"model": msgspec.json.encode(call.upstream)}
        # An answer that comes later and elsewhere is one that the gateway can't count.
        later = call.body.get("background") == b"true"
        if later:
            changes["background"] = None
        return UpstreamRequest(
            "POST",
            call.base_url + path,
            headers(credential),
            call.body.replace(changes).raw,
            adapted=("background",) if later else (),
        )

    def stream(call: Call) -> ResponsesMeter:
        return ResponsesMeter(usage)

    return Operation(build=build, parse=PASSTHROUGH, stream=stream, usage=usage)


def responses_wire(
    path: str = "/responses",
    headers: Headers = bearer,
    usage: Callable[[bytes], Usage] = responses_usage,
) -> Wire:
    """Conversations of any dialect over a provider's Responses API."""

    def build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
        body = write_request(talk, losses)
        return UpstreamRequest("POST", call.base_url + path, headers(credential), body)

    def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
        return read_answer(body, usage)

    def reader(call: Call) -> AnyReader:
        return Reader(usage)

    return Wire(build=build, read=read, reader=reader)


RESPONSES_WIRE = responses_wire()


def serves_itself(operation: str, upstream: str, options: Mapping[str, str]) -> bool:
    """Whether a provider's own operation serves a route.

    Not "chat" where `api: responses` says that the model is to be had on that API alone.
    """
    return operation != "chat" or options.get("api") != "responses"
