"""Tools, structured answers and pictures through the official Python SDK."""

from __future__ import annotations

import base64
import json
from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.fake_upstream import FakeUpstream
from tests.sdk_clients.openai_scripts import HELLO, ask, completion, delta, says, streams

TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


class City(BaseModel):
    """A structured answer."""

    name: str
    people: int


async def test_tools(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Tool calls, parallel ones, and the turn that answers them."""
    calls = [
        {
            "id": f"t{n}",
            "type": "function",
            "function": {"name": "f", "arguments": json.dumps({"n": n})},
        }
        for n in range(2)
    ]
    fake.handler = says(completion({"content": None, "tool_calls": calls}, "tool_calls"))
    answer = await ask(client, tools=[TOOL], tool_choice="auto", parallel_tool_calls=True)
    made = answer.choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["n"] for call in made] == [0, 1]
    turn = [
        *HELLO,
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": "t0", "content": "1"},
    ]
    fake.handler = says(completion({"content": "done"}))
    assert (await ask(client, messages=turn, tools=[TOOL])).choices[0].message.content == "done"
    assert fake.requests[-1].json()["messages"][1]["tool_calls"] == calls


async def test_streamed_tools(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Fragments of arguments keep their order to the last one."""
    first = {"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}
    parts = [{"index": 0, "function": {"arguments": text}} for text in ('{"ci', 'ty":"O', 'slo"}')]
    fake.handler = streams(
        delta({"role": "assistant", "tool_calls": [first]}),
        *[delta({"tool_calls": [part]}) for part in parts],
        delta({}, "tool_calls"),
    )
    text = ""
    async for part in await ask(client, stream=True, tools=[TOOL]):
        for call in part.choices[0].delta.tool_calls or []:
            text += call.function.arguments
    assert json.loads(text) == {"city": "Oslo"}


async def test_parallel_streamed_tools(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The helper puts two interleaved calls together from their fragments."""

    def part(index: int, **more: Any) -> dict[str, Any]:
        return delta({"tool_calls": [{"index": index, **more}]})

    fake.handler = streams(
        part(0, id="t0", type="function", function={"name": "f", "arguments": ""}),
        part(1, id="t1", type="function", function={"name": "f", "arguments": '{"n"'}),
        part(0, function={"arguments": '{"n":'}),
        part(1, function={"arguments": ":1}"}),
        part(0, function={"arguments": "0}"}),
        delta({}, "tool_calls"),
    )
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    tools: Any = [tool]
    async with client.chat.completions.stream(
        model="fake-slug", messages=HELLO, tools=tools
    ) as stream:
        final = await stream.get_final_completion()
    made = final.choices[0].message.tool_calls
    assert made is not None
    assert [(call.id, json.loads(call.function.arguments)) for call in made] == [
        ("t0", {"n": 0}), ("t1", {"n": 1})
    ]  # fmt: skip


async def test_structured_output(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """`parse` sends a schema and reads the answer into a model."""
    fake.handler = says(completion({"content": '{"name":"Oslo","people":7}'}))
    answer = await client.chat.completions.parse(
        model="fake-slug", messages=HELLO, response_format=City
    )
    assert answer.choices[0].message.parsed == City(name="Oslo", people=7)
    assert fake.requests[0].json()["response_format"]["json_schema"]["strict"] is True


async def test_streamed_structured_output(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The helper parses a streamed answer into the model."""
    fake.handler = streams(
        delta({"role": "assistant", "content": '{"name":"Os'}),
        delta({"content": 'lo","people":7}'}),
        delta({}, "stop"),
    )
    async with client.chat.completions.stream(
        model="fake-slug", messages=HELLO, response_format=City
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == City(name="Oslo", people=7)


async def test_pictures(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Image parts, inline and by URL, reach the provider as they are."""
    fake.handler = says(completion({"content": "a cat"}))
    data = "data:image/png;base64," + base64.b64encode(b"\x89PNG" * 20_000).decode()
    content = [
        {"type": "text", "text": "what is it"},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png", "detail": "low"}},
    ]
    await ask(client, messages=[{"role": "user", "content": content}])
    assert fake.requests[0].json()["messages"][0]["content"] == content
