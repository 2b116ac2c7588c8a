"""Hailuo: a task, a question after it, and then one more for the link to its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct, structs

from gateway.sdk import (
    Call,
    Credential,
    Fault,
    Job,
    Operation,
    Progress,
    Reply,
    UpstreamRequest,
    Usage,
    bearer,
)
from providers_plugins import causes
from providers_plugins.clips import (
    Clip,
    Pictures,
    as_sent,
    asked,
    fitted,
    left_out,
    refuse_measure,
    refuse_shape,
    spent,
)
from providers_plugins.jobs import (
    FAILED,
    POLICY,
    begun,
    decoded,
    failed,
    fetched,
    json_request,
    linked,
    member,
    name_of,
    running,
    signed,
)
from providers_plugins.minimax.chat import fault, fault_in

_LENGTHS = (6, 10)
_MEASURES = {"512p": "512P", "768p": "768P", "1080p": "1080P"}
_NATIVE = ("prompt_optimizer", "fast_pretreatment", "aigc_watermark")
_WIDE = "16:9"


class _Task(Struct):
    """The answers to all three questions."""

    task_id: Any = None
    status: Any = None
    file_id: Any = None
    file: Any = None
    base_resp: Any = None


def _expects(call: Call) -> Usage:
    return spent(fitted(call, _LENGTHS, 6)[0], asked(call))


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    clip, pictures = asked(call), Pictures(call)
    length, lost = fitted(call, _LENGTHS, 6)
    body: dict[str, Any] = {"model": call.upstream, "duration": length}
    if clip.prompt:
        body["prompt"] = clip.prompt
    if clip.resolution:
        if clip.resolution not in _MEASURES:
            raise refuse_measure(clip, _MEASURES)
        body["resolution"] = _MEASURES[clip.resolution]
    if clip.first is not None:
        body["first_frame_image"] = pictures.url(clip.first)
    if clip.last is not None:
        body["last_frame_image"] = pictures.url(clip.last)
    body |= as_sent(call, _NATIVE)
    adapted = left_out(call, _NATIVE, (*lost, *_shape(clip)))
    url = f"{call.base_url}/video_generation"
    return json_request(url, bearer(credential), body, pictures.files, adapted)


def _shape(clip: Clip) -> tuple[str, ...]:
    """The shape is the first picture's; without one it is always wide."""
    if clip.first is None and clip.aspect not in ("", _WIDE):
        raise refuse_shape(clip, [f"{_WIDE} (another one by a first picture of that shape)"])
    return (clip.shape,) if clip.first is not None and clip.aspect else ()


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    found = fault_in(body)
    if found is not None:
        raise found
    return begun(name_of(decoded(body, _Task).task_id))


def _ask(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """The memo is the file's name, once the task has told it."""
    what = (
        f"files/retrieve?file_id={quote(job.memo, safe='')}"
        if job.memo
        else f"query/video_generation?task_id={quote(job.id, safe='')}"
    )
    return UpstreamRequest("GET", f"{call.base_url}/{what}", signed(credential))


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    if not 200 <= status < 300:
        raise fault(status, headers, body)
    found = fault_in(body)
    task = decoded(body, _Task)
    if found is not None and found.cause != causes.POLICY and task.status != "Fail":
        raise found
    if found is not None or task.status == "Fail":
        return _came_to_nothing(job, found, task)
    if job.memo:
        return linked(job, member(task.file, "download_url"))
    if task.status != "Success":
        return running(job)
    file_id = name_of(task.file_id)
    if not file_id:
        return linked(job, None)
    return structs.replace(running(job, 100), memo=file_id, soon=True)


def _came_to_nothing(job: Progress, found: Fault | None, task: _Task) -> Progress:
    code = POLICY if found is not None and found.cause == causes.POLICY else FAILED
    said = member(task.base_resp, "status_msg")
    return failed(job, code, "" if said == "success" else said)


def _file(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """The link opens by itself, for a day."""
    return fetched(job)


VIDEOS = Operation(
    build=_build,
    parse=_parse,
    fault=fault,
    fault_in=fault_in,
    expects=_expects,
    job=Job(poll=_ask, polled=_polled, result=_file),
)
