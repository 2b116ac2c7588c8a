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
from typing import Any, Literal

import orjson

from gateway.pipeline.record import Record

Format = Literal["text", "json"]
_FLUSH_EVERY = 0.1
_MAX_WAITING = 20_000
_JSON_OPTIONS = orjson.OPT_APPEND_NEWLINE
# C0, DEL, C1 and the two Unicode line ends: what could start a line or steer a terminal.
_CONTROL = {code: ascii(chr(code))[1:-1] for code in [*range(32), *range(127, 160), 0x2028, 0x2029]}


class Log:
    """The process' log: call lines and events, as text for a terminal or JSON for machines."""

    def __init__(self, write: Callable[[bytes], object], style: Format) -> None:
        self._write = write
        self._render = _as_text if style == "text" else _as_json
        self._waiting: list[dict[str, Any]] = []
        self._batches: queue.SimpleQueue[list[dict[str, Any]] | None] = queue.SimpleQueue()
        self._handed = self._done = 0  # the first counted by callers, the second by the thread
        self._refused = self._failed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were not written: too many waited, or the output failed."""
        return self._refused + self._failed

    def event(self, level: str, message: str, **fields: Any) -> None:
        """Something worth telling the operator that is not a call."""
        self._put({"ts": time.time(), "level": level, "event": message, **fields})

    def call(self, record: Record) -> None:
        """The line of a finished call."""
        self._put(_call_fields(record))

    def close(self) -> None:
        """Write what waits, for a moment at most: a blocked output must not hold up the exit."""
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        self._batches.put(None)
        self._thread.join(timeout=1.0)

    def _put(self, line: dict[str, Any]) -> None:
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
                self._write(b"".join(map(self._render, batch)))
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


def _call_fields(record: Record) -> dict[str, Any]:
    level = record.fault.kind.level if record.fault is not None else "info"
    fields: dict[str, Any] = {
        "ts": time.time(),
        "level": level,
        "event": "call",
        "id": record.id,
        "operation": record.operation,
        "status": record.status,
        "key": record.key,
        "model": record.model,
        "route": record.route,
        "provider": record.provider,
        "stream": record.stream,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "total_ms": _ms(record.started, record.finished),
        "ttft_ms": _ms(record.started, record.first_byte),
        "upstream_ms": _ms(record.sent_upstream, record.upstream_done or record.finished),
        "upstream_status": record.upstream_status,
        "client": record.client,
    }
    if record.usage is not None:
        fields["input_tokens"] = record.usage.input
        fields["output_tokens"] = record.usage.output
        fields["cached_tokens"] = record.usage.cached
    if record.cause:
        fields["cause"] = record.cause
    return {name: value for name, value in fields.items() if value not in ("", None)}


def _ms(start: float, end: float) -> float | None:
    return round((end - start) * 1000, 3) if start and end else None


def _as_json(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line, default=str, option=_JSON_OPTIONS)
    except TypeError:  # text that is no Unicode, a number past 64 bits
        shown = {name: ascii(value) for name, value in line.items()}
        return orjson.dumps(shown, option=_JSON_OPTIONS)


def _as_text(line: dict[str, Any]) -> bytes:
    clock = time.strftime("%H:%M:%S", time.localtime(line["ts"]))
    rest = {k: v for k, v in line.items() if k not in {"ts", "level", "event"}}
    fields = " ".join(f"{name}={value}" for name, value in rest.items())
    text = f"{clock} {line['level']:7} {line['event']} {fields}".rstrip()
    return text.translate(_CONTROL).encode("utf-8", "backslashreplace") + b"\n"
