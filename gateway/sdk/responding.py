"""The Responses wire, for adapters of hosts that speak it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from gateway.core.faults import provider_fault
from gateway.core.talk import responses
from gateway.core.talk.events import Reader
from gateway.core.talk.model import Answer, Losses, Talk
from gateway.core.usage import openai_usage
from gateway.domain import Credential, UpstreamRequest, Usage
from gateway.sdk.adapter import Call, Operation, Wire
from gateway.sdk.compatible import bearer

Lines = Callable[[Credential], tuple[tuple[str, str], ...]]
Address = Callable[[Call], str]


def _usual_address(call: Call) -> str:
    return call.base_url + "/responses"


def responses_operation(
    headers: Lines = bearer,
    address: Address = _usual_address,
    usage: Callable[[bytes], Usage] = openai_usage,
) -> Operation:
    """For clients of the same dialect: all bytes go through but the model's name."""

    def build(call: Call, credential: Credential) -> UpstreamRequest:
        body = call.body.replace({"model": msgspec.json.encode(call.upstream)})
        return UpstreamRequest("POST", address(call), headers(credential), body.raw)

    return Operation(
        build=build,
        stream=lambda call: responses.ResponsesMeter(usage),
        usage=usage,
        fault_in=responses.fault_in_answer,
    )


def responses_wire(headers: Lines = bearer, address: Address = _usual_address) -> Wire:
    """For clients of every other dialect."""

    def build(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
        body = responses.write_request(talk, losses)
        return UpstreamRequest("POST", address(call), headers(credential), body)

    def read(call: Call, headers: Mapping[str, str], body: bytes) -> Answer:
        return responses.read_answer(body)

    def reader(call: Call) -> Reader:
        return responses.Reader()

    return Wire(build, read, reader, provider_fault)
