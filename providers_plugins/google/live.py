"""Live sessions, from either home, for clients of OpenAI's realtime protocol."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit, urlunsplit

from gateway.sdk import Call, Credential, Dialogue, Operation, UpstreamRequest
from providers_plugins.google.faults import wire_fault
from providers_plugins.google.home import CLOUD, STUDIO
from providers_plugins.google.live_dialogue import LiveDialogue
from providers_plugins.google.live_setup import opened
from providers_plugins.google.places import (
    Headers,
    cloud_headers,
    cloud_place,
    cloud_url,
    studio_headers,
    studio_model,
)

_STUDIO = "google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
_CLOUD = "google.cloud.aiplatform.{}.LlmBidiService/BidiGenerateContent"
_VERSION = re.compile(r"/(v\d\w*)/?\Z")


def studio_live() -> dict[str, Operation]:
    """Sessions with an API key."""
    return {"realtime": Operation(build=_build_studio, session=_studio, fault=wire_fault)}


def cloud_live() -> dict[str, Operation]:
    """Sessions at a location; there the model's whole name is asked for."""
    return {"realtime": Operation(build=_build_cloud, session=_cloud, fault=wire_fault)}


def _build_studio(call: Call, credential: Credential) -> UpstreamRequest:
    url = _address(call.base_url, _STUDIO, "v1beta")
    return _request(call, url, studio_headers(credential))


def _build_cloud(call: Call, credential: Credential) -> UpstreamRequest:
    url = _address(_host(call, credential), _CLOUD, "v1")
    return _request(call, url, cloud_headers(credential))


def _studio(call: Call, credential: Credential) -> Dialogue:
    del credential
    return LiveDialogue(call, studio_model(call), ids=STUDIO.ids)


def _cloud(call: Call, credential: Credential) -> Dialogue:
    host = _host(call, credential)
    named = cloud_url(call, credential, "").removeprefix(f"{host}/").removesuffix(":")
    return LiveDialogue(call, unquote(named), ids=CLOUD.ids)


def _host(call: Call, credential: Credential) -> str:
    location = call.region or call.options.get("location") or "global"
    return cloud_place(call, credential, location)[0]


def _address(base_url: str, service: str, version: str) -> str:
    """The service stands at the root of the host, with the version in its name."""
    parts = urlsplit(base_url)
    found = _VERSION.search(parts.path)
    path = parts.path[: found.start()] if found else parts.path.rstrip("/")
    named = service.format(found[1] if found else version)
    scheme = "ws" if parts.scheme == "http" else "wss"
    return urlunsplit((scheme, parts.netloc, f"{path}/ws/{named}", "", ""))


def _request(call: Call, url: str, headers: Headers) -> UpstreamRequest:
    _, lost = opened(call)
    own = tuple(header for header in headers if header[0] != "Content-Type")
    return UpstreamRequest("GET", url, own, translated=True, adapted=lost)
