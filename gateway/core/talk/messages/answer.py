"""A whole answer on the Messages wire."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.body import JsonBody
from gateway.core.talk.messages.blocks import read_parts
from gateway.core.talk.messages.parts import answer_block
from gateway.core.talk.messages.usage import messages_usage, written_usage
from gateway.core.talk.messages.wire import (
    READ_REASON,
    WRITTEN_REASON,
    is_object,
    members,
    string,
)
from gateway.core.talk.model import Answer, Losses, Refusal
from gateway.errors import upstream_error


def read_answer(raw: bytes) -> Answer:
    """Read a provider's answer; what isn't one is the provider's failure."""
    found = members(raw)
    if "content" not in found or bytes(found["content"])[:1] != b"[":
        raise upstream_error("The provider's answer is not one that can be read.", "bad_answer")
    usage = found.get("usage")
    known = usage is not None and is_object(usage)
    reported = messages_usage(bytes(usage)) if known and usage is not None else None
    return Answer(
        id=string(found.get("id")),
        model=string(found.get("model")),
        parts=read_parts(found["content"], "content", Losses()),
        reason=READ_REASON.get(string(found.get("stop_reason")), "stop"),
        sequence=string(found.get("stop_sequence")),
        usage=reported,
        service_tier=string(members(usage).get("service_tier")) if known else "",
    )


def write_answer(body: JsonBody, answer: Answer) -> bytes:
    """Write an answer for a client of this dialect."""
    blocks = [answer_block(part) for part in answer.parts]
    reason = WRITTEN_REASON[answer.reason]
    if answer.reason == "stop" and any(isinstance(part, Refusal) for part in answer.parts):
        reason = "refusal"
    usage: dict[str, Any] = written_usage(answer.usage)
    if answer.service_tier:
        usage["service_tier"] = answer.service_tier
    return msgspec.json.encode(
        {
            "id": answer.id,
            "type": "message",
            "role": "assistant",
            "model": answer.model,
            "content": [block for block in blocks if block is not None],
            "stop_reason": reason,
            "stop_sequence": answer.sequence or None,
            "usage": usage,
        }
    )
