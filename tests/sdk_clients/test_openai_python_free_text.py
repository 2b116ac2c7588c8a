"""Tools that take free text, through the official Python SDK, before a provider that has none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, AsyncOpenAI

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import running
from tests.official import openai_client

PATCH = '*** Begin Patch\n"é"\n'
INPUT = '{"input": "*** Begin Patch\\n\\"\\u00e9\\"\\n"}'
TOOL: dict[str, Any] = {"type": "custom", "name": "apply_patch", "description": "Edits files."}
SHELL: dict[str, Any] = {"type": "function", "name": "shell", "parameters": {"type": "object"}}
USAGE = {"input_tokens": 5, "output_tokens": 7}


@pytest.fixture
async def client(tmp_path: Path, fake: FakeUpstream) -> AsyncIterator[AsyncOpenAI]:
    fake.handler = _calls_both
    async with (
        running(tmp_path, fake.url, adapter="anthropic") as served,
        openai_client(served.base, served.key) as made,
    ):
        yield made


async def _calls_both(exchange: Exchange) -> None:
    """A provider of the Messages wire that calls the patch tool, and a function beside it."""
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": USAGE}
    blocks = [
        {"type": "tool_use", "id": "toolu_1", "name": "apply_patch", "input": {"input": PATCH}},
        {"type": "tool_use", "id": "toolu_2", "name": "shell", "input": {"input": "ls"}},
    ]
    if not exchange.request.json().get("stream"):
        await exchange.send_json(200, {**head, "content": blocks, "stop_reason": "tool_use"})
        return
    events: list[Any] = [{"type": "message_start", "message": {**head, "content": []}}]
    for index, pieces in enumerate(((INPUT[:20], INPUT[20:27], INPUT[27:]), ('{"input":"ls"}',))):
        block = {**blocks[index], "input": {}}
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        for piece in pieces:
            delta = {"type": "input_json_delta", "partial_json": piece}
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": USAGE})
    events.append({"type": "message_stop"})
    await exchange.sse(events, done=False)


async def test_a_response_calls_it_with_the_text_itself(client: AsyncOpenAI) -> None:
    made = await client.responses.create(
        model="fake-slug", input="go", tools=[TOOL, SHELL]  # type: ignore[list-item]
    )  # fmt: skip
    patch, shell = made.output
    assert patch.type == "custom_tool_call"
    assert (patch.name, patch.call_id, patch.input) == ("apply_patch", "toolu_1", PATCH)
    assert shell.type == "function_call"


async def test_a_streamed_response_does_so_too(client: AsyncOpenAI) -> None:
    stream = await client.responses.create(
        model="fake-slug", input="go", tools=[TOOL, SHELL], stream=True  # type: ignore[list-item]
    )  # fmt: skip
    events = [event async for event in stream]
    said = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    assert "".join(said) == PATCH
    last = events[-1]
    assert last.type == "response.completed"
    patch, shell = last.response.output
    assert patch.type == "custom_tool_call"
    assert patch.input == PATCH
    assert shell.type == "function_call"
    assert shell.arguments == '{"input":"ls"}'


async def test_chat_does_so_too(client: AsyncOpenAI) -> None:
    tools: Any = [
        {"type": "custom", "custom": {"name": "apply_patch"}},
        {"type": "function", "function": {"name": "shell"}},
    ]
    asked: Any = {"model": "fake-slug", "messages": [{"role": "user", "content": "go"}]}
    whole = await client.chat.completions.create(**asked, tools=tools)
    patch, shell = whole.choices[0].message.tool_calls or ()
    assert patch.type == "custom"
    assert (patch.custom.name, patch.custom.input) == ("apply_patch", PATCH)
    assert shell.type == "function"
    text = ""
    async for part in await client.chat.completions.create(**asked, tools=tools, stream=True):
        for call in part.choices[0].delta.tool_calls or ():
            if call.index == 0:
                text += call.model_dump().get("custom", {}).get("input") or ""
    assert text == PATCH


async def test_a_model_that_says_the_text_itself_is_understood(
    client: AsyncOpenAI, fake: FakeUpstream
) -> None:
    async def handler(exchange: Exchange) -> None:
        block = {"type": "tool_use", "id": "t", "name": "apply_patch", "input": {"patch": "x"}}
        answer = {"id": "m", "type": "message", "role": "assistant", "model": "m", "usage": USAGE}
        await exchange.send_json(200, {**answer, "content": [block], "stop_reason": "tool_use"})

    fake.handler = handler
    made = await client.responses.create(model="fake-slug", input="go", tools=[TOOL])  # type: ignore[list-item]
    (patch,) = made.output
    assert patch.type == "custom_tool_call"
    assert patch.input == '{"patch": "x"}'


async def test_a_host_of_the_chat_wire_is_told_of_a_function(
    tmp_path: Path, fake: FakeUpstream
) -> None:
    """Of hosts of that wire two know tools of free text, and the others refuse the call."""

    async def handler(exchange: Exchange) -> None:
        call = {"id": "c2", "type": "function"}
        call["function"] = {"name": "apply_patch", "arguments": INPUT}  # type: ignore[assignment]
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        await exchange.send_json(
            200, {"id": "c", "model": "m", "choices": [choice], "usage": usage}
        )

    fake.handler = handler
    said: Any = [
        {"role": "user", "content": "go"},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": PATCH},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
    ]
    choice: Any = {"type": "custom", "name": "apply_patch"}
    async with (
        running(tmp_path, fake.url) as served,
        openai_client(served.base, served.key) as made,
    ):
        answer = await made.responses.create(
            model="fake-slug", input=said, tools=[TOOL], tool_choice=choice  # type: ignore[list-item]
        )  # fmt: skip
    sent = fake.requests[0].json()
    (tool,) = sent["tools"]
    assert tool["type"] == "function"
    assert list(tool["function"]["parameters"]["properties"]) == ["input"]
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "apply_patch"}}
    (called,) = sent["messages"][1]["tool_calls"]
    assert json.loads(called["function"]["arguments"]) == {"input": PATCH}
    (patch,) = answer.output
    assert patch.type == "custom_tool_call"
    assert patch.input == PATCH


async def test_so_is_a_host_with_a_wire_of_its_own(tmp_path: Path, fake: FakeUpstream) -> None:
    """Where it was not told of the tool at all, the model could not do its work."""
    async with (
        running(tmp_path, fake.url, adapter="cohere") as served,
        openai_client(served.base, served.key, max_retries=0) as made,
    ):
        with pytest.raises(APIError):  # the provider says nothing that could be read
            await made.responses.create(model="fake-slug", input="go", tools=[TOOL])  # type: ignore[list-item]
    (tool,) = fake.requests[0].json()["tools"]
    assert list(tool["function"]["parameters"]["properties"]) == ["input"]
