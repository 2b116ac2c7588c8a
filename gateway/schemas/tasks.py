"""How tasks are shown: in the house's words, and videos in OpenAI's as well."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.core.body import JsonBody
from gateway.core.money.amounts import dollars
from gateway.core.task import Task
from gateway.domain import Usage

_STATUS = {
    "pending": "queued",
    "running": "in_progress",
    "succeeded": "completed",
    "failed": "failed",
}
_SUFFIXES = {"audio/mpeg": "mp3", "audio/x-wav": "wav", "audio/wav": "wav", "video/mp4": "mp4"}


def task_view(task: Task, surface: str) -> dict[str, Any]:
    """A task as it is shown on a surface: its file's address is relative to the host."""
    usage = expected_of(task)
    shown: dict[str, Any] = {
        "id": task.id,
        "object": f"{task.work.noun}.generation",
        "status": task.state,
        "model": task.asked,
        "created_at": task.created // 1000,
        "finished_at": None if task.finished is None else task.finished // 1000,
        "progress": task.percent,
        "duration_seconds": usage.milliseconds / 1000 if usage.milliseconds else None,
        "size": usage.size or None,
        "error": error_of(task),
        "cost": dollars(task.charged) if task.done else None,
    }
    if has_file(task):
        shown[f"{task.work.file}_url"] = f"{surface}/{task.operation}/generations/{task.id}/content"
        shown["content_type"] = task.media_type
        shown["bytes"] = task.media_size
        shown["expires_at"] = None if task.media_until is None else task.media_until // 1000
    return shown


def video_view(task: Task) -> dict[str, Any]:
    """The same in OpenAI's words."""
    usage, body = expected_of(task), JsonBody(task.body)
    seconds = f"{usage.milliseconds / 1000:g}" if usage.milliseconds else ""
    names = ("seconds", "duration_seconds", "duration")
    given = next((value for name in names if (value := body.value(name)) is not None), None)
    expires = task.media_until if has_file(task) else None
    return {
        "id": task.id,
        "object": "video",
        "model": task.asked,
        "status": _STATUS[task.state],
        "progress": task.percent,
        "created_at": task.created // 1000,
        "completed_at": None if task.finished is None else task.finished // 1000,
        "expires_at": None if expires is None else expires // 1000,
        "prompt": body.value("prompt"),
        "seconds": seconds or (str(given) if given is not None else ""),
        "size": body.value("size") or usage.size,
        "remixed_from_video_id": None,
        "error": error_of(task),
    }


def has_file(task: Task) -> bool:
    """Whether what it has made can still be had."""
    return task.state == "succeeded" and task.media_until is not None


def expected_of(task: Task) -> Usage:
    """What it was expected to use: how long what it makes is, and of which size."""
    return msgspec.json.decode(task.expects, type=Usage)


def error_of(task: Task) -> dict[str, Any] | None:
    """Why it has failed."""
    if task.state != "failed":
        return None
    return {"code": task.error_code, "message": task.error}


def file_name(task: Task) -> str:
    """What its file is called by who saves it."""
    kind = task.media_type or ""
    return f"{task.id}.{_SUFFIXES.get(kind, kind.partition('/')[2] or 'bin')}"
