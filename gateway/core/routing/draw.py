"""A draw among weighted places in a time that hardly grows with their number."""

from __future__ import annotations

from collections.abc import Sequence


class Draw:
    """Whole weights in a tree of sums: drawing and changing one cost a walk of its height.

    A weight of zero is never drawn, so a place is taken out by its weight and keeps its number.
    """

    __slots__ = ("_size", "_sums")

    def __init__(self, weights: Sequence[int]) -> None:
        self._size = 1 << max(len(weights) - 1, 0).bit_length()
        self._sums = [0] * (2 * self._size)
        for place, weight in enumerate(weights):
            self.set(place, weight)

    @property
    def total(self) -> int:
        """The sum of all weights; nothing can be drawn from zero."""
        return self._sums[1]

    def set(self, place: int, weight: int) -> None:
        """Give a place another weight."""
        sums = self._sums
        node = self._size + place
        change = weight - sums[node]
        while node:
            sums[node] += change
            node >>= 1

    def weight(self, place: int) -> int:
        """What a place weighs now."""
        return self._sums[self._size + place]

    def at(self, luck: float) -> int:
        """The place that `luck`, in [0, 1), falls on; there must be one."""
        sums, size = self._sums, self._size
        left = int(luck * sums[1])
        node = 1
        while node < size:
            node += node
            if left >= sums[node]:
                left -= sums[node]
                node += 1
        return node - size
