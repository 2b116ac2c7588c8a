"""A meter for sound that is relayed: the price of some speech is by the minute."""

from __future__ import annotations

import re
from typing import Final

from gateway.core.sound import riff
from gateway.core.sound.counters import (
    Counter,
    FlacFrames,
    Frames,
    Nothing,
    Pages,
    Samples,
    Wave,
)

_ENOUGH: Final = 12  # bytes that tell one format from another
_RATE = re.compile(r"rate=(\d{3,6})")
_CHANNELS = re.compile(r"channels=([12])\b")
_BARE = ("audio/pcm", "audio/l16", "audio/x-pcm", "audio/raw")


class SoundMeter:
    """Told the bytes as they pass, it knows how long they sound; 0 where that can't be told.

    The content type matters for bare samples alone (`audio/pcm;rate=16000`; 24 kHz without a rate,
    16 bits, one channel) and for event streams, which are no sound. All else says itself what it
    is.
    """

    __slots__ = ("_begun", "_counter")

    def __init__(self, content_type: str = "") -> None:
        self._begun = b""
        self._counter = _told(content_type.lower())

    @property
    def milliseconds(self) -> int:
        """How long what has passed sounds."""
        return 0 if self._counter is None else self._counter.milliseconds

    def feed(self, data: bytes) -> None:
        """Count these bytes."""
        if self._counter is None:
            data = self._begun + data
            if len(data) < _ENOUGH:
                self._begun = data
                return
            self._begun = b""
            self._counter = _seen(data)
        self._counter.feed(data)


def _told(content_type: str) -> Counter | None:
    if content_type.startswith(_BARE):
        rate, channels = _RATE.search(content_type), _CHANNELS.search(content_type)
        a_second = int(rate[1]) if rate else 24_000
        return Samples(a_second * 2 * (int(channels[1]) if channels else 1))
    if content_type.startswith(("text/", "application/json")):
        return Nothing()
    return None


def _seen(begun: bytes) -> Counter:
    if riff.is_wave(begun):
        return Wave()
    if begun[:4] == b"OggS":
        return Pages()
    if begun[:4] == b"fLaC":
        return FlacFrames()
    return Frames()
