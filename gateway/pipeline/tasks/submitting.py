"""A call whose work goes on by itself: handed over once, whether or not its client stays.

What is handed over is set aside for before that. A process that ends in between leaves a hold that
the next start lets go, and no task: the client was never told of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.core.task import kept_body
from gateway.errors import INTERNAL_ERROR, Fault
from gateway.pipeline.admission import Admitted, Handed
from gateway.pipeline.attempt import Attempt
from gateway.pipeline.record import Record
from gateway.pipeline.services import Services
from gateway.pipeline.tasks.live import Submission
from gateway.pipeline.tasks.notices import checked
from gateway.ports import Headers, Sink
from gateway.sdk import Progress

Serve = Callable[[], Coroutine[Any, Any, None]]
_JSON = ("Content-Type", "application/json")
# The request may have arrived, and the work begun: another try could begin it a second time.
_IN_DOUBT = frozenset({
    "reset", "truncated", "first_byte_timeout", "idle_timeout", "total_timeout", "slow_start",
    "bad_response", "bad_answer", "oversize", "unreadable_answer", "closed", "status_408",
    "status_504", "provider_timeout",
})  # fmt: skip


def in_doubt(fault: Fault) -> bool:
    """Whether a failed try may have begun the work all the same."""
    return fault.cause in _IN_DOUBT or fault.cause.startswith("adapter_failed:")


async def submit(
    services: Services,
    job: Admitted,
    operation: str,
    sink: Sink,
    record: Record,
    serve: Serve,
) -> None:
    """Hand it over with `serve`, and answer with the task: at once, where that takes minutes."""
    tasks = services.tasks
    assert tasks is not None
    assert job.shown is not None
    asked = job.wishes.webhook
    webhook = None if asked is None else checked(asked, services.catalog.current.webhooks)
    handed = job.handed = Handed(tasks, operation, webhook)
    job.till.later = True
    await job.till.open(False)
    record.goes_on = True
    waits = job.candidate.operation.job
    if waits is not None and waits.waits:
        await asyncio.shield(tasks.spawn(_begun_alone(job, handed, record, serve)))
    else:
        await asyncio.shield(tasks.spawn(serve()))
    assert handed.live is not None
    record.first_byte = services.clock.monotonic()
    sink.reply(200, [_JSON, *handed.headers], job.shown(handed.live.task))


async def _begun_alone(job: Admitted, handed: Handed, record: Record, serve: Serve) -> None:
    """Written down before it is handed over; whoever asked is answered, and it goes on.

    Whoever leaves meanwhile ends nothing: what is written down must have somebody who moves it on.
    """
    tasks = handed.tasks
    first = next(iter(job.candidate.credentials))
    try:
        live = handed.live = await tasks.begin(_submission(job, handed, record.model, first), None)
    except Fault as fault:
        await job.till.release(fault.kind.status)
        raise

    async def go_on() -> None:
        try:
            await serve()
        except Fault as fault:
            await tasks.failed(live, fault)
        except Exception as error:
            tasks.going.on_trouble(live.task.id, error)
            cause = f"unexpected:{type(error).__name__}"
            ours = Fault(INTERNAL_ERROR, "The gateway failed on this work.", cause=cause)
            await tasks.failed(live, ours)

    live.watcher = tasks.spawn(go_on())


async def answered(job: Admitted, sent: Attempt, progress: Progress, headers: Headers) -> None:
    """The provider has taken it: that is written down before anybody is told."""
    handed = job.handed
    assert handed is not None
    credential = sent.credential.name
    if handed.live is None:
        handed.headers = headers
        submission = _submission(job, handed, job.model, credential)
        if progress.media:
            handed.live = await handed.tasks.begin(submission, None)
            await handed.tasks.took(handed.live, progress, credential)
        else:
            handed.live = await handed.tasks.begin(submission, progress)
    else:
        await handed.tasks.took(handed.live, progress, credential)


def _submission(job: Admitted, handed: Handed, model: str, credential: str) -> Submission:
    return Submission(
        handed.operation, model, kept_body(job.body), job.till, credential, handed.webhook
    )
