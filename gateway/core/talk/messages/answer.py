"""Whole answers on the Messages wire: read from a provider's, written for a client."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.talk.messages.blocks import (
    FAMILY,
    NOTHING,
    REASONS,
    STOPS,
    Block,
    input_of,
    said_of,
    shown_citation,
    thought_of,
    tool_of,
)
from gateway.core.talk.messages.usage import messages_usage, shown_usage
from gateway.core.talk.model import Answer, Foreign, Part, Refusal, Text, Thinking, ToolUse
from gateway.core.talk.proof import sealed
from gateway.domain import Usage
from gateway.errors import upstream_error


class _Message(Struct, gc=False):
    id: str | None = None
    model: str | None = None
    content: list[Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Raw = NOTHING


class _Tier(Struct, gc=False):
    service_tier: str | None = None


_message = msgspec.json.Decoder(_Message)
_block = msgspec.json.Decoder(Block)
_tier = msgspec.json.Decoder(_Tier)


def read_answer(raw: bytes) -> Answer:
    """A whole answer; a body that is none is the provider's fault."""
    try:
        said = _message.decode(raw)
        if said.content is None:
            raise upstream_error("The provider's answer holds no message.", "bad_answer")
        parts = [part_of(bytes(each)) for each in said.content]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise upstream_error(
            "The provider's answer is not the JSON object it should be.", "bad_answer"
        ) from None
    usage = bytes(said.usage)
    return Answer(
        said.id or "",
        said.model or "",
        parts,
        REASONS.get(said.stop_reason or "", "stop"),
        said.stop_sequence or "",
        messages_usage(usage) if usage[:1] == b"{" else None,
        service_tier=tier_of(usage),
    )


def tier_of(usage: bytes) -> str:
    """The tier that served the call; this wire tells it beside the counts."""
    if usage[:1] != b"{":
        return ""
    return _tier.decode(usage).service_tier or ""


def part_of(raw: bytes) -> Part:
    """A block as a part; what only this dialect knows stays as it is."""
    block = _block.decode(raw)
    if block.type == "text":
        return said_of(block)
    if block.type in ("thinking", "redacted_thinking"):
        return thought_of(block)
    if block.type == "tool_use":
        return tool_of(block)
    return Foreign(FAMILY, block.type, raw)


def write_answer(body: JsonBody, answer: Answer) -> bytes:
    """A message."""
    del body
    content = [block for part in answer.parts if (block := block_of(part)) is not None]
    usage = shown_usage(answer.usage or Usage())
    whole: dict[str, Any] = {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": STOPS[answer.reason],
        "stop_sequence": answer.sequence or None,
        "usage": usage | ({"service_tier": answer.service_tier} if answer.service_tier else {}),
    }
    return msgspec.json.encode(whole)


def block_of(part: Part) -> dict[str, Any] | Raw | None:
    """A part as a block, whole."""
    if isinstance(part, Text | Refusal):
        block: dict[str, Any] = {"type": "text", "text": part.text}
        if isinstance(part, Text) and part.citations:
            block["citations"] = [shown_citation(one) for one in part.citations]
        return block if part.text else None
    if isinstance(part, Thinking):
        proof = sealed(part, FAMILY)
        if part.data and not part.text:
            return {"type": "redacted_thinking", "data": proof}
        return {"type": "thinking", "thinking": part.text, "signature": proof}
    if isinstance(part, ToolUse):
        raw, _ = input_of(part.arguments)
        use = {"type": "tool_use", "id": part.id, "name": part.name, "input": Raw(raw)}
        return use | signed(part)
    if isinstance(part, Foreign) and part.dialect == FAMILY:
        return Raw(part.raw)
    return None


def signed(part: ToolUse) -> dict[str, str]:
    """The proof of a call, where its family gives one."""
    if not part.signature:
        return {}
    return {"signature": part.signature, "signature_family": part.family}
