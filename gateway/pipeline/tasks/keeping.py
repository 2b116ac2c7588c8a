"""All tasks: begun, found, cancelled, forgotten; and picked up where a process left them."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from secrets import token_hex
from typing import Any

import msgspec
from msgspec import structs

from gateway.core.task import Task, id_of
from gateway.errors import CLIENT_CLOSED, INVALID_REQUEST, Fault, storage_fault
from gateway.pipeline.record import Record
from gateway.pipeline.services import Services
from gateway.pipeline.tasks.asking import asked, bad_file, can_be_stopped, kept, read_back
from gateway.pipeline.tasks.fetching import fetch
from gateway.pipeline.tasks.going import STORAGE_FAULTS, Going
from gateway.pipeline.tasks.live import Live, Submission
from gateway.pipeline.tasks.money import reopened
from gateway.pipeline.tasks.notices import Notices
from gateway.pipeline.tasks.pace import Pace
from gateway.ports import Headers, Shelf, TaskBook, UpstreamReply
from gateway.sdk import Progress


class Tasks:
    """What goes on after its call was answered. Files are kept on the shelf, or else passed through
    from the provider; those that came inside an answer are kept in any case.
    """

    def __init__(self, book: TaskBook, shelf: Shelf, pace: Pace, *, keeps: bool = True) -> None:
        self.book = book
        self.shelf = shelf
        self.pace = pace
        self.going = Going(book, shelf, pace, keeps=keeps)
        self.notices = Notices(book, pace)
        self.on_end: Callable[[Task, Record], None] = lambda _task, _record: None
        self.going.on_end = self._ended

    def report(self, trouble: Callable[[str, Exception], None]) -> None:
        """Whom to tell of what goes wrong on our side: a task's id, or none, and the error."""
        self.going.on_trouble = self.notices.on_trouble = trouble

    async def start(self, services: Services) -> None:
        """Pick up what goes on, before the first call is served: its money is set aside."""
        going = self.going
        going.open(services)
        await self.shelf.sweep(await self.book.media())
        for task in await self.book.unfinished():
            live = Live(task, await reopened(services, self.book, task), read_back(task.progress))
            live.due = services.clock.monotonic() + self.pace.first * random.random()  # noqa: S311
            going.watch(live)
        going.spawn(self._sweep_for_ever())
        going.spawn(self.notices.run(services))

    async def stop(self) -> None:
        """Leave everything as it is written down; the next start goes on from there."""
        await self.going.stop()

    async def quiet(self) -> None:
        """Until nothing is being handed to a provider, or has come back and is not written down."""
        while True:
            lives = self.going.live.values()
            handed = [live.watcher for live in lives if live.task.progress is None]
            waiting = [one for one in handed if one is not None and not one.done()]
            if not waiting:
                return
            await asyncio.wait(waiting)

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Work that belongs to no client: who asked for it may leave."""
        return self.going.spawn(work)

    def _ended(self, task: Task, record: Record) -> None:
        self.notices.kick()
        self.on_end(task, record)

    async def begin(self, submission: Submission, progress: Progress | None) -> Live:
        """Write a task down; from here on its call's money is its own.

        Without progress it is being handed over still, by whoever calls `took` or `failed` later.
        """
        till = submission.till
        task = self._made(submission, progress)
        till.settled = True
        try:
            task = await self.book.add(task)
        except STORAGE_FAULTS as error:
            till.settled = False
            self.going.on_trouble(task.id, error)
            if progress is not None:
                self.spawn(self.going.tell_to_stop(task, progress))
            raise storage_fault() from None
        live = Live(task, till)
        self.going.live[task.id] = live
        if progress is not None:
            self.going.go_on(live, progress)
        return live

    async def took(self, live: Live, progress: Progress, credential: str) -> None:
        """The provider has taken it on, or done it at once."""
        till = live.till
        route = till.candidate.route
        live.task = structs.replace(
            live.task,
            route=route.slug,
            model=route.model.id,
            provider=route.provider.name,
            upstream=route.upstream,
            region=route.region,
            credential=credential,
            way=till.candidate.way,
            price=route.price.digest,
            held=till.held,
            expects=msgspec.json.encode(till.expects),
            state="running",
        )
        if not progress.media:  # what came with the answer cannot be asked for a second time
            live.task = structs.replace(live.task, progress=kept(progress))
            await self.going.written(live, lambda: self.book.note(live.task))
        self.going.go_on(live, progress)

    async def failed(self, live: Live, fault: Fault) -> None:
        """It could not be handed over."""
        await self.going.end(live, fault.kind.code, fault.message, fault)

    def _made(self, submission: Submission, progress: Progress | None) -> Task:
        till = submission.till
        candidate, now = till.candidate, self.going.now()
        route, (account, key, child) = candidate.route, till.standing.who
        return Task(
            id=id_of(submission.operation, token_hex(16)),
            call=till.call,
            account=account,
            key=key,
            child=child,
            operation=submission.operation,
            asked=submission.model,
            route=route.slug,
            model=route.model.id,
            provider=route.provider.name,
            upstream=route.upstream,
            region=route.region,
            credential=submission.credential,
            body=submission.body,
            expects=msgspec.json.encode(till.expects),
            way=candidate.way,
            price=route.price.digest,
            scale=str(till.standing.scale),
            tokens=till.tokens_in,
            held=till.held,
            most=next((purse.limit for purse in till.purses if purse.name == "call"), None),
            created=now,
            deadline=now + int(self.pace.deadline * 1000),
            progress=None if progress is None else kept(progress),
            webhook=submission.webhook,
        )

    async def find(self, task_id: str, account: int) -> Task | None:
        """One of an account's tasks, as far as it is known."""
        live = self.going.live.get(task_id)
        task = live.task if live is not None else await self.book.find(task_id)
        return task if task is not None and task.account == account else None

    async def fresh(self, task_id: str, account: int) -> Task | None:
        """The same, asked for anew if the last time is a while ago; however many ask, once."""
        live = self.going.live.get(task_id)
        if live is not None and live.task.account == account and live.progress is not None:
            now = self.going.services.clock.monotonic()
            if now - live.asked_at >= self.pace.lazily and now >= live.rest:
                turn = live.turn
                live.poke.set()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.pace.patience):
                        await turn.wait()
        return await self.find(task_id, account)

    def as_of_now(self, task: Task) -> Task:
        """A task that was read, with what is known of it beyond that."""
        live = self.going.live.get(task.id)
        return task if live is None else live.task

    async def cancel(self, task: Task) -> Task | None:
        """Give up one that goes on; None if it had ended before. Nothing is charged: so what cannot
        be stopped cannot be given up, or whoever began it would have the operator pay for it.
        """
        live = self.going.live.get(task.id)
        if live is None:
            return None
        if live.ending is None and not await can_be_stopped(self.going.services, task, self.pace):
            raise Fault(
                INVALID_REQUEST,
                "This provider cannot be told to stop, so the work goes on; it can be deleted once "
                "it has ended.",
                cause="cannot_stop",
            )
        if live.ending is None:
            live.stopping = True
            if live.watcher is not None:
                live.watcher.cancel()
                await asyncio.gather(live.watcher, return_exceptions=True)
        if live.ending is not None:
            await asyncio.shield(live.ending)
            return None
        if live.progress is not None:
            self.spawn(self.going.tell_to_stop(live.task, live.progress))
        fault = Fault(CLIENT_CLOSED, "It was cancelled.", cause="cancelled")
        await self.going.end(live, fault.cause, fault.message, fault)
        return live.task

    async def delete(self, task: Task) -> None:
        """Forget one, with its file; one that goes on is given up first."""
        await self.cancel(task)
        current = await self.book.find(task.id)
        if current is not None:
            await self._drop(current, self.going.now())

    async def content(self, task: Task, headers: Headers = ()) -> UpstreamReply:
        """The file of one that is not kept here, from its provider."""
        progress = read_back(task.progress)
        assert progress is not None
        services, given = self.going.services, tuple(headers)
        try:
            return await fetch(services, task, progress, self.pace, given)
        except Fault as fault:
            if fault.cause != "task_media":
                raise
        # Links grow old: the provider is asked for a new one.
        asking = structs.replace(progress, state="running", url="")
        again = await asked(services, task, asking, self.pace)
        if again.state != "succeeded":
            raise bad_file("its provider has it no more")
        return await fetch(services, task, again, self.pace, given)

    async def _drop(self, task: Task, deleted: int | None) -> None:
        await self.book.drop(task, deleted)
        if task.media is not None:
            await self.shelf.remove(task.media)

    async def _sweep_for_ever(self) -> None:
        """Let files go that have been kept long enough, and tasks that nobody will ask for."""
        while True:
            try:
                now = self.going.now()
                for task in await self.book.stale(now):
                    await self._drop(task, None)
                await self.book.forget(now - int(self.pace.remembered * 1000))
            except STORAGE_FAULTS as error:
                self.going.on_trouble("", error)
            await asyncio.sleep(self.pace.sweep)
