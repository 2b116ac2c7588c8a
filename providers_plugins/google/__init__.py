"""One wire at two homes: `google` with an API key, `vertex` with a login and a region."""

from __future__ import annotations

from collections.abc import Callable

from gateway.sdk import Adapter, Call, Credential, UpstreamRequest
from gateway.sdk.talk import Login, Losses, Reader, Talk, Wire
from providers_plugins.google import imagen
from providers_plugins.google.embeddings import cloud_embeddings, studio_embeddings
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.hearing import cloud_hearing, studio_hearing
from providers_plugins.google.home import CLOUD, STUDIO
from providers_plugins.google.images import CLOUD_IMAGES, STUDIO_IMAGES
from providers_plugins.google.live import cloud_live, studio_live
from providers_plugins.google.login import step
from providers_plugins.google.music import cloud_music, studio_music
from providers_plugins.google.places import (
    cloud_headers,
    cloud_url,
    studio_headers,
    studio_url,
)
from providers_plugins.google.reader import GenerateReader
from providers_plugins.google.request import body, tier_headers
from providers_plugins.google.sizes import spoken_expects, spoken_size
from providers_plugins.google.speech import cloud_speech, studio_speech
from providers_plugins.google.videos import cloud_videos, studio_videos
from providers_plugins.google.whole import read

_WHOLE = "generateContent"
_STREAMED = "streamGenerateContent"


def _method(talk: Talk) -> tuple[str, str]:
    return (_STREAMED, "?alt=sse") if talk.stream else (_WHOLE, "")


def _ways_to_answer(call: Call, talk: Talk, losses: Losses) -> None:
    """Pictures beside words, or sound: what most wires cannot answer with, this one can."""
    asked = call.body.get("modalities") if call.operation == "chat" else None
    if asked is not None:
        talk.extra["modalities"] = asked
        losses.keep("modalities")


def _build_studio(
    call: Call, credential: Credential, talk: Talk, losses: Losses
) -> UpstreamRequest:
    method, query = _method(talk)
    _ways_to_answer(call, talk, losses)
    written = body(talk, STUDIO, call.base_url, losses)
    return UpstreamRequest(
        "POST", studio_url(call, method) + query, studio_headers(credential), written
    )


def _build_cloud(call: Call, credential: Credential, talk: Talk, losses: Losses) -> UpstreamRequest:
    method, query = _method(talk)
    _ways_to_answer(call, talk, losses)
    headers = cloud_headers(credential) + tier_headers(talk)
    url = cloud_url(call, credential, method) + query
    return UpstreamRequest("POST", url, headers, body(talk, CLOUD, call.base_url, losses))


def _reader(call: Call) -> Reader:
    return GenerateReader(call.now, spoken_size(call))


def _wire(
    build: Callable[[Call, Credential, Talk, Losses], UpstreamRequest],
) -> Wire:
    return Wire(
        build=build,
        read=read,
        reader=_reader,
        fault=wire_fault,
        expects=spoken_expects,
    )


def _paints(model: str) -> bool:
    return not imagen.is_one(model)


def _probe_studio(call: Call, credential: Credential) -> UpstreamRequest:
    url = call.base_url + (call.upstream or "/models?pageSize=1")
    return UpstreamRequest("GET", url, studio_headers(credential))


GOOGLE = Adapter(
    name="google",
    operations={
        "embeddings": studio_embeddings(),
        "speech": studio_speech(),
        "videos": studio_videos(),
        "music": studio_music(),
        **STUDIO_IMAGES,
        **studio_hearing(),
        **studio_live(),
    },
    wire=_wire(_build_studio),
    paints=_paints,
    probe=_probe_studio,
)
VERTEX = Adapter(
    name="vertex",
    operations={
        "embeddings": cloud_embeddings(),
        "speech": cloud_speech(),
        "videos": cloud_videos(),
        "music": cloud_music(),
        **CLOUD_IMAGES,
        **cloud_hearing(),
        **cloud_live(),
    },
    wire=_wire(_build_cloud),
    paints=_paints,
    login=Login(step, gives=("access_token", "project")),
)
