"""Reads a streamed answer on the chat wire, in every host's spelling, into events."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Any

import msgspec

from gateway.core import sse
from gateway.core.faults import fault_in_body
from gateway.core.talk.chat.calls import Calls, Piece, pieces_in
from gateway.core.talk.chat.media import audio_in, citation_in, image_in
from gateway.core.talk.chat.names import UNREADABLE, call_id, count_in, reason_of, text_in
from gateway.core.talk.chat.thoughts import detail, settled
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
from gateway.core.talk.model import Media, Refusal, Text, Thinking, ToolUse
from gateway.core.usage import NOTHING, is_object, openai_usage
from gateway.domain import Usage
from gateway.errors import Fault, upstream_error


class Delta(msgspec.Struct, gc=False):
    """What one chunk adds. Every member may hold anything: a host's odd one must not cost words."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: msgspec.Raw = NOTHING
    function_call: msgspec.Raw = NOTHING
    reasoning_details: Any = None
    annotations: Any = None
    images: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: Delta | None = None
    finish_reason: Any = None
    index: Any = 0
    usage: msgspec.Raw = NOTHING


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    id: Any = ""
    model: Any = ""
    created: Any = 0


_decode = msgspec.json.Decoder(_Chunk).decode


class Reader:
    """The events of one stream. A finish reason, lone usage or `[DONE]` are its end marks."""

    def __init__(
        self,
        read_usage: Callable[[bytes], Usage] = openai_usage,
        fault_in: Callable[[bytes], Fault | None] = fault_in_body,
    ) -> None:
        self._splitter = sse.Splitter()
        self._read_usage = read_usage
        self._fault_in = fault_in
        self._plain = fault_in is fault_in_body
        self._id = ""
        self._began = False
        self._parts = 0  # how many have begun
        self._open: int | None = None  # the part that words go to
        self._kind: type[Text | Refusal | Thinking] = Text
        self._calls = Calls()
        self._finish: object = None
        self._finished = False  # an end mark has been seen
        self._usage: Usage | None = None
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete."""
        if self._over:
            return
        splitter = self._splitter
        # One whole event per read is what an unhurried stream looks like.
        if (
            not splitter.tail
            and data.startswith(b"data: ")
            and data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n\n")
            and len(data) <= sse.MAX_EVENT
            and sse.CR not in data
        ):
            yield from self._read(data[6:-2])
            return
        for event in splitter.feed(data):
            if splitter.oversize:
                yield from self._break("The provider's stream has an event too long to read.")
                return
            payload = sse.data_of(event)
            if payload:
                yield from self._read(payload)

    def finish(self) -> Iterator[Event]:
        """A last event without its blank line still counts; a stream without an end mark is cut."""
        rest = b"" if self._splitter.oversize else self._splitter.rest()
        payload = sse.data_of(rest) if rest else None
        if payload and (payload == b"[DONE]" or payload[-1:] == b"}"):
            yield from self._read(payload, last=True)
        if self._finished and not self._over:
            yield from self._end()

    def _read(self, payload: bytes, *, last: bool = False) -> Iterator[Event]:
        if self._over:
            return
        if payload == b"[DONE]":
            yield from self._end()
            return
        try:
            chunk = _decode(payload)
        except UNREADABLE:
            if payload[:1] == b"{" and not last:
                fault = self._fault_in(payload)
                yield from self._break("The provider's stream cannot be read.", fault)
            return
        choices = chunk.choices
        if not choices or not self._plain or bytes(chunk.error) not in (b"", b"null"):
            fault = self._fault_in(payload)
            if fault is not None:
                self._over = True
                yield Broke(fault)
                return
        if not self._began and (choices or chunk.id):
            yield self._begin(chunk)
        for choice in choices or ():
            if choice.index == 0 or choice.index is None:
                yield from self._chose(choice)
        yield from self._counted(chunk.usage, alone=not choices)

    def _counted(self, usage: msgspec.Raw, *, alone: bool = False) -> Iterator[Event]:
        if self._over or usage is NOTHING or not is_object(usage):
            return
        self._usage = self._read_usage(bytes(usage))
        yield Used(self._usage)
        # Usage comes alone at the end; alone at the beginning it is a host's first count.
        self._finished |= alone and self._parts > 0

    def _begin(self, chunk: _Chunk) -> Began:
        self._began = True
        self._id = text_in(chunk.id)
        return Began(self._id, text_in(chunk.model), count_in(chunk.created) or 0)

    def _chose(self, choice: _Choice) -> Iterator[Event]:
        delta = choice.delta
        if delta is not None:
            yield from self._grew(delta)
        yield from self._counted(choice.usage)
        if choice.finish_reason:
            self._finish = choice.finish_reason
            self._finished = True

    def _grew(self, delta: Delta) -> Iterator[Event]:
        if self._over:
            return
        thought = delta.reasoning_content or delta.reasoning
        if thought and isinstance(thought, str):
            yield from self._say(Thinking, thought)
        if delta.reasoning_details:
            yield from self._details(delta.reasoning_details, said=bool(text_in(thought)))
        content = delta.content
        if content:
            if isinstance(content, str):
                yield from self._say(Text, content)
            elif isinstance(content, list):
                yield from self._pieces(content)
        if delta.refusal and isinstance(delta.refusal, str):
            yield from self._say(Refusal, delta.refusal)
        if delta.annotations or delta.images or delta.audio:
            yield from self._beside(delta)
        if delta.tool_calls is not NOTHING or delta.function_call is not NOTHING:
            yield from self._called(delta)

    def _say(self, kind: type[Text | Refusal | Thinking], words: str) -> Iterator[Event]:
        if self._open is None or self._kind is not kind:
            yield from self._turn_to(kind())
        yield Grew(self._open or 0, words)

    def _turn_to(self, part: Text | Refusal | Thinking) -> Iterator[Event]:
        """Words of another kind begin: those before are complete."""
        yield from self._close()
        self._open = self._parts
        self._parts += 1
        self._kind = type(part)
        yield Opened(self._open, part)

    def _close(self) -> Iterator[Event]:
        if self._open is not None:
            yield Closed(self._open)
            self._open = None

    def _alone(self, part: Thinking | Media) -> Iterator[Event]:
        """A part that comes whole."""
        yield from self._close()
        yield Opened(self._parts, part)
        yield Closed(self._parts)
        self._parts += 1

    def _details(self, items: object, *, said: bool) -> Iterator[Event]:
        """Thoughts as items: words unless they were said beside, signatures, what is sealed."""
        for item in items if isinstance(items, list) else ():
            thought = detail(item)
            if thought is None:
                continue
            if thought.data:
                yield from self._alone(settled(thought))
                continue
            if thought.text and not said:
                yield from self._say(Thinking, thought.text)
            if thought.signature:
                if self._open is None or self._kind is not Thinking:
                    yield from self._turn_to(Thinking(family=thought.family))
                yield Signed(self._open or 0, thought.signature, settled(thought).family)
                yield from self._close()  # what follows is another thought

    def _pieces(self, content: list[Any]) -> Iterator[Event]:
        """Content as a list: words and thoughts, as some hosts stream them."""
        for piece in content:
            if not isinstance(piece, dict):
                continue
            if words := text_in(piece.get("text")):
                yield from self._say(Text, words)
            thought = piece.get("thinking")
            for inner in thought if isinstance(thought, list) else ({"text": thought},):
                if isinstance(inner, dict) and (words := text_in(inner.get("text"))):
                    yield from self._say(Thinking, words)

    def _called(self, delta: Delta) -> Iterator[Event]:
        try:
            pieces = pieces_in(bytes(delta.tool_calls), bytes(delta.function_call))
        except UNREADABLE:
            yield from self._break("The provider's answer has a tool call that cannot be read.")
            return
        for piece in pieces:
            call = self._calls.of(piece)
            if call is None:
                if not (piece.id or piece.name or piece.arguments):
                    continue
                if self._calls.beyond(piece):
                    yield from self._break("The provider's answer has too many tool calls.")
                    return
                call = yield from self._call(piece)
            if piece.signature:
                yield Signed(call, piece.signature, piece.family)
            if piece.arguments:
                yield Grew(call, piece.arguments)

    def _call(self, piece: Piece) -> Generator[Event, None, int]:
        """A call begins: the words before it are complete."""
        yield from self._close()
        call = self._calls.began(piece, self._parts)
        self._parts += 1
        made = piece.id or call_id(self._id, call)
        yield Opened(call, ToolUse(made, piece.name, custom=piece.custom))
        return call

    def _beside(self, delta: Delta) -> Iterator[Event]:
        """Sources, pictures and speech, which hang beside the content."""
        for item in delta.annotations if isinstance(delta.annotations, list) else ():
            citation = citation_in(item)
            if citation is None:
                continue
            if self._open is None or self._kind is not Text:
                yield from self._turn_to(Text())
            yield Cited(self._open or 0, citation)
        for item in delta.images if isinstance(delta.images, list) else ():
            image = image_in(item)
            if image is not None:
                yield from self._alone(image)
        audio = audio_in(delta.audio)
        if audio is not None:
            yield from self._alone(audio)

    def _end(self) -> Iterator[Event]:
        """The end: only now is it sure that no more words follow the finish reason."""
        self._over = True
        if not self._began:
            yield Began()
        yield from self._close()
        for index in self._calls.open:
            yield Closed(index)
        yield Stopped(reason_of(self._finish, called=bool(self._calls.open)))
        if self._usage is not None:
            yield Used(self._usage)
        yield Ended()

    def _break(self, message: str, fault: Fault | None = None) -> Iterator[Event]:
        if self._over:
            return
        self._over = True
        yield Broke(fault or upstream_error(message, "unreadable_stream"))
