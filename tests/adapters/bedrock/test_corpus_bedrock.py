"""Recorded traffic of this provider is read field by field as a plain reading of it says."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from gateway.core.money.checks import plausible, problem_of
from gateway.core.talk.interpret import Interpreter
from gateway.domain import Usage
from gateway.errors import Fault
from gateway.sdk.talk import Foreign, Text, Thinking, ToolUse, sse
from providers_plugins.bedrock import ADAPTER, INVOKE, WIRE
from providers_plugins.bedrock.invoke import InvokeStream
from tests import recorded
from tests.adapters.bedrock import frames
from tests.adapters.bedrock.calls import KEY, Silent, call, told

pytestmark = recorded.needs_corpus

EVERY_BYTE_UNDER = 8192
REASONS = {
    "end_turn": "stop", "max_tokens": "length", "tool_use": "tool",
    "guardrail_intervened": "filter", "stop_sequence": "sequence",
}  # fmt: skip
# InvokeModel with a body of the family's own: these models are spoken to in Converse, so that what
# they say here is nothing the adapter reads. It must refuse such a body, not misread it.
OF_THEIR_OWN = {
    "openllmetry-metrics-test_bedrock_guardrails_metrics-test_titan_invoke_model_guardrail-0",
    "openllmetry-metrics-test_bedrock_guardrails_metrics-test_titan_invoke_stream_guardrail-0",
    "openllmetry-opentelemetry-instrumentation-bedrock-test_ai21-test_ai21_j2_completion_st-72a4bcf7-0",
    "openllmetry-opentelemetry-instrumentation-bedrock-test_anthropic-test_anthropic_2_completion-0",
    "openllmetry-opentelemetry-instrumentation-bedrock-test_cohere-test_cohere_completion-0",
    "openllmetry-opentelemetry-instrumentation-bedrock-test_meta-test_meta_llama3_completion-0",
    "openllmetry-opentelemetry-instrumentation-bedrock-test_nova-test_nova_completion-0",
    "openllmetry-opentelemetry-instrumentation-bedrock-test_nova-test_nova_invoke_stream-0",
}
# What a failure means: kind and cause.
FAULTS = {
    "pydantic-ai-test_anthropic_bedrock_count_tokens": ("invalid_request", "refused_by_provider"),
    "pydantic-ai-test_bedrock-": ("invalid_request", "refused_by_provider"),
    "pydantic-ai-test_multimodal": ("invalid_request", "refused_by_provider"),
    "req_llm-amazon_bedrock": ("upstream_error", "status_503"),
    "rig-bedrock-model_ids": ("invalid_request", "refused_by_provider"),
    "ruby_llm-chat_error_handling": ("upstream_error", "credential_refused"),
}


def cases(operation: str, api: str | None) -> list[Path]:
    found = recorded.cases("bedrock", operation)
    return [case for case in found if recorded.meta(case)["api"] == api]


def body_of(case: Path) -> bytes:
    """The response; where its frames were lost, with frames."""
    file = recorded.response_file(case)
    raw = file.read_bytes()
    if file.suffix != ".jsonl":
        return raw
    events = [json.loads(line) for line in raw.splitlines() if line.strip()]
    return b"".join(frames.event(*next(iter(event.items()))) for event in events)


def headers_of(case: Path) -> dict[str, str]:
    return {k.lower(): v for k, v in (recorded.meta(case)["response_headers"] or {}).items()}


def request_of(case: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((case / "request.json").read_bytes())
    return found


def splits(raw: bytes) -> list[list[bytes]]:
    found = [[raw]]
    if len(raw) < EVERY_BYTE_UNDER:
        found.append([raw[i : i + 1] for i in range(len(raw))])
    chance = random.Random(len(raw))
    for _ in range(3):
        cuts = sorted(chance.randrange(len(raw)) for _ in range(20))
        found.append([raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)])
    return found


def messages_of(raw: bytes) -> list[tuple[str, Any]]:
    """The vendor's own parser: each event's name and JSON."""
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    return [(found.headers[":event-type"], json.loads(found.payload)) for found in buffer]


def check_converse_usage(usage: Usage | None, said: dict[str, Any]) -> None:
    assert usage is not None
    cached, stored = said.get("cacheReadInputTokens", 0), said.get("cacheWriteInputTokens", 0)
    longer = sum(d["inputTokens"] for d in said.get("cacheDetails", ()) if d["ttl"] == "1h")
    assert usage.input == said["inputTokens"] + cached + stored
    assert usage.output == said["outputTokens"]
    assert (usage.cached, usage.cache_write) == (cached, stored - longer)
    assert usage.cache_write_1h == longer
    assert json.loads(usage.raw) == said
    assert problem_of(usage) == ""


def check_messages_usage(usage: Usage | None, said: dict[str, Any]) -> None:
    assert usage is not None
    cached = said.get("cache_read_input_tokens") or 0
    stored = said.get("cache_creation_input_tokens") or 0
    longer = (said.get("cache_creation") or {}).get("ephemeral_1h_input_tokens", 0)
    assert usage.input == said["input_tokens"] + cached + stored
    assert usage.output == said["output_tokens"]
    assert (usage.cached, usage.cache_write) == (cached, stored - longer)
    assert usage.cache_write_1h == longer
    thought = (said.get("output_tokens_details") or {}).get("thinking_tokens", 0)
    assert usage.reasoning == thought
    assert json.loads(usage.raw) == said
    assert problem_of(usage) == ""


def plain(block: dict[str, Any], family: str) -> tuple[Any, ...] | None:
    """A content block of Converse, said plainly."""
    if "text" in block:
        return ("text", block["text"], 0) if block["text"] else None
    if "citationsContent" in block:
        said = block["citationsContent"]
        text = "".join(piece["text"] for piece in said.get("content", ()))
        return ("text", text, len(said["citations"]))
    if "reasoningContent" in block:
        said = block["reasoningContent"]
        if "redactedContent" in said:
            sealed = base64.b64decode(said["redactedContent"]).decode()
            return ("thinking", "", "", sealed, family)
        said = said["reasoningText"]
        signature = said.get("signature", "")
        return ("thinking", said["text"], signature, "", family if signature else "")
    if "toolUse" in block and "type" not in block["toolUse"]:
        said = block["toolUse"]
        return ("tool", said["toolUseId"], said["name"], said["input"])
    return ("foreign", json.dumps(block, sort_keys=True))


def ours(part: Any) -> tuple[Any, ...]:
    """A part of an answer, said plainly."""
    if isinstance(part, Text):
        return ("text", part.text, len(part.citations))
    if isinstance(part, Thinking):
        return ("thinking", part.text, part.signature, part.data, part.family)
    if isinstance(part, ToolUse):
        return ("tool", part.id, part.name, json.loads(part.arguments))
    assert isinstance(part, Foreign)
    return ("foreign", json.dumps(json.loads(part.raw), sort_keys=True))


def family_of(case: Path) -> str:
    # Without a model's name a call would be to no family at all: this one was to Claude.
    model = recorded.meta(case)["model"]
    return "messages" if "anthropic" in model or model == "MODEL" else "converse"


def upstream_of(case: Path) -> str:
    model: str = recorded.meta(case)["model"]
    return "anthropic.claude-3-7-sonnet-20250219-v1:0" if model == "MODEL" else model


@recorded.parameters(cases("chat", "converse"))
def test_whole(case: Path) -> None:
    said = json.loads(body_of(case))
    answer = WIRE.read(call(upstream_of(case)), headers_of(case), body_of(case))
    blocks = said["output"]["message"]["content"]
    expected = [found for block in blocks if (found := plain(block, family_of(case)))]
    assert [ours(part) for part in answer.parts] == expected
    assert answer.reason == REASONS[said["stopReason"]]
    assert answer.service_tier == said.get("serviceTier", {}).get("type", "")
    assert answer.model == upstream_of(case)
    assert answer.id == headers_of(case).get("x-amzn-requestid", "")
    check_converse_usage(answer.usage, said["usage"])


def blocks_of(events: list[tuple[str, Any]]) -> list[dict[str, Any]]:
    """A stream's content blocks put together, as a whole answer would say them."""
    blocks: dict[int, dict[str, Any]] = {}
    for name, said in events:
        if name not in ("contentBlockStart", "contentBlockDelta"):
            continue
        block = blocks.setdefault(said["contentBlockIndex"], {})
        if name == "contentBlockStart":
            kind, start = next(iter(said["start"].items()))
            more = {"input": ""} if kind == "toolUse" else {"content": []}
            block[kind] = {**start, **more}
            continue
        delta = said["delta"]
        if "text" in delta:
            block["text"] = block.get("text", "") + delta["text"]
        elif "toolUse" in delta:
            block["toolUse"]["input"] += delta["toolUse"]["input"]
        elif "toolResult" in delta:
            block["toolResult"]["content"] += delta["toolResult"]
        elif "citation" in delta:
            cited = block.setdefault("citationsContent", {"citations": []})
            cited["citations"].append(delta["citation"])
        elif "redactedContent" in delta["reasoningContent"]:
            block["reasoningContent"] = delta["reasoningContent"]
        else:
            thought = block.setdefault("reasoningContent", {"reasoningText": {"text": ""}})
            for key, value in delta["reasoningContent"].items():
                thought["reasoningText"][key] = thought["reasoningText"].get(key, "") + value
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
        if "citationsContent" in block and "text" in block:
            block["citationsContent"]["content"] = [{"text": block.pop("text")}]
    return [blocks[index] for index in sorted(blocks)]


def streamed(part: dict[str, Any]) -> tuple[Any, ...]:
    """A part as the events told of it, said plainly."""
    opened = part["part"]
    if isinstance(opened, Text):
        return ("text", opened.text + part["text"], len(part["citations"]))
    if isinstance(opened, Thinking):
        family = part.get("family", opened.family)
        return ("thinking", opened.text + part["text"], part["signature"], opened.data, family)
    if isinstance(opened, ToolUse):
        return ("tool", opened.id, opened.name, json.loads(opened.arguments + part["text"]))
    return ours(opened)


@recorded.parameters(cases("chat_stream", "converse"))
def test_stream(case: Path) -> None:
    raw = body_of(case)
    events = messages_of(raw)
    by_name = dict(events)
    family = family_of(case)
    expected = [found for block in blocks_of(events) if (found := plain(block, family))]
    for pieces in splits(raw):
        reader = WIRE.reader(call(upstream_of(case), stream=True))
        found = told([e for piece in pieces for e in reader.feed(piece)] + list(reader.finish()))
        assert [streamed(part) for part in found["parts"]] == expected
        assert found["reason"] == REASONS[by_name["messageStop"]["stopReason"]]
        assert found["ended"]
        assert "fault" not in found
        check_converse_usage(found["usage"], by_name["metadata"]["usage"])
    counter = Interpreter(WIRE.reader(call(upstream_of(case))), Silent())
    counter.feed(raw)
    assert counter.complete
    assert plausible(found["usage"], counter.produced, counter.events) == ""


@recorded.parameters(cases("chat_stream", "converse"))
def test_cut(case: Path) -> None:
    raw = body_of(case)
    chance = random.Random(1)
    for end in [len(raw) - 1, 0, *(chance.randrange(len(raw)) for _ in range(20))]:
        reader = WIRE.reader(call(upstream_of(case), stream=True))
        found = told([*reader.feed(raw[:end]), *reader.finish()])
        assert not found["ended"]


@recorded.parameters(cases("chat", "bedrock_invoke"))
def test_invoke(case: Path) -> None:
    meta, body = recorded.meta(case), body_of(case)
    the_call = call(meta["model"], {"model": "m"}, operation="messages")
    if case.name in OF_THEIR_OWN:
        with pytest.raises(Fault, match="cannot be read"):
            INVOKE.parse(the_call, 200, headers_of(case), body)  # type: ignore[operator]
        return
    reply = INVOKE.parse(the_call, 200, headers_of(case), body)  # type: ignore[operator]
    assert reply.body == body
    check_messages_usage(reply.usage, json.loads(body)["usage"])
    check_envelope(case, stream=False)


@recorded.parameters(cases("chat_stream", "bedrock_invoke"))
def test_framed(case: Path) -> None:
    meta, raw = recorded.meta(case), body_of(case)
    said = [json.loads(base64.b64decode(held["bytes"])) for _, held in messages_of(raw)]
    for pieces in splits(raw):
        stream = InvokeStream(call(meta["model"], operation="messages", stream=True))
        out = b"".join([stream.feed(piece) for piece in pieces] + [stream.finish()])
        assert stream.fault is None
        if case.name in OF_THEIR_OWN:
            assert out == b""
            assert not stream.complete
            continue
        assert stream.complete
        check_events(out, said)
        start = next(event for event in said if event["type"] == "message_start")
        last = next(event for event in said if event["type"] == "message_delta")
        check_messages_usage(stream.usage, {**start["message"]["usage"], **last["usage"]})
        assert plausible(stream.usage, stream.produced, stream.events) == ""
    if case.name not in OF_THEIR_OWN:
        check_envelope(case, stream=True)


def check_events(out: bytes, said: list[dict[str, Any]]) -> None:
    """Every event as it was recorded, in order, named as its type, less the host's metrics."""
    events = list(sse.Splitter().feed(out))
    assert len(events) == len(said)
    for event, expected in zip(events, said, strict=True):
        expected.pop("amazon-bedrock-invocationMetrics", None)
        head, _, _ = event.partition(b"\n")
        assert head == b"event: " + expected["type"].encode()
        assert json.loads(sse.data_of(event) or b"") == expected


def check_envelope(case: Path, *, stream: bool) -> None:
    """The recorded request is what a client's body of the Messages wire becomes."""
    recorded_request = request_of(case)
    client = {"model": "claude", "stream": stream, **recorded_request}
    client.pop("anthropic_version")
    model = recorded.meta(case)["model"]
    request = INVOKE.build(call(model, client, operation="messages", stream=stream), KEY)
    assert json.loads(request.body) == recorded_request
    sent = recorded.meta(case)["url"].replace(":", "%3A")
    assert request.url.removeprefix("https://") == sent


@recorded.parameters(recorded.cases("bedrock", "embeddings"))
def test_vectors(case: Path) -> None:
    said, asked = json.loads(body_of(case)), request_of(case)
    model = recorded.meta(case)["model"]
    if "texts" in asked:
        client = {"input": asked.pop("texts"), "dimensions": asked.pop("output_dimension", None)}
        vectors = said["embeddings"]
        vectors = vectors["float"] if isinstance(vectors, dict) else vectors
        client |= asked
    elif "inputText" in asked:
        client = {"input": asked.pop("inputText"), "dimensions": asked.pop("dimensions"), **asked}
        vectors = [said["embedding"]]
    else:
        single = asked["singleEmbeddingParams"]
        client = {"input": single["text"]["value"], "dimensions": single["embeddingDimension"]}
        vectors = [found["embedding"] for found in said["embeddings"]]
    the_call = call(model, {"model": "slug", **client}, operation="embeddings")
    operation = ADAPTER.operations["embeddings"]
    sent = json.loads(operation.build(the_call, KEY).body)
    expected = request_of(case)
    if "taskType" in sent:  # what it is for is not said by OpenAI's clients
        expected["singleEmbeddingParams"]["embeddingPurpose"] = "GENERIC_INDEX"
    assert sent == expected
    reply = operation.parse(the_call, 200, headers_of(case), body_of(case))  # type: ignore[operator]
    answer = json.loads(reply.body)
    assert [row["embedding"] for row in answer["data"]] == vectors
    assert [row["index"] for row in answer["data"]] == list(range(len(vectors)))
    count = int(headers_of(case)["x-amzn-bedrock-input-token-count"])
    assert said.get("inputTextTokenCount", count) == count
    assert answer["usage"] == {"prompt_tokens": count, "total_tokens": count}
    assert (reply.usage.input, reply.usage.output, reply.usage.problem) == (count, 0, "")


@recorded.parameters(recorded.cases("bedrock", "count_tokens"))
def test_counts(case: Path) -> None:
    operation = ADAPTER.operations["count_tokens"]
    reply = operation.parse(call(), 200, headers_of(case), body_of(case))  # type: ignore[operator]
    assert json.loads(reply.body) == {"input_tokens": json.loads(body_of(case))["inputTokens"]}


@recorded.parameters(recorded.cases("bedrock", "error"))
def test_failures(case: Path) -> None:
    said = json.loads(body_of(case))
    (expected,) = {value for name, value in FAULTS.items() if case.name.startswith(name)}
    fault = WIRE.fault(recorded.meta(case)["status"], headers_of(case), body_of(case))
    assert (fault.kind.code, fault.cause) == expected
    assert fault.provider is not None
    assert fault.provider.status == recorded.meta(case)["status"]
    name = headers_of(case).get("x-amzn-errortype", "").partition(":")[0]
    assert fault.provider.type == (name or None)
    if expected[0] == "invalid_request":
        assert fault.message == said["message"]
    asked = request_of(case).get("input", {}).get("invokeModel")
    if asked is not None:
        envelope = json.loads(base64.b64decode(asked["body"]))
        client = {name: v for name, v in envelope.items() if name != "anthropic_version"}
        counted = ADAPTER.operations["count_tokens"].build(call(body=client), KEY)
        sent = json.loads(counted.body)["input"]["invokeModel"]["body"]
        assert json.loads(base64.b64decode(sent)) == envelope
