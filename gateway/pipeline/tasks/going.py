"""How a task goes on, step after step, until it has ended."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec import structs

from gateway.core.task import Task
from gateway.errors import UPSTREAM_ERROR, UPSTREAM_TIMEOUT, Fault, upstream_error
from gateway.pipeline.record import Record
from gateway.pipeline.services import Services
from gateway.pipeline.tasks.asking import Lost, asked, kept, told_to_stop
from gateway.pipeline.tasks.fetching import fault_of, fetch, keep, media_type
from gateway.pipeline.tasks.live import Live
from gateway.pipeline.tasks.money import ended
from gateway.pipeline.tasks.pace import Pace
from gateway.ports import Shelf, TaskBook
from gateway.sdk import Progress, clean

STORAGE_FAULTS = (sqlite3.Error, OSError, ValueError)
_FAILED = "The provider could not do this work."
_LOST = "The provider does not know this work any more."
_MOST_LOST = 4  # times in a row: what was begun a moment ago may not be known everywhere yet
_MOST_HURRIED = 5
_LONGEST_WISH = 300.0


class Going:
    """The tasks that go on, and what moves them."""

    def __init__(self, book: TaskBook, shelf: Shelf, pace: Pace, *, keeps: bool) -> None:
        self.book = book
        self.shelf = shelf
        self.pace = pace
        self.keeps = keeps
        self.on_end: Callable[[Task, Record], None] = lambda _task, _record: None
        self.on_trouble: Callable[[str, Exception], None] = lambda _id, _error: None
        self.live: dict[str, Live] = {}
        self.stopping = False
        self._rooms: dict[str, asyncio.Semaphore] = {}
        self._works: set[asyncio.Task[Any]] = set()
        self._services: Services | None = None
        self._since = 0

    @property
    def services(self) -> Services:
        """What steps are taken with."""
        assert self._services is not None
        return self._services

    def open(self, services: Services) -> None:
        """Be ready to take steps."""
        self._services = services
        self._since = self.now() + int(self.pace.grace * 1000)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Work that belongs to no client: who asked for it may leave."""
        made = asyncio.ensure_future(work)
        self._works.add(made)
        made.add_done_callback(self._over)
        return made

    def _over(self, work: asyncio.Task[Any]) -> None:
        self._works.discard(work)
        if not work.cancelled():
            work.exception()  # told to whoever waits for it; nobody may, by now

    async def stop(self) -> None:
        """Leave everything as it is written down; an end that was begun is waited for."""
        self.stopping = True
        lives = list(self.live.values())
        watchers = [live.watcher for live in lives if live.watcher is not None]
        for work in (*watchers, *self._works):
            work.cancel()
        await asyncio.gather(*watchers, *self._works, return_exceptions=True)
        endings = [live.ending for live in lives if live.ending is not None]
        await asyncio.gather(*endings, return_exceptions=True)

    def go_on(self, live: Live, progress: Progress) -> None:
        """The provider has it: ask from here on."""
        live.progress = progress
        now = self.services.clock.monotonic()
        done = progress.state in ("succeeded", "failed")
        live.due = now + (0.0 if done else self.pace.soon if progress.soon else self.pace.first)
        live.asked_at = now
        self.watch(live)

    def watch(self, live: Live) -> None:
        """Take the steps that are due."""
        self.live[live.task.id] = live
        live.watcher = asyncio.ensure_future(self._watched(live))

    async def _watched(self, live: Live) -> None:
        """Step after step. Nothing that goes wrong ends this but the task's own end."""
        while not live.task.done and not live.stopping:
            await self._until_due(live)
            async with self._room(live.task.provider):
                try:
                    await self._step(live)
                except Exception as error:
                    self._again_later(live, error)
            live.turn.set()
            live.turn = asyncio.Event()

    def _room(self, provider: str) -> asyncio.Semaphore:
        """A provider that hangs keeps no other's tasks waiting."""
        return self._rooms.setdefault(provider, asyncio.Semaphore(self.pace.at_once))

    async def _until_due(self, live: Live) -> None:
        left = live.due - self.services.clock.monotonic()
        if left > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await live.poke.wait()
        live.poke.clear()

    def _again_later(self, live: Live, error: Exception) -> None:
        cause = error.cause if isinstance(error, Fault) else ""
        if not cause or cause != live.trouble:  # what goes on failing is told once
            self.on_trouble(live.task.id, error)
        live.trouble = cause
        wanted = error.retry_after if isinstance(error, Fault) else None
        live.wait, wait = self.pace.next(live.wait, random.random())  # noqa: S311
        now = self.services.clock.monotonic()
        live.rest = now + min(wanted or 0.0, _LONGEST_WISH)
        live.due = max(now + wait, live.rest)

    async def _step(self, live: Live) -> None:
        """Ask how far it has come, or fetch what has come of it; end it when that is known."""
        progress = live.progress
        assert progress is not None
        late = self.now() >= max(live.task.deadline, self._since)
        if progress.state not in ("succeeded", "failed"):
            live.asked_at = self.services.clock.monotonic()
            try:
                progress = await asked(self.services, live.task, progress, self.pace)
            except Lost:
                live.lost += 1
                if live.lost < _MOST_LOST and not late:
                    raise upstream_error(_LOST, "task_lost") from None
                await self.end(live, "task_lost", _LOST)
                return
            except Fault:
                if late:
                    await self._end_late(live, progress)
                    return
                raise
            live.lost = 0
            await self._progressed(live, progress)
        if progress.state == "failed":
            message = clean(progress.message) or _FAILED
            await self.end(live, clean(progress.code) or "task_failed", message)
        elif progress.state == "succeeded":
            await self._obtain(live, progress)
        elif late:
            await self._end_late(live, progress)

    async def _progressed(self, live: Live, progress: Progress) -> None:
        before, live.progress = live.progress, progress
        live.trouble = ""
        assert before is not None
        live.hurried = live.hurried + 1 if progress.soon else 0
        live.wait, wait = self.pace.next(live.wait, random.random())  # noqa: S311
        if 0 < live.hurried <= _MOST_HURRIED:
            wait = self.pace.soon
        live.due = self.services.clock.monotonic() + wait
        state = "pending" if progress.state == "pending" else "running"
        live.task = structs.replace(live.task, state=state, percent=progress.percent)
        if _told(progress) != _told(before) and not progress.media:
            live.task = structs.replace(live.task, progress=kept(progress))
            await self.book.note(live.task)

    async def _obtain(self, live: Live, progress: Progress) -> None:
        """Have the file of one that has succeeded, where files are kept; then it has ended."""
        try:
            kind, size = await self._file(live.task, progress)
        except Exception as error:
            if self.now() < live.task.deadline + int(self.pace.fetching * 1000):
                raise
            await self.end(live, "task_media", fault_of(error).message)
            return
        if progress.media and size is None:
            await self.end(live, "task_media", "What was made is larger than may be kept here.")
            return
        live.task = structs.replace(
            live.task,
            media=None if size is None else live.task.id,
            media_type=kind,
            media_size=size,
            percent=100,
            progress=kept(progress),
        )
        await self.end(live)

    async def _file(self, task: Task, progress: Progress) -> tuple[str, int | None]:
        """What kind of file it is, and its size where it is kept here."""
        kind = media_type(progress.content_type, task.work)
        if progress.media:
            return kind, await self._kept_here(task.id, progress.media)
        if not self.keeps:
            return kind, None
        reply = await fetch(self.services, task, progress, self.pace)
        given = reply.headers.get("content-type", "")
        kind = media_type(progress.content_type or given, task.work)
        try:
            return kind, await keep(reply, self.shelf, task.id)
        except OSError as error:  # a full disk is no reason to lose what its provider still has
            self.on_trouble(task.id, error)
            return kind, None

    async def _kept_here(self, name: str, media: bytes) -> int | None:
        if not self.shelf.room(len(media)):
            return None
        spool = self.shelf.begin(name)
        try:
            if not await spool.write(media):
                return None
            await spool.done()
        finally:
            spool.drop()
        return spool.size

    async def _end_late(self, live: Live, progress: Progress) -> None:
        minutes = self.pace.deadline / 60
        fault = Fault(
            UPSTREAM_TIMEOUT,
            f"The provider did not finish within {minutes:g} minutes, and the work was given up.",
            cause="task_deadline",
        )
        self.spawn(self.tell_to_stop(live.task, progress))
        await self.end(live, fault.cause, fault.message, fault)

    async def tell_to_stop(self, task: Task, progress: Progress) -> None:
        """Ask the provider not to go on, if it can be asked."""
        with contextlib.suppress(Fault):
            await told_to_stop(self.services, task, progress, self.pace)

    async def end(
        self, live: Live, code: str = "", message: str = "", fault: Fault | None = None
    ) -> None:
        """Settle it, and write that down together with its end; once begun this is not given up."""
        if live.ending is None:
            if code and fault is None:
                fault = Fault(UPSTREAM_ERROR, message, cause=code)
            live.ending = asyncio.ensure_future(self._ended(live, code, message, fault))
        await asyncio.shield(live.ending)

    async def _ended(self, live: Live, code: str, message: str, fault: Fault | None) -> None:
        usage = None if live.progress is None else live.progress.usage
        end = ended(live.task, live.till, usage, fault)
        now = self.now()
        live.task = structs.replace(
            live.task,
            state="failed" if fault else "succeeded",
            finished=now,
            held=end.money.held,
            charged=end.money.charge,
            error_code=(code or "task_failed")[:200] if fault else None,
            error=message if fault else None,
            media_until=now + int(self.pace.kept * 1000),
            webhook_due=now if live.task.webhook else None,
        )
        written = await self.written(live, lambda: self.book.finish(live.task, end.money))
        self.live.pop(live.task.id, None)
        live.turn.set()
        if written:
            self.on_end(live.task, end.record)

    async def written(self, live: Live, write: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Write until storage takes it. If it never does, the next start finds the task as it was
        written last.
        """
        while True:
            try:
                return await write()
            except STORAGE_FAULTS as error:
                self.on_trouble(live.task.id, error)
                if self.stopping:
                    raise
                await asyncio.sleep(self.pace.storage)

    def now(self) -> int:
        """The moment, as tasks have it."""
        return int(self.services.clock.time() * 1000)


def _told(progress: Progress) -> tuple[str, ...]:
    """What the next step must know, whoever takes it."""
    return progress.state, progress.id, progress.memo, progress.url
