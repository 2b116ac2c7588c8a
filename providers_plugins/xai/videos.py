"""Videos: a request, and a question after it."""

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
    fault_in_body,
    provider_fault,
    read_error,
)
from providers_plugins.clips import (
    Pictures,
    as_sent,
    asked,
    fitted,
    left_out,
    refuse_last,
    refuse_shape,
    spent,
)
from providers_plugins.jobs import (
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

_LENGTHS = tuple(range(1, 16))
_USUAL = 8
_SHAPES = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3")
_NATIVE = ("storage_options", "user")
_HELD_BACK = frozenset({"content_policy", "content_policy_violation", "moderation_blocked"})


class _Request(Struct):
    request_id: Any = None
    status: Any = None
    progress: Any = None
    video: Any = None
    error: Any = None
    code: Any = None


def _expects(call: Call) -> Usage:
    return spent(fitted(call, _LENGTHS, _USUAL)[0], asked(call))


def _build(call: Call, credential: Credential) -> UpstreamRequest:
    clip, pictures = asked(call), Pictures(call)
    refuse_last(clip)
    length, lost = fitted(call, _LENGTHS, _USUAL)
    body: dict[str, Any] = {"model": call.upstream, "prompt": clip.prompt, "duration": length}
    if clip.aspect:
        if clip.aspect not in _SHAPES:
            raise refuse_shape(clip, _SHAPES)
        body["aspect_ratio"] = clip.aspect
    if clip.resolution:
        body["resolution"] = clip.resolution
    if clip.first is not None and clip.first.file_id:
        body["image"] = {"file_id": clip.first.file_id}
    elif clip.first is not None:
        body["image"] = {"url": pictures.url(clip.first)}
    body |= as_sent(call, _NATIVE)
    adapted = left_out(call, _NATIVE, lost)
    url = f"{call.base_url}/videos/generations"
    return json_request(url, bearer(credential), body, pictures.files, adapted)


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    found = fault_in_body(body)
    if found is not None:
        raise found
    return begun(name_of(decoded(body, _Request).request_id), asked(call).resolution)


def _ask(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    return UpstreamRequest(
        "GET", f"{call.base_url}/videos/{quote(job.id, safe='')}", signed(credential)
    )


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    if not 200 <= status < 300:
        raise provider_fault(status, headers, body)
    said = decoded(body, _Request)
    if said.status == "expired":
        return failed(job, EXPIRED)
    if said.status == "failed":
        error = read_error(body)
        code = POLICY if error.code in _HELD_BACK or said.code in _HELD_BACK else FAILED
        return failed(job, code, error.message)
    url = member(said.video, "url")
    if said.status != "done" and not (said.status is None and url):
        return running(job, said.progress)
    if member(said.video, "respect_moderation") is False:
        return failed(job, POLICY)
    return linked(job, url, counted(job, member(said.video, "duration")))


def _file(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """The link opens by itself."""
    return fetched(job)


VIDEOS = Operation(
    build=_build, parse=_parse, expects=_expects, job=Job(poll=_ask, polled=_polled, result=_file)
)
