"""A stream in the Messages dialect, written: one block open at a time, usage never zero."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk.events import (
    Began,
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
from gateway.core.talk.messages.answer import block_of, signed
from gateway.core.talk.messages.blocks import FAMILY, STOPS, shown_citation
from gateway.core.talk.messages.usage import shown_usage
from gateway.core.talk.model import Foreign, Part, Refusal, Text, Thinking, ToolUse
from gateway.core.talk.proof import sealed
from gateway.domain import Usage

_encode = msgspec.json.Encoder().encode
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":'
_WORDS: dict[type[Any], bytes] = {
    Text: b',"delta":{"type":"text_delta","text":',
    Refusal: b',"delta":{"type":"text_delta","text":',
    Thinking: b',"delta":{"type":"thinking_delta","thinking":',
    ToolUse: b',"delta":{"type":"input_json_delta","partial_json":',
}
_AFTER = b"}}\n\n"


def event(kind: str, **members: Any) -> bytes:
    """One event; its kind is said twice, since clients listen to either."""
    return sse.event(_encode({"type": kind, **members}), kind)


class Writer:
    """Events of a talk into events of the wire."""

    def __init__(self, body: JsonBody) -> None:
        del body
        self._order = InOrder()
        self._begun = False
        self._blocks = 0
        self._open: int | None = None  # the part whose block is open
        self._before = b""
        self._stop = Stopped("stop")
        self._usage: Usage | None = None

    def write(self, said: Event) -> bytes:
        """The events that this one makes, once its turn has come."""
        if isinstance(said, Grew) and said.index == self._open:
            return self._before + _encode(said.text) + _AFTER
        return b"".join([self._write(each) for each in self._order.put(said)])

    def _write(self, said: Event) -> bytes:
        if isinstance(said, Opened):
            return self._start(said.index, said.part)
        if isinstance(said, Closed):
            return self._close() if said.index == self._open else b""
        if isinstance(said, Grew | Signed | Cited):
            return self._grow(said) if said.index == self._open else b""
        if isinstance(said, Began):
            return self._begin(said)
        if isinstance(said, Stopped):
            self._stop = said
            return self._close()
        if isinstance(said, Used):
            self._usage = said.usage
        elif isinstance(said, Ended):
            return self._end()
        return b""

    def _begin(self, said: Began) -> bytes:
        self._begun = True
        message: dict[str, Any] = {
            "id": said.id,
            "type": "message",
            "role": "assistant",
            "model": said.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": shown_usage(said.usage or Usage()),
        }
        return event("message_start", message=message)

    def _start(self, index: int, part: Part) -> bytes:
        if isinstance(part, Foreign):
            return self._whole(part)
        words = _WORDS.get(type(part))
        if words is None:
            return b""
        number = self._blocks
        self._blocks += 1
        block = _opening(part)
        self._open = index
        self._before = _DELTA + b"%d" % number + words
        out = event("content_block_start", index=number, content_block=block)
        text = part.arguments if isinstance(part, ToolUse) else getattr(part, "text", "")
        if text:
            out += self._before + _encode(text) + _AFTER
        if isinstance(part, Thinking) and part.signature:
            out += self._grow(Signed(index, part.signature, part.family))
        if isinstance(part, Text):
            out += b"".join([self._grow(Cited(index, one)) for one in part.citations])
        return out

    def _whole(self, part: Foreign) -> bytes:
        """A block that only this dialect knows comes at once."""
        block = block_of(part)
        if block is None:
            return b""
        number = self._blocks
        self._blocks += 1
        return event("content_block_start", index=number, content_block=block) + event(
            "content_block_stop", index=number
        )

    def _grow(self, said: Grew | Signed | Cited) -> bytes:
        if isinstance(said, Grew):
            return self._before + _encode(said.text) + _AFTER
        if isinstance(said, Cited):
            delta: dict[str, Any] = {"type": "citations_delta"}
            delta["citation"] = shown_citation(said.citation)
        else:
            proof = sealed(Thinking(signature=said.signature, family=said.family), FAMILY)
            delta = {"type": "signature_delta", "signature": proof}
        return event("content_block_delta", index=self._blocks - 1, delta=delta)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return event("content_block_stop", index=self._blocks - 1)

    def _end(self) -> bytes:
        out = b"" if self._begun else self._begin(Began())
        delta = {
            "stop_reason": STOPS[self._stop.reason],
            "stop_sequence": self._stop.sequence or None,
        }
        usage = shown_usage(self._usage or Usage())
        return out + event("message_delta", delta=delta, usage=usage) + event("message_stop")


def _opening(part: Part) -> Any:
    """A block as it begins: its words come after it."""
    if isinstance(part, Text | Refusal):
        return {"type": "text", "text": ""}
    if isinstance(part, ToolUse):
        return {
            "type": "tool_use",
            "id": part.id,
            "name": part.name,
            "input": {},
            **signed(part),
        }
    if isinstance(part, Thinking) and not part.data:
        return {"type": "thinking", "thinking": "", "signature": ""}
    return block_of(part)
