"""Recorded Messages traffic, read, written and read again, and passed through."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk import messages
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.model import Losses
from gateway.domain import Credential
from gateway.sdk import Call
from providers_plugins.anthropic import ADAPTER
from tests import recorded
from tests.core.talk.reading import pieces_of, read_message, read_message_events

BODY = JsonBody(b"{}")
SECRET = "sk-corpus-canary-0123456789abcdef"

pytestmark = recorded.needs_corpus


def found(*operations: str) -> list[Path]:
    return recorded.cases("anthropic", *operations)


def stream_of(case: Path) -> bytes:
    file = recorded.response_file(case)
    data = file.read_bytes()
    if file.name != "response.chunks.jsonl":
        return data
    events = [(json.loads(line)["type"], line) for line in data.splitlines() if line.strip()]
    return b"".join([sse.event(line, kind) for kind, line in events])


def splits_of(data: bytes) -> list[list[bytes]]:
    splits = [[data]] + [pieces_of(data, random.Random(seed)) for seed in range(3)]
    if len(data) < 8_192:
        splits.append([data[n : n + 1] for n in range(len(data))])
    return splits


def whole_usage(given: dict[str, Any]) -> tuple[int, int, int, int]:
    cached = given.get("cache_read_input_tokens") or 0
    written = given.get("cache_creation_input_tokens") or 0
    return given["input_tokens"] + cached + written, given["output_tokens"], cached, written


def counted(usage: Any) -> tuple[int, int, int, int]:
    return usage.input, usage.output, usage.cached, usage.cache_write + usage.cache_write_1h


@recorded.parameters(found("chat"))
def test_answer(case: Path) -> None:
    """A whole answer says the same after it was read and written, its figures too."""
    raw = recorded.response_file(case).read_bytes()
    said = read_message(json.loads(raw))
    answer = messages.read_answer(raw)
    heard = read_message(json.loads(messages.write_answer(BODY, answer)))
    given, shown = said.usage or {}, heard.usage or {}
    said.usage = heard.usage = None
    assert heard == said
    assert counted(answer.usage) == whole_usage(given) == whole_usage(shown)
    assert answer.usage is not None
    assert not answer.usage.problem


@recorded.parameters(found("chat_stream"))
def test_stream(case: Path) -> None:
    """A stream says the same however its bytes are cut, and ends with the whole usage."""
    data = stream_of(case)
    for cuts in splits_of(data):
        between = Interpreter(messages.Reader(), messages.Writer(BODY))
        out = b"".join([between.feed(piece) for piece in cuts]) + between.finish()
        heard, said = read_message_events(out), read_message_events(data)
        given, shown = said.usage or {}, heard.usage or {}
        said.usage = heard.usage = None
        assert heard == said
        assert between.complete
        assert counted(between.usage) == whole_usage(given) == whole_usage(shown)


@recorded.parameters(found("chat_stream"))
def test_passed(case: Path) -> None:
    """A stream that passes keeps every byte, and is counted on its way."""
    data = stream_of(case)
    for cuts in splits_of(data):
        meter = messages.MessagesMeter()
        assert b"".join([meter.feed(piece) for piece in cuts]) + meter.finish() == data
        assert meter.complete
        assert counted(meter.usage) == whole_usage(read_message_events(data).usage or {})


REQUESTS = [c for c in found("chat", "chat_stream") if (c / "request.json").exists()]


@recorded.parameters(REQUESTS)
def test_request(case: Path) -> None:
    """A request that stays in its dialect keeps its meaning; what doesn't is named."""
    body = JsonBody.parse((case / "request.json").read_bytes())
    losses = Losses()
    talk = messages.read_request(body, losses)
    talk.model, talk.stream = str(body.value("model")), body.value("stream") is True
    traits = messages.Traits(adaptive=True, xhigh=True)
    written = json.loads(messages.write_request(talk, losses, traits))
    before, after = plain(json.loads(body.raw)), plain(written)
    for name in before | after:
        lost = {"messages" if n.startswith("tool_result") else n for n in losses.names}
        named = any(one.split(".")[0] == name for one in lost)
        assert after.get(name) == before.get(name) or named, name


@recorded.parameters(REQUESTS)
def test_request_passed(case: Path) -> None:
    """Between a client and a provider of this dialect nothing changes but the model's name."""
    body = JsonBody.parse((case / "request.json").read_bytes())
    call = Call("messages", "up", "https://u.example", body)
    built = ADAPTER.operations["messages"].build(call, Credential("c", {"api_key": SECRET}))
    sent = JsonBody.parse(built.body)
    assert sent.value("model") == "up"
    assert {name: sent.get(name) for name in body.names() if name != "model"} == {
        name: body.get(name) for name in body.names() if name != "model"
    }
    assert SECRET not in built.url
    assert SECRET.encode() not in built.body


@recorded.parameters(found("error"))
def test_error(case: Path) -> None:
    """Every recorded refusal is read as what it is, and its text reaches whom it concerns."""
    status = recorded.meta(case)["status"]
    body = recorded.response_file(case).read_bytes()
    fault = ADAPTER.operations["messages"].fault(status, {}, body)
    assert fault.provider is not None
    assert fault.provider.status == status
    if status in (400, 413):
        assert fault.kind.status == status
    if status == 400:
        assert json.loads(body)["error"]["message"][:20] in fault.message


@recorded.parameters(found("count_tokens"))
def test_counted(case: Path) -> None:
    """A count of tokens passes as it came."""
    operation = ADAPTER.operations["count_tokens"]
    body = JsonBody.parse((case / "request.json").read_bytes())
    built = operation.build(Call("count_tokens", "up", "https://u.example", body), Credential("c"))
    assert built.url == "https://u.example/v1/messages/count_tokens"
    assert operation.fault_in(recorded.response_file(case).read_bytes()) is None


def plain(request: dict[str, Any]) -> dict[str, Any]:
    """The request in the one spelling that our writer uses."""
    given = {name: value for name, value in request.items() if value is not None}
    if given.get("stream") is False:
        del given["stream"]
    if given.get("tool_choice", {}).get("disable_parallel_tool_use") is False:
        del given["tool_choice"]["disable_parallel_tool_use"]
    if given.get("system") == "":
        del given["system"]
    system = given.get("system")
    if isinstance(system, list) and len(system) == 1 and set(system[0]) == {"type", "text"}:
        given["system"] = system[0]["text"]
    turns: list[dict[str, Any]] = []
    for message in given["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [_plain_block(block) for block in blocks if block.get("text") != ""]
        if turns and turns[-1]["role"] == message["role"]:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": message["role"], "content": blocks})
    given["messages"] = turns
    for tool in given.get("tools", []):
        tool.pop("type", None) if tool.get("type") == "custom" else None
        _plain_cache(tool)
    given = {name: value for name, value in given.items() if value not in ([], {})}
    if isinstance(given.get("thinking"), dict):
        given["thinking"].pop("display", None)
    return given


def _plain_cache(block: dict[str, Any]) -> None:
    control = block.get("cache_control")
    if control is None:
        block.pop("cache_control", None)
    elif control.get("ttl") == "5m":
        del control["ttl"]


def _plain_block(block: dict[str, Any]) -> dict[str, Any]:
    block = {name: value for name, value in block.items() if value is not None}
    _plain_cache(block)
    if block["type"] == "tool_result":
        content = block.get("content")
        if isinstance(content, list) and len(content) == 1 and content[0]["type"] == "text":
            block["content"] = content[0]["text"]
        if block.get("is_error") is False:
            del block["is_error"]
    if block["type"] == "text":
        block.pop("citations", None)  # an answer's own sources are no part of the next request
    return block
