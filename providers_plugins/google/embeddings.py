"""Embeddings in OpenAI's shape, from either home."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from gateway.sdk import (
    Call,
    Credential,
    Operation,
    UpstreamRequest,
    Usage,
    vectors,
)
from providers_plugins.google.answer import UNREADABLE, usage_of
from providers_plugins.google.faults import fault_within, wire_fault
from providers_plugins.google.places import (
    cloud_headers,
    cloud_url,
    studio_headers,
    studio_model,
    studio_url,
)
from providers_plugins.google.reader import unreadable

# One text a request: the newer one at a method of its own, the older at `predict`, where models
# before it take many.
_SINGLE = "gemini-embedding-2"
_ONE = "gemini-embedding"
_MOST_AT_STUDIO = 100
_MOST_AT_CLOUD = 250
_READ = frozenset({"model", "input", "dimensions", "encoding_format", "user", "stream", "max_cost"})
_SETTINGS = {
    "task_type": "taskType", "taskType": "taskType", "title": "title",
    "auto_truncate": "autoTruncate", "autoTruncate": "autoTruncate",
}  # fmt: skip
_MOST_TOKENS = 1 << 53


class _Values(Struct):
    values: Raw = Raw(b"")
    statistics: dict[str, Any] | None = None


class _Prediction(Struct):
    embeddings: _Values


class _Vectors(Struct, rename="camel"):
    """All shapes that embeddings come in."""

    embeddings: list[_Values] | None = None
    embedding: _Values | None = None
    predictions: list[_Prediction] | None = None
    usage_metadata: Raw = Raw(b"")


_decode = msgspec.json.Decoder(_Vectors).decode


def studio_embeddings() -> Operation:
    """Many texts at once; what they took is told by newer models alone."""
    return vectors.embedding(
        _build_studio, _read, most=lambda call: _MOST_AT_STUDIO, fault=wire_fault
    )


def cloud_embeddings() -> Operation:
    """`predict`, or `embedContent` for the models that know that one alone."""
    return vectors.embedding(_build_cloud, _read, most=_most_at_cloud, fault=wire_fault)


def _most_at_cloud(call: Call) -> int:
    return 1 if _ONE in call.upstream else _MOST_AT_CLOUD


def _build_studio(call: Call, credential: Credential) -> UpstreamRequest:
    settings = _settings(call)
    settings.pop("autoTruncate", None)
    model = studio_model(call)
    body = {
        "requests": [
            {"model": model, "content": {"parts": [{"text": text}]}, **settings}
            for text in vectors.texts_of(call)
        ]
    }
    url = studio_url(call, "batchEmbedContents")
    adapted = _adapted(call, left_out={"auto_truncate", "autoTruncate"})
    return _request(url, studio_headers(credential), body, adapted)


def _build_cloud(call: Call, credential: Credential) -> UpstreamRequest:
    texts, settings = vectors.texts_of(call), _settings(call)
    headers = cloud_headers(credential)
    if _SINGLE in call.upstream:
        body: dict[str, Any] = {"content": {"parts": [{"text": texts[0]}]}}
        if settings:
            body["embedContentConfig"] = settings
        url = cloud_url(call, credential, "embedContent")
        return _request(url, headers, body, _adapted(call))
    each = {
        name: settings[key]
        for key, name in (("taskType", "task_type"), ("title", "title"))
        if key in settings
    }
    shared = {
        name: settings[name]
        for name in ("outputDimensionality", "autoTruncate")
        if name in settings
    }
    body = {"instances": [{"content": text, **each} for text in texts]}
    if shared:
        body["parameters"] = shared
    return _request(cloud_url(call, credential, "predict"), headers, body, _adapted(call))


def _request(
    url: str, headers: tuple[tuple[str, str], ...], body: Any, adapted: tuple[str, ...]
) -> UpstreamRequest:
    return UpstreamRequest(
        "POST", url, headers, msgspec.json.encode(body), translated=True, adapted=adapted
    )


def _settings(call: Call) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    dimensions = call.body.value("dimensions")
    if dimensions is not None:
        settings["outputDimensionality"] = dimensions
    for name, theirs in _SETTINGS.items():
        raw = call.body.get(name)
        if raw is not None and raw != b"null":
            settings[theirs] = Raw(raw)
    return settings


def _adapted(call: Call, left_out: set[str] | None = None) -> tuple[str, ...]:
    known = (_READ | _SETTINGS.keys()) - {"user"} - (left_out or set())
    return tuple(name for name in call.body.names() if name not in known)


def _read(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> vectors.Embedded:
    del call, status, headers
    fault = fault_within(body) if b'"error"' in body else None
    if fault is not None:
        raise fault
    try:
        found = _decode(body)
        values = _all(found)
    except UNREADABLE:
        raise unreadable() from None
    usage = usage_of(bytes(found.usage_metadata)) or _counted(values)
    return vectors.Embedded([one.values for one in values], usage)


def _all(found: _Vectors) -> list[_Values]:
    if found.embeddings is not None:
        return found.embeddings
    if found.predictions is not None:
        return [prediction.embeddings for prediction in found.predictions]
    return [found.embedding] if found.embedding is not None else []


def _counted(values: list[_Values]) -> Usage | None:
    """What each text took, where that is told with its vector."""
    counts = [(vector.statistics or {}).get("token_count") for vector in values]
    if all(count is None for count in counts):
        return None
    raw = msgspec.json.encode({"token_count": counts})
    total = 0
    for count in counts:
        if isinstance(count, bool) or not isinstance(count, int | float):
            return Usage(raw=raw, problem="'token_count' is not a count")
        if not (0 <= count < _MOST_TOKENS and count == int(count)):
            return Usage(raw=raw, problem="'token_count' is not a count")
        total += int(count)
    return Usage(input=total, raw=raw)
