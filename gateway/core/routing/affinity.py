"""Conversations stay where their prompt cache is warm, while nothing speaks against it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

MOST = 50_000
TIME_TO_LIVE = 600.0
SHORTEST, LONGEST = 300.0, 3600.0  # what providers keep a prompt for
# A turn adds few messages: older beginnings of the same conversation need not be looked for.
_MOST_KEYS = 64
# Of a message longer than both together only its ends are read; a changed middle is rare.
_END = 32_768
_MARK = b'"cache_control"'
_MARKED = re.compile(rb',\s*"cache_control"\s*:\s*(?:\{[^{}]*\}|null)')
_EMPTY = b'""'


class Place(Struct, frozen=True):
    """Where a conversation was served."""

    route: str
    credential: str


class Affinity:
    """Remembers the place of each conversation for a while; the longest unused is forgotten.

    It only advises. Whoever asks takes another place when this one cannot serve, and says so with
    `keep`, which moves the conversation.
    """

    __slots__ = ("_kept", "most", "ttl")

    def __init__(self, most: int = MOST, ttl: float = TIME_TO_LIVE) -> None:
        self.most = most
        self.ttl = min(max(ttl, SHORTEST), LONGEST)
        # In the order of their ends, since all of them last equally long.
        self._kept: OrderedDict[int, tuple[float, Place]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, now: float, keys: Sequence[int]) -> Place | None:
        """The place of the longest beginning that is known and still warm."""
        kept = self._kept
        for key in reversed(keys):
            known = kept.get(key)
            if known is not None and known[0] > now:
                return known[1]
        return None

    def keep(self, now: float, keys: Sequence[int], place: Place) -> None:
        """The conversation was served there: what comes next should be, too."""
        if not keys:
            return
        kept = self._kept
        key = keys[-1]
        kept[key] = (now + self.ttl, place)
        kept.move_to_end(key)
        for _ in range(2):  # two for each that comes, so that it shrinks again after a flood
            oldest = next(iter(kept.values()))
            if oldest[0] > now and len(kept) <= self.most:
                return
            kept.popitem(last=False)
            if not kept:
                return


class _Talk(Struct):
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    system: Raw | UnsetType = UNSET
    instructions: Raw | UnsetType = UNSET
    tools: Raw | UnsetType = UNSET
    prompt_cache_key: Raw | UnsetType = UNSET
    user: Raw | UnsetType = UNSET


_read = msgspec.json.Decoder(_Talk).decode
_items = msgspec.json.Decoder(list[Raw]).decode
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def conversation_keys(raw: bytes, seed: Hashable, session: str | None = None) -> tuple[int, ...]:
    """What a conversation is known by: a name if it has one, else each of its beginnings.

    The name is its `session`, its `prompt_cache_key` or its `user`, in this order. `seed` keeps
    tenants and models apart. The keys hold within this process alone, and rest on its secret for
    hashing: nobody outside can make two conversations look alike.
    """
    if session:
        return (hash((seed, "session", session)),)
    try:
        talk = _read(raw)
        for name in (talk.prompt_cache_key, talk.user):
            text = b"" if name is UNSET else bytes(name)
            if text.startswith(b'"') and text != _EMPTY:
                return (hash((seed, "name", text)),)
        return tuple(_beginnings(talk, seed, marked=_MARK in raw)[-_MOST_KEYS:])
    except _BAD:
        return ()


def _beginnings(talk: _Talk, seed: Hashable, *, marked: bool) -> list[int]:
    """A hash of everything up to the end of each message, in the order providers cache it."""
    turns = talk.input if talk.messages is UNSET else talk.messages
    if turns is UNSET:
        return []
    key = hash((seed, "talk"))
    for given in (talk.tools, talk.system, talk.instructions):
        key = hash((key, None if given is UNSET else _digest(bytes(given), marked=marked)))
    try:
        messages = _items(turns)
    except msgspec.ValidationError:  # a text alone
        messages = [turns]
    keys: list[int] = []
    for message in messages:
        part = bytes(message)
        plain = not marked and len(part) <= 2 * _END
        key = hash((key, hash(part) if plain else _digest(part, marked=marked)))
        keys.append(key)
    return keys


def _digest(part: bytes, *, marked: bool) -> int:
    if len(part) > 2 * _END:
        return hash((len(part), part[:_END], part[-_END:]))
    if marked:
        # Clients move their marks along with the end of the conversation: they are no content.
        part = _MARKED.sub(b"", part)
    return hash(part)
