"""Events, written as a stream of the Messages dialect: one block is open at a time."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk.events import (
    Began,
    Broke,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    InOrder,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.messages.parts import answer_block, written_citation
from gateway.core.talk.messages.usage import written_usage
from gateway.core.talk.messages.wire import WRITTEN_REASON, sealed
from gateway.core.talk.model import Media, Part, Reason, Refusal, Text, Thinking, ToolUse
from gateway.domain import Usage


class Writer:
    """Writes the stream. Every event yields the bytes that the client is due for it."""

    def __init__(self, body: JsonBody) -> None:
        self._order = InOrder()
        self._usage: Usage | None = None
        self._reason: Reason = "stop"
        self._sequence = ""
        self._began = False
        self._refused = False
        self._open: dict[int, None] = {}
        self._part: Part | None = None  # of the block that is open at the client's
        self._block = 0

    def write(self, event: Event) -> bytes:
        """What the client is due for this event."""
        if isinstance(event, Broke):
            return b""
        out: list[bytes] = []
        if not self._began:
            out.append(self._begin(event if isinstance(event, Began) else Began()))
        if isinstance(event, Used):
            self._usage = event.usage
        elif isinstance(event, Stopped):
            self._reason, self._sequence = event.reason, event.sequence
        elif isinstance(event, Ended):
            out.append(self._end())
        elif not isinstance(event, Began):
            out.append(self._put(event))
        return b"".join(out)

    def _begin(self, began: Began) -> bytes:
        self._began = True
        self._usage = began.usage
        message: dict[str, Any] = {
            "id": began.id or "msg",
            "type": "message",
            "role": "assistant",
            "model": began.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": written_usage(began.usage),
        }
        return _event("message_start", message=message)

    def _put(self, event: Opened | Grew | Signed | Cited | Closed) -> bytes:
        if isinstance(event, Opened):
            self._open[event.index] = None
        elif isinstance(event, Closed):
            self._open.pop(event.index, None)
        return b"".join(self._write(due) for due in self._order.put(event))

    def _write(self, event: Event) -> bytes:
        if isinstance(event, Opened):
            return self._start(event.part)
        if self._part is None:
            return b""
        if isinstance(event, Grew):
            return self._grow(event.text)
        if isinstance(event, Signed):
            return self._sign(event)
        if isinstance(event, Cited):
            written = written_citation(event.citation)
            return self._delta("citations_delta", "citation", written) if written else b""
        return self._stop() if isinstance(event, Closed) else b""

    def _start(self, part: Part) -> bytes:
        """Open a block; what it holds already follows as it would have grown."""
        bare, text = _bare(part)
        block = answer_block(bare)
        if block is None:
            return b""
        self._part = part
        self._refused |= isinstance(part, Refusal)
        out = [_event("content_block_start", index=self._block, content_block=block)]
        if isinstance(part, ToolUse) and part.custom:
            out.append(self._delta("input_json_delta", "partial_json", '{"input":"'))
        out.append(self._grow(text))
        if isinstance(part, Thinking) and part.signature:
            out.append(self._sign(Signed(0, part.signature, part.family)))
        return b"".join(out)

    def _grow(self, text: str) -> bytes:
        if not text:
            return b""
        part = self._part
        if isinstance(part, Text | Refusal | Media):
            return self._delta("text_delta", "text", text)
        if isinstance(part, Thinking):
            return self._delta("thinking_delta", "thinking", text)
        if isinstance(part, ToolUse):
            if part.custom:
                text = msgspec.json.encode(text)[1:-1].decode()
            return self._delta("input_json_delta", "partial_json", text)
        return b""

    def _sign(self, event: Signed) -> bytes:
        """Only what was thought is signed here; a call's signature has no place on this wire."""
        if not isinstance(self._part, Thinking):
            return b""
        signature = sealed(event.signature, event.family)
        return self._delta("signature_delta", "signature", signature)

    def _stop(self) -> bytes:
        part = self._part
        out = b""
        if isinstance(part, ToolUse) and part.custom:
            out = self._delta("input_json_delta", "partial_json", '"}')
        out += _event("content_block_stop", index=self._block)
        self._part = None
        self._block += 1
        return out

    def _delta(self, kind: str, name: str, value: Any) -> bytes:
        delta = {"type": kind, name: value}
        return _event("content_block_delta", index=self._block, delta=delta)

    def _end(self) -> bytes:
        """Close what is open, then say why and what it took."""
        out = [self._put(Closed(index)) for index in list(self._open)]
        reason = WRITTEN_REASON[self._reason]
        if self._refused and self._reason == "stop":
            reason = "refusal"
        delta = {"stop_reason": reason, "stop_sequence": self._sequence or None}
        out.append(_event("message_delta", delta=delta, usage=written_usage(self._usage)))
        out.append(_event("message_stop"))
        return b"".join(out)


def _bare(part: Part) -> tuple[Part, str]:
    """A part before it grew, and by what it then did."""
    if isinstance(part, Text):
        return Text(citations=part.citations), part.text
    if isinstance(part, Refusal):
        return Refusal(), part.text
    if isinstance(part, Thinking) and (part.text or not part.data):
        return Thinking(), part.text
    if isinstance(part, ToolUse):
        signed = ToolUse(part.id, part.name, signature=part.signature, family=part.family)
        return signed, part.arguments
    return part, ""


def _event(kind: str, **members: Any) -> bytes:
    return sse.event(msgspec.json.encode({"type": kind, **members}), kind)
