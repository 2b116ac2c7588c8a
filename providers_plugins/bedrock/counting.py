"""How many tokens a request of the Messages wire would be, without asking the model."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec

from gateway.sdk import UPSTREAM_ERROR, Call, Credential, Fault, Operation, Reply, UpstreamRequest
from providers_plugins.bedrock import faults
from providers_plugins.bedrock.endpoint import written
from providers_plugins.bedrock.invoke import enveloped
from providers_plugins.bedrock.lenient import members, number

_NEEDED = b"1024"  # what is asked must be whole, though no answer is made


def build(call: Call, credential: Credential) -> UpstreamRequest:
    """The call that would be made, in an envelope."""
    body = call.body
    if "max_tokens" not in body:
        body = body.replace({"max_tokens": _NEEDED})
    asked = enveloped(msgspec.structs.replace(call, body=body))
    wrapped = {"input": {"invokeModel": {"body": base64.b64encode(asked).decode()}}}
    return written(call, credential, "count-tokens", msgspec.json.encode(wrapped))


def parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """The count, as Messages clients expect it."""
    count = number(members(body).get("inputTokens"))
    if count is None:
        raise Fault(
            UPSTREAM_ERROR, "The provider's count cannot be read.", cause="unreadable_answer"
        )
    return Reply(msgspec.json.encode({"input_tokens": count}))


COUNT_TOKENS = Operation(build=build, parse=parse, fault=faults.fault, hears=("anthropic-beta",))
