"""The response object around an answer: what it echoes of the request, its ids, its usage."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec
from msgspec import Raw

from gateway.core.body import JsonBody
from gateway.core.talk.model import Reason
from gateway.domain import Usage

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")
_MAX_ID = 200
_MAX_ECHO = 1 << 18  # a stream says its request at least three times over
_NULL: Final = Raw(b"null")
# What a response says of its request, and what it says where the request said nothing.
_ECHOES: Final[dict[str, bytes]] = {
    "instructions": b"null",
    "max_output_tokens": b"null",
    "max_tool_calls": b"null",
    "parallel_tool_calls": b"true",
    "previous_response_id": b"null",
    "prompt_cache_key": b"null",
    "safety_identifier": b"null",
    "temperature": b"1.0",
    "text": b'{"format":{"type":"text"}}',
    "tool_choice": b'"auto"',
    "tools": b"[]",
    "top_p": b"1.0",
    "truncation": b'"disabled"',
    "user": b"null",
    "metadata": b"{}",
}
_REQUIRED = ("parallel_tool_calls", "tool_choice", "tools", "text", "truncation")
INCOMPLETE: Final[dict[Reason, str]] = {
    "length": "max_output_tokens",
    "context": "max_output_tokens",
    "filter": "content_filter",
}


def response_id(given: str, body: JsonBody, created: int) -> str:
    """The provider's id as one of ours; without one, a name for this request at this time."""
    if not given:
        digest = hashlib.sha256(body.raw + str(created).encode()).hexdigest()
        return f"resp_{digest[:48]}"
    fit = _UNFIT.sub("_", given)[:_MAX_ID]
    return fit if fit.startswith("resp_") else f"resp_{fit}"


class Envelope:
    """All of a response object but its output: said once at the beginning and once at the end."""

    def __init__(self, body: JsonBody) -> None:
        self._echoes = _echoes(body)
        self._store = body.get("store") != b"false"
        self._reasoning = _reasoning(body)

    def write(
        self,
        *,
        name: str,
        model: str,
        created: int,
        status: str,
        output: list[Raw],
        reason: Reason = "stop",
        usage: Usage | None = None,
        error: dict[str, Any] | None = None,
        service_tier: str = "",
    ) -> bytes:
        """The object in this state."""
        why = INCOMPLETE.get(reason)
        said: dict[str, Any] = {
            "id": name,
            "object": "response",
            "created_at": created,
            "status": status,
            "background": False,
            "completed_at": created if status == "completed" else None,
            "error": error,
            "incomplete_details": {"reason": why} if status == "incomplete" else None,
            "model": model,
            "output": output,
            "reasoning": self._reasoning,
            "service_tier": service_tier or "default",
            "store": self._store,
            "top_logprobs": 0,
            **self._echoes,
            "usage": None if usage is None else usage_object(usage),
        }
        return msgspec.json.encode(said)


def usage_object(usage: Usage) -> dict[str, Any]:
    """Usage as clients of this dialect know it: whole figures, and what is inside them."""
    written = usage.cache_write + usage.cache_write_1h
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": written},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }


def _echoes(body: JsonBody) -> dict[str, Raw]:
    found: dict[str, Raw] = {}
    for name, absent in _ECHOES.items():
        raw = body.get(name)
        if raw is None or (raw == b"null" and name in _REQUIRED) or len(raw) > _MAX_ECHO:
            raw = absent
        found[name] = Raw(raw)
    return found


def _reasoning(body: JsonBody) -> Raw:
    raw = body.get("reasoning")
    if raw is None or raw == b"null":
        return Raw(b'{"effort":null,"summary":null}')
    return Raw(raw)
