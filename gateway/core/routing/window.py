"""How many of the last calls went well, in constant space."""

from __future__ import annotations

import math

SECONDS = 30.0
_HALF = SECONDS / 2


class Window:
    """Counts over two halves: what is seen is between one half and the whole of it old."""

    __slots__ = ("_bad", "_bad_before", "_ends", "_good", "_good_before", "row")

    def __init__(self) -> None:
        self._good = self._good_before = 0
        self._bad = self._bad_before = 0
        self._ends = -math.inf
        self.row = 0  # failures since the last success, however old

    @property
    def bad(self) -> int:
        """How many failed."""
        return self._bad + self._bad_before

    @property
    def calls(self) -> int:
        """How many there were."""
        return self._good + self._good_before + self.bad

    def fresh(self, now: float) -> bool:
        """Whether anything was counted lately."""
        return now < self._ends + _HALF

    def count(self, now: float, good: bool) -> None:
        """One more call has ended."""
        if good:
            self.well(now)
            return
        if now >= self._ends:
            self._next_half(now)
        self._bad += 1
        self.row += 1

    def well(self, now: float) -> None:
        """One more call has gone well: what is counted most, in the fewest steps."""
        if now >= self._ends:
            self._next_half(now)
        self._good += 1
        self.row = 0

    def _next_half(self, now: float) -> None:
        long_ago = now >= self._ends + _HALF
        self._good_before = 0 if long_ago else self._good
        self._bad_before = 0 if long_ago else self._bad
        self._good = self._bad = 0
        self._ends = now + _HALF
