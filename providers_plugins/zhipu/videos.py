"""CogVideoX: a task, and a question after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from gateway.sdk import (
    Call,
    Credential,
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
    label_of,
    left_out,
    refuse_measure,
    refuse_shape,
    switch,
    text,
)
from providers_plugins.jobs import (
    FAILED,
    POLICY,
    begun,
    decoded,
    failed,
    fetched,
    first_of,
    json_request,
    linked,
    member,
    name_of,
    running,
    signed,
)
from providers_plugins.zhipu.chat import CHAT, fault

_LENGTHS = (5, 10)
_ENGLISH = ("Accept-Language", "en-US,en")
_NATIVE = ("quality", "fps", "with_audio", "watermark_enabled", "request_id", "user_id")
_SIZES = {
    ("720p", "16:9"): "1280x720",
    ("720p", "9:16"): "720x1280",
    ("1080p", "16:9"): "1920x1080",
    ("1080p", "9:16"): "1080x1920",
    ("1024p", "1:1"): "1024x1024",
    ("4k", "16:9"): "3840x2160",
}
_USUAL_SIZE = "1920x1080"
_SHAPES = ("16:9", "9:16", "1:1")
_MEASURES = ("720p", "1080p", "4k")

fault_in = CHAT.operations["chat"].fault_in


class _Task(Struct):
    id: Any = None
    task_status: Any = None
    video_result: Any = None
    error: Any = None


def _expects(call: Call) -> Usage:
    length, clip = fitted(call, _LENGTHS, 5)[0], asked(call)
    size = _size(clip) or _USUAL_SIZE
    wide, _, high = size.partition("x")
    return Usage(milliseconds=1000 * length, size=label_of((int(wide), int(high))))


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    clip, pictures = asked(call), Pictures(call)
    length, lost = fitted(call, _LENGTHS, 5)
    body: dict[str, Any] = {"model": call.upstream, "duration": length}
    if clip.prompt:
        body["prompt"] = clip.prompt
    shown = [pictures.url(one) for one in (clip.first, clip.last) if one is not None]
    if shown:
        body["image_url"] = shown if clip.last is not None else shown[0]
    size = _size(clip)
    if size:
        body["size"] = size
    sound = switch(call, "audio")
    if sound is not None:
        body["with_audio"] = sound
    if text(call, "user"):
        body["user_id"] = text(call, "user")
    body |= as_sent(call, _NATIVE)
    adapted = left_out(call, ("audio", "user", *_NATIVE), lost)
    url = f"{call.base_url}/videos/generations"
    headers = (*bearer(credential), _ENGLISH)
    return json_request(url, headers, body, pictures.files, adapted)


def _size(clip: Clip) -> str:
    """Sizes are what this host knows; it makes 1080p where no other is asked for."""
    if clip.size:
        return "{}x{}".format(*clip.size)
    if clip.aspect == "1:1" and clip.resolution in ("", "1024p"):
        return _SIZES["1024p", "1:1"]
    if not clip.aspect and not clip.resolution:
        return ""
    if clip.resolution and clip.resolution not in _MEASURES:
        raise refuse_measure(clip, _MEASURES)
    found = _SIZES.get((clip.resolution or "1080p", clip.aspect or "16:9"))
    if found is None:
        raise refuse_shape(clip, _SHAPES)
    return found


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    found = fault_in(body)
    if found is not None:
        raise found
    return begun(name_of(decoded(body, _Task).id))


def _ask(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    url = f"{call.base_url}/async-result/{quote(job.id, safe='')}"
    return UpstreamRequest("GET", url, (*signed(credential), _ENGLISH))


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    if not 200 <= status < 300:
        raise fault(status, headers, body)
    task = decoded(body, _Task)
    if task.task_status == "SUCCESS":
        return linked(job, member(first_of(task.video_result), "url"))
    found = fault_in(body)
    if task.task_status != "FAIL":
        if found is not None:
            raise found
        return running(job)
    held_back = found is not None and found.cause == causes.POLICY
    return failed(job, POLICY if held_back else FAILED, member(task.error, "message"))


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
