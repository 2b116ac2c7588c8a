"""Responses that may be referred to later: in memory, bounded, each for its own account alone."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec import Raw, Struct

from gateway.core.body import JsonBody

KEPT_SECONDS = 30 * 86_400
_OVERHEAD = 1_000
# What only the provider that gave it can make sense of.
_NOT_TOLD_AGAIN = ("id", "status")
_raws = msgspec.json.Decoder(list[Raw]).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode


class Kept(Struct, frozen=True):
    """A response, and the whole conversation that led to it."""

    account: int
    response: bytes
    items: tuple[bytes, ...]
    at: float

    @property
    def size(self) -> int:
        return len(self.response) + sum(map(len, self.items)) + _OVERHEAD


class Responses:
    """The last of them that fit into so many bytes; with none, nothing is kept."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._kept: OrderedDict[tuple[int, str], Kept] = OrderedDict()
        self.bytes = 0

    @property
    def on(self) -> bool:
        """Whether responses are kept at all."""
        return self._most > 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, account: int, asked: JsonBody, response: bytes, now: float) -> None:
        """Keep a response under its id, unless it was not to be, or has none."""
        if not response or asked.get("store") == b"false":
            return
        try:
            name = msgspec.json.decode(_members(response)["id"], type=str)
            items = tuple(input_items(asked))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
            return
        kept = Kept(account, response, items, now)
        if kept.size > self._most:
            return
        self.drop(account, name)
        self._kept[account, name] = kept
        self.bytes += kept.size
        while self.bytes > self._most:
            _, oldest = self._kept.popitem(last=False)
            self.bytes -= oldest.size

    def find(self, account: int, name: str, now: float) -> Kept | None:
        """A response of this account's; another's is as unknown as none."""
        kept = self._kept.get((account, name))
        if kept is not None and now - kept.at > KEPT_SECONDS:
            self.drop(account, name)
            return None
        if kept is not None:
            self._kept.move_to_end((account, name))
        return kept

    def drop(self, account: int, name: str) -> bool:
        """Forget a response; False if there was none."""
        kept = self._kept.pop((account, name), None)
        if kept is not None:
            self.bytes -= kept.size
        return kept is not None


def input_items(asked: JsonBody) -> list[bytes]:
    """What was asked, as items."""
    raw = asked.get("input") or b"[]"
    if raw[:1] == b'"':
        said = [{"type": "input_text", "text": Raw(raw)}]
        return [msgspec.json.encode({"type": "message", "role": "user", "content": said})]
    return [bytes(each) for each in _raws(raw)]


def continued(asked: JsonBody, kept: Kept) -> JsonBody:
    """The request with the conversation in front of it that it refers to."""
    before = [*kept.items, *_told_again(kept.response)]
    items = b"[" + b",".join([*before, *input_items(asked)]) + b"]"
    return asked.replace({"input": items, "previous_response_id": None})


def _told_again(response: bytes) -> list[bytes]:
    """An answer's items as input. A thought without its seal says nothing to anybody."""
    told: list[bytes] = []
    for raw in _raws(_members(response).get("output", Raw(b"[]"))):
        members = _members(raw)
        kind = bytes(members.get("type", Raw(b'""')))
        if kind == b'"reasoning"':
            if bytes(members.get("encrypted_content", Raw(b"null"))) != b"null":
                told.append(bytes(raw))
            continue
        kept = {name: value for name, value in members.items() if name not in _NOT_TOLD_AGAIN}
        told.append(msgspec.json.encode(kept))
    return told
