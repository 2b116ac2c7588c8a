"""Videos and music: begun, listed, shown, fetched, cancelled, deleted; videos OpenAI's way too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import orjson
from msgspec import Struct, structs

from gateway import errors
from gateway.core.task import Task, is_id
from gateway.domain import Key
from gateway.errors import Fault, invalid
from gateway.pipeline.admission import Ask, Body
from gateway.pipeline.tasks import Tasks
from gateway.schemas import music, videos
from gateway.schemas.tasks import file_name, has_file, task_view, video_view
from gateway.web.endpoints.inference import MIB, Inference
from gateway.web.exchange import MAX_PAGE, Exchange
from gateway.web.files import pass_through, range_wanted, send_file

View = Callable[[Task, str], dict[str, Any]]
_USUAL_PAGE = 20


class Begin(Inference, frozen=True):
    """A call that is answered with a task."""

    view: View = task_view

    def ask(self, exchange: Exchange, body: Body | None = None) -> Ask:
        """The call as the pipeline takes it."""
        surface = surface_of(exchange)

        def shown(task: Task) -> bytes:
            return orjson.dumps(self.view(task, surface))

        return structs.replace(Inference.ask(self, exchange, body), shown=shown)


class Room(Struct, frozen=True):
    """One kind of tasks under one path; `words` are the noun and the manner of its answers."""

    operation: str
    begin: Begin
    view: View
    deleted: str
    openai: bool = False

    async def all(self, exchange: Exchange) -> None:
        """POST begins one, GET lists them."""
        if exchange.request.method == "POST":
            await self.begin.serve(exchange)
        else:
            await self._list(exchange)

    async def one(self, exchange: Exchange) -> None:
        """What is below an id."""
        name, _, what = exchange.rest.partition("/")
        acts = {
            ("GET", ""): self._show,
            ("GET", "content"): self._content,
            ("DELETE", ""): self._delete,
            ("POST", "cancel"): self._cancel,
        }
        if self.openai:
            acts["POST", "remix"] = _cannot_remix
        method = exchange.request.method.replace("HEAD", "GET")
        act = acts.get((method, what))
        if act is None:
            raise Fault(errors.NOT_FOUND, f"There is no endpoint '{exchange.path[:100]}'.")
        key = await exchange.key("inference")
        await act(exchange, await self._found(exchange, key, name))

    async def _found(self, exchange: Exchange, key: Key, name: str) -> Task:
        """A task of the caller's; another's is as unknown as one that never was."""
        task = None
        if is_id(name):
            task = await tasks_of(exchange).find(name, account_of(key))
        if task is not None and key.children:
            child = await child_of(exchange, key)
            task = task if await exchange.site.store.tasks.is_of(task, child) else None
        if task is None or task.operation != self.operation:
            raise Fault(errors.NOT_FOUND, "There is no work of that id.", param="id")
        return task

    async def _list(self, exchange: Exchange) -> None:
        key = await exchange.key("inference")
        query, tasks = exchange.query, tasks_of(exchange)
        after, before = query.get("after"), query.get("before")
        if after is not None and before is not None:
            raise invalid("Give either 'after' or 'before', not both.", "before")
        found: tuple[list[Task], bool] | None = ([], False)
        if key.n:  # whoever sends no key finds what is its own by its id alone
            found = await exchange.site.store.tasks.page(
                account_of(key),
                self.operation,
                child=await child_of(exchange, key),
                after=after,
                before=before,
                limit=_limit(query.get("limit")),
                newest_first=_order(query.get("order")) == "desc",
            )
        if found is None:
            param = "before" if after is None else "after"
            raise invalid(f"'{param}' must be the id of an item of this list.", param)
        surface = surface_of(exchange)
        shown = [self.view(tasks.as_of_now(task), surface) for task in found[0]]
        exchange.answer(
            {
                "object": "list",
                "data": shown,
                "has_more": found[1],
                "first_id": shown[0]["id"] if shown else None,
                "last_id": shown[-1]["id"] if shown else None,
            }
        )

    async def _show(self, exchange: Exchange, task: Task) -> None:
        fresh = await tasks_of(exchange).fresh(task.id, task.account)
        exchange.answer(self.view(fresh or task, surface_of(exchange)))

    async def _cancel(self, exchange: Exchange, task: Task) -> None:
        cancelled = await tasks_of(exchange).cancel(task)
        if cancelled is None:
            raise invalid("This work is over: only work that goes on can be cancelled.")
        exchange.answer(self.view(cancelled, surface_of(exchange)))

    async def _delete(self, exchange: Exchange, task: Task) -> None:
        await tasks_of(exchange).delete(task)
        exchange.answer({"id": task.id, "object": self.deleted, "deleted": True})

    async def _content(self, exchange: Exchange, task: Task) -> None:
        if exchange.query.get("variant", "video") != "video":
            raise invalid("Only 'variant=video' can be had: no other files are made.", "variant")
        if task.state == "failed":
            raise invalid("This work has failed, so there is no file.")
        if task.state != "succeeded":
            raise invalid("This work is not done yet, so there is no file. Ask for it later.")
        if not has_file(task):
            raise Fault(errors.NOT_FOUND, "The file of this work is not kept any more.")
        kind = task.media_type or "application/octet-stream"
        headers = [("Content-Disposition", f'inline; filename="{file_name(task)}"')]
        tasks = tasks_of(exchange)
        if task.media is None:
            reply = await tasks.content(task, range_wanted(exchange))
            await pass_through(exchange, reply, kind, headers)
            return
        try:
            file = tasks.shelf.open(task.media)
        except FileNotFoundError:
            raise Fault(errors.NOT_FOUND, "The file of this work is not kept any more.") from None
        size = task.media_size or 0
        etag = f'"{task.id}-{size:x}"'
        await send_file(exchange, file, size, kind, etag, headers)


async def _cannot_remix(exchange: Exchange, task: Task) -> None:
    del exchange, task
    raise Fault(
        errors.NOT_IMPLEMENTED,
        "No provider behind this gateway makes a video out of another one. Begin a new one with "
        "POST videos.",
        cause="no_remix",
    )


def tasks_of(exchange: Exchange) -> Tasks:
    """All tasks."""
    tasks = exchange.site.services.tasks
    assert tasks is not None
    return tasks


def account_of(key: Key) -> int:
    """Whose tasks a key may see."""
    assert key.account is not None
    return key.account.n


async def child_of(exchange: Exchange, key: Key) -> int:
    """The number of a derived key, which sees what it has begun; 0 for one that sees all."""
    if not key.children:
        return 0
    services = exchange.site.services
    catalog = services.catalog.current
    standing = services.desk.known(key, catalog) or await services.desk.load(key, catalog)
    return standing.who[2]


def surface_of(exchange: Exchange) -> str:
    """The path in front of an endpoint's own."""
    path = exchange.path
    surfaces = exchange.site.catalog.current.surfaces
    return max((one for one in surfaces if path.startswith(one + "/")), key=len, default="")


def _limit(given: str | None) -> int:
    if given is None:
        return _USUAL_PAGE
    if not (given.isascii() and given.isdigit() and 1 <= len(given) <= 4 and int(given) >= 1):
        raise invalid(f"'limit' must be a number from 1 to {MAX_PAGE}.", "limit")
    return min(int(given), MAX_PAGE)


def _order(given: str | None) -> Literal["asc", "desc"]:
    if given not in (None, "asc", "desc"):
        raise invalid("'order' must be 'asc' or 'desc'.", "order")
    return "asc" if given == "asc" else "desc"


def _openai_view(task: Task, surface: str) -> dict[str, Any]:
    del surface
    return video_view(task)


_PICTURES = frozenset(videos.PICTURES)
VIDEOS = Room(
    "videos",
    Begin("videos", videos.decoder, 32 * MIB, videos.form_decoder, 64 * MIB, pictures=_PICTURES),
    task_view,
    "video.generation.deleted",
)
OPENAI_VIDEOS = Room(
    "videos",
    Begin(
        "videos",
        videos.decoder,
        32 * MIB,
        videos.form_decoder,
        64 * MIB,
        pictures=_PICTURES,
        view=_openai_view,
    ),
    _openai_view,
    "video.deleted",
    openai=True,
)
MUSIC = Room(
    "music", Begin("music", music.decoder, 32 * MIB), task_view, "music.generation.deleted"
)
