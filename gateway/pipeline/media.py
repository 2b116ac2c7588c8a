"""Answers that are bytes: relayed as they come, and measured where their length has a price."""

from __future__ import annotations

from gateway.core.meter import Translator
from gateway.core.money.rows import Rows
from gateway.core.sound.meter import SoundMeter
from gateway.domain import Usage
from gateway.errors import Fault

_BY_LENGTH = ("per_minute", "per_second")


class Through:
    """The translator of bytes that are nobody's business; whether they are all, the wire knows."""

    usage = None
    fault = None
    complete = True

    def feed(self, data: bytes) -> bytes:
        """The bytes as they are."""
        return data

    def finish(self) -> bytes:
        """Nothing is held back."""
        return b""


class Measured:
    """A translator, and how much it lets through: bytes, and how long they sound."""

    __slots__ = ("_inner", "_sound", "events", "produced")

    def __init__(self, inner: Translator, sound: SoundMeter | None) -> None:
        self._inner = inner
        self._sound = sound
        self.events = self.produced = 0

    @property
    def usage(self) -> Usage | None:
        """What the provider counted, or else the gateway."""
        counted = self._inner.usage
        if counted is None and self._sound is not None:
            return Usage(milliseconds=self._sound.milliseconds)
        return counted

    @property
    def fault(self) -> Fault | None:
        """What the provider said went wrong."""
        return self._inner.fault

    @property
    def complete(self) -> bool:
        """Whether all has come."""
        return self._inner.complete

    def feed(self, data: bytes) -> bytes:
        """What the inner one makes of it, measured."""
        return self._measured(self._inner.feed(data))

    def finish(self) -> bytes:
        """The rest of it."""
        return self._measured(self._inner.finish())

    def _measured(self, out: bytes) -> bytes:
        self.produced += len(out)
        if self._sound is not None:
            self._sound.feed(out)
        return out


def measured(translator: Translator, media: str, rows: Rows) -> Translator:
    """The translator of an answer of this type; with a clock where time has a price."""
    clocked = any(name in rows.base.rates for name in _BY_LENGTH)
    return Measured(translator, SoundMeter(media) if clocked else None)
