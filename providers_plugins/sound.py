"""Sound that passes in a session, measured by its bytes: sixteen bits a sample, one channel."""

from __future__ import annotations

_SAMPLE = 2


class Sound:
    """How much sound has passed, in whole milliseconds, and how much of it has been told."""

    __slots__ = ("_bytes", "_earlier", "_rate", "_told")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._bytes = 0
        self._earlier = 0  # milliseconds at another rate
        self._told = 0

    @property
    def milliseconds(self) -> int:
        """All that has passed."""
        return self._earlier + self._bytes * 1000 // (self._rate * _SAMPLE)

    def passed(self, size: int, rate: int) -> None:
        """So many bytes at this rate."""
        if rate != self._rate:
            self._earlier, self._bytes, self._rate = self.milliseconds, 0, rate
        self._bytes += size

    def tell(self) -> int:
        """What has not been told yet; now it is."""
        untold = self.milliseconds - self._told
        self._told += untold
        return untold


def size_of(data: str) -> int:
    """How many bytes stand in a text of base64, without a look at each."""
    return max(0, len(data) * 3 // 4 - data.count("=", -2))
