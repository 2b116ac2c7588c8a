"""What adapters did wrong in calls: counted by adapter, named by the class of error and the place.

Never what an error says: that may hold a secret, or a client's words.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeGuard, TypeVar

from msgspec import Struct, structs

from gateway.domain import UpstreamRequest, Usage
from gateway.errors import UPSTREAM_ERROR, Fault, Kind
from gateway.sdk import Frames, Progress, Reply
from gateway.sdk.adapter import is_one_line

P = ParamSpec("P")
T = TypeVar("T")

_MOST_KINDS = 50  # of errors for each adapter that are counted apart
_FRAMES = 3
_LONGEST_TEXT = 4_096
_STATES = ("pending", "running", "succeeded", "failed")
_COUNTS = tuple(name for name in Usage.__struct_fields__ if name not in ("raw", "size", "problem"))


class Mishap(Struct):
    """How often an adapter failed, and how it did last."""

    count: int = 0
    last: str = ""
    at: float = 0.0


class Mishaps:
    """All failures of adapters since the start."""

    def __init__(self) -> None:
        self.adapters: dict[str, Mishap] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.clock: Callable[[], float] = float
        self.on_note: Callable[[str, str, list[str]], None] | None = None

    def note(self, adapter: str, error: BaseException) -> None:
        """Count a failure, and tell whoever listens."""
        kind = type(error).__name__
        mishap = self.adapters.setdefault(adapter, Mishap())
        mishap.count += 1
        mishap.last = kind
        mishap.at = self.clock()
        if (adapter, kind) not in self.counts and self._kinds(adapter) >= _MOST_KINDS:
            kind = "others"
        self.counts[adapter, kind] = self.counts.get((adapter, kind), 0) + 1
        if self.on_note is not None:
            self.on_note(adapter, type(error).__name__, place_of(error))

    def _kinds(self, adapter: str) -> int:
        return sum(name == adapter for name, _ in self.counts)

    def failed(self, adapter: str, error: BaseException) -> Fault:
        """The fault of a call whose adapter broke its contract; its own route fails alone."""
        self.note(adapter, error)
        return Fault(
            UPSTREAM_ERROR,
            f"The adapter '{adapter}' failed on this call. Other routes are not affected.",
            cause=f"adapter_failed:{type(error).__name__}",
        )

    def guarded(self, adapter: str, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """What an adapter's function gives; one that raises no sound Fault fails its call alone."""
        try:
            return work(*args, **more)
        except Fault as fault:
            raise self.told(adapter, fault) from None
        except (Exception, SystemExit) as error:
            raise self.failed(adapter, error) from error

    def told(self, adapter: str, fault: Fault) -> Fault:
        """A Fault that an adapter has raised, once it is sound."""
        try:
            return sound_fault(fault)
        except (Exception, SystemExit) as error:
            return self.failed(adapter, error)


def place_of(error: BaseException) -> list[str]:
    """Where it was raised: files without their folders."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def sound_request(made: object) -> UpstreamRequest:
    """What `build` gave, once its types are those of the contract."""
    if not isinstance(made, UpstreamRequest) or not isinstance(made.body, bytes):
        raise TypeError("build owes an UpstreamRequest with a body of bytes")
    if not isinstance(made.url, str) or not isinstance(made.method, str):
        raise TypeError("a request's method and URL are text")
    for name, value in made.headers:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError("a request's headers are pairs of text")
    return made


def sound_reply(reply: object) -> Reply:
    """What `parse` gave, once its types are those of the contract."""
    if not isinstance(reply, Reply) or not isinstance(reply.body, bytes):
        raise TypeError("parse owes a Reply with a body of bytes")
    sound_usage(reply.usage)
    if not _is_type(reply.content_type):
        raise TypeError("a reply needs a content type of one line")
    if reply.progress is not None:
        sound_progress(reply.progress)
    return reply


def sound_frames(frames: object) -> Frames:
    """What a dialogue gave, once its types are those of the contract."""
    if not isinstance(frames, Frames):
        raise TypeError("a dialogue owes Frames")
    if not all(isinstance(one, bytes) for one in (*frames.to_provider, *frames.to_client)):
        raise TypeError("messages are bytes")
    return frames


def sound_progress(made: object) -> Progress:
    """A Progress that can be written down and shown."""
    if not isinstance(made, Progress) or made.state not in _STATES:
        raise TypeError("a job owes a Progress in a known state")
    for text in (made.id, made.memo, made.url):
        if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
            raise TypeError("a Progress has a short id, memo and url")
    if not isinstance(made.code, str) or not isinstance(made.message, str):
        raise TypeError("a Progress speaks in text")
    if not _is_type(made.content_type):
        raise TypeError("a Progress needs a content type of one line, if any")
    if not isinstance(made.media, bytes) or type(made.percent) is not int:
        raise TypeError("a Progress has media in bytes, and a whole number of percent")
    sound_usage(made.usage)
    return structs.replace(made, percent=max(0, min(100, made.percent)))


def sound_type(told: object) -> str | None:
    """The content type that `media` gave, if it gave one."""
    if told is not None and not _is_type(told):
        raise TypeError("a content type is one line of text")
    return told


def _is_type(told: object) -> TypeGuard[str]:
    return isinstance(told, str) and is_one_line(told)


def sound_usage(usage: object) -> Usage | None:
    """A Usage of whole numbers: nothing else can be charged for."""
    if usage is None:
        return None
    if not isinstance(usage, Usage):
        raise TypeError("usage is a Usage or None")
    if not all(type(getattr(usage, name)) is int for name in _COUNTS):
        raise TypeError("the counts of a Usage are whole numbers")
    if not isinstance(usage.raw, bytes) or not isinstance(usage.problem, str):
        raise TypeError("a Usage has raw bytes, and a problem in words")
    if not isinstance(usage.size, str):
        raise TypeError("a Usage's size is text")
    return usage


def sound_fault(fault: object) -> Fault:
    """A Fault that can be rendered; a stranger's may be anything."""
    if not isinstance(fault, Fault) or not isinstance(fault.kind, Kind):
        raise TypeError("a failure is told with a Fault of a known kind")
    wait: object = fault.retry_after
    if wait is not None and (type(wait) not in (int, float) or not 0 <= fault_wait(fault) < 1e9):
        raise TypeError("a Fault's retry_after is seconds")
    for text in (fault.message, fault.cause, fault.param or ""):
        if not isinstance(text, str):
            raise TypeError("a Fault speaks in text")
    return fault


def fault_wait(fault: Fault) -> float:
    """Its wait as a number."""
    return fault.retry_after or 0.0
