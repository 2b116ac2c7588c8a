"""Lyria: from the third generation on an interaction, before that a prediction; both wait."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

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
from providers_plugins.clips import seed, text
from providers_plugins.google.faults import fault_within, wire_fault
from providers_plugins.google.home import last_segment
from providers_plugins.google.places import (
    Headers,
    cloud_headers,
    cloud_place,
    cloud_url,
    studio_headers,
    studio_url,
)
from providers_plugins.jobs import (
    FAILED,
    NO_FILE,
    decoded,
    failed,
    first_of,
    json_request,
    member,
    name_of,
    unreadable,
    words_of,
)
from providers_plugins.songs import Song, left_out, never, sung

_GENERATION = re.compile(r"lyria-(\d{1,3})")
_FORMATS = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_ENDED = frozenset({"failed", "cancelled", "incomplete"})
_KIND = re.compile(r"audio/[A-Za-z0-9.+;= -]{1,60}")

Where = Callable[[Call, Credential], tuple[str, str, Headers]]


class _Interaction(Struct):
    id: Any = None
    status: Any = None
    outputs: Any = None
    steps: Any = None


class _Predictions(Struct):
    predictions: Any = None


def studio_music() -> Operation:
    """With an API key."""
    return _music(_studio)


def cloud_music() -> Operation:
    """With a login. Interactions are not to be had with an express key."""
    return _music(_cloud)


def _music(where: Where) -> Operation:
    def build(call: Call, credential: Credential) -> UpstreamRequest:
        interactions, prediction, headers = where(call, credential)
        if _interacts(call):
            return _interaction(call, interactions, headers)
        return _prediction(call, prediction, headers)

    job = Job(poll=never, polled=_polled, result=never, waits=True)
    return Operation(build=build, parse=_parse, fault=wire_fault, expects=_expects, job=job)


def _interacts(call: Call) -> bool:
    found = _GENERATION.match(last_segment(call.upstream))
    return found is not None and int(found[1]) >= 3


def _studio(call: Call, credential: Credential) -> tuple[str, str, Headers]:
    url = f"{call.base_url}/interactions"
    return url, studio_url(call, "predict"), studio_headers(credential)


def _cloud(call: Call, credential: Credential) -> tuple[str, str, Headers]:
    """Interactions are a preview: they have another version, and one place for all."""
    host, place = cloud_place(call, credential, "global")
    parts = urlsplit(host)
    if parts.path.endswith("/v1"):
        host = urlunsplit(parts._replace(path=f"{parts.path}beta1"))
    url = f"{host}/{quote(place, safe='/:-._~')}interactions"
    return url, cloud_url(call, credential, "predict"), cloud_headers(credential)


def _expects(call: Call) -> Usage:
    sung(call, _FORMATS)
    return Usage()


def _interaction(call: Call, url: str, headers: Headers) -> UpstreamRequest:
    """Lyrics, length and voices are said in the prompt: there are no members for them."""
    song = sung(call, _FORMATS)
    body: dict[str, Any] = {"model": last_segment(call.upstream), "input": _told(song)}
    if song.format != "mp3":
        body["response_format"] = {"type": "audio", "mime_type": _FORMATS[song.format]}
    lost = ("duration",) if song.seconds is not None else ()
    return json_request(url, headers, body, adapted=left_out(call, (), lost))


def _told(song: Song) -> str:
    said = [song.prompt] if song.prompt.strip() else []
    if song.instrumental:
        said.append("Instrumental only, no voices.")
    if song.seconds is not None:
        said.append(f"About {song.seconds} seconds long.")
    if song.lyrics:
        said.append(f"Lyrics:\n{song.lyrics}")
    return "\n\n".join(said)


def _prediction(call: Call, url: str, headers: Headers) -> UpstreamRequest:
    """This one never sings, and makes half a minute of WAV."""
    song = sung(call, ("wav",))
    if song.lyrics:
        raise invalid("This model does not sing: leave 'lyrics' out.", "lyrics")
    instance: dict[str, Any] = {"prompt": song.prompt}
    negative, start = text(call, "negative_prompt"), seed(call)
    if negative:
        instance["negative_prompt"] = negative
    body: dict[str, Any] = {"instances": [instance], "parameters": {}}
    if start is None:
        body["parameters"] = {"sample_count": 1}
    else:
        instance["seed"] = start
    lost = ("duration",) if song.seconds is not None else ()
    return json_request(
        url, headers, body, adapted=left_out(call, ("negative_prompt", "seed"), lost)
    )


def _parse(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    fault = fault_within(body) if b'"error"' in body else None
    if fault is not None:
        raise fault
    job = Progress("running", call.id)
    if not _interacts(call):
        found = decoded(body, _Predictions).predictions
        one = first_of(found)
        held = member(one, "audioContent") or member(one, "bytesBase64Encoded")
        return Reply(progress=_heard(job, held, member(one, "mimeType"), "audio/wav"))
    answer = decoded(body, _Interaction)
    job = Progress("running", name_of(answer.id) or call.id)
    sound = _sound(answer)
    if not sound and words_of(answer.status) in _ENDED:
        return Reply(progress=failed(job, FAILED))
    return Reply(progress=_heard(job, sound.get("data"), sound.get("mime_type"), "audio/mpeg"))


def _sound(answer: _Interaction) -> dict[str, Any]:
    """The first content that is sound, wherever it stands."""
    parts = list(answer.outputs) if isinstance(answer.outputs, list) else []
    for step in answer.steps if isinstance(answer.steps, list) else ():
        content = member(step, "content")
        if isinstance(content, list) and member(step, "type") == "model_output":
            parts += content
    for part in parts:
        if isinstance(part, dict) and part.get("type") == "audio" and part.get("data"):
            return part
    return {}


def _heard(job: Progress, held: Any, kind: Any, usual: str) -> Progress:
    if not held:
        return failed(job, NO_FILE)
    try:
        media = b64decode(held, validate=True)
    except (NotBase64, ValueError, TypeError):
        raise unreadable() from None
    if not media:
        return failed(job, NO_FILE)
    named = words_of(kind)
    known = named if _KIND.fullmatch(named) else usual
    return Progress("succeeded", job.id, percent=100, media=media, content_type=known)


def _polled(
    call: Call, job: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    """Never asked for: the first answer was the last."""
    raise unreadable()
