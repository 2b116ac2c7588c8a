"""The Messages wire through InvokeModel: its envelope, its frames, its ends."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Fault
from gateway.sdk.talk import sse
from providers_plugins.bedrock import ADAPTER, INVOKE, native, speaks_messages
from providers_plugins.bedrock.invoke import InvokeStream
from tests.adapters.bedrock import frames
from tests.adapters.bedrock.calls import CLAUDE, KEY, SIGNING, call

START = {
    "type": "message_start",
    "message": {
        "id": "m", "type": "message", "role": "assistant", "content": [], "model": "claude",
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1},
    },
}  # fmt: skip
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
CLOSE = {"type": "content_block_stop", "index": 0}
LAST = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"output_tokens": 9},
}
END = {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5}}


def text(words: str) -> dict[str, Any]:
    said = {"type": "text_delta", "text": words}
    return {"type": "content_block_delta", "index": 0, "delta": said}


def fed(*said: Any) -> tuple[InvokeStream, bytes]:
    stream = InvokeStream(call(stream=True))
    out = b"".join(stream.feed(frames.chunk(event)) for event in said)
    return stream, out + stream.finish()


def events_of(out: bytes) -> list[Any]:
    return [json.loads(sse.data_of(event) or b"") for event in sse.Splitter().feed(out)]


def test_the_envelope_keeps_every_other_byte() -> None:
    body = b'{"model":"claude", "max_tokens":  5,"stream":true, "messages":[ {"role":"user"} ]}'
    the_call = call(
        CLAUDE, body, operation="messages", stream=True, headers={"anthropic-beta": "a, b,,a"}
    )
    request = INVOKE.build(the_call, KEY)
    assert json.loads(request.body) == {
        "max_tokens": 5,
        "messages": [{"role": "user"}],
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["a", "b"],
    }
    assert b'[ {"role":"user"} ]' in request.body
    assert request.url.endswith("-v1%3A0/invoke-with-response-stream")
    assert not request.translated
    assert INVOKE.hears == ("anthropic-beta",)


def test_betas_of_the_body_and_the_header_are_one_list() -> None:
    body = {"model": "m", "anthropic_beta": ["x", 3, "a"], "anthropic_version": "other"}
    request = INVOKE.build(call(CLAUDE, body, headers={"anthropic-beta": "a,y"}), KEY)
    assert json.loads(request.body) == {
        "anthropic_beta": ["x", "a", "y"], "anthropic_version": "bedrock-2023-05-31",
    }  # fmt: skip
    assert request.url.endswith("/invoke")


@pytest.mark.parametrize(
    ("tier", "sent", "lost"),
    [
        ("priority", "priority", ()),
        ("auto", None, ()),
        (None, None, ()),
        ("scale", None, ("service_tier",)),
        (["x"], None, ("service_tier",)),
    ],
)
def test_the_tier_stands_in_a_header(tier: Any, sent: Any, lost: Any) -> None:
    request = INVOKE.build(call(CLAUDE, {"model": "m", "service_tier": tier}), SIGNING)
    headers = dict(request.headers)
    assert headers.get("X-Amzn-Bedrock-Service-Tier") == sent
    assert ("x-amzn-bedrock-service-tier" in headers["Authorization"]) is bool(sent)
    assert b"service_tier" not in request.body
    assert request.adapted == lost


def test_a_stream_is_the_wires_own() -> None:
    stream, out = fed(START, OPEN, text("héllo"), CLOSE, LAST, END)
    assert [event["type"] for event in events_of(out)] == [
        "message_start", "content_block_start", "content_block_delta", "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip
    assert events_of(out)[-1] == {"type": "message_stop"}
    assert out.endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert stream.complete
    assert stream.usage is not None
    assert (stream.usage.input, stream.usage.cached, stream.usage.output) == (12, 7, 9)
    assert stream.produced == len("héllo".encode())


def test_lines_within_an_event_are_joined() -> None:
    _, out = fed(json.dumps(text("a\nb"), indent=2).encode())
    assert out.count(b"\n") == 3
    assert events_of(out) == [text("a\nb")]


def test_before_the_end_usage_knows_the_input_and_counts_the_output() -> None:
    stream, _ = fed(START, OPEN, text("x" * 400))
    assert not stream.complete
    assert stream.usage is not None
    assert (stream.usage.input, stream.usage.output) == (12, 100)


def test_a_cut_is_a_proper_end() -> None:
    stream, _ = fed(START, OPEN, text("x" * 40))
    said = events_of(stream.cut())
    assert said[0] == CLOSE
    assert said[1]["delta"] == {"stop_reason": "max_tokens", "stop_sequence": None}
    assert said[1]["usage"] == {"output_tokens": 10}
    assert said[2] == {"type": "message_stop"}
    stream, _ = fed(START, OPEN, CLOSE)
    assert [event["type"] for event in events_of(stream.cut())] == ["message_delta", "message_stop"]


def test_failures_inside_a_stream() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    stream, out = fed(START, error, text("a"))
    assert len(events_of(out)) == 1
    assert stream.fault is not None
    assert stream.fault.cause == "error_in_answer"
    assert stream.fault.provider is not None
    assert stream.fault.provider.type == "overloaded_error"
    stream = InvokeStream(call())
    out = stream.feed(frames.exception("throttlingException", {"message": "x"}) + frames.chunk(END))
    assert out == b""
    assert stream.fault is not None
    assert stream.fault.kind.code == "rate_limit_exceeded"
    assert not stream.complete
    stream = InvokeStream(call())
    stream.feed(b"\0" * 64)
    assert stream.fault is not None
    assert stream.fault.cause == "broken_stream"


def test_usage_that_goes_down_or_cannot_be_is_a_problem() -> None:
    lower = {**LAST, "usage": {"output_tokens": 2}}
    stream, _ = fed(START, LAST, lower)
    assert stream.usage is not None
    assert stream.usage.problem
    stream, _ = fed(START, {**LAST, "usage": {"output_tokens": -1}})
    assert stream.usage is not None
    assert stream.usage.problem


@pytest.mark.parametrize(
    "chunk",
    [
        frames.event("chunk", {"bytes": "!!!"}),
        frames.event("chunk", {"bytes": 5}),
        frames.event("chunk", []),
        frames.event("chunk", {"bytes": base64.b64encode(b'{"type":"a\\nb"}').decode()}),
        frames.event("chunk", {"bytes": base64.b64encode(b'{"type":"ping","x":"\xff"}').decode()}),
        frames.event("unheard", {"bytes": ""}),
        frames.chunk([1]),
        frames.chunk({"type": 7}),
    ],
)
def test_what_is_no_event_is_not_passed_on(chunk: bytes) -> None:
    stream = InvokeStream(call())
    assert stream.feed(chunk) == b""
    assert stream.fault is None


@given(st.binary(max_size=120))
def test_no_chunk_raises(payload: bytes) -> None:
    stream = InvokeStream(call())
    stream.feed(frames.chunk(payload))
    stream.feed(frames.message({":message-type": "event", ":event-type": "chunk"}, payload))
    stream.cut()


def test_a_whole_answer_that_is_an_error_is_a_failure() -> None:
    for body in (b'{"type":"error","error":{"message":"m"}}', b"[]", b"{}", b"\xff"):
        with pytest.raises(Fault):
            INVOKE.parse(call(), 200, {}, body)  # type: ignore[operator]


def test_which_models_are_served_without_translation() -> None:
    assert speaks_messages(CLAUDE)
    assert speaks_messages("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.anthropic.claude-x")
    assert not speaks_messages("amazon.nova-lite-v1:0")
    assert native("messages", CLAUDE, {})
    assert not native("messages", "openai.gpt-oss-120b-1:0", {})
    assert native("embeddings", "amazon.titan-embed-text-v2:0", {})
    assert ADAPTER.native is native


def test_counting_asks_for_the_whole_call() -> None:
    body = {"model": "m", "messages": [], "system": "s"}
    request = ADAPTER.operations["count_tokens"].build(call(CLAUDE, body), KEY)
    assert request.url.endswith("/count-tokens")
    wrapped = json.loads(request.body)["input"]["invokeModel"]["body"]
    assert json.loads(base64.b64decode(wrapped)) == {
        "messages": [],
        "system": "s",
        "max_tokens": 1024,
        "anthropic_version": "bedrock-2023-05-31",
    }
    for answer in (b"{}", b'{"inputTokens":-4}', b"x"):
        with pytest.raises(Fault, match="cannot be read"):
            ADAPTER.operations["count_tokens"].parse(call(), 200, {}, answer)  # type: ignore[operator]
