"""A stream in the Responses dialect, written: every event complete, in order and numbered."""

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
from gateway.core.talk.model import Answer, Foreign, Part, Refusal, Text, Thinking, ToolUse
from gateway.core.talk.responses.answer import frame, shown_response, tail_of
from gateway.core.talk.responses.items import shown_citation, shown_item, shown_text

_encode = msgspec.json.Encoder().encode


class Writer:
    """Events of a talk into events of the wire. `final` is the whole response, once it is."""

    def __init__(self, body: JsonBody) -> None:
        self._body = body
        self._order = InOrder()
        self._answer = Answer()
        self._output: list[dict[str, Any]] = []
        self._number = 0
        self._open: int | None = None  # the part that is said just now
        self._part: Part = Text()
        self._pieces: list[str] = []
        self._name = ""
        self._at: dict[str, Any] = {}
        self._before = b""
        self._begun = False
        self.final = b""

    def write(self, said: Event) -> bytes:
        """The events that this one makes, once its turn has come."""
        if isinstance(said, Grew) and said.index == self._open:
            return self._grow(said.text)
        return b"".join([self._write(each) for each in self._order.put(said)])

    def _write(self, said: Event) -> bytes:
        if isinstance(said, Opened):
            return self._start(said.index, said.part)
        if isinstance(said, Closed):
            return self._close() if said.index == self._open else b""
        if isinstance(said, Grew):
            return self._grow(said.text) if said.index == self._open else b""
        if isinstance(said, Signed):
            self._sign(said)
        elif isinstance(said, Cited):
            return self._cite(said)
        elif isinstance(said, Began):
            return self._begin(said)
        elif isinstance(said, Stopped):
            self._answer.reason = said.reason
            return self._close()
        elif isinstance(said, Used):
            self._answer.usage = said.usage
        elif isinstance(said, Ended):
            return self._end()
        return b""

    def _event(self, kind: str, **members: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        told = {"type": f"response.{kind}", "sequence_number": number, **members}
        return sse.event(_encode(told), f"response.{kind}")

    def _begin(self, said: Began) -> bytes:
        self._begun = True
        self._answer = Answer(said.id, said.model, created=said.created)
        shown = frame(self._body, self._answer, "in_progress", [])
        return self._event("created", response=shown) + self._event("in_progress", response=shown)

    def _start(self, index: int, part: Part) -> bytes:
        place = len(self._output)
        self._name = f"{tail_of(self._answer.id)}_{place}"
        item = shown_item(_blank(part), self._name, "in_progress")
        if item is None or isinstance(part, Foreign):
            return b""
        self._open, self._part = index, part
        self._at = {"item_id": item["id"], "output_index": place}
        self._output.append(item)
        words = part.arguments if isinstance(part, ToolUse) else part.text  # type: ignore[union-attr]
        self._pieces = []
        out = b""
        if isinstance(part, Text | Refusal):
            content, item["content"] = item["content"][0], []
            out = self._event("output_item.added", output_index=place, item=item)
            self._at["content_index"] = 0
            out += self._event("content_part.added", **self._at, part=content)
            kind = "refusal.delta" if isinstance(part, Refusal) else "output_text.delta"
        else:
            out = self._event("output_item.added", output_index=place, item=item)
            kind = "custom_tool_call_input.delta" if _is_custom(part) else ""
            kind = kind or "function_call_arguments.delta"
            if isinstance(part, Thinking):
                kind = "reasoning_summary_text.delta"
                self._at["summary_index"] = 0
        self._prepare(kind)
        return out + (self._grow(words) if words else b"")

    def _prepare(self, kind: str) -> None:
        """All of a delta but its number and its words."""
        told = {"type": f"response.{kind}", **self._at}
        if kind == "output_text.delta":
            told["logprobs"] = []
        head = f"event: response.{kind}\ndata: ".encode()
        self._before = head + _encode(told)[:-1] + b',"sequence_number":'

    def _grow(self, text: str) -> bytes:
        out = b""
        if isinstance(self._part, Thinking) and not self._pieces:
            blank = {"type": "summary_text", "text": ""}
            out = self._event("reasoning_summary_part.added", **self._at, part=blank)
        self._pieces.append(text)
        number, self._number = self._number, self._number + 1
        return out + self._before + b'%d,"delta":' % number + _encode(text) + b"}\n\n"

    def _sign(self, said: Signed) -> None:
        part = self._part
        if said.index == self._open and isinstance(part, Thinking | ToolUse):
            part.signature, part.family = said.signature, said.family

    def _cite(self, said: Cited) -> bytes:
        part = self._part
        if said.index != self._open or not isinstance(part, Text):
            return b""
        part.citations.append(said.citation)
        return self._event(
            "output_text.annotation.added",
            **self._at,
            annotation_index=len(part.citations) - 1,
            annotation=shown_citation(said.citation),
        )

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        part, text, place = self._part, "".join(self._pieces), len(self._output) - 1
        out = b""
        if isinstance(part, ToolUse):
            part.arguments = text
            kind = "custom_tool_call_input" if part.custom else "function_call_arguments"
            words = {"input": text} if part.custom else {"arguments": text, "name": part.name}
            out = self._event(f"{kind}.done", **self._at, **words)
        elif isinstance(part, Thinking):
            part.text = text
            out = self._close_thought(text) if text else b""
        elif isinstance(part, Text | Refusal):
            part.text = text
            out = self._close_words(part)
        item = shown_item(part, self._name)
        assert item is not None
        self._output[place] = item
        return out + self._event("output_item.done", output_index=place, item=item)

    def _close_thought(self, text: str) -> bytes:
        whole = {"type": "summary_text", "text": text}
        return self._event("reasoning_summary_text.done", **self._at, text=text) + self._event(
            "reasoning_summary_part.done", **self._at, part=whole
        )

    def _close_words(self, part: Text | Refusal) -> bytes:
        if isinstance(part, Refusal):
            out = self._event("refusal.done", **self._at, refusal=part.text)
        else:
            out = self._event("output_text.done", **self._at, text=part.text, logprobs=[])
        return out + self._event("content_part.done", **self._at, part=shown_text(part))

    def _end(self) -> bytes:
        out = b"" if self._begun else self._begin(Began())
        response = shown_response(self._body, self._answer, self._output)
        self.final = _encode(response)
        return out + self._event(response["status"], response=response)


def _is_custom(part: Part) -> bool:
    return isinstance(part, ToolUse) and part.custom


def _blank(part: Part) -> Part:
    """A part before it has said anything."""
    if isinstance(part, Text):
        return Text()
    if isinstance(part, Refusal):
        return Refusal()
    if isinstance(part, ToolUse):
        return ToolUse(
            part.id, part.name, custom=part.custom, signature=part.signature, family=part.family
        )
    if isinstance(part, Thinking):
        return Thinking(id=part.id)
    return part
