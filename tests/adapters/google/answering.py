"""Answers and streams of our own making, and how they are read."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.sdk import Call
from gateway.sdk.talk import Answer, Event, sse
from providers_plugins.google import VERTEX
from providers_plugins.google.reader import GenerateReader

WIRE = VERTEX.wire
assert WIRE is not None
CALL = Call("chat", "m", "https://u.example", JsonBody.parse(b"{}"), now=7.5)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "candidates", "content", "parts", "text", "thought", "thoughtSignature", "index",
            "functionCall", "name", "args", "partialArgs", "jsonPath", "stringValue", "id",
            "willContinue", "inlineData", "mimeType", "data", "finishReason", "usageMetadata",
            "promptTokenCount", "candidatesTokenCount", "promptTokensDetails", "modality",
            "tokenCount", "groundingMetadata", "groundingChunks", "groundingSupports", "segment",
            "startIndex", "endIndex", "web", "uri", "citationMetadata", "citations", "error",
            "code", "message", "details", "promptFeedback", "blockReason", "responseId",
            "createTime", "executableCode",
        ]),
        inner,
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


def piece(*parts: Any, finish: str = "", counts: Any = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, **more}
    if finish:
        candidate["finishReason"] = finish
    found: dict[str, Any] = {"candidates": [candidate], "responseId": "r", "modelVersion": "v"}
    return {**found, "usageMetadata": counts} if counts is not None else found


def call(name: str | None = None, **more: Any) -> dict[str, Any]:
    return {"functionCall": {**({"name": name} if name else {}), **more}}


def read(found: Any) -> Answer:
    assert WIRE is not None
    body = found if isinstance(found, bytes) else json.dumps(found).encode()
    return WIRE.read(CALL, {}, body)


def stream(*pieces: Any) -> list[Event]:
    data = b"".join(
        it if isinstance(it, bytes) else sse.event(json.dumps(it).encode()) for it in pieces
    )
    reader = GenerateReader(7.5)
    return [*reader.feed(data), *reader.finish()]
