"""A streamed answer as events: what every provider's stream is read into, and every dialect's
stream written from.

Parts are numbered from 0 in the order in which they began. Several may be open at once (a wire may
interleave tool calls); `InOrder` brings them one after the other for dialects that need it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeAlias

from msgspec import Struct

from gateway.core.talk.model import Citation, Part, Reason
from gateway.domain import Usage
from gateway.errors import Fault


class Began(Struct):
    """The answer has begun. Once, and before anything else but a failure."""

    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None


class Opened(Struct):
    """A part has begun; what it holds already is said with it."""

    index: int
    part: Part


class Grew(Struct):
    """More of an open part: of its text, or of a tool call's arguments."""

    index: int
    text: str


class Signed(Struct):
    """The signature of an open part: of what was thought, or of a tool call."""

    index: int
    signature: str
    family: str = ""


class Cited(Struct):
    """A source of an open text."""

    index: int
    citation: Citation


class Closed(Struct):
    """A part is complete."""

    index: int


class Stopped(Struct):
    """Why the answer ends. All parts have been closed."""

    reason: Reason
    sequence: str = ""


class Used(Struct):
    """What the call has used so far; the last one counts."""

    usage: Usage


class Broke(Struct):
    """The provider told of a failure inside the stream."""

    fault: Fault


class Ended(Struct):
    """The wire's own end mark: nothing is missing."""


Event: TypeAlias = Began | Opened | Grew | Signed | Cited | Closed | Stopped | Used | Broke | Ended


class Reader(Protocol):
    """Reads a provider's stream; exact for any split of the bytes."""

    def feed(self, data: bytes) -> Iterable[Event]: ...

    def finish(self) -> Iterable[Event]:
        """What the end of the bytes completes."""
        ...


class Writer(Protocol):
    """Writes a dialect's stream. Every event yields the bytes that the client is due for it."""

    def write(self, event: Event) -> bytes: ...


class InOrder:
    """Events with one part open at a time: what belongs to a later part waits for the earlier."""

    def __init__(self) -> None:
        self._current: int | None = None
        self._waiting: dict[int, list[Event]] = {}

    def put(self, event: Event) -> Iterator[Event]:
        """The event, once its turn has come, and what has been waiting for it."""
        if not isinstance(event, Opened | Grew | Signed | Cited | Closed):
            yield event
            return
        if self._current is None:
            self._current = event.index
        if event.index != self._current:
            self._waiting.setdefault(event.index, []).append(event)
            return
        yield event
        if isinstance(event, Closed):
            yield from self._next()

    def _next(self) -> Iterator[Event]:
        self._current = None
        while self._waiting:
            index = min(self._waiting)
            self._current = index
            for event in self._waiting.pop(index):
                yield event
                if isinstance(event, Closed):
                    self._current = None
            if self._current is not None:
                return
