"""Where an answer tells its cost, and how a stream is ended whose money has run out."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.money.amounts import dollars
from gateway.errors import Fault

_OUT_OF_MONEY = "The gateway ended this answer: the money set aside for it is used up."
_KEPT = ("id", "object", "created", "model")
_DONE = b"data: [DONE]\n\n"


def cost_in_body(body: bytes, nanos: int) -> bytes:
    """The answer with `usage.cost`, in dollars; as it was when it has no usage object."""
    try:
        whole = JsonBody.parse(body)
        usage = whole.get("usage")
        if usage is None or not usage.startswith(b"{"):
            return body
        told = JsonBody.parse(usage).replace({"cost": dollars(nanos).encode()})
        return whole.replace({"usage": told.raw}).raw
    except Fault:
        return body


def cost_in_events(events: bytes, nanos: Callable[[], int]) -> bytes:
    """Whole events, with the cost in the one that carries usage."""
    if b'"usage"' not in events:
        return events
    told: list[bytes] = []
    for event in sse.Splitter().feed(events):
        payload = sse.data_of(event)
        if payload is None or b'"usage"' not in payload or payload == b"[DONE]":
            told.append(event)
            continue
        changed = cost_in_body(payload, nanos())
        told.append(event if changed == payload else event.replace(payload, changed))
    return b"".join(told)


def length_end(sample: bytes, operation: str) -> bytes:
    """A proper end for a stream that was stopped: a last chunk, a note, and the end mark."""
    told: dict[str, object] = {}
    for event in sse.Splitter().feed(sample):
        try:
            chunk = msgspec.json.decode(sse.data_of(event) or b"{}")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        if isinstance(chunk, dict) and "choices" in chunk:
            told = {name: chunk[name] for name in _KEPT if name in chunk}
    choice: dict[str, object] = {"index": 0, "finish_reason": "length"}
    if operation == "completions":
        choice["text"] = ""
    else:
        choice["delta"] = {}
    told |= {"choices": [choice], "gateway": {"note": _OUT_OF_MONEY, "reason": "no_money"}}
    return sse.event(msgspec.json.encode(told)) + _DONE
