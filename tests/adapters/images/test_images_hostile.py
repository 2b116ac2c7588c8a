"""Whatever a client or a provider says of pictures, an adapter answers with a value or a fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk import Adapter, Answered, Call, Further, Reply, UpstreamRequest, Usage, compatible
from gateway.sdk.dialects import serving
from providers_plugins import minimax, openrouter, xai, zhipu
from providers_plugins.google import GOOGLE, VERTEX
from providers_plugins.openai import ADAPTER as OPENAI
from tests.adapters.images.painted import BOUNDARY, file

KEY = Credential("c", {"api_key": "sk-canary", "access_token": "t", "project": "p"})
HOST = compatible("host", operations=("chat", "images", "image_edits"))
PAINTERS: list[tuple[Adapter, str]] = [
    (OPENAI, "gpt-image-1"),
    (HOST, "m"),
    (GOOGLE, "gemini-3-pro-image"),
    (GOOGLE, "gemini-2.5-flash-image"),
    (VERTEX, "imagen-3.0-generate-002"),
    (minimax.ADAPTER, "image-01"),
    (zhipu.ADAPTER, "cogview-4"),
    (xai.ADAPTER, "grok-imagine-image"),
    (openrouter.ADAPTER, "x/y"),
]
NAMES = st.sampled_from([
    "prompt", "n", "size", "quality", "response_format", "background", "output_format",
    "output_compression", "style", "user", "stream", "partial_images", "image", "images", "mask",
    "aspect_ratio", "seed", "temperature", "resolution", "width", "odd",
])  # fmt: skip
WORDS = st.sampled_from(
    ["", "auto", "1024x1024", "0x0", "16:9", "4K", "url", "b64_json", "transparent", "data:", "1:0",
     "data:image/png;base64,AA", "https://a/b.png", "99999x99999"]
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(WORDS | st.just("image_url"), inner, max_size=3)
    ),
    max_leaves=5,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=6)
ANSWER_NAMES = st.sampled_from([
    "data", "b64_json", "url", "usage", "size", "error", "candidates", "content", "parts",
    "inlineData", "mimeType", "predictions", "bytesBase64Encoded", "image_urls", "base_resp",
    "status_code", "usageMetadata", "promptFeedback", "type", "output_format",
])  # fmt: skip
ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANSWER_NAMES, inner, max_size=4),
    max_leaves=12,
)


def operations(adapter: Adapter) -> list[str]:
    return [name for name in ("images", "image_edits") if name in adapter.operations]


@pytest.mark.parametrize(("adapter", "model"), PAINTERS, ids=lambda one: getattr(one, "name", one))
@given(BODIES, st.booleans(), st.booleans())
@settings(max_examples=40)
@example({"size": "1:0"}, False, False)
def test_any_request(
    adapter: Adapter, model: str, body: dict[str, Any], files: bool, stream: bool
) -> None:
    """A request, the same each time, or a fault; and so is what is expected of it."""
    raw = JsonBody.parse(json.dumps({"model": "m", **body}).encode())
    for name in operations(adapter):
        given_files = (file(),) if files and name == "image_edits" else ()
        call = Call(name, model, "https://h/v1", raw, stream, files=given_files, boundary=BOUNDARY)
        operation = adapter.operations[name]
        made = outcome(lambda operation=operation, call=call: operation.build(call, KEY))
        assert made == 400 or isinstance(made, UpstreamRequest)
        assert outcome(lambda operation=operation, call=call: operation.build(call, KEY)) == made
        if isinstance(made, UpstreamRequest) and made.body:
            json.loads(made.body)
        assert operation.expects is not None
        expected = outcome(lambda operation=operation, call=call: operation.expects(call))
        assert expected == 400 or isinstance(expected, Usage)


def outcome(work: Callable[[], object]) -> object:
    """What it comes to; of a fault its status."""
    try:
        return work()
    except Fault as fault:
        return fault.kind.status


@pytest.mark.parametrize(("adapter", "model"), PAINTERS, ids=lambda one: getattr(one, "name", one))
@given(ANSWERS, st.sampled_from([{}, {"n": 3}, {"response_format": "b64_json"},
                                 {"response_format": "url"}]), st.booleans())  # fmt: skip
@settings(max_examples=40)
def test_any_answer(
    adapter: Adapter, model: str, answer: Any, body: dict[str, Any], stream: bool
) -> None:
    """A reply, a request for more, or a fault."""
    call = Call(
        "images", model, "https://h/v1", JsonBody(json.dumps({"prompt": "p", **body}).encode()),
        stream,
    )  # fmt: skip
    raw = json.dumps(answer).encode()
    parse = adapter.operations["images"].parse
    assert callable(parse)
    try:
        made = parse(call, 200, {}, raw)
        for status in (200, 500):
            more = made
            for _ in range(3):
                if isinstance(more, Further):
                    more = more.then((Answered(status, {}, raw),) * len(more.requests))
            assert isinstance(more, Reply)
    except Fault:
        pass
    stream_of = adapter.operations["images"].stream
    if callable(stream_of):
        opened = stream_of(call)
        opened.feed(b"data: " + raw + b"\n\n")
        opened.feed(raw)
        opened.finish()


@pytest.mark.parametrize(("adapter", "model"), PAINTERS, ids=lambda one: getattr(one, "name", one))
@given(ANSWERS)
@settings(max_examples=20)
def test_any_answer_in_a_talk(adapter: Adapter, model: str, answer: Any) -> None:
    """The same for a conversation, whole and streamed."""
    operation = serving(adapter, "chat", model, {}, "image")
    assert operation is not None
    body = JsonBody(b'{"messages":[{"role":"user","content":"p"}]}')
    call = Call("chat", model, "https://h/v1", body, stream=True)
    raw = json.dumps(answer).encode()
    assert callable(operation.parse)
    assert callable(operation.stream)
    try:
        assert isinstance(operation.parse(call, 200, {}, raw), Reply)
    except Fault:
        pass
    opened = operation.stream(call)
    opened.feed(raw)
    opened.finish()
