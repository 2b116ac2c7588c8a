"""How many of the last calls went well, in constant space."""

from __future__ import annotations

import math

SECONDS = 30.0
_HALF = SECONDS / 2


class Window:
    """Counts over two halves: what is seen is between one half and the whole of it old."""

    __slots__ = ("_bad", "_bad_before", "_good_before", "ends", "good", "row")

    def __init__(self) -> None:
        self.good = self._good_before = 0  # `good` and `ends` are of the newer half
        self._bad = self._bad_before = 0
        self.ends = -math.inf
        self.row = 0  # failures since the last success, however old

    @property
    def bad(self) -> int:
        """How many failed."""
        return self._bad + self._bad_before

    @property
    def calls(self) -> int:
        """How many there were."""
        return self.good + self._good_before + self.bad

    def fresh(self, now: float) -> bool:
        """Whether anything was counted lately."""
        return now < self.ends + _HALF

    def count(self, now: float, good: bool) -> None:
        """One more call has ended."""
        if now >= self.ends:
            self.next_half(now)
        if good:
            self.good += 1
            self.row = 0
        else:
            self._bad += 1
            self.row += 1

    def next_half(self, now: float) -> None:
        """Begin to count anew; what was counted last stays in sight for as long."""
        long_ago = now >= self.ends + _HALF
        self._good_before = 0 if long_ago else self.good
        self._bad_before = 0 if long_ago else self._bad
        self.good = self._bad = 0
        self.ends = now + _HALF
