"""What the Live API's messages are made of, and what a session used."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Raw, Struct, structs

from gateway.sdk import Usage
from providers_plugins.google.answer import UNREADABLE, Content, FunctionCall, usage_of
from providers_plugins.sound import Sound

_NOTHING = Raw()
_RATE = re.compile(r"rate=(\d{4,6})\b")


class Heard(Struct, rename="camel"):
    """A bit of what was said, in words."""

    text: str | None = None
    finished: Any = None


class ServerContent(Struct, rename="camel"):
    """What the model says, and how its turn goes on."""

    model_turn: Content | None = None
    turn_complete: Any = None
    turn_complete_reason: Any = None
    interrupted: Any = None
    input_transcription: Heard | None = None
    output_transcription: Heard | None = None


class ToolCall(Struct, rename="camel"):
    """Functions that the model wants called."""

    function_calls: list[FunctionCall] | None = None


class Cancelled(Struct):
    """Calls whose answers are not wanted any more."""

    ids: list[str] | None = None


class GoAway(Struct, rename="camel"):
    """The connection will be ended soon."""

    time_left: Any = None


class Frame(Struct, rename="camel"):
    """A message of the provider's; several of its members may come in one."""

    setup_complete: Raw = _NOTHING
    server_content: ServerContent | None = None
    tool_call: ToolCall | None = None
    tool_call_cancellation: Cancelled | None = None
    usage_metadata: Raw = _NOTHING
    go_away: GoAway | None = None
    error: Raw = _NOTHING


decode_frame = msgspec.json.Decoder(Frame).decode


def is_there(member: Raw) -> bool:
    """Whether a message has this member, and it is something."""
    return bytes(member) not in (b"", b"null")


def rate_of(mime: str, default: int) -> int:
    """The sample rate in `audio/pcm;rate=24000`."""
    found = _RATE.search(mime)
    return int(found[1]) if found else default


def live_usage(raw: bytes) -> Usage | None:
    """The usage of one turn; here the answer's tokens have a name of their own."""
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE:
        return usage_of(raw)
    for theirs, ours in (
        ("responseTokenCount", "candidatesTokenCount"),
        ("responseTokensDetails", "candidatesTokensDetails"),
    ):
        if theirs in found:
            found[ours] = found.pop(theirs)
    usage = usage_of(msgspec.json.encode(found))
    return None if usage is None else structs.replace(usage, raw=raw)


class Meter:
    """What a session has used: tokens as the provider counts them, sound by its bytes.

    Audio tokens stand in the counts as well as the milliseconds in which the same sound passed:
    which of the two is charged for is the price row's to say.
    """

    def __init__(self, rate: int) -> None:
        self.heard = Sound(rate)
        self.spoken = Sound(rate)
        self._found: list[Usage] = []
        self._turn: list[Usage] = []  # not yet shown to the client

    def counted(self, usage: Usage) -> None:
        """A count of the provider's: for one turn, not for all until now. The sound is with it."""
        self._turn.append(usage)
        self._found.append(
            structs.replace(
                usage, audio_input_ms=self.heard.tell(), audio_output_ms=self.spoken.tell()
            )
        )

    def turn(self) -> Usage | None:
        """What the turn that ends took, as far as it has been counted."""
        counts, self._turn = self._turn, []
        if not counts:
            return None
        names = ("input", "output", "cached", "reasoning", "audio_input", "audio_output",
            "cached_audio", "image_input", "image_output")  # fmt: skip
        return Usage(**{name: sum(getattr(one, name) for one in counts) for name in names})

    def take(self) -> tuple[Usage, ...]:
        """What was counted since this was last asked."""
        found, self._found = self._found, []
        return tuple(found)
