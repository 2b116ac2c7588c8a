"""The responses that the gateway keeps, so that clients can go on from them on any route.

Bounded by count, bytes and age; what was used longest ago goes first. A response belongs to its
account: to any other it does not exist. Nor does it to a derived key that neither began it nor
stands above the one that did: a `line` is the ids of its chain, and empty for all other keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody
from gateway.core.talk.responses.stored import as_items, output_ids
from gateway.core.talk.responses.wire import listed, read_head

MAX_BYTES: Final = 64 << 20
MAX_ONE: Final = 16 << 20  # of one response and all that it answered
MAX_COUNT: Final = 20_000
MAX_AGE: Final = 30 * 86_400.0
_OVERHEAD: Final = 1_000  # what one entry costs beside its bytes


Line = tuple[str, ...]


class Stored(Struct, frozen=True):
    """One response: its object, and all items that it answered, as a JSON array."""

    id: str
    response: bytes
    input: bytes
    at: float
    items: tuple[str, ...] = ()
    line: Line = ()

    @property
    def size(self) -> int:
        """The memory it holds, roughly."""
        return len(self.response) + len(self.input) + 100 * len(self.items) + _OVERHEAD


_Place = tuple[str, str]


class Responses:
    """The store. Nothing of it outlives the process."""

    def __init__(
        self, max_bytes: int = MAX_BYTES, max_count: int = MAX_COUNT, max_age: float = MAX_AGE
    ) -> None:
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._max_age = max_age
        self._all: OrderedDict[_Place, Stored] = OrderedDict()
        self._accounts: dict[str, OrderedDict[str, None]] = {}
        self._held: dict[str, int] = {}
        self._items: dict[_Place, str] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._all)

    def remember(
        self, account: str, body: JsonBody, response: bytes, now: float, line: Line = ()
    ) -> bool:
        """Keep a response and what it answered, unless the client said not to.

        `body` is the request after `expand`, so what it holds is the whole conversation.
        """
        head = read_head(response)
        if head is None or not head.id or body.get("store") == b"false":
            return False
        if head.status not in ("completed", "incomplete"):
            return False
        items = b"[" + b",".join(as_items(body)) + b"]"
        stored = Stored(head.id, response, items, now, output_ids(listed(head.output)), line)
        if stored.size > min(MAX_ONE, self._max_bytes):
            return False
        self.delete(account, head.id, now)
        self._keep(account, stored)
        return True

    def get(self, account: str, name: str, now: float, line: Line = ()) -> Stored | None:
        """An account's own response, if it is still kept."""
        place = (account, name)
        stored = self._all.get(place)
        if stored is None or stored.line[: len(line)] != line:
            return None
        if now - stored.at > self._max_age:
            self._drop(place)
            return None
        self._all.move_to_end(place)
        self._accounts[account].move_to_end(name)
        return stored

    def delete(self, account: str, name: str, now: float, line: Line = ()) -> bool:
        """Forget a response; false when there is none."""
        if self.get(account, name, now, line) is None:
            return False
        self._drop((account, name))
        return True

    def item(self, account: str, name: str, now: float) -> bytes | None:
        """An item of an output that is kept, for a client that sends its id alone."""
        return self.finder(account, now)(name)

    def finder(self, account: str, now: float, line: Line = ()) -> Callable[[str], bytes | None]:
        """The same for many of one request: each response is read but once."""
        read: dict[str, dict[str, bytes]] = {}

        def find(name: str) -> bytes | None:
            owner = self._items.get((account, name))
            stored = None if owner is None else self.get(account, owner, now, line)
            if stored is None:
                return None
            if stored.id not in read:
                read[stored.id] = _by_id(stored.response)
            return read[stored.id].get(name)

        return find

    def _keep(self, account: str, stored: Stored) -> None:
        place = (account, stored.id)
        self._all[place] = stored
        self._accounts.setdefault(account, OrderedDict())[stored.id] = None
        self._held[account] = self._held.get(account, 0) + stored.size
        self.bytes += stored.size
        for name in stored.items:
            self._items[(account, name)] = stored.id
        while self.bytes > self._max_bytes or len(self._all) > self._max_count:
            self._drop(self._least_missed(account))

    def _least_missed(self, account: str) -> _Place:
        """The oldest of all; of this account's where it holds more than its share."""
        share = max(1, len(self._accounts))
        own = self._accounts[account]
        crowding = (
            self._held[account] * share > self._max_bytes or len(own) * share > self._max_count
        )
        if crowding and len(own) > 1:
            return account, next(iter(own))
        return next(iter(self._all))

    def _drop(self, place: _Place) -> None:
        stored = self._all.pop(place)
        account = place[0]
        self.bytes -= stored.size
        self._held[account] -= stored.size
        del self._accounts[account][stored.id]
        for name in stored.items:
            if self._items.get((account, name)) == stored.id:
                del self._items[(account, name)]
        if not self._accounts[account]:
            del self._accounts[account], self._held[account]


def _by_id(response: bytes) -> dict[str, bytes]:
    """The items of an output by their ids."""
    output = msgspec.json.decode(response, type=dict[str, Raw]).get("output", Raw(b""))
    return {name: raw for raw in listed(output) for name in output_ids([raw])}
