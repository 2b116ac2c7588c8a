"""A stream in the chat dialect, written."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.body import JsonBody
from gateway.core.talk.chat.answer import call_of, image_of, shown_usage
from gateway.core.talk.chat.parts import FINISH, annotation_of, detail_of
from gateway.core.talk.events import (
    Began,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Opened,
    Signed,
    Stopped,
    Used,
)
from gateway.core.talk.model import Media, Part, Refusal, Text, Thinking, ToolUse
from gateway.domain import Usage

_encode = msgspec.json.Encoder().encode
_AFTER = b',"logprobs":null,"finish_reason":null}]}\n\n'
_WORDS: dict[type[Any], bytes] = {
    Text: b'{"content":',
    Refusal: b'{"refusal":',
    Thinking: b'{"reasoning_content":',
}


class Writer:
    """Events into chat.completion.chunks."""

    def __init__(self, body: JsonBody) -> None:
        options = body.value("stream_options")
        self._shows_usage = isinstance(options, dict) and options.get("include_usage") is True
        self._head: dict[str, Any] = {}
        self._before = b""
        self._parts: dict[int, tuple[bytes, bytes]] = {}  # what stands around its words
        self._thoughts: dict[int, tuple[Thinking, list[str]]] = {}
        self._calls: dict[int, int] = {}
        self._proofs = 0
        self._usage: Usage | None = None

    def write(self, event: Event) -> bytes:
        """The chunks that the event makes."""
        if isinstance(event, Grew):
            return self._grow(event)
        if isinstance(event, Opened):
            return self._open(event.index, event.part)
        if isinstance(event, Signed):
            return self._sign(event)
        if isinstance(event, Closed):
            self._parts.pop(event.index, None)
            return self._prove(event.index)
        if isinstance(event, Began):
            return self._begin(event)
        if isinstance(event, Used):
            self._usage = event.usage
        elif isinstance(event, Stopped):
            return self._stop(event)
        elif isinstance(event, Cited):
            return self._chunk(_encode({"annotations": [annotation_of(event.citation)]}))
        elif isinstance(event, Ended):
            return self._end()
        return b""

    def _begin(self, event: Began) -> bytes:
        self._head = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": event.created,
            "model": event.model,
        }
        before = b"data: " + _encode(self._head)[:-1]
        if self._shows_usage:
            before += b',"usage":null'
        self._before = before + b',"choices":[{"index":0,"delta":'
        return self._chunk(b'{"role":"assistant","content":""}')

    def _chunk(self, delta: bytes) -> bytes:
        return self._before + delta + _AFTER

    def _grow(self, event: Grew) -> bytes:
        known = self._parts.get(event.index)
        if known is None:
            return b""
        thought = self._thoughts.get(event.index)
        if thought is not None:
            thought[1].append(event.text)
        return self._before + known[0] + _encode(event.text) + known[1]

    def _open(self, index: int, part: Part) -> bytes:
        if isinstance(part, ToolUse):
            return self._call(index, part)
        if isinstance(part, Media):
            return self._chunk(_encode({"images": [image_of(part)]}))
        before = _WORDS.get(type(part))
        if before is None:
            return b""
        self._parts[index] = (before, b"}" + _AFTER)
        if isinstance(part, Thinking):
            self._thoughts[index] = (part, [part.text])
        text = getattr(part, "text", "")
        return self._chunk(before + _encode(text) + b"}") if text else b""

    def _call(self, index: int, part: ToolUse) -> bytes:
        number = self._calls[index] = len(self._calls)
        call = {"index": number, **call_of(part)}
        made = call["custom" if part.custom else "function"]
        made["input" if part.custom else "arguments"] = part.arguments
        inner = b'"custom":{"input":' if part.custom else b'"function":{"arguments":'
        before = b'{"tool_calls":[{"index":%d,' % number + inner
        self._parts[index] = (before, b"}}]}" + _AFTER)
        return self._chunk(_encode({"tool_calls": [call]}))

    def _sign(self, event: Signed) -> bytes:
        number = self._calls.get(event.index)
        if number is None:
            thought = self._thoughts.get(event.index)
            if thought is not None:
                thought[0].signature, thought[0].family = event.signature, event.family
            return b""
        call = {"index": number, "signature": event.signature, "signature_family": event.family}
        return self._chunk(_encode({"tool_calls": [call]}))

    def _prove(self, index: int) -> bytes:
        """With a part's end comes what proves it: the whole of it, so that it can be sent back."""
        part, pieces = self._thoughts.pop(index, (None, []))
        if part is None or not (part.signature or part.data):
            return b""
        part.text = "".join(pieces)
        number, self._proofs = self._proofs, self._proofs + 1
        return self._chunk(_encode({"reasoning_details": [detail_of(part, number)]}))

    def _stop(self, event: Stopped) -> bytes:
        if not self._before:
            self._begin(Began())
        finish = _encode(FINISH[event.reason])
        return self._before + b'{},"logprobs":null,"finish_reason":' + finish + b"}]}\n\n"

    def _end(self) -> bytes:
        out = b""
        if self._shows_usage and self._usage is not None:
            shown = {**self._head, "choices": [], "usage": shown_usage(self._usage)}
            out = b"data: " + _encode(shown) + b"\n\n"
        return out + b"data: [DONE]\n\n"
