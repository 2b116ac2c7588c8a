"""Wan: videos on the host's own wire, which lies beside the compatible one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from msgspec import Struct, structs

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
from providers_plugins.alibaba.chat import fault
from providers_plugins.clips import (
    Clip,
    Pictures,
    as_sent,
    asked,
    left_out,
    refuse_last,
    refuse_measure,
    refuse_shape,
    seconds,
    seed,
    switch,
    text,
)
from providers_plugins.jobs import (
    CANCELLED,
    EXPIRED,
    FAILED,
    POLICY,
    begun,
    counted,
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

_COMPATIBLE = "/compatible-mode/v1"
_OWN = "/api/v1"
_USUAL = 5
_ASYNC = ("X-DashScope-Async", "enable")
_PARAMETERS = ("prompt_extend", "watermark", "shot_type")
_SHAPES = ("16:9", "9:16", "1:1", "4:3", "3:4")
_HELD_BACK = ("datainspectionfailed", "data_inspection_failed", "ipinfringementsuspect")
_SIZES = {
    ("480p", "16:9"): "832*480", ("480p", "9:16"): "480*832", ("480p", "1:1"): "624*624",
    ("720p", "16:9"): "1280*720", ("720p", "9:16"): "720*1280", ("720p", "1:1"): "960*960",
    ("720p", "4:3"): "1088*832", ("720p", "3:4"): "832*1088",
    ("1080p", "16:9"): "1920*1080", ("1080p", "9:16"): "1080*1920", ("1080p", "1:1"): "1440*1440",
    ("1080p", "4:3"): "1632*1248", ("1080p", "3:4"): "1248*1632",
}  # fmt: skip
# What a size counts as, by its pixels: the shapes of a resolution have about as many.
_AREAS = (("4k", 6_000_000), ("1080p", 1_500_000), ("720p", 700_000))
_LABELS = frozenset(label for label, _ in _SIZES)


class _Output(Struct):
    task_id: Any = None
    task_status: Any = None
    video_url: Any = None
    code: Any = None
    message: Any = None


class _Task(Struct):
    output: _Output | None = None
    usage: Any = None


def _expects(call: Call) -> Usage:
    size = _resolution(asked(call))
    return Usage(milliseconds=1000 * (seconds(call) or _USUAL), size=size)


def _resolution(clip: Clip) -> str:
    """What will be made, as it is priced; nothing where the host chooses, and then tells."""
    if clip.size:
        area = clip.size[0] * clip.size[1]
        return next((name for name, least in _AREAS if area >= least), "480p")
    return clip.resolution or ("1080p" if clip.aspect and clip.first is None else "")


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    clip, pictures = asked(call), Pictures(call)
    refuse_last(clip)
    wanted: dict[str, Any] = {"prompt": clip.prompt} if clip.prompt else {}
    if text(call, "negative_prompt"):
        wanted["negative_prompt"] = text(call, "negative_prompt")
    if clip.first is not None:
        wanted["img_url"] = pictures.url(clip.first)
    parameters: dict[str, Any] = {"duration": seconds(call) or _USUAL, **_looks(clip)}
    more = {"seed": seed(call), "audio": switch(call, "audio"), **as_sent(call, _PARAMETERS)}
    parameters |= {name: value for name, value in more.items() if value is not None}
    body = {"model": call.upstream, "input": wanted, "parameters": parameters}
    lost = (clip.shape,) if clip.first is not None and clip.aspect else ()
    adapted = left_out(call, ("negative_prompt", "seed", "audio", *_PARAMETERS), lost)
    url = f"{_home(call)}/services/aigc/video-generation/video-synthesis"
    headers = (*bearer(credential), _ASYNC)
    return json_request(url, headers, body, pictures.files, adapted)


def _looks(clip: Clip) -> dict[str, str]:
    """From a picture a resolution alone, since the shape is the picture's; else a size."""
    if clip.first is not None:
        return {"resolution": clip.resolution.upper()} if clip.resolution else {}
    if clip.size:
        return {"size": "{}*{}".format(*clip.size)}
    if not clip.resolution and not clip.aspect:
        return {}
    if clip.resolution and clip.resolution not in _LABELS:
        raise refuse_measure(clip, sorted(_LABELS, key=lambda label: int(label[:-1])))
    found = _SIZES.get((clip.resolution or "1080p", clip.aspect or "16:9"))
    if found is None:
        raise refuse_shape(clip, _SHAPES)
    return {"size": found}


def _home(call: Call) -> str:
    """The host's own wire, beside the compatible one; an address of another form stays."""
    if call.base_url.endswith(_COMPATIBLE):
        return call.base_url.removesuffix(_COMPATIBLE) + _OWN
    return call.base_url


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    task = decoded(body, _Task)
    if task.output is None:
        raise fault(status, headers, body)
    return begun(name_of(task.output.task_id), _resolution(asked(call)))


def _of(call: Call, job: Progress) -> str:
    return f"{_home(call)}/tasks/{quote(job.id, safe='')}"


def _ask(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    return UpstreamRequest("GET", _of(call, job), signed(credential))


def _cancel(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    return UpstreamRequest("POST", f"{_of(call, job)}/cancel", signed(credential))


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    if not 200 <= status < 300:
        raise fault(status, headers, body)
    task = decoded(body, _Task)
    output = task.output or _Output()
    state = output.task_status
    if state == "SUCCEEDED":
        return linked(job, output.video_url, _used(job, task.usage))
    if state == "FAILED":
        code = str(output.code).lower() if isinstance(output.code, str) else ""
        held_back = code.startswith(_HELD_BACK)
        return failed(job, POLICY if held_back else FAILED, output.message)
    if state == "CANCELED":
        return failed(job, CANCELLED)
    if state == "UNKNOWN":  # it is kept for a day
        return failed(job, EXPIRED)
    return running(job)


def _used(job: Progress, told: Any) -> Usage | None:
    """Its length, and the resolution where the host has chosen it."""
    lines = member(told, "SR")
    if not job.memo and isinstance(lines, int) and f"{lines}p" in _LABELS:
        job = structs.replace(job, memo=f"{lines}p")
    for name in ("output_video_duration", "video_duration", "duration"):
        usage = counted(job, member(told, name))
        if usage is not None:
            return usage
    return None


def _file(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """The link opens by itself, for a day."""
    return fetched(job)


VIDEOS = Operation(
    build=_build,
    parse=_parse,
    fault=fault,
    expects=_expects,
    job=Job(poll=_ask, polled=_polled, result=_file, cancel=_cancel),
)
