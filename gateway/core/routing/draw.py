"""A draw among weighted places in a time that hardly grows with their number."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate


class Draw:
    """Whole weights in a tree of sums: drawing and changing one cost a walk of its height.

    A weight of zero is never drawn, so a place is taken out by its weight and keeps its number.
    Once there were as many draws as places without a change, the sums are laid out in a row, which
    is quicker to search: so the row costs no draw more than its share.
    """

    __slots__ = ("_quiet", "_row", "_size", "_sums", "total")

    def __init__(self, weights: Sequence[int]) -> None:
        self._size = 1 << max(len(weights) - 1, 0).bit_length()
        self._sums = [0] * (2 * self._size)
        self._row: list[int] | None = None
        self._quiet = 0  # draws since the last change
        self.total = 0  # the sum of all weights; nothing can be drawn from zero
        for place, weight in enumerate(weights):
            self.set(place, weight)

    def set(self, place: int, weight: int) -> None:
        """Give a place another weight."""
        sums = self._sums
        node = self._size + place
        change = weight - sums[node]
        self._row, self._quiet = None, 0
        while node:
            sums[node] += change
            node >>= 1
        self.total = sums[1]

    def weight(self, place: int) -> int:
        """What a place weighs now."""
        return self._sums[self._size + place]

    def at(self, luck: float) -> int:
        """The place that `luck`, in [0, 1), falls on; there must be one."""
        sums, row = self._sums, self._row
        if row is not None:
            return bisect_right(row, int(luck * sums[1]))
        size = self._size
        self._quiet += 1
        if self._quiet >= size:
            self._row = list(accumulate(sums[size:]))
        left = int(luck * sums[1])
        node = 1
        while node < size:
            node += node
            if left >= sums[node]:
                left -= sums[node]
                node += 1
        return node - size
