"""Reads a stream of the Responses wire into events."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct

from gateway.core import sse
from gateway.core.faults import fault_in_body
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
from gateway.core.talk.model import Foreign, Part, Refusal, Text, Thinking
from gateway.core.talk.responses.large import Large
from gateway.core.talk.responses.parts import (
    FAMILY,
    TEXTS,
    citation,
    content_part,
    failure,
    item_parts,
    reason_of,
    thinking,
    tool_use,
)
from gateway.core.talk.responses.wire import (
    BREAK,
    Head,
    Incomplete,
    Item,
    StreamEvent,
    is_object,
    listed,
    read_content,
    read_event,
    read_head,
    read_item,
)
from gateway.core.usage import openai_usage
from gateway.domain import Usage

MAX_PARTS = 2_000
_WHOLE = -1  # where an item is one part
_TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_USUAL = "response.output_text.delta"
_TEXT_DELTAS = {"response.output_text.delta": Text, "response.refusal.delta": Refusal}
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ARGUMENTS = ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta")


class _Slot(Struct, gc=False):
    index: int
    kind: type
    said: int = 0
    cited: int = 0
    section: tuple[str, int] | None = None
    closed: bool = False


class Reader:
    """One stream. Parts are told apart by the places of their item and of them within it."""

    def __init__(self, read_usage: Callable[[bytes], Usage] = openai_usage) -> None:
        self._splitter = sse.Splitter()
        self._read_usage = read_usage
        self._large: Large | None = None
        self._slots: dict[tuple[int | str, int], _Slot] = {}
        self._done: set[int | str] = set()
        self._parts = 0
        self._kinds: set[type] = set()
        self._began = False
        self._over = False
        self._handlers: dict[str, Callable[[StreamEvent], Iterator[Event]]] = {
            "response.output_item.added": self._item_added,
            "response.output_item.done": self._item_done,
            "response.content_part.added": self._part_added,
            "response.content_part.done": self._part_done,
            "response.output_text.annotation.added": self._annotated,
        }
        self._handlers |= dict.fromkeys(_TEXT_DELTAS, self._text)
        self._handlers |= dict.fromkeys(_THOUGHTS, self._thought)
        self._handlers |= dict.fromkeys(_ARGUMENTS, self._arguments)
        self._handlers |= dict.fromkeys(_TERMINAL, self._terminal)

    def feed(self, data: bytes) -> Iterator[Event]:
        """What these bytes complete."""
        for event in self._splitter.feed(data):
            if self._splitter.oversize:
                self._large = self._large or Large()
                self._large.put(event)
                continue
            yield from self._large_over()
            payload = sse.data_of(event)
            if payload is not None:
                yield from self._read(payload)
        if not self._splitter.oversize:
            yield from self._large_over()

    def finish(self) -> Iterator[Event]:
        """A last event without its blank line still counts."""
        rest = self._splitter.rest()
        if self._splitter.oversize:
            return  # it may have been cut anywhere
        payload = sse.data_of(rest) if rest else None
        if payload is not None:
            yield from self._read(payload)

    def _large_over(self) -> Iterator[Event]:
        large, self._large = self._large, None
        if large is None or self._over or not large.type:
            return
        status = large.type.removeprefix("response.")
        details = Incomplete("max_output_tokens") if status == "incomplete" else None
        yield from self._begin(Head())
        yield from self._ended(Head(status=status, incomplete_details=details), large.usage)

    def _read(self, payload: bytes) -> Iterator[Event]:
        event = None if self._over else read_event(payload)
        if event is None:
            return
        handler = self._handlers.get(event.type)
        if handler is not None:
            if event.type == _USUAL and self._began and event.delta:
                # Nearly every event is this one, so it takes the shortest way.
                slot = self._slots.get((_key(event), event.content_index or 0))
                if slot is not None and not slot.closed:
                    slot.said += len(event.delta)
                    yield Grew(slot.index, event.delta)
                    return
            if not self._began:
                yield from self._begin(read_head(event.response) or Head())
            yield from handler(event)
        elif event.type == "error" or not event.type:
            yield from self._failed(payload, event.type == "error")
        elif not self._began and is_object(event.response):
            yield from self._begin(read_head(event.response) or Head())

    def _begin(self, head: Head) -> Iterator[Event]:
        if not self._began:
            self._began = True
            yield Began(head.id or "", head.model or "", head.created)

    def _failed(self, payload: bytes, surely: bool) -> Iterator[Event]:
        fault = fault_in_body(payload)
        if fault is None and not surely:
            return
        self._over = True
        yield Broke(fault or failure(b""))

    def _open(self, key: int | str, place: int, part: Part) -> Iterator[Event]:
        """Open a part unless it is; past any answer's measure nothing is opened."""
        if (key, place) in self._slots or self._parts >= MAX_PARTS:
            return
        kind = type(part)
        self._slots[(key, place)] = _Slot(self._parts, kind)
        self._kinds.add(kind)
        self._parts += 1
        yield Opened(self._parts - 1, part)

    def _grow(self, key: int | str, place: int, text: str) -> Iterator[Event]:
        slot = self._slots.get((key, place))
        if slot is not None and not slot.closed and text:
            slot.said += len(text)
            yield Grew(slot.index, text)

    def _close(self, key: int | str, place: int) -> Iterator[Event]:
        slot = self._slots.get((key, place))
        if slot is not None and not slot.closed:
            slot.closed = True
            yield Closed(slot.index)

    def _text(self, event: StreamEvent) -> Iterator[Event]:
        key, place = _key(event), event.content_index or 0
        if (key, place) not in self._slots:
            yield from self._open(key, place, _TEXT_DELTAS[event.type]())
        yield from self._grow(key, place, event.delta or "")

    def _thought(self, event: StreamEvent) -> Iterator[Event]:
        key = _key(event)
        if not event.delta:
            return
        yield from self._open(key, _WHOLE, Thinking(id=event.item_id or ""))
        slot = self._slots.get((key, _WHOLE))
        if slot is None:
            return
        in_full = event.type == _THOUGHTS[1]
        place = (event.content_index if in_full else event.summary_index) or 0
        section = (event.type, place)
        if slot.section is not None and slot.section != section:
            if slot.section[0] != event.type:
                return  # in summary and in full: what began is what is told
            yield from self._grow(key, _WHOLE, BREAK)
        slot.section = section
        yield from self._grow(key, _WHOLE, event.delta)

    def _arguments(self, event: StreamEvent) -> Iterator[Event]:
        yield from self._grow(_key(event), _WHOLE, event.delta or "")

    def _annotated(self, event: StreamEvent) -> Iterator[Event]:
        slot = self._slots.get((_key(event), event.content_index or 0))
        if slot is not None and not slot.closed and is_object(event.annotation):
            slot.cited += 1
            yield Cited(slot.index, citation(bytes(event.annotation)))

    def _item_added(self, event: StreamEvent) -> Iterator[Event]:
        item = read_item(event.item)
        if item is not None and item.type in ("function_call", "custom_tool_call"):
            yield from self._call_opened(_key(event, item), item)

    def _call_opened(self, key: int | str, item: Item) -> Iterator[Event]:
        use = tool_use(item)
        said, use.arguments = use.arguments, ""
        yield from self._open(key, _WHOLE, use)
        yield from self._grow(key, _WHOLE, said)

    def _part_added(self, event: StreamEvent) -> Iterator[Event]:
        part = read_content(event.part)
        if part is None:
            return
        key, place = _key(event), event.content_index or 0
        if part.type in TEXTS:
            yield from self._open(key, place, Text())
        elif part.type == "refusal":
            yield from self._open(key, place, Refusal())
        yield from self._grow(key, place, part.text or part.refusal or "")

    def _part_done(self, event: StreamEvent) -> Iterator[Event]:
        content = read_content(event.part)
        if content is not None and (content.type in TEXTS or content.type == "refusal"):
            yield from self._content_done(_key(event), event.content_index or 0, event.part)

    def _content_done(self, key: int | str, place: int, raw: bytes) -> Iterator[Event]:
        """The rest of a piece of a message: what no delta said, and its sources."""
        part = content_part(bytes(raw))
        if isinstance(part, Foreign):
            if (key, place) not in self._slots:
                yield from self._open(key, place, part)
                yield from self._close(key, place)
            return
        if not isinstance(part, Text | Refusal):
            return
        yield from self._open(key, place, type(part)())
        slot = self._slots.get((key, place))
        if slot is None or slot.closed:
            return
        if not slot.said:
            yield from self._grow(key, place, part.text)
        if isinstance(part, Text):
            for source in part.citations[slot.cited :]:
                yield Cited(slot.index, source)
        yield from self._close(key, place)

    def _item_done(self, event: StreamEvent) -> Iterator[Event]:
        item = read_item(event.item)
        if item is not None:
            yield from self._whole(_key(event, item), item, bytes(event.item))

    def _whole(self, key: int | str, item: Item, raw: bytes) -> Iterator[Event]:
        if key in self._done or len(self._done) >= MAX_PARTS:
            return
        self._done.add(key)
        if item.type == "message" and item.role in (None, "assistant"):
            # Some hosts count the places within an item otherwise than they list them.
            known = sorted(place for owner, place in self._slots if owner == key)
            for number, one in enumerate(listed(item.content)):
                place = (
                    known[number]
                    if number < len(known)
                    else known[-1] + number
                    if known
                    else number
                )
                yield from self._content_done(key, place, one)
        elif item.type == "reasoning":
            yield from self._thought_done(key, thinking(item))
        elif item.type in ("function_call", "custom_tool_call"):
            yield from self._call_done(key, item)
        else:
            for part in item_parts(raw):
                yield from self._open(key, _WHOLE, part)
        for owner, place in list(self._slots):
            if owner == key:
                yield from self._close(owner, place)

    def _thought_done(self, key: int | str, whole: Thinking) -> Iterator[Event]:
        if whole.text or whole.signature:
            yield from self._open(key, _WHOLE, Thinking(id=whole.id))
        slot = self._slots.get((key, _WHOLE))
        if slot is None or slot.closed:
            return
        if not slot.said:
            yield from self._grow(key, _WHOLE, whole.text)
        if whole.signature:
            yield Signed(slot.index, whole.signature, FAMILY)

    def _call_done(self, key: int | str, item: Item) -> Iterator[Event]:
        if (key, _WHOLE) not in self._slots:
            yield from self._call_opened(key, item)
            return
        slot = self._slots[(key, _WHOLE)]
        yield from self._grow(key, _WHOLE, tool_use(item).arguments[slot.said :])

    def _terminal(self, event: StreamEvent) -> Iterator[Event]:
        head = read_head(event.response)
        if head is None:
            head = Head(status="failed")
        elif head.status is None:
            head.status = event.type.removeprefix("response.")
        if event.type in _TERMINAL[:2]:
            untold = not self._parts
            for place, raw in enumerate(listed(head.output)):
                item = read_item(raw)
                if item is not None and (untold or (place, _WHOLE) in self._slots):
                    yield from self._whole(place, item, raw)
        yield from self._ended(head, bytes(head.usage) if is_object(head.usage) else None)

    def _ended(self, head: Head, usage: bytes | None) -> Iterator[Event]:
        self._over = True
        for key, place in list(self._slots):
            yield from self._close(key, place)
        used = None if usage is None else Used(self._read_usage(usage))
        if head.status not in ("completed", "incomplete"):
            if used is not None:
                yield used
            yield Broke(failure(bytes(head.error)))
            return
        yield Stopped(reason_of(head, self._kinds))
        if used is not None:
            yield used
        yield Ended()


def _key(event: StreamEvent, item: Item | None = None) -> int | str:
    """An item's place; some hosts give its id alone."""
    if event.output_index is not None:
        return event.output_index
    return event.item_id or (item.id if item is not None else None) or ""
