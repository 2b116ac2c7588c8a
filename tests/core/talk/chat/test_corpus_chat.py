"""Recorded chat traffic of every host, read, written and read again: nothing is lost on the way."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.talk import chat
from gateway.core.talk.interpret import Interpreter
from gateway.core.talk.model import Losses
from gateway.core.usage import openai_usage
from tests import recorded
from tests.core.talk.reading import Plain, pieces_of, read_chat_answer, read_chat_events

HOSTS = (
    "alibaba", "azure", "cerebras", "crusoe", "deepseek", "groq", "huggingface", "llamacpp",
    "mistral", "ollama", "openai", "openrouter", "perplexity", "snowflake", "together", "venice",
    "xai", "zhipu",
)  # fmt: skip
WANTS_USAGE = JsonBody(b'{"stream_options":{"include_usage":true}}')

pytestmark = recorded.needs_corpus


def on_this_wire(case: Path) -> bool:
    """Some hosts were recorded on wires of their own as well."""
    if "chat/completions" not in (recorded.meta(case)["url"] or "chat/completions"):
        return False
    return b'"choices"' in recorded.response_file(case).read_bytes()


def found(*operations: str) -> list[Path]:
    return [c for host in HOSTS for c in recorded.cases(host, *operations) if on_this_wire(c)]


def stream_of(case: Path) -> bytes:
    file = recorded.response_file(case)
    data = file.read_bytes()
    if file.name != "response.chunks.jsonl":
        return data
    events = [sse.event(line) for line in data.splitlines() if line.strip()]
    return b"".join(events) + b"data: [DONE]\n\n"


def told(data: bytes, cuts: list[bytes]) -> tuple[Plain, Interpreter]:
    del data
    between = Interpreter(chat.Reader(), chat.Writer(WANTS_USAGE))
    out = b"".join([between.feed(piece) for piece in cuts]) + between.finish()
    return read_chat_events(out), between


@recorded.parameters(found("chat"))
def test_answer(case: Path) -> None:
    """A whole answer says the same after it was read and written."""
    raw = recorded.response_file(case).read_bytes()
    said = read_chat_answer(json.loads(raw))
    answer = chat.read_answer(raw)
    heard = read_chat_answer(json.loads(chat.write_answer(WANTS_USAGE, answer)))
    said.finish = heard.finish if said.finish in ("", "eos", None) else said.finish
    heard.usage, given = None, said.usage
    said.usage = None
    assert heard == said
    if given:
        assert answer.usage == openai_usage(json.dumps(given, separators=(",", ":")).encode()) or (
            answer.usage is not None and answer.usage.output == given["completion_tokens"]
        )


@recorded.parameters(found("chat_stream"))
def test_stream(case: Path) -> None:
    """A stream says the same however its bytes are cut."""
    data = stream_of(case)
    said = read_chat_events(data)
    splits = [[data]] + [pieces_of(data, random.Random(seed)) for seed in range(3)]
    if len(data) < 8_192:
        splits.append([data[n : n + 1] for n in range(len(data))])
    for cuts in splits:
        heard, between = told(data, cuts)
        if said.error:
            assert between.fault is not None
            continue
        given = said.usage
        said.usage = heard.usage = None
        said.finish = said.finish or "stop"  # one host ends with [DONE] alone
        assert heard == said
        said.usage = given
        assert between.complete
        if given:
            assert between.usage is not None
            assert between.usage.output == given.get("completion_tokens", 0)


# Recorded with a body that is no JSON object: the audio in it was cut.
CUT = {"rig-mistral-multimodal_content-streaming_agent_sends_audio-0"}
REQUESTS = [
    case
    for case in found("chat", "chat_stream")
    if (case / "request.json").exists() and case.name not in CUT
]


@recorded.parameters(REQUESTS)
def test_request(case: Path) -> None:
    """A request keeps its meaning, and what travels keeps its bytes."""
    body = JsonBody.parse((case / "request.json").read_bytes())
    losses = Losses()
    talk = chat.read_request(body, losses)
    talk.model, talk.stream = str(body.value("model")), body.value("stream") is True
    written = JsonBody.parse(chat.write_request(talk, losses))
    before, after = plain_request(body), plain_request(written)
    for name in set(before) | set(after):
        assert after.get(name) == before.get(name) or name in losses.names, name


def plain_request(body: JsonBody) -> dict[str, Any]:
    """The request in the one spelling that our writer uses."""
    given = {name: body.value(name) for name in body.names()}
    given = {name: value for name, value in given.items() if value not in (None, [])}
    if "tools" not in given and "functions" not in given:
        given.pop("parallel_tool_calls", None)  # refused without tools
    choice = given.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "tool":
        given["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    if given.get("response_format", {}).get("type") == "json_schema":
        given["response_format"]["json_schema"].setdefault("name", "answer")
    if given.get("tool_choice") == "any":
        given["tool_choice"] = "required"
    if "functions" in given:
        given["tools"] = [{"type": "function", "function": f} for f in given.pop("functions")]
    if "function_call" in given:
        given["tool_choice"] = given.pop("function_call")
    given.pop("stream_options", None)
    if given.get("stream") is False:
        del given["stream"]
    if "max_tokens" in given:
        given["max_completion_tokens"] = given.pop("max_tokens")
    if isinstance(given.get("stop"), str):
        given["stop"] = [given["stop"]]
    if given.get("store") is False or given.get("response_format") == {"type": "text"}:
        given.pop("store", None)
    if given.get("response_format") == {"type": "text"}:
        del given["response_format"]
    given["messages"] = plain_messages(given["messages"])
    for tool in given.get("tools", []):
        tool.setdefault("type", "function")
        if "function" in tool:
            tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
            if tool["function"].get("description") is None:
                tool["function"].pop("description", None)
            if tool["function"].get("strict", 0) is None:
                del tool["function"]["strict"]
    for name in ("reasoning", "thinking"):
        value = given.pop(name, None)
        if isinstance(value, dict) and value.get("effort"):
            given["reasoning_effort"] = value["effort"]
        elif isinstance(value, dict) and value.get("max_tokens"):
            given["reasoning_effort"] = "low"
    return given


def plain_messages(messages: list[dict[str, Any]]) -> list[Any]:
    plain: list[list[Any]] = []
    for message in messages:
        role = {"developer": "system"}.get(message["role"], message["role"])
        parts = list(parts_of(message))
        if plain and plain[-1][0] == role and role != "tool":
            plain[-1][1] += parts
        else:
            plain.append([role, parts])
    return plain


def parts_of(message: dict[str, Any]) -> Any:
    thought = message.get("reasoning_content") or message.get("reasoning")
    if thought and message["role"] == "assistant":
        yield ["thought", thought]
    content = message.get("content") or []
    for given in [{"type": "text", "text": content}] if isinstance(content, str) else content:
        part = {name: value for name, value in given.items() if value is not None}
        part.pop("cache_control", None)
        part.pop("prompt_cache_breakpoint", None)
        if part.get("type") == "image_url" and isinstance(part["image_url"], str):
            part["image_url"] = {"url": part["image_url"]}
        yield part
    for call in message.get("tool_calls") or []:
        function = call["function"]
        yield [call["id"], function["name"], function["arguments"] or "{}"]
    if message["role"] == "tool":
        yield message.get("tool_call_id") or f"call_{message.get('name')}"
