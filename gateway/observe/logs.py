"""One line a call. Lines are handed to a writer thread in batches, so that a blocked or broken
output never holds up a call; what cannot be kept is dropped and counted.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from gateway.pipeline.record import Record

Format = Literal["text", "json"]
_FLUSH_EVERY = 0.1
_MAX_WAITING = 20_000
# C0, DEL, C1 and the two Unicode line ends: what could start a line or steer a terminal.
_CONTROL = {code: ascii(chr(code))[1:-1] for code in [*range(32), *range(127, 160), 0x2028, 0x2029]}


class CallLine(Struct, omit_defaults=True, gc=False):
    """A finished call as the log tells it; what is empty is left out."""

    ts: float
    level: str
    event: str
    id: str
    operation: str
    status: int
    key: str = ""
    model: str = ""
    route: str = ""
    provider: str = ""
    stream: bool = False
    bytes_in: int = 0
    bytes_out: int = 0
    total_ms: float = 0.0
    ttft_ms: float | None = None
    upstream_ms: float | None = None
    upstream_status: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cause: str = ""
    detail: str = ""


# An event's line: ts, level, event, and whatever it has to say.
EventLine = dict[str, object]
Line = CallLine | EventLine


class Log:
    """The process' log: call lines and events, as text for a terminal or JSON for machines."""

    def __init__(self, write: Callable[[bytes], object], style: Format) -> None:
        self._write = write
        self._render = _as_text if style == "text" else _as_json
        self._waiting: list[Line] = []
        self._batches: queue.SimpleQueue[list[Line] | None] = queue.SimpleQueue()
        self._handed = self._done = 0  # the first counted by callers, the second by the thread
        self._refused = self._failed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written: too many waited, or the output failed."""
        return self._refused + self._failed

    def event(self, level: str, message: str, **about: object) -> None:
        """Something worth telling the operator that is not a call."""
        self._put({"ts": time.time(), "level": level, "event": message} | about)

    def call(self, record: Record, now: float) -> None:
        """The line of a finished call, by position and without rounding functions: it is made once
        a call.
        """
        started, finished, sent = record.started, record.finished, record.sent_upstream
        first, usage, fault = record.first_byte, record.usage, record.fault
        line = CallLine(
            now,
            "info" if fault is None else fault.kind.level,
            "call",
            record.id,
            record.operation,
            record.status,
            record.key,
            record.model,
            record.route,
            record.provider,
            record.stream,
            record.bytes_in,
            record.bytes_out,
            int((finished - started) * 1e6) / 1000,
            int((first - started) * 1e6) / 1000 if first else None,
            int(((record.upstream_done or finished) - sent) * 1e6) / 1000 if sent else None,
            record.upstream_status,
            0 if usage is None else usage.input,
            0 if usage is None else usage.output,
            0 if usage is None else usage.cached,
            record.cause,
            "" if fault is None else fault.detail,
        )
        self._put(line)

    def close(self) -> None:
        """Write what waits, for a moment at most: a blocked output must not hold up the exit."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._batches.put(None)
        self._thread.join(timeout=1.0)

    def _put(self, line: Line) -> None:
        if len(self._waiting) + self._handed - self._done >= _MAX_WAITING:
            self._refused += 1
            return
        self._waiting.append(line)
        if self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._flush()
                return
            self._timer = loop.call_later(_FLUSH_EVERY, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._waiting:
            self._handed += len(self._waiting)
            self._batches.put(self._waiting)
            self._waiting = []

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._write(self._render(batch))
            except (OSError, ValueError):
                self._failed += len(batch)  # a closed or full output: the service goes on
            self._done += len(batch)


def to_descriptor(descriptor: int) -> Callable[[bytes], None]:
    """A writer for a file descriptor that copes with short writes."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


_encode_lines = msgspec.json.Encoder(enc_hook=str).encode_lines


def _as_json(batch: list[Line]) -> bytes:
    try:
        return _encode_lines(batch)
    except (UnicodeEncodeError, TypeError, OverflowError, ValueError):
        return b"".join(map(_odd_line, batch))


def _odd_line(line: Line) -> bytes:
    """A line with text that is no Unicode, or a number past 64 bits: shown as Python would."""
    try:
        return msgspec.json.encode(line, enc_hook=str) + b"\n"
    except (UnicodeEncodeError, TypeError, OverflowError, ValueError):
        fields = line if isinstance(line, dict) else msgspec.structs.asdict(line)
        shown = {ascii(name)[1:-1]: ascii(value) for name, value in fields.items() if value}
        return msgspec.json.encode(shown) + b"\n"


def _as_text(batch: list[Line]) -> bytes:
    return b"".join(map(_text_line, batch))


def _text_line(line: Line) -> bytes:
    fields: EventLine = dict(line) if isinstance(line, dict) else _said(line)
    clock = time.strftime("%H:%M:%S", time.localtime(float(str(fields.pop("ts")))))
    level, event = fields.pop("level"), fields.pop("event")
    rest = " ".join(f"{name}={value}" for name, value in fields.items())
    text = f"{clock} {level!s:7} {event} {rest}".rstrip()
    return text.translate(_CONTROL).encode("utf-8", "backslashreplace") + b"\n"


def _said(line: CallLine) -> EventLine:
    """A call's fields, less the empty ones."""
    fields = msgspec.structs.asdict(line)
    return {name: value for name, value in fields.items() if value not in ("", None, 0, False)}
