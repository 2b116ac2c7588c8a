"""Recorded traffic of the vendors on OpenAI's wire: read field by field beside a plain reading.

No traffic of MiniMax and Moonshot was recorded; fakes of theirs are in `test_vendor_*.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.meter import StreamMeter
from gateway.core.usage import decode_head, usage_of
from gateway.domain import Credential
from gateway.sdk import PASSTHROUGH, Translator
from tests import recorded
from tests.adapters.plain_vendors import (
    ADAPTERS,
    KNOWN,
    NATIVE,
    Read,
    assert_usage,
    call_for,
    cases,
    chunks_of,
    response,
    text_in,
    the_operation,
    usage_in,
)

pytestmark = recorded.needs_corpus

BROKEN = {
    "pydantic-ai-test_openrouter-test_openrouter_stream_error-0",
    "req_llm-groq-meta_llama_llama_4_scout_17b_16e_instruct-object_streaming-0",
    "pydantic-ai-test_groq-test_tool_use_failed_error_streaming_with_text-0",
}
SECRET = "sk-corpus-canary-0123456789abcdef"
EVERY_BYTE_UNDER = 8192


@recorded.parameters(cases("chat"))
def test_answer(case: Path) -> None:
    """Text, thought, calls, reason and usage of a whole answer are what was recorded."""
    raw = response(case)
    operation = the_operation(case)
    if operation.parse is PASSTHROUGH:
        body, found = raw, usage_of(decode_head(raw))
        usage = None if found is None else operation.usage(found)
        assert operation.fault_in(raw) is None
    else:
        reply = operation.parse(call_for(case, b"{}", stream=False), 200, {}, raw)
        body, usage = reply.body, reply.usage
    before, after = json.loads(raw), json.loads(body)
    expected = Read([before], normal=False).said
    assert expected
    assert Read([after], normal=True).said == expected
    assert_usage(case, usage, usage_in([before]))
    assert {**before, "choices": 0} == {**after, "choices": 0}
    for old, new in zip(before["choices"], after["choices"], strict=True):
        assert old.keys() <= new.keys() <= old.keys() | {"native_finish_reason"}
        assert new.get("finish_reason") in KNOWN


def opened(case: Path, show: bool) -> Translator:
    operation = the_operation(case)
    if operation.stream is PASSTHROUGH:
        return StreamMeter(
            hide_usage=not show, read_usage=operation.usage, fault_in=operation.fault_in
        )
    options = b'{"stream":true,"stream_options":{"include_usage":%s}}'
    stream: Translator = operation.stream(
        call_for(case, options % (b"true" if show else b"false"), stream=True)
    )
    return stream


def played(case: Path, pieces: list[bytes], show: bool = True) -> tuple[Any, ...]:
    stream = opened(case, show)
    out = b"".join(map(stream.feed, pieces)) + stream.finish()
    fault = stream.fault and (stream.fault.kind.code, stream.fault.message)
    counts = (stream.events, stream.produced)  # type: ignore[attr-defined]
    return out, stream.usage, stream.complete, fault, counts


def splits(case: Path, raw: bytes) -> Iterator[list[bytes]]:
    yield list(sse.Splitter().feed(raw))  # an event at a time, as unhurried streams come
    rng = random.Random(case.name)
    for _ in range(4):
        cuts = sorted(rng.randrange(len(raw)) for _ in range(rng.randrange(1, 60)))
        yield [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    if len(raw) < EVERY_BYTE_UNDER:
        yield [bytes([byte]) for byte in raw]


@recorded.parameters(cases("chat_stream"))
def test_stream(case: Path) -> None:
    """The same of a stream, however it was split; nothing else of it changes."""
    raw = response(case)
    objects = chunks_of(raw)
    whole = played(case, [raw])
    out, usage, complete, fault, _ = whole
    for pieces in splits(case, raw):
        assert played(case, pieces) == whole
    assert (fault is not None) is (case.name in BROKEN)
    assert_usage(case, usage, usage_in(objects))
    if fault is not None:
        good = [one for one in objects if "error" not in one]
        assert Read(chunks_of(out), normal=True).said == Read(good, normal=False).said
        return
    assert complete
    told = chunks_of(out)
    assert Read(told, normal=True).said == Read(objects, normal=False).said
    assert len(told) == len(objects)
    for old, new in zip(objects, told, strict=True):
        if "usage" in new and "usage" not in old:
            assert new.pop("usage") == old["x_groq"]["usage"]
        assert {**old, "choices": 0} == {**new, "choices": 0}
    hidden = played(case, [raw], show=False)
    assert hidden[1:] == whole[1:]
    kept = [one for one in told if one.get("choices") or not isinstance(one.get("usage"), dict)]
    assert chunks_of(hidden[0]) == kept


@recorded.parameters(cases("chat_stream"))
def test_a_cut_stream_is_not_complete(case: Path) -> None:
    """Cut anywhere before its last word on why it ends, it is a truncation."""
    raw = response(case)
    words = (b'"finish_reason":"', b'"choices":[],', b"[DONE]")
    # Some begin with a chunk that has no choices and tells of the prompt.
    marks = [at for word in words if (at := raw.find(word, 200)) > 0]
    end = min([*marks, len(raw)])
    for at in {end // 4, end // 2, end - 1}:
        stream = opened(case, True)
        stream.feed(raw[:at])
        stream.finish()
        assert not stream.complete


def requests() -> list[Path]:
    return [case for case in cases("chat", "chat_stream") if (case / "request.json").exists()]


# What an adapter may add, remove or rewrite of a recorded request, beside the model and the
# stream's options; everything else keeps its bytes.
CHANGED: dict[str, set[str]] = {
    "deepseek": {"thinking", "tool_choice", "messages"},
    "groq": set(),
    "mistral": {"messages"},
    "ollama": {"messages"},
    "openrouter": {"messages"},
    "zhipu": {"thinking", "tool_stream", "stop"},
}


@recorded.parameters(requests())
def test_request(case: Path) -> None:
    """A recorded request is written as the vendor took it, in every member but the named ones."""
    raw = (case / "request.json").read_bytes()
    body = JsonBody.parse(raw)
    stream = body.value("stream") is True
    operation = the_operation(case)
    credential = Credential("c", {"api_key": SECRET})
    call = call_for(case, raw, stream=stream)
    built = operation.build(call, credential)
    sent = JsonBody.parse(built.body)
    assert sent.value("model") == "upstream-model"
    may_change = {"model", "stream_options"} | CHANGED.get(case.parts[-3], set())
    for name in body.names():
        if name not in may_change and name not in built.adapted:
            assert sent.get(name) == body.get(name), name
    assert set(sent.names()) - set(body.names()) <= may_change
    for old, new in zip(body.value("messages"), sent.value("messages"), strict=True):
        assert "".join(text_in(old).split()) == "".join(text_in(new).split())
        assert old.get("tool_calls") == new.get("tool_calls")
    assert built.translated is False
    assert operation.build(call, credential) == built


@recorded.parameters(cases("embeddings", "completions"))
def test_embeddings(case: Path) -> None:
    """What no adapter changes passes, and its usage is read."""
    raw = response(case)
    operation = the_operation(case)
    if case.parts[-2] in ADAPTERS[case.parts[-3]].operations:
        assert operation.parse is PASSTHROUGH
    assert operation.fault_in(raw) is None
    found = usage_of(decode_head(raw))
    assert_usage(case, found and operation.usage(found), usage_in([json.loads(raw)]))


# case -> what it is, where the status alone does not say it
CAUSES = {
    "pydantic-ai-test_groq-test_tool_use_failed_error_with_text-0": "tool_use_failed",
    "req_llm-groq-llama3_70b_8192-basic-0": "model_gone",
    "req_llm-groq-llama_guard_3_8b-basic-0": "model_gone",
    "req_llm-groq-mistral_saba_24b-basic-0": "model_gone",
    "openllmetry-opentelemetry-instrumentation-openai-test_azure-test_chat_reasoning-1": (
        "deployment_not_found"
    ),
    "openllmetry-opentelemetry-instrumentation-openai-test_azure-test_prompt_content_filtering-0": (
        "content_policy"
    ),
}
BY_STATUS = {
    400: ("invalid_request", "refused_by_provider"),
    401: ("upstream_error", "credential_refused"),
    404: ("upstream_error", "status_404"),
    429: ("rate_limit_exceeded", "provider_rate_limit"),
    500: ("upstream_error", "status_500"),
    501: ("upstream_error", "status_501"),
}


@recorded.parameters(cases("error"))
def test_error(case: Path) -> None:
    """A refusal is of the right kind and cause, says something, and leaks nothing."""
    meta = recorded.meta(case)
    raw = response(case)
    operation = the_operation(case)
    if meta["status"] == 200:
        fault = operation.fault_in(raw)
    else:
        headers = {"x-canary": SECRET, "authorization": SECRET}
        fault = operation.fault(meta["status"], headers, raw)
    kind, cause = BY_STATUS.get(meta["status"], ("", ""))
    cause = CAUSES.get(case.name, cause)
    assert fault.cause == cause
    if cause == "content_policy":
        kind = "invalid_request"
    elif cause in ("tool_use_failed", "model_gone"):
        kind = "upstream_error"
    assert fault.kind.code == kind
    assert fault.provider.status == meta["status"]
    assert 10 < len(fault.message) < 600
    assert SECRET not in repr(fault) + fault.message
    assert "metadata" not in fault.message
    assert "Google" not in fault.message


@recorded.parameters(sorted(NATIVE))
def test_left_out(case: Path) -> None:
    """What is not replayed is of the one wire that is named, and of one vendor."""
    assert case.parts[-3] == "ollama"
    assert recorded.meta(case)["url"].split("/", 1)[1].startswith("api/")
