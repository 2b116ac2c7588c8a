"""A stream on the Messages wire, read into events."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.core import sse
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
from gateway.core.talk.messages.blocks import read_block, read_citation
from gateway.core.talk.messages.fault import fault_in_answer, fault_in_event
from gateway.core.talk.messages.usage import merged, messages_usage
from gateway.core.talk.messages.wire import (
    DIALECT,
    READ_REASON,
    UNREADABLE,
    is_object,
    members,
    string,
)
from gateway.core.talk.model import Foreign, Losses, Part, Text, ToolUse
from gateway.errors import Fault, upstream_error

_MAX_OPEN: Final = 1_000
_MAX_HELD: Final = 8 * sse.MAX_EVENT
_NOTHING: Final = msgspec.Raw()


class _Delta(msgspec.Struct, gc=False):
    """What a block grows by, or at the end why the answer ends."""

    type: str | None = None
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    citation: msgspec.Raw = _NOTHING
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Said(msgspec.Struct, gc=False):
    """An event of any type."""

    type: str | None = None
    index: int | None = None
    content_block: msgspec.Raw = _NOTHING
    delta: _Delta | None = None
    message: msgspec.Raw = _NOTHING
    usage: msgspec.Raw = _NOTHING


class _Block:
    """An open block. What no other dialect knows is held until it is whole."""

    __slots__ = ("arguments", "first", "held", "index", "members", "part")

    def __init__(self, index: int, part: Part, first: str, raw: bytes) -> None:
        self.index = index
        self.part = part
        self.first = first  # arguments that came with the start: they hold if no others come
        self.held = isinstance(part, Foreign)
        self.arguments: list[str] = []
        self.members: dict[str, Any] = dict(members(raw)) if self.held else {}


_decode = msgspec.json.Decoder(_Said).decode


class Reader:
    """Reads the stream; exact for any split of its bytes."""

    def __init__(self) -> None:
        self._splitter = sse.Splitter()
        self._open: dict[int, _Block] = {}
        self._parts = 0
        self._usage = b""
        self._held = 0
        self._began = False
        self._stopped = False
        self._over = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        out: list[Event] = []
        splitter = self._splitter
        for event in splitter.feed(data):
            if self._over:
                break
            if splitter.oversize:
                self._break(out, "An event of the provider's stream is too large.")
                break
            self._read(sse.data_of(event), out)
        return out

    def finish(self) -> list[Event]:
        """The end of the bytes: a last event without its blank line still counts if it is whole."""
        out: list[Event] = []
        payload = sse.data_of(self._splitter.rest())
        if payload is not None and not self._over and is_object(payload):
            self._read(payload, out)
        return out

    def _read(self, payload: bytes | None, out: list[Event]) -> None:
        if payload is None or payload in (b"", b"[DONE]"):
            return
        try:
            said = _decode(payload)
        except msgspec.ValidationError:
            self._read_odd(payload, out)
            return
        except UNREADABLE:
            self._break(out, "An event of the provider's stream cannot be read.")
            return
        kind = said.type
        if kind == "content_block_delta":
            self._grow(said, payload, out)
        elif kind == "content_block_start":
            self._start(said, out)
        elif kind == "content_block_stop":
            self._close(said.index, out)
        elif kind == "message_start":
            self._begin(members(said.message), out)
        elif kind == "message_delta":
            self._end(said, out)
        elif kind == "message_stop":
            self._stop(out, "stop", "")
            out.append(Ended())
            self._over = True
        elif kind == "error" or (kind is None and fault_in_answer(payload) is not None):
            self._fail(payload, out)

    def _read_odd(self, payload: bytes, out: list[Event]) -> None:
        """An event whose members are of other types is passed over, unless it is the end."""
        found = members(payload)
        if string(found.get("type")) == "error":
            self._fail(payload, out)
        elif string(found.get("type")) == "message_delta" and "usage" in found:
            self._use(bytes(found["usage"]), out)

    def _fail(self, payload: bytes, out: list[Event]) -> None:
        self._over = True
        out.append(Broke(fault_in_event(payload)))

    def _break(self, out: list[Event], why: str) -> None:
        self._over = True
        fault: Fault = upstream_error(why, "bad_stream")
        out.append(Broke(fault))

    def _begin(self, message: dict[str, msgspec.Raw], out: list[Event]) -> None:
        if self._began:
            return
        self._began = True
        raw = bytes(message.get("usage", b""))
        self._usage = raw if is_object(raw) else b""
        usage = messages_usage(raw) if self._usage else None
        out.append(Began(string(message.get("id")), string(message.get("model")), usage=usage))

    def _start(self, said: _Said, out: list[Event]) -> None:
        if said.index is None or not is_object(said.content_block):
            return
        self._close(said.index, out)
        if len(self._open) >= _MAX_OPEN:
            self._break(out, "The provider's stream has too many open blocks.")
            return
        part = read_block(said.content_block, "content", Losses())
        first = ""
        if isinstance(part, Text | ToolUse):
            part.own = None  # its own bytes are those of the beginning alone
        if isinstance(part, ToolUse):
            first, part.arguments = part.arguments, ""
        block = _Block(self._parts, part, first, bytes(said.content_block))
        self._parts += 1
        self._open[said.index] = block
        if not block.held:
            out.append(Opened(block.index, part))

    def _grow(self, said: _Said, payload: bytes, out: list[Event]) -> None:
        block = self._open.get(said.index) if said.index is not None else None
        delta = said.delta
        if block is None or delta is None:
            return
        if block.held:
            self._hold(block, delta, payload, out)
        elif delta.signature is not None:
            out.append(Signed(block.index, delta.signature, DIALECT))
        elif delta.citation is not _NOTHING:
            out.append(Cited(block.index, read_citation(delta.citation)))
        elif delta.partial_json is not None and isinstance(block.part, ToolUse):
            if delta.partial_json:
                block.first = ""
                out.append(Grew(block.index, delta.partial_json))
        else:
            text = delta.text or delta.thinking
            if text:
                out.append(Grew(block.index, text))

    def _hold(self, block: _Block, delta: _Delta, payload: bytes, out: list[Event]) -> None:
        """Gather what a block is made of that is handed on whole."""
        self._held += len(payload)
        if self._held > _MAX_HELD:
            self._break(out, "A block of the provider's stream is too large.")
        elif delta.partial_json is not None:
            block.arguments.append(delta.partial_json)
        else:
            for name, raw in members(members(payload).get("delta")).items():
                if name != "type":
                    text = string(raw)
                    before = block.members.get(name)
                    known = string(msgspec.json.encode(before)) if before is not None else ""
                    block.members[name] = known + text if text else raw

    def _close(self, index: int | None, out: list[Event]) -> None:
        block = self._open.pop(index, None) if index is not None else None
        if block is None:
            return
        if block.held:
            out.append(Opened(block.index, _whole(block)))
        elif block.first:
            out.append(Grew(block.index, block.first))
        out.append(Closed(block.index))

    def _end(self, said: _Said, out: list[Event]) -> None:
        delta = said.delta
        if delta is not None and delta.stop_reason:
            self._stop(out, READ_REASON.get(delta.stop_reason, "stop"), delta.stop_sequence or "")
        self._use(bytes(said.usage), out)

    def _stop(self, out: list[Event], reason: Any, sequence: str) -> None:
        for index in list(self._open):
            self._close(index, out)
        if not self._stopped:
            self._stopped = True
            out.append(Stopped(reason, sequence))

    def _use(self, raw: bytes, out: list[Event]) -> None:
        if raw and raw != b"null":
            self._usage = merged(self._usage, raw)
            out.append(Used(messages_usage(self._usage)))


def _whole(block: _Block) -> Part:
    """A block that only this dialect knows, with all that came of it."""
    part = block.part
    if not isinstance(part, Foreign):
        return part
    given = "".join(block.arguments).encode("utf-8", "replace")
    if given and is_object(given):
        block.members["input"] = msgspec.Raw(given)
    if not given and not block.members:
        return part
    return Foreign(part.dialect, part.kind, msgspec.json.encode(block.members))
