"""Clients that still ask by `functions`, through the official Python SDK, in another wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import running
from tests.official import openai_client

USAGE = {"input_tokens": 5, "output_tokens": 7}
HEAD = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": USAGE}
ASKED: dict[str, Any] = {
    "model": "fake-slug",
    "messages": [{"role": "user", "content": "go"}],
    "functions": [{"name": "weather", "parameters": {"type": "object"}}],
    "function_call": "auto",
}


async def _calls(exchange: Exchange) -> None:
    blocks = [
        {"type": "tool_use", "id": f"t{n}", "name": "weather", "input": {"n": n}} for n in (0, 1)
    ]
    if not exchange.request.json().get("stream"):
        await exchange.send_json(200, {**HEAD, "content": blocks, "stop_reason": "tool_use"})
        return
    events: list[Any] = [{"type": "message_start", "message": {**HEAD, "content": []}}]
    for index, block in enumerate(blocks):
        start = {**block, "input": {}}
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        for piece in ('{"n"', f": {index}}}"):
            delta = {"type": "input_json_delta", "partial_json": piece}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": USAGE})
    events.append({"type": "message_stop"})
    await exchange.sse(events, done=False)


@pytest.fixture
async def client(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[AsyncOpenAI]:
    fake.handler = _calls
    async with (
        running(tmp_path, fake.url, adapter="anthropic") as served,
        openai_client(served.base, served.key) as made,
    ):
        yield made


async def test_a_call_is_answered_as_it_was_asked(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    (choice,) = (await client.chat.completions.create(**ASKED)).choices
    assert choice.finish_reason == "function_call"
    assert choice.message.function_call
    assert choice.message.function_call.name == "weather"
    assert choice.message.function_call.arguments == '{"n": 0}'
    assert choice.message.tool_calls is None
    assert fake.requests[0].json()["tool_choice"]["disable_parallel_tool_use"] is True


async def test_a_streamed_call_too(client: AsyncOpenAI) -> None:
    chunks = [part async for part in await client.chat.completions.create(**ASKED, stream=True)]
    calls = [call for part in chunks if (call := part.choices[0].delta.function_call)]
    assert calls[0].name == "weather"
    assert "".join(call.arguments or "" for call in calls) == '{"n": 0}'
    assert not any(part.choices[0].delta.tool_calls for part in chunks)
    assert chunks[-1].choices[0].finish_reason == "function_call"
