"""Sora: OpenAI's own videos, whose words clients may use for every other host as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec
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
    fault_in_body,
    form,
    provider_fault,
)
from providers_plugins.clips import (
    Clip,
    asked,
    left_out,
    refuse_last,
    refuse_measure,
    seconds,
    spent,
)
from providers_plugins.jobs import (
    CANCELLED,
    FAILED,
    POLICY,
    begun,
    counted,
    decoded,
    failed,
    json_request,
    linked,
    member,
    name_of,
    running,
    signed,
    words_of,
)

_USUAL = 4
_SIZES = {
    ("720p", "16:9"): "1280x720",
    ("720p", "9:16"): "720x1280",
    ("1024p", "16:9"): "1792x1024",
    ("1024p", "9:16"): "1024x1792",
    ("1080p", "16:9"): "1920x1080",
    ("1080p", "9:16"): "1080x1920",
}
_HELD_BACK = frozenset({
    "moderation_blocked", "content_policy_violation", "content_policy", "sentinel_block",
})  # fmt: skip


class _Video(Struct):
    id: Any = None
    status: Any = None
    progress: Any = None
    seconds: Any = None
    error: Any = None


def _expects(call: Call) -> Usage:
    return spent(seconds(call) or _USUAL, asked(call))


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    clip = asked(call)
    refuse_last(clip)
    fields = {
        "model": call.upstream,
        "prompt": clip.prompt,
        "seconds": str(seconds(call) or _USUAL),
    }
    size = _size(clip)
    if size:
        fields["size"] = size
    adapted = left_out(call, ())
    url = f"{call.base_url}/videos"
    picture = clip.first
    if picture is not None and picture.file is not None:
        kind, pieces = form(call, fields.items(), [("input_reference", picture.file)])
        headers = (*signed(credential), ("Content-Type", kind))
        return UpstreamRequest(
            "POST", url, headers, translated=True, adapted=adapted, pieces=pieces
        )
    body: dict[str, Any] = dict(fields)
    if picture is not None:
        named = {"file_id": picture.file_id} if picture.file_id else {"image_url": picture.url}
        body["input_reference"] = named
    return json_request(url, bearer(credential), body, adapted=adapted)


def _size(clip: Clip) -> str:
    """A size as it was given; else the one that the resolution and the shape come to."""
    if clip.size:
        return "{}x{}".format(*clip.size)
    if not clip.resolution and not clip.aspect:
        return ""
    found = _SIZES.get((clip.resolution or "720p", clip.aspect or "16:9"))
    if found is None:
        raise refuse_measure(clip, _SIZES.values())
    return found


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    video = _read(body)
    if video.id is None:
        found = fault_in_body(body)
        if found is not None:
            raise found
    return begun(name_of(video.id), asked(call).resolution)


def _read(body: bytes) -> _Video:
    return decoded(body, _Video)


def _of(call: Call, job: Progress) -> str:
    return f"{call.base_url}/videos/{quote(job.id, safe='')}"


def _ask(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    return UpstreamRequest("GET", _of(call, job), signed(credential))


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    if not 200 <= status < 300:
        raise provider_fault(status, headers, body)
    video = _read(body)
    if video.status == "completed":
        return linked(job, f"{_of(call, job)}/content", counted(job, video.seconds))
    if video.status in ("failed", "cancelled"):
        said = member(video.error, "message")
        if words_of(member(video.error, "code")) in _HELD_BACK:
            return failed(job, POLICY, said)
        return failed(job, CANCELLED if video.status == "cancelled" else FAILED, said)
    if video.status == "queued":
        return msgspec.structs.replace(running(job, video.progress), state="pending")
    return running(job, video.progress)


def _content(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    return UpstreamRequest("GET", f"{_of(call, job)}/content", signed(credential))


def _delete(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    return UpstreamRequest("DELETE", _of(call, job), signed(credential))


VIDEOS = Operation(
    build=_build,
    parse=_parse,
    expects=_expects,
    job=Job(poll=_ask, polled=_polled, result=_content, cancel=_delete),
)
