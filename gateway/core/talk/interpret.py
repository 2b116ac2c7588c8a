"""Between a provider's stream and a client's that speak differently: read, counted, written."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.core.estimate import output_tokens
from gateway.core.talk.events import (
    Began,
    Broke,
    Ended,
    Event,
    Grew,
    Opened,
    Reader,
    Stopped,
    Used,
    Writer,
)
from gateway.core.talk.model import Refusal, Text, Thinking, ToolUse
from gateway.domain import Usage
from gateway.errors import Fault


class Interpreter:
    """A `Translator`: feeds a wire's reader, and a dialect's writer with what that finds."""

    __slots__ = (
        "_began", "_final", "_reader", "_usage", "_writer", "complete", "events", "fault",
        "produced",
    )  # fmt: skip

    def __init__(self, reader: Reader, writer: Writer, began: Began | None = None) -> None:
        self._reader = reader
        self._writer = writer
        self._began = began or Began()  # what stands for what the provider does not say
        self._usage: Usage | None = None
        self._final = False
        self.fault: Fault | None = None
        self.complete = False
        self.events = 0
        self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """The provider's last count. One from the beginning knows the input alone."""
        usage = self._usage
        if usage is None or self._final:
            return usage
        counted = output_tokens(self.events, self.produced)
        return msgspec.structs.replace(usage, output=max(usage.output, counted))

    def feed(self, data: bytes) -> bytes:
        """What these bytes of the provider's mean to the client."""
        return self._told(self._reader.feed(data))

    def finish(self) -> bytes:
        """What the end of the provider's bytes completes."""
        return self._told(self._reader.finish())

    @property
    def sequence(self) -> int:
        """The number of the next event, where the dialect numbers them."""
        return getattr(self._writer, "sequence", 0)

    @property
    def final(self) -> bytes:
        """The whole answer, where the dialect sums it up at the end."""
        return getattr(self._writer, "final", b"")

    def cut(self) -> bytes:
        """A proper end for an answer that the gateway stops here."""
        out = [self._writer.write(Stopped("length"))]
        usage = self.usage
        if usage is not None:
            out.append(self._writer.write(Used(usage)))
        out.append(self._writer.write(Ended()))
        return b"".join(out)

    def _told(self, events: Iterable[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if self.fault is not None or self.complete:
                break
            self._count(event)
            if not isinstance(event, Broke):
                out.append(self._writer.write(event))
        return b"".join(out)

    def _count(self, event: Event) -> None:
        if isinstance(event, Grew):
            self.events += 1
            self.produced += len(event.text.encode())
        elif isinstance(event, Opened):
            self.events += 1
            self.produced += _size(event.part)
        elif isinstance(event, Used):
            self._use(event.usage)
            self._final = True
        elif isinstance(event, Began):
            self._usage = event.usage
            event.id = event.id or self._began.id
            event.model = event.model or self._began.model
            event.created = event.created or self._began.created
        elif isinstance(event, Broke):
            self.fault = event.fault
        elif isinstance(event, Ended):
            self.complete = True

    def _use(self, usage: Usage) -> None:
        """Usage may be repeated and grow; what it said before can't become untrue."""
        before = self._usage
        if before is not None and usage.output < before.output and not usage.problem:
            usage = msgspec.structs.replace(usage, problem="usage went down within the stream")
        self._usage = usage


def _size(part: object) -> int:
    if isinstance(part, Text | Refusal | Thinking):
        return len(part.text.encode())
    if isinstance(part, ToolUse):
        return len(part.arguments.encode()) + len(part.name)
    return 0
