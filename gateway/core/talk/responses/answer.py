"""Whole answers on the Responses wire: read from a provider's, written for a client."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.faults import provider_fault
from gateway.core.talk.model import Answer, Foreign, Part, Reason, ToolUse
from gateway.core.talk.responses.items import (
    FAMILY,
    NOTHING,
    content,
    item,
    part_of,
    raws,
    shown_item,
    thought_of,
    tool_of,
)
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import Fault, upstream_error


class Why(Struct, gc=False):
    """Why an answer is incomplete."""

    reason: str | None = None


class Response(Struct, gc=False):
    """What is read of a response object."""

    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    status: str | None = None
    output: list[Raw] | None = None
    usage: Raw = NOTHING
    error: Raw = NOTHING
    incomplete_details: Why | None = None
    service_tier: str | None = None


class _Error(Struct):
    code: str | None = None
    message: str | None = None


_response = msgspec.json.Decoder(Response)
_error = msgspec.json.Decoder(_Error)
_STATUSES = {"rate_limit_exceeded": 429, "server_error": 500, "insufficient_quota": 402}
_ECHOED = (
    "instructions", "metadata", "parallel_tool_calls", "temperature", "tool_choice", "tools",
    "top_p", "max_output_tokens", "previous_response_id", "reasoning", "text", "truncation",
    "user", "store", "max_tool_calls", "top_logprobs", "prompt_cache_key", "safety_identifier",
)  # fmt: skip
_USUAL: dict[str, Any] = {
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "max_output_tokens": None,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "text": {"format": {"type": "text"}},
    "truncation": "disabled",
    "store": True,
}


def read_answer(raw: bytes) -> Answer:
    """A whole answer; a body that is none, or a failure, is the provider's fault."""
    try:
        said = _response.decode(raw)
        if said.output is None:
            raise upstream_error("The provider's answer holds no output.", "bad_answer")
        fault = failure_of(said)
        if fault is not None:
            raise fault
        parts = [part for each in said.output for part in parts_of(bytes(each))]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise upstream_error(
            "The provider's answer is not the JSON object it should be.", "bad_answer"
        ) from None
    usage = bytes(said.usage)
    return Answer(
        said.id or "",
        said.model or "",
        parts,
        reason_of(said, any(isinstance(part, ToolUse) for part in parts)),
        usage=openai_usage(usage) if usage[:1] == b"{" else None,
        created=int(said.created_at or 0),
        service_tier=said.service_tier or "",
    )


def parts_of(raw: bytes) -> list[Part]:
    """The parts of one output item."""
    said = item.decode(raw)
    if said.type == "message":
        found = raws.decode(said.content) if said.content else []
        return [part_of(content.decode(each), bytes(each)) for each in found]
    if said.type == "reasoning":
        return [thought_of(said)]
    if said.type in ("function_call", "custom_tool_call"):
        return [tool_of(said, custom=said.type.startswith("custom"))]
    return [Foreign(FAMILY, said.type or "", raw)]


def reason_of(said: Response, calls: bool) -> Reason:
    """Why the answer ended."""
    if said.status == "incomplete":
        why = said.incomplete_details.reason if said.incomplete_details is not None else None
        return "filter" if why == "content_filter" else "length"
    return "tool" if calls else "stop"


def failure_of(said: Response) -> Fault | None:
    """The fault that a failed response stands for."""
    if said.status not in ("failed", "cancelled"):
        return None
    return fault_of(bytes(said.error))


def fault_of(error: bytes) -> Fault:
    """An error object of this wire, as the status it would have had."""
    try:
        code = _error.decode(error).code or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        code, error = "", b"{}"
    status = _STATUSES.get(code, 400 if code.startswith(("invalid", "image_")) else 500)
    return provider_fault(status, {}, b'{"error":' + error + b"}")


def fault_in_answer(body: bytes) -> Fault | None:
    """A failure told in a 200."""
    try:
        return failure_of(_response.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def write_answer(body: JsonBody, answer: Answer) -> bytes:
    """A response object."""
    name = tail_of(answer.id)
    made = [shown_item(part, f"{name}_{n}") for n, part in enumerate(answer.parts)]
    return msgspec.json.encode(shown_response(body, answer, [one for one in made if one]))


def shown_response(body: JsonBody, answer: Answer, output: list[Any]) -> dict[str, Any]:
    """A finished response with this output."""
    why = {"length": "max_output_tokens", "context": "max_output_tokens"}.get(answer.reason)
    if answer.reason in ("filter", "refusal"):
        why = "content_filter"
    whole = frame(body, answer, "completed" if why is None else "incomplete", output)
    whole["incomplete_details"] = None if why is None else {"reason": why}
    whole["usage"] = None if answer.usage is None else shown_usage(answer.usage)
    return whole


def frame(body: JsonBody, answer: Answer, status: str, output: list[Any]) -> dict[str, Any]:
    """A response in any state: what it is called, and what was asked."""
    whole: dict[str, Any] = {
        "id": response_id(answer.id),
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": answer.model,
        "output": output,
    }
    for name in _ECHOED:
        raw = body.get(name)
        if raw is not None and raw != b"null":
            whole[name] = Raw(raw)
        elif name in _USUAL:
            whole[name] = _USUAL[name]
    if answer.service_tier:
        whole["service_tier"] = answer.service_tier
    whole["usage"] = None
    return whole


def response_id(name: str) -> str:
    """The provider's own id, in this dialect's form."""
    return name if name.startswith("resp_") else f"resp_{name}"


def tail_of(name: str) -> str:
    """What the ids of items are made from."""
    return response_id(name).removeprefix("resp_")


def shown_usage(usage: Usage) -> dict[str, Any]:
    """Usage as this dialect counts it: the parts inside the whole."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cached,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
