"""Recorded responses are read field by field as they say, written again, and passed untouched."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.core.talk.events import Broke, Ended, Event
from gateway.core.talk.model import Losses
from gateway.core.talk.responses import (
    Reader,
    ResponsesMeter,
    Writer,
    read_answer,
    read_request,
    write_answer,
    write_request,
)
from gateway.core.talk.responses.answers import answer_events
from gateway.errors import Fault
from tests import recorded
from tests.core.talk.responses.plain_responses import (
    Said,
    collected,
    figures,
    framed,
    meaning,
    plain_answer,
    plain_end,
    plain_stream,
    told,
)

pytestmark = recorded.needs_corpus

PROVIDERS = {
    "openai": ("responses", "responses_stream", "responses_retrieve"),
    "azure": ("responses", "responses_stream"),
    "xai": ("responses", "responses_stream"),
    "deepseek": ("responses", "responses_stream"),
    "openrouter": ("responses", "responses_stream"),
    "llamacpp": ("responses",),
    "bedrock_mantle": ("responses", "responses_stream"),
}
ALL = [case for name, operations in PROVIDERS.items() for case in recorded.cases(name, *operations)]
WHOLE = [case for case in ALL if recorded.response_file(case).suffix == ".json"]
STREAMED = [case for case in ALL if recorded.response_file(case).suffix != ".json"]
BODY = JsonBody(b'{"model":"m","input":"hello"}')
# Recordings that hold no response object, with the reason.
NO_ANSWER = {"vercel-ai-openai-responses-openai-error.1-0": "an error body"}
# Recordings whose usage can't be: it must be seen, not billed.
IMPOSSIBLE = {"req_llm-openai-o4_mini_deep_research-usage-0": "-9 tokens of output"}
# Still queued when they were recorded: their written form is a failure.
QUEUED = {"queued", "in_progress", "cancelled"}


def pieces(data: bytes, seed: int) -> list[bytes]:
    chance = random.Random(seed)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(60))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def splits(data: bytes) -> list[list[bytes]]:
    ways = [[data], pieces(data, 1), pieces(data, 2)]
    if len(data) < 8_000:
        ways.append([data[i : i + 1] for i in range(len(data))])
    return ways


def heard(chunks: list[bytes]) -> list[Event]:
    reader = Reader()
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events + list(reader.finish())


@recorded.parameters(WHOLE)
def test_answer(case: Path) -> None:
    """A whole answer is read as it says, and means the same once written and read again."""
    raw = recorded.response_file(case).read_bytes()
    if case.name in NO_ANSWER:
        with pytest.raises(Fault):
            read_answer(raw)
        return
    response = json.loads(raw)
    answer = read_answer(raw)
    expected = plain_answer(response)
    if case.name in IMPOSSIBLE:
        assert answer.usage is not None
        assert answer.usage.problem
        return
    assert meaning(answer) == expected
    assert answer.created == int(response["created_at"])
    assert answer.usage is None or answer.usage.problem == ""
    if response.get("status") in QUEUED:
        assert json.loads(write_answer(BODY, answer))["status"] == "failed"
        return
    again = meaning(read_answer(write_answer(BODY, answer)))
    assert again == replaced(expected, again)
    told_again = meaning(collected(heard([written(list(answer_events(answer)))[0]])))
    assert told_again == again


def replaced(expected: Said, again: Said) -> Said:
    """What was meant, under the id that the gateway gave it."""
    assert again.id.startswith("resp_")
    assert again.id.endswith(expected.id.removeprefix("resp_"))
    return Said(**{**vars(expected), "id": again.id, "model": expected.model or "m"})


def written(events: list[Event]) -> tuple[bytes, Writer]:
    writer = Writer(BODY)
    return b"".join(writer.write(event) for event in events), writer


@recorded.parameters(STREAMED)
def test_stream(case: Path) -> None:
    """A stream is read as it says, however it is split, and means the same once written."""
    data, plain = framed(case), told(case)
    ways = [heard(chunks) for chunks in splits(data)]
    assert all(repr(way) == repr(ways[0]) for way in ways)
    if plain[-1]["type"] == "response.failed":
        assert isinstance(ways[0][-1], Broke)
        assert not any(isinstance(event, Ended) for event in ways[0])
        return
    expected = plain_stream(plain)
    out, writer = written(heard([data]))
    assert meaning(collected(ways[0])) == expected
    assert isinstance(ways[0][-1], Ended)
    numbers = [json.loads(line[6:])["sequence_number"] for line in lines(out)]
    assert numbers == list(range(len(numbers)))
    again = meaning(collected(heard([out])))
    assert again == replaced(expected, again)
    assert meaning(read_answer(writer.final)) == again


def lines(out: bytes) -> list[bytes]:
    return [line for line in out.split(b"\n") if line.startswith(b"data: ")]


@recorded.parameters(STREAMED)
def test_truncation(case: Path) -> None:
    """A stream that is cut before its last event has no end."""
    data = framed(case)
    last = max(
        data.rfind(f"response.{end}".encode()) for end in ("completed", "incomplete", "fail")
    )
    cut = data[: data.rfind(b"data:", 0, last)] if b"data:" in data[:last] else b""
    assert not any(isinstance(event, Ended) for event in heard([cut]))
    meter = ResponsesMeter()
    meter.feed(cut)
    meter.finish()
    assert not meter.complete


@recorded.parameters(STREAMED)
def test_meter(case: Path) -> None:
    """Bytes pass as they are, and the meter knows the usage, the end and the failure."""
    data, plain = framed(case), told(case)
    for chunks in splits(data):
        meter = ResponsesMeter()
        assert b"".join([*map(meter.feed, chunks), meter.finish()]) == data
        failed = plain[-1]["type"] == "response.failed"
        assert (meter.fault is not None) == failed
        assert meter.complete != failed
        response = plain[-1]["response"]
        assert json.loads(meter.final) == response
        said = Said()
        plain_end(response, said)
        assert figures(meter.usage) == said.usage
        assert meter.produced > 0 or not any("delta" in event for event in plain)
        assert meter.sequence == plain[-1]["sequence_number"] + 1


ASKED = [case for case in ALL if (case / "request.json").exists()]
# Requests that this gateway can't translate: they lean on the provider's own store.
LEANING = ("previous_response_id", "conversation", "prompt")


@recorded.parameters(ASKED)
def test_request(case: Path) -> None:
    """What a client asked is asked again: the same turns, tools and limits, or a named loss."""
    raw = (case / "request.json").read_bytes()
    asked = json.loads(raw)
    losses = Losses()
    if any(asked.get(name) for name in LEANING):
        with pytest.raises(Fault):
            read_request(JsonBody.parse(raw), losses)
        return
    talk = read_request(JsonBody.parse(raw), losses)
    again = json.loads(write_request(talk, losses))
    assert again["model"] == asked["model"]
    assert spoken(again) == spoken(asked)
    ceiling = asked.get("max_output_tokens")
    assert again.get("max_output_tokens") == (None if ceiling is None else max(16, ceiling))
    for name in ("temperature", "top_p", "parallel_tool_calls"):
        assert again.get(name) == asked.get(name)
    assert [tool_of(tool) for tool in again.get("tools", [])] == [
        tool_of(tool) for tool in asked.get("tools") or []
    ]
    missing = {name for name, value in asked.items() if value is not None} - again.keys()
    lost = {name.partition("[")[0].partition(".")[0] for name in losses.names}
    assert missing <= lost | {"instructions", "stream", "truncation", "stream_options"}


def tool_of(tool: dict[str, Any]) -> tuple[Any, ...]:
    if tool["type"] != "function":
        return (json.dumps(tool),)
    tool = tool | tool.get("function", {})
    return tool["name"], tool.get("description"), json.dumps(tool["parameters"])


def spoken(asked: dict[str, Any]) -> list[tuple[str, ...]]:
    """Every word, call and result of a request's turns, in order."""
    found: list[tuple[str, ...]] = []
    if asked.get("instructions"):
        found.append(("system", asked["instructions"]))
    given = asked["input"]
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    for item in given:
        found += spoken_item(item)
    return found


def spoken_item(item: dict[str, Any]) -> list[tuple[str, ...]]:
    kind = item.get("type", "message")
    if kind == "message":
        role = {"developer": "system"}.get(item["role"], item["role"])
        content = item["content"]
        if isinstance(content, str):
            return [(role, content)]
        return [(role, part.get("text") or json.dumps(part)[-200:]) for part in content]
    if kind == "function_call":
        return [(kind, item["call_id"], item["name"], item["arguments"])]
    if kind == "function_call_output":
        return [(kind, item["call_id"], item["output"])]
    if kind == "reasoning":
        sealed = item.get("encrypted_content")
        return [(kind, sealed)] if sealed else []
    return [(kind, json.dumps(item))]
