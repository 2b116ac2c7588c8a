"""A stranger's translator, kept from failing more than its own call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.core.faults import fault_in_body
from gateway.core.meter import StreamMeter, Translator
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import Fault
from gateway.pipeline.mishaps import Mishaps, sound_fault, sound_usage
from gateway.sdk import Operation


class Kept:
    """Stands before a translator: what it gives is checked, what it raises is its own route's.

    What its usage raises is noted, and the gateway's own count stands in for it: a call must be
    settled, whatever an adapter does.
    """

    __slots__ = ("_adapter", "_failed", "_inner", "_mishaps", "_uncounted")

    def __init__(self, inner: Translator, adapter: str, mishaps: Mishaps) -> None:
        self._inner = inner
        self._adapter = adapter
        self._mishaps = mishaps
        self._failed: Fault | None = None
        self._uncounted = False
        if not callable(inner.feed) or not callable(inner.finish):
            raise TypeError("stream owes a translator")

    def _fail(self, error: BaseException) -> Fault:
        if self._failed is None:
            self._failed = self._mishaps.failed(self._adapter, error)
        return self._failed

    @property
    def usage(self) -> Usage | None:
        """What it has counted, if that can be read."""
        try:
            return sound_usage(self._inner.usage)
        except (Exception, SystemExit) as error:
            if not self._uncounted:
                self._uncounted = True
                self._mishaps.note(self._adapter, error)
            return None

    @property
    def fault(self) -> Fault | None:
        """What it says of the provider, or that it failed itself."""
        if self._failed is not None:
            return self._failed
        try:
            fault: object = self._inner.fault
            return None if fault is None else sound_fault(fault)
        except (Exception, SystemExit) as error:
            return self._fail(error)

    @property
    def complete(self) -> bool:
        """Whether it has seen the end mark."""
        try:
            return self._failed is None and self._inner.complete is True
        except (Exception, SystemExit) as error:
            self._fail(error)
            return False

    def feed(self, data: bytes) -> bytes:
        """Its translation, or nothing and a fault: every piece passes, so it is no call further."""
        work = self._inner.feed
        if self._failed is not None:
            return b""
        try:
            out: object = work(data)
            if isinstance(out, bytes):
                return out
            raise _not_bytes(out)
        except (Exception, SystemExit) as error:
            return self._lost(error)

    def finish(self) -> bytes:
        """The same at the end."""
        return self._given(lambda _: self._inner.finish(), b"")

    def cut(self) -> bytes:
        """Its proper end for an answer that the gateway stops here, if it has one."""
        work = getattr(self._inner, "cut", None)
        return self._given(lambda _: work(), b"") if callable(work) else b""

    @property
    def final(self) -> bytes:
        """The whole answer, where it sums itself up."""
        final = getattr(self._inner, "final", b"")
        return final if isinstance(final, bytes) else b""

    @property
    def passes_errors(self) -> bool:
        """Whether the provider's own error event goes to the client with all the rest."""
        return getattr(self._inner, "passes_errors", False) is True and self._failed is None

    @property
    def sequence(self) -> int:
        """The number of the next event, where they are numbered."""
        sequence = getattr(self._inner, "sequence", 0)
        return sequence if isinstance(sequence, int) else 0

    def _given(self, work: Callable[[bytes], object], data: bytes) -> bytes:
        if self._failed is not None:
            return b""
        try:
            out = work(data)
            if isinstance(out, bytes):
                return out
            raise _not_bytes(out)
        except (Exception, SystemExit) as error:
            return self._lost(error)

    def _lost(self, error: BaseException) -> bytes:
        if isinstance(error, Fault):
            self._failed = self._told(error)
        else:
            self._fail(error)
        return b""

    def _told(self, fault: Fault) -> Fault:
        try:
            return sound_fault(fault)
        except (Exception, SystemExit) as error:
            return self._fail(error)


class Counting(Translator, Protocol):
    """A translator that counts what it passes itself."""

    events: int
    produced: int


class Counted(Kept):
    """The same for one of those. A count that cannot be had is nothing: the client cannot see it,
    and what was used is then guessed low.
    """

    __slots__ = ()
    _inner: Counting

    @property
    def events(self) -> int:
        """How many events have passed."""
        try:
            count = self._inner.events
        except (Exception, SystemExit):
            return 0
        return count if type(count) is int and count >= 0 else 0

    @property
    def produced(self) -> int:
        """How many bytes of answer have passed."""
        try:
            count = self._inner.produced
        except (Exception, SystemExit):
            return 0
        return count if type(count) is int and count >= 0 else 0


def _not_bytes(out: object) -> TypeError:
    return TypeError(f"bytes are due, not {type(out).__name__}")


def kept(inner: Translator, adapter: str, mishaps: Mishaps) -> Kept:
    """A stranger's translator behind its guard."""
    counts = hasattr(inner, "events") and hasattr(inner, "produced")
    return (Counted if counts else Kept)(inner, adapter, mishaps)


def passing(operation: Operation, adapter: str, mishaps: Mishaps, show_usage: bool) -> StreamMeter:
    """Our own meter, with a stranger's eye for usage and failures where there is one."""
    read, find = operation.usage, operation.fault_in
    return StreamMeter(
        hide_usage=not show_usage,
        read_usage=read if read is openai_usage else _usage(read, adapter, mishaps),
        fault_in=find if find is fault_in_body else _fault_in(find, adapter, mishaps),
    )


def _usage(
    read: Callable[[bytes], Usage], adapter: str, mishaps: Mishaps
) -> Callable[[bytes], Usage]:
    def careful(raw: bytes) -> Usage:
        try:
            return sound_usage(read(raw)) or Usage(raw=raw, problem="the adapter found none")
        except (Exception, SystemExit) as error:
            mishaps.note(adapter, error)
            return Usage(raw=raw, problem="the adapter failed on it")

    return careful


def _fault_in(
    find: Callable[[bytes], Fault | None], adapter: str, mishaps: Mishaps
) -> Callable[[bytes], Fault | None]:
    def careful(payload: bytes) -> Fault | None:
        try:
            found: object = find(payload)
            return None if found is None else sound_fault(found)
        except (Exception, SystemExit) as error:
            return mishaps.failed(adapter, error)

    return careful
