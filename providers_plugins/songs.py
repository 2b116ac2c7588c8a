"""What a client asks of a piece of music; read once for every host."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gateway.sdk import UPSTREAM_ERROR, Call, Credential, Fault, Progress, UpstreamRequest, invalid
from providers_plugins import clips

_FORMATS = ("response_format", "format")
_LENGTHS = frozenset({"duration_seconds", "duration", "seconds"})
_READ = frozenset({
    "model", "stream", "stream_options", "prompt", "lyrics", "instrumental", "n",
    *_FORMATS, *_LENGTHS,
})  # fmt: skip


class Song(Struct, frozen=True):
    """What is asked for; `format` is one that the host makes."""

    prompt: str
    format: str
    lyrics: str = ""
    seconds: int | None = None
    instrumental: bool = False


def sung(call: Call, formats: Iterable[str]) -> Song:
    """Read it; the first of `formats` is the usual one."""
    prompt, lyrics = clips.text(call, "prompt"), clips.text(call, "lyrics")
    if not prompt.strip() and not lyrics.strip():
        raise invalid("'prompt' is required: say what the music should be like.", "prompt")
    if call.body.value("n") not in (None, 1, "1", 1.0):
        raise invalid("One piece is made at a time: leave 'n' out, and call again.", "n")
    return Song(
        prompt=prompt,
        format=_format(call, tuple(formats)),
        lyrics=lyrics,
        seconds=clips.seconds(call),
        instrumental=clips.switch(call, "instrumental") is True,
    )


def left_out(call: Call, taken: Iterable[str], lost: Iterable[str] = ()) -> tuple[str, ...]:
    """The client's members that a host is not told of, and those that it can't keep to."""
    known = _READ | set(taken)
    unread = (
        name for name in call.body.names() if name not in known and call.body.get(name) != b"null"
    )
    return tuple(dict.fromkeys([*(_spoken(call, one) for one in lost), *unread]))


def _spoken(call: Call, name: str) -> str:
    """The length by the name that the client used for it."""
    if name != "duration":
        return name
    return next(one for one in call.body.names() if one in _LENGTHS)


def _format(call: Call, offered: tuple[str, ...]) -> str:
    for name in _FORMATS:
        given = clips.text(call, name)
        if given and given not in offered:
            shown = ", ".join(offered)
            raise invalid(f"This model makes music as {shown}, not '{given[:20]}'.", name)
        if given:
            return given
    return offered[0]


def never(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """Music comes with the first answer: there is nothing to ask after, and no link to follow."""
    raise Fault(
        UPSTREAM_ERROR,
        "The piece came with the provider's first answer and is not to be had a second time.",
        cause="nothing_to_ask",
    )
