"""What the bodies of open requests take: many long ones would end the process for everybody.

A body costs its sender next to nothing, above all one that is packed, or whose end never comes.
Each counts from its first bytes to the end of its request, however long that lasts.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from gateway.errors import NO_UPSTREAM, Fault

# What is shorter always has room.
SMALL = 64 << 10
# Who sends no key can be told to send less: no picture of a usual size is longer.
MOST_WITHOUT_KEY = 1 << 20
_LEAST_ROOM = 256 << 20
_OF_MEMORY = 8  # while it is read, translated and sent, a body is there some three times
_LIMIT_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")


class Bodies:
    """Bytes lent to open requests, by whom they come from; `None` is all who send no key."""

    def __init__(self, room: int | None = None) -> None:
        self.room = max(_LEAST_ROOM, _memory() // _OF_MEMORY) if room is None else room
        self.taken = 0
        self.lent: dict[object, tuple[bytes | None, int]] = {}
        self._by: dict[bytes | None, int] = {}

    def weigh(self, request: object, who: bytes | None, size: int) -> None:
        """A request's body has come to this size; a 503 where that is too much for now."""
        if size <= SMALL:
            return
        before = self.lent.get(request, (who, 0))[1]
        more = max(0, size - before)
        mine = self._by.get(who, 0) + more
        share = self.room // (16 if who is None else 2)
        if self.taken + more > self.room or mine > share:
            raise Fault(
                NO_UPSTREAM,
                "The gateway has no room for another long request body. Retry shortly.",
                retry_after=1,
                cause="no_room_for_body",
            )
        self.taken += more
        self._by[who] = mine
        self.lent[request] = who, before + more

    def give_back(self, request: object) -> None:
        """The request is over."""
        lent = self.lent.pop(request, None)
        if lent is None:
            return
        who, size = lent
        self.taken -= size
        left = self._by.get(who, 0) - size
        if left > 0:
            self._by[who] = left
        else:
            self._by.pop(who, None)


def _memory() -> int:
    """What the machine has, or the container that the process is in."""
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no container, or one without a limit
        size = min(size, int(_LIMIT_OF_CONTAINER.read_text()))
    return size
