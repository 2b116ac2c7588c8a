"""Real recorded traffic passes through our adapters unchanged, and is read right."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.meter import StreamMeter
from gateway.core.money.checks import plausible, problem_of
from gateway.core.usage import decode_head, usage_of
from gateway.domain import Credential, Usage
from gateway.sdk import PASSTHROUGH, Adapter, Call
from providers_plugins import compatible
from providers_plugins.openai import ADAPTER as OPENAI
from providers_plugins.xai import ADAPTER as XAI
from tests import recorded

ADAPTERS: dict[str, Adapter] = {
    "llamacpp": compatible.GENERIC,
    "openai": OPENAI,
    "perplexity": compatible.GENERIC,
    "snowflake": compatible.GENERIC,
    "together": compatible.GENERIC,
    "venice": compatible.GENERIC,
    "xai": XAI,
}
# What each adapter says it changes, beside the model and the stream's options.
CHANGED: dict[str, set[str]] = {}
PLAIN = ("chat", "completions", "embeddings")
STREAMED = ("chat_stream", "completions_stream")
EVERY_BYTE_UNDER = 8192
SECRET = "sk-corpus-canary-0123456789abcdef"
EXPECTED_KIND = {400: "invalid_request", 422: "invalid_request", 413: "request_too_large"}

pytestmark = recorded.needs_corpus


def cases(*operations: str) -> list[Path]:
    return [case for provider in ADAPTERS for case in recorded.cases(provider, *operations)]


def parameters(*operations: str) -> Any:
    return recorded.parameters(cases(*operations))


def adapter_of(case: Path) -> Adapter:
    return ADAPTERS[case.parts[-3]]


def operation_of(case: Path) -> str:
    return case.parts[-2].removesuffix("_stream")


# Recorded, and yet impossible. Such calls are charged by our own count, and flagged.
INCREDIBLE: set[str] = set()
# This host writes every member of a delta, most of them null, so that our measure of what passed
# exceeds what it counts. Its figures are right; ours would be flagged.
VERBOSE = {
    "rig-venice-conformance-streaming_structured_after_tool-0",
    "rig-venice-raw_stream_capture_matrix-stream_raw_round_trips_terminal_type-0",
}


def the_operation(case: Path) -> Any:
    """The adapter's own, or the plain wire where it does not offer this one."""
    found = adapter_of(case).operations
    return found.get(operation_of(case)) or found["chat"]


def response(case: Path) -> bytes:
    (found,) = case.glob("response.*")
    data = found.read_bytes()
    if found.name != "response.chunks.jsonl":
        return data
    events = [sse.event(line) for line in data.splitlines() if line.strip()]
    return b"".join(events) + b"data: [DONE]\n\n"


def requests() -> list[Path]:
    return [case for case in cases(*PLAIN, *STREAMED) if (case / "request.json").exists()]


@pytest.mark.parametrize("case", requests(), ids=recorded.case_id)
def test_request(case: Path) -> None:
    """The request keeps every member, byte for byte, but those that the adapter declares."""
    raw = (case / "request.json").read_bytes()
    body = JsonBody.parse(raw)
    stream = body.value("stream") is True
    operation = the_operation(case)
    call = Call(operation_of(case), "upstream-model", "https://u.example", body, stream=stream)
    credential = Credential("c", {"api_key": SECRET})
    built = operation.build(call, credential)
    sent = JsonBody.parse(built.body)
    assert sent.value("model") == "upstream-model"
    may_change = {"model", "stream_options"} | CHANGED.get(case.parts[-3], set())
    for name in body.names():
        if name not in may_change:
            assert sent.get(name) == body.get(name)
    assert set(sent.names()) - set(body.names()) <= may_change
    if stream:
        assert sent.value("stream_options")["include_usage"] is True
    before, after = body.value("messages") or [], sent.value("messages") or []
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        assert {**old, "role": ""} == {**new, "role": ""}
    assert JsonBody.parse(raw).raw == raw
    assert operation.build(call, credential) == built


def counted_by(provider: str, usage: dict[str, Any]) -> tuple[int, int, int]:
    """Input, output and cached tokens: an independent reading of a usage object."""

    def whole(value: Any) -> int:
        return value if type(value) is int else 0

    given = whole(usage.get("prompt_tokens"))
    answered = whole(usage.get("completion_tokens"))
    prompt = usage.get("prompt_tokens_details") or {}
    answer = usage.get("completion_tokens_details") or {}
    cached = whole(prompt.get("cached_tokens")) or whole(usage.get("prompt_cache_hit_tokens"))
    if provider == "xai":
        reasoning = whole(answer.get("reasoning_tokens"))
        total = whole(usage.get("total_tokens"))
        answered = total - given
        assert answered in (
            whole(usage.get("completion_tokens")),
            whole(usage.get("completion_tokens")) + reasoning,
        )
    return given, answered, cached


def last_usage(payloads: list[bytes]) -> dict[str, Any] | None:
    found = None
    for payload in payloads:
        try:
            chunk = json.loads(payload)
        except ValueError:
            continue
        for holder in (*(chunk.get("choices") or ()), chunk):
            if isinstance(holder.get("usage"), dict):
                found = holder["usage"]
    return found


@parameters(*PLAIN)
def test_answer(case: Path) -> None:
    """A whole answer is read as it says, and holds no fault."""
    raw = response(case)
    operation = the_operation(case)
    assert operation.parse is PASSTHROUGH
    head = decode_head(raw)
    assert head.choices or operation.fault_in(raw) is None
    expected = last_usage([raw])
    found = usage_of(head)
    if expected is None:
        assert found is None
        return
    usage = operation.usage(found)
    assert (usage.input, usage.output, usage.cached) == counted_by(case.parts[-3], expected)
    assert json.loads(usage.raw) == expected
    assert problem_of(inside(case, usage)) == ""


def inside(case: Path, usage: Usage) -> Usage:
    """Usage as it is settled: what the provider counts beside the input is part of it."""
    if adapter_of(case).cached_inside_input:
        return usage
    whole_input = usage.input + usage.cached + usage.cache_write + usage.cache_write_1h
    return msgspec.structs.replace(usage, input=whole_input)


def metered(case: Path, pieces: list[bytes], hide: bool) -> tuple[Any, ...]:
    operation = the_operation(case)
    meter = StreamMeter(hide_usage=hide, read_usage=operation.usage, fault_in=operation.fault_in)
    out = b"".join(map(meter.feed, pieces)) + meter.finish()
    fault = meter.fault and meter.fault.message
    return out, meter.usage, meter.complete, meter.events, fault


@parameters(*STREAMED)
def test_stream(case: Path) -> None:
    """A stream passes unchanged however it was split; its usage and its end are found."""
    raw = response(case)
    shown = metered(case, [raw], hide=False)
    assert shown[0] == raw
    payloads = [sse.data_of(event) or b"" for event in sse.Splitter().feed(raw)]
    failed = any(b'"error":{"' in payload and b'"choices"' not in payload for payload in payloads)
    assert (shown[4] is not None) is failed
    assert shown[2] is True or failed
    expected = last_usage(payloads)
    if expected is None:
        assert shown[1] is None
    else:
        usage = shown[1]
        assert (usage.input, usage.output, usage.cached) == counted_by(case.parts[-3], expected)
        assert bool(problem_of(inside(case, usage))) is (case.name in INCREDIBLE)
        meter = StreamMeter(hide_usage=False)
        meter.feed(raw)
        too_much = plausible(usage, meter.produced, meter.events)
        assert bool(too_much) is (case.name in VERBOSE)
    hidden = metered(case, [raw], hide=True)
    assert hidden[1:] == shown[1:]
    rng = random.Random(case.name)
    for _ in range(5):
        cuts = sorted(rng.randrange(len(raw)) for _ in range(rng.randrange(1, 60)))
        pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
        assert metered(case, pieces, hide=True) == hidden
    if len(raw) < EVERY_BYTE_UNDER:
        assert metered(case, [bytes([b]) for b in raw], hide=True) == hidden
        for at in range(1, len(raw)):
            assert metered(case, [raw[:at], raw[at:]], hide=True) == hidden


@parameters("error")
def test_error(case: Path) -> None:
    """A refusal becomes a fault of the right kind that says something and leaks nothing."""
    meta = json.loads((case / "meta.json").read_text())
    raw = response(case)
    operation = the_operation(case)
    status = meta["status"]
    if status is None or status < 400:
        fault = operation.fault_in(raw)
        assert fault is not None
        assert fault.kind.code == "upstream_error"
    else:
        headers = {**(meta["response_headers"] or {}), "x-canary": SECRET, "authorization": SECRET}
        fault = operation.fault(status, headers, raw)
        kind = EXPECTED_KIND.get(status, "upstream_error")
        if status == 429 and fault.cause != "credential_exhausted":
            kind = "rate_limit_exceeded"
        assert fault.kind.code == kind
        assert fault.provider.status == status
        if status in (401, 402, 403):
            assert fault.cause == "credential_refused"
    assert len(fault.message) > 10
    assert len(fault.message) < 600
    assert SECRET not in repr(fault) + fault.message
