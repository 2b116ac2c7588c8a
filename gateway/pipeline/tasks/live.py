"""A task that goes on, as this process knows it."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field

from gateway.core.task import Task
from gateway.pipeline.till import Till
from gateway.sdk import Progress


class Live(Struct, eq=False):
    """Only its watcher moves it on; who else wants something of it asks the watcher to stop."""

    task: Task
    till: Till
    progress: Progress | None = None
    wait: float = 0.0
    due: float = 0.0  # on the monotonic clock, as is the next
    asked_at: float = float("-inf")
    rest: float = 0.0  # the provider wants to be left alone until then, whoever asks
    trouble: str = ""  # why the last step came to nothing, if it did
    lost: int = 0  # times in a row that the provider knew nothing of it
    hurried: int = 0  # steps in a row that were asked for at once
    poke: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Event = field(default_factory=asyncio.Event)  # set, and made anew, at each step
    watcher: asyncio.Task[None] | None = None
    ending: asyncio.Task[None] | None = None  # once begun, an end is not given up
    stopping: bool = False


class Submission(Struct, frozen=True):
    """What of an admitted call its task is made of."""

    operation: str
    model: str
    body: bytes
    till: Till
    credential: str
    webhook: str | None = None
