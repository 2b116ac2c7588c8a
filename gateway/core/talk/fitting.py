"""What clients of one dialect say as a matter of course, and hosts of another refuse a call for."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from gateway.core.talk.model import Losses, Talk

LONGEST_USER: Final = 64  # where hosts have a limit, this is the lowest
_OWN: Final = {
    "messages": frozenset(
        {
            "cache_control",
            "container",
            "context_management",
            "inference_geo",
            "mcp_servers",
            "speed",
        }
    ),
    "responses": frozenset({"access_programs", "client_metadata", "context_management"}),
}


def passed_on(
    talk: Talk, wire: str, losses: Losses, known: frozenset[str] = frozenset()
) -> dict[str, bytes]:
    """The members that no reader knows, but for those that only the client's own dialect has.

    `known`: those of them that the host takes all the same.
    """
    if talk.dialect == wire:
        return talk.extra
    own = _OWN.get(talk.dialect, frozenset()) - known
    for name in talk.extra:
        if name in own and talk.extra[name] != b"null":
            losses.lose(name)
    return {name: raw for name, raw in talk.extra.items() if name not in own}


def short_user(talk: Talk) -> str:
    """Who the client's user is. A name that is too long stands as its digest.

    It is as good a name: the same for the same user, and for no other.
    """
    if len(talk.user) <= LONGEST_USER:
        return talk.user
    return sha256(talk.user.encode("utf-8", "replace")).hexdigest()
