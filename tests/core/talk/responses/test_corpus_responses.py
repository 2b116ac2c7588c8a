"""Recorded Responses traffic, read, written and read again, and passed through."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk import responses
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.model import Foreign, Losses
from gateway.errors import Fault
from tests import recorded
from tests.core.talk.reading import (
    check_order,
    pieces_of,
    read_response,
    read_response_events,
)

HOSTS = ("azure", "bedrock_mantle", "deepseek", "llamacpp", "openai", "openrouter", "xai")
BODY = JsonBody(b"{}")

pytestmark = recorded.needs_corpus


def found(*operations: str) -> list[Path]:
    return [case for host in HOSTS for case in recorded.cases(host, *operations)]


def stream_of(case: Path) -> bytes:
    file = recorded.response_file(case)
    data = file.read_bytes()
    if file.name != "response.chunks.jsonl":
        return data
    lines = [line for line in data.splitlines() if line.strip()]
    return b"".join([sse.event(line, json.loads(line)["type"]) for line in lines])


def splits_of(data: bytes) -> list[list[bytes]]:
    splits = [[data]] + [pieces_of(data, random.Random(seed)) for seed in range(3)]
    if len(data) < 8_192:
        splits.append([data[n : n + 1] for n in range(len(data))])
    return splits


def words_of(thinking: str) -> str:
    return re.sub(r"\[[^\]]*\]|\n", "", thinking)


def counted(usage: Any) -> tuple[int, int, int, int]:
    return usage.input, usage.output, usage.cached, usage.reasoning


def given(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    cached = (usage.get("input_tokens_details") or {}).get("cached_tokens") or 0
    reasoning = (usage.get("output_tokens_details") or {}).get("reasoning_tokens") or 0
    return usage["input_tokens"], usage["output_tokens"], cached, reasoning


@recorded.parameters(found("responses", "responses_retrieve"))
def test_answer(case: Path) -> None:
    """A whole answer says the same after it was read and written, its figures too."""
    raw = recorded.response_file(case).read_bytes()
    if raw.startswith((b"event:", b"data:")):
        return  # a stream taken up again: the other tests' business
    body = json.loads(raw)
    if body.get("object") != "response":
        assert body.get("object") == "response.compaction" or body.get("error")
        return
    if body.get("status") in ("failed", "cancelled"):
        with pytest.raises(Fault):
            responses.read_answer(raw)
        return
    if body.get("status") not in ("completed", "incomplete"):
        assert body["status"] in ("queued", "in_progress")  # background work, asked about
        return
    said = read_response(body)
    answer = responses.read_answer(raw)
    written = json.loads(responses.write_answer(BODY, answer))
    heard = read_response(written)
    before, said.usage, heard.usage = said.usage, None, None
    assert heard == said
    assert written["id"].endswith(body["id"])
    if before:
        assert answer.usage is not None
        if min(given(before)) < 0:
            assert answer.usage.problem
        else:
            assert counted(answer.usage) == given(before) == given(written["usage"])


@recorded.parameters(found("responses_stream"))
def test_stream(case: Path) -> None:
    """A stream says the same however its bytes are cut, every event complete and in order."""
    data = stream_of(case)
    said = read_response_events(data)
    for cuts in splits_of(data):
        writer = responses.Writer(BODY)
        between = Interpreter(responses.Reader(), writer)
        out = b"".join([between.feed(piece) for piece in cuts]) + between.finish()
        if said.error:
            assert between.fault is not None
            continue
        check_order(out)
        heard = read_response_events(out)
        assert heard == read_response(json.loads(writer.final))
        before, heard.usage = said.usage, None
        assert (heard.text, heard.tools, heard.refusal) == (said.text, said.tools, said.refusal)
        assert heard.finish == said.finish
        # Sealed anew in every event that shows it, so that only the words compare.
        assert words_of(heard.thinking) == words_of(said.thinking)
        assert heard.sources == said.sources
        assert between.complete
        if before:
            assert between.usage is not None
            assert counted(between.usage) == given(before)


@recorded.parameters(found("responses_stream"))
def test_passed(case: Path) -> None:
    """A stream that passes keeps every byte, and is counted on its way."""
    data = stream_of(case)
    said = read_response_events(data)
    for cuts in splits_of(data):
        meter = responses.ResponsesMeter()
        out = b"".join([meter.feed(piece) for piece in cuts]) + meter.finish()
        if said.error:
            assert meter.fault is not None
            continue
        assert out == data
        assert meter.complete
        assert json.loads(meter.final)["output"] is not None
        if said.usage:
            assert counted(meter.usage) == given(said.usage)


@recorded.parameters(
    [case for case in found("responses", "responses_stream") if (case / "request.json").exists()]
)
def test_request(case: Path) -> None:
    """A request that stays in its dialect keeps its meaning; what doesn't is named or refused."""
    body = JsonBody.parse((case / "request.json").read_bytes())
    losses = Losses()
    refused = [
        name for name in ("previous_response_id", "conversation", "prompt") if body.value(name)
    ]
    referring = b'"item_reference"' in body.raw
    if refused or referring:
        with pytest.raises(Fault):
            responses.read_request(body, losses)
        return
    talk = responses.read_request(body, losses)
    talk.model = str(body.value("model"))
    again = responses.read_request(JsonBody.parse(responses.write_request(talk, losses)), Losses())
    for before, after in zip(talk.tools, again.tools, strict=True):
        if not isinstance(before, Foreign):
            before.strict = before.strict is True  # said in any case
            before.schema = before.schema or b'{"type":"object","properties":{}}'
        assert after == before
    assert [(m.role, len(m.parts)) for m in again.messages if m.parts] == [
        (m.role, len(m.parts)) for m in talk.messages if m.parts
    ] or losses.names
    for name in ("max_tokens", "temperature", "top_p", "effort", "verbosity", "user", "cache_key"):
        assert getattr(again, name) == getattr(talk, name) or losses.names
