"""Veo at both homes: a long operation that is asked after until it is done."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

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
    invalid,
)
from providers_plugins.clips import (
    Clip,
    Picture,
    Pictures,
    as_sent,
    asked,
    fitted,
    left_out,
    refuse_measure,
    refuse_shape,
    seed,
    spent,
    switch,
    text,
    type_of,
)
from providers_plugins.google.faults import fault_within, wire_fault
from providers_plugins.google.places import (
    Headers,
    cloud_headers,
    cloud_url,
    studio_headers,
    studio_url,
)
from providers_plugins.jobs import (
    FAILED,
    MP4,
    NO_FILE,
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
    unreadable,
    words_of,
)

_LENGTHS = (4, 6, 8)
_SHAPES = ("16:9", "9:16")
_MEASURES = ("720p", "1080p", "4k")
_NATIVE = {"person_generation": "personGeneration", "personGeneration": "personGeneration"}
_SILENT = "veo-2"  # the models that make no sound
_START = "predictLongRunning"
_ASK = "fetchPredictOperation"
_OPERATION = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._:-]*/){1,20}[A-Za-z0-9_-][A-Za-z0-9._-]*")
_KIND = re.compile(r"video/[A-Za-z0-9.+-]{1,40}")
_PORTS = {"https": 443, "http": 80}
# Of the codes in an operation's error those that speak of the request; the rest are failures.
_CODES = {3: "invalid_request", 8: "provider_rate_limit", 14: "provider_busy"}

Told = Callable[[Progress, dict[str, Any]], Progress]


class _Operation(Struct):
    name: Any = None
    done: Any = None
    error: Any = None
    response: Any = None
    metadata: Any = None


def studio_videos() -> Operation:
    """With an API key: the answer holds a link that wants the key."""
    job = Job(poll=_ask_studio, polled=_polled(_studio_video), result=_studio_file)
    return _operation(_build_studio, job)


def cloud_videos() -> Operation:
    """With a login: the answer holds the video itself."""
    job = Job(poll=_ask_cloud, polled=_polled(_cloud_video), result=_cloud_file)
    return _operation(_build_cloud, job)


def _operation(build: Callable[[Call, Credential], UpstreamRequest], job: Job) -> Operation:
    return Operation(build=build, parse=_parse, fault=wire_fault, expects=_expects, job=job)


def _expects(call: Call) -> Usage:
    return spent(fitted(call, _LENGTHS, 8)[0], asked(call))


def _build_studio(call: Call, credential: Credential) -> UpstreamRequest:
    # Sound is always made, and where it begins can't be chosen.
    lost: tuple[str, ...] = ("audio",) if switch(call, "audio") is False else ()
    taken = ("negative_prompt", "audio")
    if seed(call) is not None:
        lost += ("seed",)
    url = studio_url(call, _START)
    return _request(call, url, studio_headers(credential), {}, taken, lost, _inline)


def _build_cloud(call: Call, credential: Credential) -> UpstreamRequest:
    sound, start = switch(call, "audio"), seed(call)
    more: dict[str, Any] = {}
    if _SILENT not in call.upstream:
        # This host wants to be told, and the price is that of a video with sound.
        more["generateAudio"] = sound is not False
    if start is not None:
        more["seed"] = start
    taken = ("negative_prompt", "audio", "seed")
    lost = ("audio",) if sound and not more.get("generateAudio") else ()
    url = cloud_url(call, credential, _START)
    return _request(call, url, cloud_headers(credential), more, taken, lost, _stored)


def _request(
    call: Call,
    url: str,
    headers: Headers,
    more: Mapping[str, Any],
    taken: tuple[str, ...],
    lost: tuple[str, ...],
    placed: Callable[[Picture, Pictures], dict[str, str]],
) -> UpstreamRequest:
    clip, pictures = asked(call), Pictures(call)
    length, shortened = fitted(call, _LENGTHS, 8)
    instance: dict[str, Any] = {"prompt": clip.prompt} if clip.prompt else {}
    for name, picture in (("image", clip.first), ("lastFrame", clip.last)):
        if picture is not None:
            instance[name] = placed(picture, pictures)
    parameters = {"durationSeconds": length, **_looks(call, clip), **more}
    for name, value in as_sent(call, _NATIVE).items():
        parameters[_NATIVE[name]] = value
    body = {"instances": [instance], "parameters": parameters}
    adapted = left_out(call, (*taken, *_NATIVE), (*shortened, *lost))
    return json_request(url, headers, body, pictures.files, adapted)


def _looks(call: Call, clip: Clip) -> dict[str, str]:
    if clip.aspect and clip.aspect not in _SHAPES:
        raise refuse_shape(clip, _SHAPES)
    if clip.resolution and clip.resolution not in _MEASURES:
        raise refuse_measure(clip, _MEASURES)
    said = {
        "aspectRatio": clip.aspect,
        "resolution": clip.resolution,
        "negativePrompt": text(call, "negative_prompt"),
    }
    return {name: value for name, value in said.items() if value}


def _inline(picture: Picture, pictures: Pictures) -> dict[str, str]:
    """Here pictures come with the request: neither this host nor the gateway fetches them."""
    if picture.file is not None:
        mark = pictures.mark(picture.file)
        return {"bytesBase64Encoded": mark, "mimeType": type_of(picture.file)}
    data = picture.data
    if data is None:
        raise invalid(
            f"This route takes '{picture.member}' as a base64 data URL or as a file, and fetches "
            "no picture from elsewhere.",
            picture.member,
        )
    return {"bytesBase64Encoded": data[1], "mimeType": data[0]}


def _stored(picture: Picture, pictures: Pictures) -> dict[str, str]:
    """The same, or from a bucket that the provider can read."""
    if not picture.url.startswith("gs://"):
        return _inline(picture, pictures)
    ending = picture.url.rpartition(".")[2].lower()
    kind = "image/jpeg" if ending in ("jpg", "jpeg") else "image/png"
    return {"gcsUri": picture.url, "mimeType": kind}


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    fault = fault_within(body) if b'"error"' in body else None
    if fault is not None:
        raise fault
    name = name_of(decoded(body, _Operation).name)
    return begun(name if _OPERATION.fullmatch(name) else "")


def _ask_studio(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    if not _OPERATION.fullmatch(job.id):
        raise unreadable()
    url = f"{call.base_url}/{quote(job.id, safe='/')}"
    return UpstreamRequest("GET", url, studio_headers(credential)[1:])


def _ask_cloud(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    url = cloud_url(call, credential, _ASK)
    return json_request(url, cloud_headers(credential), {"operationName": job.id})


def _polled(told: Told) -> Callable[[Call, Progress, int, Mapping[str, str], bytes], Progress]:
    def polled(
        call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
    ) -> Progress:
        if not 200 <= status < 300:
            raise wire_fault(status, headers, body)
        operation = decoded(body, _Operation)
        if operation.done is not True:
            return running(job, member(operation.metadata, "progressPercent"))
        if isinstance(operation.error, dict):
            code = operation.error.get("code")
            known = _CODES.get(code, FAILED) if isinstance(code, int) else FAILED
            return failed(job, known, operation.error.get("message"))
        if not isinstance(operation.response, dict):
            raise unreadable()
        return told(job, operation.response)

    return polled


def _held_back(job: Progress, response: Mapping[str, Any]) -> Progress:
    """Done, and no video: it was held back, or it never came."""
    reasons, count = response.get("raiMediaFilteredReasons"), response.get("raiMediaFilteredCount")
    if reasons or (isinstance(count, int | str) and count not in (0, "0", "")):
        return failed(job, POLICY, first_of(reasons))
    return failed(job, NO_FILE)


def _studio_video(job: Progress, response: dict[str, Any]) -> Progress:
    inner = response.get("generateVideoResponse")
    answer = inner if isinstance(inner, dict) else response
    uri = member(member(first_of(answer.get("generatedSamples")), "video"), "uri")
    return linked(job, uri) if uri else _held_back(job, answer)


def _cloud_video(job: Progress, response: dict[str, Any]) -> Progress:
    video = first_of(response.get("videos"))
    if member(video, "gcsUri"):
        return failed(
            job,
            NO_FILE,
            "The provider put the video into a bucket, which the gateway cannot read.",
        )
    held = member(video, "bytesBase64Encoded")
    if not held:
        return _held_back(job, response)
    try:
        media = b64decode(held, validate=True)
    except (NotBase64, ValueError, TypeError):
        raise unreadable() from None
    if not media:
        return failed(job, NO_FILE)
    kind = words_of(member(video, "mimeType"))
    return Progress(
        "succeeded",
        job.id,
        percent=100,
        media=media,
        content_type=kind if _KIND.fullmatch(kind) else MP4,
    )


def _studio_file(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """The link wants the key; no other host is shown it."""
    if _origin(job.url) == _origin(call.base_url) is not None:
        return fetched(job, studio_headers(credential)[1:])
    return fetched(job)


def _cloud_file(call: Call, job: Progress, credential: Credential) -> UpstreamRequest:
    """Not usually asked for: the video came with the last answer. Ask for that once more."""
    return _ask_cloud(call, job, credential)


def _origin(url: str) -> tuple[str, str, int] | None:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    if parts.username is not None or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port
