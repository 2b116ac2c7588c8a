"""ConverseStream's events as the gateway's own."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Raw, Struct, field

from gateway.sdk import Call
from gateway.sdk.talk import (
    Began,
    Broke,
    Cited,
    Closed,
    Ended,
    Event,
    Grew,
    Media,
    Opened,
    Part,
    Signed,
    Stopped,
    Text,
    Thinking,
    ToolUse,
    Used,
)
from providers_plugins.bedrock import faults
from providers_plugins.bedrock.answer import (
    citation_of,
    foreign,
    image_of,
    reason_of,
    sequence_of,
    unsealed,
)
from providers_plugins.bedrock.eventstream import Message, Messages
from providers_plugins.bedrock.lenient import items, members, number, text, value
from providers_plugins.bedrock.models import shown, traits_of
from providers_plugins.bedrock.usage import converse_usage

MAX_OPEN = 256
MAX_HELD = 4 << 20


class Block(Struct):
    """A content block on its way. Without a `part` it is held until it is whole."""

    kind: str
    part: int | None = None
    start: dict[str, Raw] = field(default_factory=dict)
    held: list[str] = field(default_factory=list)
    results: list[Raw] = field(default_factory=list)
    size: int = 0  # of a call's arguments


class ConverseReader:
    """Reads a stream; `metadata`, which comes last and counts, is its end mark."""

    def __init__(self, call: Call) -> None:
        self._messages = Messages()
        self._family = traits_of(call.upstream, call.options).signs
        self._model = shown(call.upstream)
        self._blocks: dict[int, Block] = {}
        self._parts = 0
        self._held = 0
        self._began = self._stopped = self._used = self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that these bytes complete."""
        for message in self._messages.feed(data):
            if not self._over:
                yield from self._read(message)
        if self._messages.broken and not self._over:
            yield self._break(Broke(faults.broken(self._messages.broken)))

    def finish(self) -> Iterator[Event]:
        """Nothing is completed by an end: what was to come has come, or is missing."""
        return iter(())

    def _break(self, broke: Broke) -> Broke:
        self._over = True
        self._blocks.clear()
        return broke

    def _read(self, message: Message) -> Iterator[Event]:
        name = message.header(":event-type")
        failure = faults.failure_of(message)
        if failure is not None:
            yield self._break(Broke(failure))
            return
        if not self._began and name in _EVENTS:
            self._began = True
            yield Began(model=self._model)
        said = members(message.payload)
        if name == "contentBlockStart":
            yield from self._start(said)
        elif name == "contentBlockDelta":
            yield from self._delta(said)
        elif name == "contentBlockStop":
            yield from self._close(number(said.get("contentBlockIndex")))
        elif name == "messageStop":
            yield from self._stop(said)
        elif name == "metadata":
            yield from self._count(said)
        if len(self._blocks) > MAX_OPEN:
            yield self._break(Broke(faults.broken("too many parts are open")))

    def _start(self, said: dict[str, Raw]) -> Iterator[Event]:
        index, start = number(said.get("contentBlockIndex")), members(said.get("start"))
        if index is None or self._stopped:
            return
        yield from self._close(index)
        for kind in ("toolUse", "toolResult", "image"):
            if kind in start:
                found = members(start[kind])
                self._blocks[index] = block = Block(kind, start=found)
                if kind == "toolUse" and not text(found.get("type")):
                    tool = ToolUse(text(found.get("toolUseId")), text(found.get("name")))
                    yield self._open(block, tool)
                return

    def _delta(self, said: dict[str, Raw]) -> Iterator[Event]:
        index, delta = number(said.get("contentBlockIndex")), members(said.get("delta"))
        if index is None or self._stopped:
            return
        if "text" in delta:
            grown = text(delta["text"])
            if grown:
                yield from self._grow(index, Text(), grown)
        elif "toolUse" in delta:
            yield from self._call(index, text(members(delta["toolUse"]).get("input")))
        elif "reasoningContent" in delta:
            yield from self._think(index, members(delta["reasoningContent"]))
        elif "citation" in delta:
            yield from self._want(index, Text())
            part = self._blocks[index].part
            if part is not None:
                yield Cited(part, citation_of(delta["citation"]))
        elif "toolResult" in delta:
            yield from self._hold(index, results=items(delta["toolResult"]))
        elif "image" in delta:
            yield from self._picture(index, members(delta["image"]))

    def _grow(self, index: int, part: Part, grown: str) -> Iterator[Event]:
        yield from self._want(index, part)
        number_ = self._blocks[index].part
        if number_ is not None:
            yield Grew(number_, grown)

    def _call(self, index: int, arguments: str) -> Iterator[Event]:
        block = self._blocks.get(index)
        if block is None or block.kind != "toolUse":
            return  # nobody knows what is called
        if block.part is None:
            yield from self._hold(index, arguments)
        elif arguments:
            block.size += len(arguments)
            yield Grew(block.part, arguments)

    def _think(self, index: int, said: dict[str, Raw]) -> Iterator[Event]:
        sealed = text(said.get("redactedContent"))
        if sealed:
            yield from self._close(index)
            self._blocks[index] = block = Block("sealed")
            yield self._open(block, Thinking(data=unsealed(sealed), family=self._family))
            return
        grown, signature = text(said.get("text")), text(said.get("signature"))
        if grown:
            yield from self._grow(index, Thinking(), grown)
        if signature:
            yield from self._want(index, Thinking())
            part = self._blocks[index].part
            if part is not None:
                yield Signed(part, signature, self._family)

    def _picture(self, index: int, said: dict[str, Raw]) -> Iterator[Event]:
        block = self._blocks.get(index)
        media = image_of({**(block.start if block else {}), **said})
        if isinstance(media, Media):
            yield from self._close(index)
            self._blocks[index] = made = Block("image")
            yield self._open(made, media)

    def _want(self, index: int, part: Part) -> Iterator[Event]:
        """See to it that a part of this kind is open: blocks may come without a start."""
        kind = type(part).__name__
        block = self._blocks.get(index)
        if block is not None and block.kind == kind:
            return
        yield from self._close(index)
        self._blocks[index] = block = Block(kind)
        yield self._open(block, part)

    def _open(self, block: Block, part: Part) -> Opened:
        block.part = self._parts
        self._parts += 1
        return Opened(block.part, part)

    def _hold(
        self, index: int, arguments: str = "", results: list[Raw] | None = None
    ) -> Iterator[Event]:
        """Keep what the provider's own tools said and gave back until it is whole."""
        block = self._blocks.get(index)
        if block is None or block.part is not None:
            return
        self._held += len(arguments) + sum(len(bytes(raw)) for raw in results or ())
        if self._held > MAX_HELD:
            yield self._break(Broke(faults.broken("its own tools say too much")))
            return
        if arguments:
            block.held.append(arguments)
        block.results += [Raw(bytes(raw)) for raw in results or ()]

    def _close(self, index: int | None) -> Iterator[Event]:
        block = None if index is None else self._blocks.pop(index, None)
        if block is None:
            return
        if block.part is None and block.kind in ("toolUse", "toolResult"):
            yield self._open(block, _held(block))
            block.kind = "held"
        if block.part is None:
            return
        if block.kind == "toolUse" and not block.size:
            yield Grew(block.part, "{}")  # called without arguments
        yield Closed(block.part)

    def _stop(self, said: dict[str, Raw]) -> Iterator[Event]:
        if self._stopped:
            return
        for index in sorted(self._blocks):
            yield from self._close(index)
        self._stopped = True
        sequence = sequence_of(said.get("additionalModelResponseFields"))
        yield Stopped(reason_of(text(said.get("stopReason"))), sequence)
        if self._used:
            yield self._end()

    def _count(self, said: dict[str, Raw]) -> Iterator[Event]:
        usage = said.get("usage")
        if value(usage) is not None:
            yield Used(converse_usage(bytes(usage or b"")))
        self._used = True
        if self._stopped:
            yield self._end()

    def _end(self) -> Ended:
        self._over = True
        return Ended()


def _held(block: Block) -> Part:
    """What only this wire knows: a tool of the provider's own, or what it gave back."""
    kind = text(block.start.get("type")) or block.kind
    said: dict[str, object] = dict(block.start)
    if block.kind == "toolResult":
        return foreign(kind, {"toolResult": {**said, "content": block.results}})
    written = "".join(block.held)
    given: object = Raw(written.encode()) if members(written.encode()) else written
    return foreign(kind, {"toolUse": {**said, "input": given}})


_EVENTS = frozenset({
    "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop",
    "metadata",
})  # fmt: skip
