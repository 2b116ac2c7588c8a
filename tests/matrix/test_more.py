"""What each dialect has beside calls, by its SDK: kept responses, counts, structured answers,
fidelity, and explanations."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
from pydantic import BaseModel

from tests.fake_upstream import Exchange
from tests.matrix.clients import ASK
from tests.matrix.families import FAMILIES
from tests.matrix.family import SECRET
from tests.matrix.said import CALLS, HELLO, Said
from tests.matrix.stage import Stage, staged
from tests.money import charges, entries

FAMILY_NAMES = [name for name in FAMILIES if name != "bedrock-invoke"]


@pytest.fixture
async def responses(tmp_path: Path, family: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, "responses", FAMILIES[family]) as made:
        yield made


@pytest.fixture
async def messages(tmp_path: Path, family: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, "messages", FAMILIES[family]) as made:
        yield made


@pytest.fixture
async def chat(tmp_path: Path, family: str) -> AsyncIterator[Stage]:
    async with staged(tmp_path, "chat", FAMILIES[family]) as made:
        yield made


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_conversation_goes_on_by_its_id(responses: Stage, streamed: bool) -> None:
    """previous_response_id brings the whole conversation before the provider, tools included."""
    client: Any = responses.client
    responses.says(CALLS)
    ask = client.stream if streamed else client.plain
    first = await ask(client.request(tools=True))
    responses.says(HELLO)
    results = [
        {"type": "function_call_output", "call_id": item.call_id, "output": f"out {item.name}"}
        for item in first.final.output
        if item.type == "function_call"
    ]
    asked = client.request(tools=True) | {"input": results}
    second = await ask(asked | {"previous_response_id": first.final.id})
    told = responses.told
    assert told.user == ASK
    assert [name for name, _ in told.calls] == [tool.name for tool in CALLS.tools]
    assert ["out get_weather" in told.results[0], "out get_time" in told.results[1]] == [True] * 2
    assert second.text == "".join(HELLO.text)


@pytest.mark.parametrize("family", ["chat", "messages"])
async def test_a_kept_response(responses: Stage) -> None:
    """It can be had again, its input listed, and it can be forgotten; by its account alone."""
    client: Any = responses.client
    responses.says(HELLO)
    made = (await client.plain(client.request())).final
    sdk = client.sdk
    again = await sdk.responses.retrieve(made.id)
    assert again.output_text == "".join(HELLO.text)
    items = [item async for item in sdk.responses.input_items.list(made.id)]
    assert [item.content[0].text for item in items] == [ASK]
    with pytest.raises(openai.BadRequestError, match="background"):
        await sdk.responses.cancel(made.id)
    store = responses.gateway.server.store
    await store.accounts.create("other")
    other = await store.keys.create("theirs", account="other")
    stranger = sdk.with_options(api_key=str(other.secret))
    for touch in (stranger.responses.retrieve, stranger.responses.delete):
        with pytest.raises(openai.NotFoundError):
            await touch(made.id)
    with pytest.raises(openai.NotFoundError):
        await stranger.responses.create(**client.request() | {"previous_response_id": made.id})
    await sdk.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(made.id)


@pytest.mark.parametrize("family", ["chat"])
async def test_what_is_not_to_be_kept(responses: Stage) -> None:
    """`store: false` is heeded."""
    client: Any = responses.client
    responses.says(HELLO)
    made = (await client.plain(client.request() | {"store": False})).final
    with pytest.raises(openai.NotFoundError):
        await client.sdk.responses.retrieve(made.id)


@pytest.mark.parametrize("family", ["messages", "chat", "google"])
async def test_tokens_are_counted(messages: Stage) -> None:
    """By the provider where it can, else by an estimate that says so; at no charge."""
    client: Any = messages.client
    native = messages.family.name == "messages"

    async def handler(exchange: Exchange) -> None:
        assert exchange.request.path == "/v1/messages/count_tokens"
        await exchange.send_json(200, {"input_tokens": 17})

    messages.fake.handler = handler
    request = client.request(tools=True)
    del request["max_tokens"]
    raw = await client.sdk.messages.with_raw_response.count_tokens(**request)
    counted = (await raw.parse()).input_tokens
    if native:
        assert counted == 17
        assert "x-gateway-fidelity" not in raw.headers
    else:
        assert 50 < counted < 2_000
        assert raw.headers["x-gateway-fidelity"] == "adapted; fields=input_tokens"
        assert not messages.fake.requests
    assert charges(entries(messages.gateway.server.settings.db)) == []


class City(BaseModel):
    """What the model is to fill in."""

    name: str
    people: int


@pytest.mark.parametrize("family", FAMILY_NAMES)
async def test_a_structured_answer(chat: Stage) -> None:
    """`parse` sends a schema, which the provider is told in its own way, and reads the answer."""
    client: Any = chat.client
    chat.says(Said(text=('{"name":"Corinth",', '"people":58192}')))
    raw = await client.sdk.chat.completions.with_raw_response.parse(
        **client.request(), response_format=City
    )
    assert raw.parse().choices[0].message.parsed == City(name="Corinth", people=58192)
    if b"people" not in chat.fake.requests[-1].body:  # then the client is told
        assert "response_format" in raw.headers["x-gateway-fidelity"]
        assert chat.family.name == "bedrock"


@pytest.mark.parametrize("family", FAMILY_NAMES)
async def test_fidelity(chat: Stage) -> None:
    """What a provider cannot be told is named, or refused where nothing may be lost."""
    client: Any = chat.client
    chat.says(HELLO)
    raw = await client.sdk.chat.completions.with_raw_response.create(
        **client.request(), logit_bias={"50256": -100}
    )
    told = raw.headers.get("x-gateway-fidelity")
    assert raw.parse().choices[0].message.content == "".join(HELLO.text)
    if chat.family.name == "chat":
        assert told is None
        return
    assert told is not None
    assert told.startswith("adapted; fields=")
    assert "logit_bias" in told
    before = len(chat.fake.requests)
    with pytest.raises(openai.BadRequestError) as caught:
        await client.sdk.chat.completions.create(
            **client.request(), logit_bias={"50256": -100}, extra_body={"fidelity": "strict"}
        )
    assert "logit_bias" in str(caught.value)
    assert len(chat.fake.requests) == before
    assert (await chat.charged())[1:] == [0]


@pytest.mark.parametrize("family", FAMILY_NAMES)
async def test_an_explanation(chat: Stage) -> None:
    """Route, request, fidelity and quote are shown; no secret is, and nothing is sent."""
    client: Any = chat.client
    body = client.request(tools=True, picture=True)
    url = chat.gateway.base + "/explain"
    async with aiohttp.ClientSession() as session:
        answer = await session.post(url, json=body, headers=chat.gateway.headers)
        text = await answer.text()
    assert answer.status == 200, text
    told = json.loads(text)
    assert told["route"] == "slug"
    assert told["fidelity"] in ("untouched", "exact") or told["adapted"]
    assert "get_weather" in json.dumps(told["request"]["body"])
    assert told["quote"]["max_output_tokens"] == 900
    assert SECRET not in text
    assert not chat.fake.requests
