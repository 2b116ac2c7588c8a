"""Recorded traffic of the vendors on OpenAI's wire: whose it is, and a plain reading of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gateway.core import sse
from gateway.core.body import JsonBody
from gateway.core.money.checks import problem_of
from gateway.domain import Usage
from gateway.sdk import Adapter, Call
from providers_plugins import alibaba, azure, compatible, deepseek, groq, mistral, openrouter, zhipu
from tests import recorded

ADAPTERS: dict[str, Adapter] = {
    "alibaba": alibaba.ADAPTER,
    "azure": azure.ADAPTER,
    "cerebras": compatible.VLLM,
    "crusoe": compatible.VLLM,
    "deepseek": deepseek.ADAPTER,
    "groq": groq.ADAPTER,
    "huggingface": compatible.VLLM,
    "llamacpp": compatible.VLLM,
    "mistral": mistral.ADAPTER,
    "ollama": compatible.OLLAMA,
    "openrouter": openrouter.ADAPTER,
    "perplexity": compatible.VLLM,
    "snowflake": compatible.VLLM,
    "together": compatible.VLLM,
    "venice": compatible.VLLM,
    "zhipu": zhipu.ADAPTER,
}
# Recorded at the host's native address, which this gateway does not use: its compatible one has
# all of it.
NATIVE = {
    case
    for case in recorded.cases(
        "ollama", "chat", "chat_stream", "completions", "completions_stream", "embeddings"
    )
    if "/api/" in recorded.meta(case)["url"]
}
# Audio tokens beside the input they should be part of; reasoning beyond an answer cut off.
INCREDIBLE = {
    "rig-mistral-multimodal_content-streaming_agent_sends_audio-0",
    "pydantic-ai-test_openrouter-test_openrouter_stream_error-0",
}
KNOWN = {"stop", "length", "tool_calls", "content_filter", "function_call"}


def cases(*operations: str) -> list[Path]:
    found = [case for vendor in ADAPTERS for case in recorded.cases(vendor, *operations)]
    return [case for case in found if case not in NATIVE]


def the_operation(case: Path) -> Any:
    operations = ADAPTERS[case.parts[-3]].operations
    kind = case.parts[-2].removesuffix("_stream")
    return operations.get(kind) or operations["chat"]


def call_for(case: Path, body: bytes, *, stream: bool) -> Call:
    operation = case.parts[-2].removesuffix("_stream")
    if operation == "error":
        operation = "chat"
    return Call(operation, "upstream-model", "https://u.example", JsonBody.parse(body), stream)


def response(case: Path) -> bytes:
    found = recorded.response_file(case)
    data = found.read_bytes()
    if found.name != "response.chunks.jsonl":
        return data
    events = [sse.event(line) for line in data.splitlines() if line.strip()]
    return b"".join(events) + b"data: [DONE]\n\n"


def chunks_of(raw: bytes) -> list[dict[str, Any]]:
    """The JSON of every event, read without any code of the gateway's."""
    found = []
    for line in raw.decode().splitlines():
        payload = line.removeprefix("data:").strip()
        if line.startswith("data:") and payload != "[DONE]":
            found.append(json.loads(payload))
    return found


def thought_in(message: dict[str, Any]) -> str:
    """What was thought, in whichever way this message says it."""
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            return str(message[name])
    if isinstance(message.get("content"), list):
        parts = [part for part in message["content"] if part["type"] == "thinking"]
        return "".join(inner["text"] for part in parts for inner in part["thinking"])
    details = message.get("reasoning_details") or []
    return "".join(one.get("text") or one.get("summary") or "" for one in details)


def text_in(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


class Read:
    """A conversation's answer by choice: text, thought, calls, reasons."""

    def __init__(self, objects: list[dict[str, Any]], *, normal: bool) -> None:
        self.said: dict[int, dict[str, Any]] = {}
        for found in objects:
            for choice in found.get("choices") or ():
                self._add(choice, normal)

    def _add(self, choice: dict[str, Any], normal: bool) -> None:
        empty = {"text": "", "thought": "", "calls": {}, "reasons": []}
        said = self.said.setdefault(choice["index"], empty)
        message = choice.get("delta") or choice.get("message") or {}
        if normal:
            assert isinstance(message.get("content"), str | None)
            said["text"] += message.get("content") or ""
            said["thought"] += message.get("reasoning_content") or ""
        else:
            said["text"] += text_in(message)
            said["thought"] += thought_in(message)
        for place, call in enumerate(message.get("tool_calls") or ()):
            function = call["function"]
            slot = said["calls"].setdefault(call.get("index", place), ["", "", ""])
            slot[0] += call.get("id") or ""
            slot[1] += function.get("name") or ""
            slot[2] += function.get("arguments") or ""
        reason = choice.get("finish_reason")
        if reason is not None:
            said["reasons"].append(reason if normal or reason in KNOWN else "stop")


def figures(usage: dict[str, Any]) -> tuple[int, int, int, int]:
    """Input, output, cached and reasoning tokens: a plain reading."""

    def whole(value: Any) -> int:
        return value if type(value) is int else 0

    given = usage.get("prompt_tokens_details") or {}
    made = usage.get("completion_tokens_details") or {}
    cached = (
        whole(given.get("cached_tokens"))
        or whole(usage.get("prompt_cache_hit_tokens"))
        or whole(usage.get("cached_tokens"))
        or whole(usage.get("num_cached_tokens"))
    )
    prompt = whole(usage.get("prompt_tokens"))
    return (
        prompt + cached if cached > prompt else prompt,  # cached tokens beside the prompt
        whole(usage.get("completion_tokens")),
        cached,
        whole(made.get("reasoning_tokens")),
    )


def usage_in(objects: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = None
    for one in objects:
        holders = [*(one.get("choices") or ()), one.get("x_groq") or {}, one]
        for holder in holders:
            if isinstance(holder.get("usage"), dict):
                found = holder["usage"]
    return found


def assert_usage(case: Path, usage: Usage | None, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert usage is None
        return
    assert usage is not None
    assert (usage.input, usage.output, usage.cached, usage.reasoning) == figures(expected)
    assert json.loads(usage.raw) == expected
    assert bool(problem_of(usage)) is (case.name in INCREDIBLE)
