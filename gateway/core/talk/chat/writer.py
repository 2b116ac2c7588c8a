"""Writes a streamed answer as a chat client's SDK expects its chunks."""

from __future__ import annotations

from typing import Any

from gateway.core.body import JsonBody
from gateway.core.talk.chat.media import annotation_of, audio_of, part_of
from gateway.core.talk.chat.names import encode, finish_of, in_functions, text_in
from gateway.core.talk.chat.thoughts import items_of
from gateway.core.talk.chat.usage import usage_of
from gateway.core.talk.events import (
    Began,
    Broke,
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

_DONE = b"data: [DONE]\n\n"


class Writer:
    """The chunks of one answer. What stands around a delta is written once, not per chunk."""

    def __init__(self, body: JsonBody) -> None:
        self._model = text_in(body.value("model"))
        self._with_usage = _wants_usage(body)
        self._in_functions = in_functions(body)
        self._usage: Usage | None = None
        self._stopped = False
        self._head = b""
        self._before = b""
        self._after = b""
        # Around the words of each open part.
        self._frames: dict[int, tuple[bytes, bytes]] = {}
        self._thoughts: dict[int, tuple[int, str]] = {}
        self._calls: dict[int, int] = {}
        self._thought_count = 0
        self._call_count = 0
        self._picture_count = 0

    def write(self, event: Event) -> bytes:
        """The chunks that are due for an event."""
        if type(event) is Grew:
            frame = self._frames.get(event.index)
            if frame is not None:
                return frame[0] + encode(event.text) + frame[1]
            if event.index in self._thoughts:
                return self._thought(event.index, event.text)
            return b""
        return self._other(event)

    def _other(self, event: Event) -> bytes:
        if isinstance(event, Began):
            return self._begin(event) if not self._head else b""
        if isinstance(event, Used):
            self._usage = event.usage
            return b""
        if isinstance(event, Broke):
            return b""
        first = b"" if self._head else self._begin(Began())
        if isinstance(event, Opened):
            return first + self._open(event.index, event.part)
        if isinstance(event, Signed):
            return first + self._sign(event)
        if isinstance(event, Cited):
            return first + self._delta({"annotations": [annotation_of(event.citation)]})
        if isinstance(event, Closed):
            for known in (self._frames, self._thoughts, self._calls):
                known.pop(event.index, None)
            return first
        if isinstance(event, Stopped):
            return first + self._stop(event)
        return first + self._end() if isinstance(event, Ended) else first

    def _begin(self, event: Began) -> bytes:
        shown = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": event.created,
            "model": event.model or self._model,
        }
        self._head = b"data: " + encode(shown)[:-1] + b',"choices":['
        self._before = self._head + b'{"index":0,"delta":'
        usage = b',"usage":null' if self._with_usage else b""
        self._after = b',"finish_reason":null}]' + usage + b"}\n\n"
        return self._delta({"role": "assistant", "content": ""})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._before + encode(delta) + self._after

    def _open(self, index: int, part: Part) -> bytes:
        if isinstance(part, Text):
            said = self._words(index, b"content", part.text)
            return said + b"".join(
                self._delta({"annotations": [annotation_of(found)]}) for found in part.citations
            )
        if isinstance(part, Refusal):
            return self._words(index, b"refusal", part.text)
        if isinstance(part, Thinking):
            return self._open_thought(index, part)
        if isinstance(part, ToolUse):
            return self._open_call(index, part)
        if isinstance(part, Media):
            return self._media(part)
        return b""  # what another dialect alone can say

    def _words(self, index: int, name: bytes, words: str) -> bytes:
        before = self._before + b'{"' + name + b'":'
        after = b"}" + self._after
        self._frames[index] = (before, after)
        return before + encode(words) + after if words else b""

    def _open_thought(self, index: int, part: Thinking) -> bytes:
        """A thought that somebody signs is said in details as well, so that it can come back."""
        self._thoughts[index] = (self._thought_count, part.family)
        self._thought_count += 1
        if not (part.family or part.signature or part.data):
            return self._words(index, b"reasoning_content", part.text)
        if not (part.text or part.signature or part.data):
            return b""
        delta: dict[str, Any] = {"reasoning_content": part.text} if part.text else {}
        delta["reasoning_details"] = items_of(part, self._thoughts[index][0])
        return self._delta(delta)

    def _thought(self, index: int, words: str) -> bytes:
        number, family = self._thoughts[index]
        items = items_of(Thinking(words, family=family), number)
        return self._delta({"reasoning_content": words, "reasoning_details": items})

    def _open_call(self, index: int, part: ToolUse) -> bytes:
        number = self._calls[index] = self._call_count
        self._call_count += 1
        if self._in_functions:
            return self._open_function(index, part) if number == 0 else b""
        kind = "custom" if part.custom else "function"
        said = "input" if part.custom else "arguments"
        call: dict[str, Any] = {
            "index": number,
            "id": part.id,
            "type": kind,
            kind: {"name": part.name, said: part.arguments},
        }
        if part.signature:
            call |= {"signature": part.signature, "signature_family": part.family}
        around = b'{"tool_calls":[{"index":%d,"%s":{"%s":' % (number, kind.encode(), said.encode())
        self._frames[index] = (self._before + around, b"}}]}" + self._after)
        return self._delta({"tool_calls": [call]})

    def _open_function(self, index: int, part: ToolUse) -> bytes:
        """The one call that the deprecated form has room for."""
        around = b'{"function_call":{"arguments":'
        self._frames[index] = (self._before + around, b"}}" + self._after)
        return self._delta({"function_call": {"name": part.name, "arguments": part.arguments}})

    def _sign(self, event: Signed) -> bytes:
        if event.index in self._calls and self._in_functions:
            return b""
        if event.index in self._calls:
            call = {
                "index": self._calls[event.index],
                "signature": event.signature,
                "signature_family": event.family,
            }
            return self._delta({"tool_calls": [call]})
        if event.index not in self._thoughts:
            return b""
        number, family = self._thoughts[event.index]
        signed = Thinking(signature=event.signature, family=event.family or family)
        return self._delta({"reasoning_details": items_of(signed, number)})

    def _media(self, part: Media) -> bytes:
        if part.kind == "audio":
            return self._delta({"audio": audio_of(part)})
        shown = part_of(part)
        if not shown:
            return b""
        self._picture_count += 1
        return self._delta({"images": [{**shown, "index": self._picture_count - 1}]})

    def _stop(self, event: Stopped) -> bytes:
        if self._stopped:
            return b""
        self._stopped = True
        usage = b',"usage":null' if self._with_usage else b""
        said = finish_of(event.reason)
        finish = encode("function_call" if said == "tool_calls" and self._in_functions else said)
        return self._before + b'{},"finish_reason":' + finish + b"}]" + usage + b"}\n\n"

    def _end(self) -> bytes:
        if not self._with_usage or self._usage is None:
            return _DONE
        usage = encode(usage_of(self._usage))
        return self._head + b'],"usage":' + usage + b"}\n\n" + _DONE


def _wants_usage(body: JsonBody) -> bool:
    options = body.value("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True
