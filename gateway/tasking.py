"""Tasks as the operator wants them: how often they are asked for, where their files are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from traceback import extract_tb

from gateway.core.task import Task
from gateway.errors import Fault
from gateway.pipeline.record import Record
from gateway.pipeline.tasks import Pace, Tasks
from gateway.ports import TaskBook
from gateway.settings import MEDIA_OFF, Settings
from gateway.store.media import MediaFolder
from gateway.web.site import Site

_FRAMES = 3


def pace_of(settings: Settings) -> Pace:
    """How often, and for how long."""
    first, longest = settings.task_poll
    return Pace(
        first=first,
        longest=longest,
        deadline=settings.task_deadline,
        kept=settings.media_keep * 3_600,
    )


def tasks_of(settings: Settings, pace: Pace, book: TaskBook) -> Tasks:
    """All tasks of one database; their files are beside it, unless another folder is named."""
    off = settings.media == MEDIA_OFF
    folder = settings.db.with_name(settings.db.name + ".media")
    if settings.media is not None and not off:
        folder = Path(settings.media)
    shelf = MediaFolder(folder, settings.media_file << 20, settings.media_room << 20)
    return Tasks(book, shelf, pace, keeps=not off)


def tell_of_tasks(tasks: Tasks, site: Site) -> None:
    """Let the log and the metrics know how tasks end, and what is wrong with them."""

    def trouble(task: str, error: Exception) -> None:
        if isinstance(error, Fault):
            ours = {} if error.provider is not None else {"said": error.message}
            if error.detail:
                ours["detail"] = error.detail
            site.log.event("warning", "task_trouble", task=task, cause=error.cause, **ours)
            return
        frames = extract_tb(error.__traceback__)[-_FRAMES:]
        where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        site.log.event("error", "task_trouble", task=task, error=type(error).__name__, where=where)

    def ended(task: Task, record: Record) -> None:
        record.operation = f"{task.operation}_done"
        record.finished = site.services.clock.monotonic()
        site.metrics.call(record)
        site.log.call(record, site.services.clock.time())

    tasks.report(trouble)
    tasks.on_end = ended
    one: Mapping[str, str] = {}

    def going() -> Iterable[tuple[Mapping[str, str], float]]:
        return [(one, len(tasks.going.live))]

    def given_up() -> Iterable[tuple[Mapping[str, str], float]]:
        return [(one, tasks.notices.given_up)]

    site.metrics.gauge("gateway_tasks", "Tasks that go on.", going)
    site.metrics.gauge("gateway_webhooks_given_up", "Webhooks never delivered.", given_up)
