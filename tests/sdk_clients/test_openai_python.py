"""The official Python SDK, unmodified, against the gateway in front of a scripted provider."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, running

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
HELLO: list[Any] = [{"role": "user", "content": "hi"}]


def completion(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    head_ = {"id": "c1", "object": "chat.completion", "created": 1, "model": "fake-upstream"}
    return {**head_, "choices": [choice], "usage": USAGE}


def delta(change: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": change, "finish_reason": finish}
    head_ = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "fake-upstream"}
    return {**head_, "choices": [choice]}


def usage_event() -> dict[str, Any]:
    return {**delta({}), "choices": [], "usage": USAGE}


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def says(body: dict[str, Any], status: int = 200, *headers: tuple[str, str]) -> Any:
    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(status, body, headers)

    return handler


def streams(*events: dict[str, Any]) -> Any:
    async def handler(exchange: Exchange) -> None:
        await exchange.sse([event(body) for body in events])

    return handler


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Any, fake: FakeUpstream) -> AsyncIterator[Gateway]:
    async with running(tmp_path, fake.url + "/v1") as served:
        yield served


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as made:
        yield made


async def ask(client: AsyncOpenAI, **more: Any) -> Any:
    return await client.chat.completions.create(
        **({"model": "fake-slug", "messages": HELLO} | more)
    )


async def test_a_plain_call(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Text, usage and the request's id come through."""
    fake.handler = says(completion({"content": "hello"}))
    answer = await ask(client)
    assert answer.choices[0].message.content == "hello"
    assert answer.usage.total_tokens == 12
    assert answer._request_id.startswith("req_")


async def test_the_other_base_url(gateway: Gateway, fake: FakeUpstream) -> None:
    """/api/gateway serves the same SDK, and the sync client as well as the async one."""
    fake.handler = says(completion({"content": "hello"}))

    def call() -> str | None:
        with OpenAI(base_url=gateway.root + "/api/gateway", api_key=gateway.key) as client:
            made = client.chat.completions.create(model="fake-slug", messages=HELLO)
            return made.choices[0].message.content

    assert await asyncio.to_thread(call) == "hello"


async def test_a_stream(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """Chunks come in order; the usage chunk only to who asked."""
    events = [delta({"role": "assistant", "content": ""}), delta({"content": "a"}),
              delta({"content": "b"}), delta({}, "stop"), usage_event()]  # fmt: skip
    fake.handler = streams(*events)
    seen = [part async for part in await ask(client, stream=True)]
    assert "".join(part.choices[0].delta.content or "" for part in seen) == "ab"
    assert all(part.usage is None for part in seen)
    asked = await ask(client, stream=True, stream_options={"include_usage": True})
    seen = [part async for part in asked]
    assert seen[-1].usage.total_tokens == 12


async def test_the_streaming_helper(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """`chat.completions.stream` assembles the final completion."""
    fake.handler = streams(
        delta({"role": "assistant", "content": "he"}), delta({"content": "llo"}),
        delta({}, "stop"), usage_event(),
    )  # fmt: skip
    options: Any = {"include_usage": True}
    async with client.chat.completions.stream(
        model="fake-slug", messages=HELLO, stream_options=options
    ) as stream:
        kinds = [item.type async for item in stream]
        final = await stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content == "hello"
    assert final.usage is not None


TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


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


class City(BaseModel):
    """A structured answer."""

    name: str
    people: int


async def test_structured_output(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """`parse` sends a schema and reads the answer into a model."""
    fake.handler = says(completion({"content": '{"name":"Oslo","people":7}'}))
    answer = await client.chat.completions.parse(
        model="fake-slug", messages=HELLO, response_format=City
    )
    assert answer.choices[0].message.parsed == City(name="Oslo", people=7)
    assert fake.requests[0].json()["response_format"]["json_schema"]["strict"] is True


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


async def test_completions(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The old endpoint works, streamed and not."""
    body = {"id": "x", "object": "text_completion", "created": 1, "model": "m"}
    choice = {"index": 0, "text": "yes", "finish_reason": "stop", "logprobs": None}
    fake.handler = says({**body, "choices": [choice], "usage": USAGE})
    answer = await client.completions.create(model="fake-slug", prompt="is it")
    assert answer.choices[0].text == "yes"
    fake.handler = streams({**body, "choices": [choice]})
    stream = await client.completions.create(model="fake-slug", prompt="is it", stream=True)
    assert [part.choices[0].text async for part in stream] == ["yes"]


async def test_embeddings(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The SDK's own base64 form decodes to the floats that were sent."""
    vector = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    item = {"object": "embedding", "index": 0, "embedding": vector}
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    fake.handler = says({"object": "list", "model": "m", "data": [item], "usage": usage})
    answer = await client.embeddings.create(model="embed-slug", input="x")
    assert answer.data[0].embedding == [0.5, -1.0, 2.0]
    assert fake.requests[0].json()["encoding_format"] == "base64"


async def test_models(client: AsyncOpenAI) -> None:
    """List and retrieve, ids with slashes included."""
    listed = [model.id async for model in client.models.list()]
    assert {"fake-slug", "echo"} <= set(listed)
    assert (await client.models.retrieve("fake-slug")).owned_by == "Fake"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("a/b")


async def test_extra_fields(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """What the SDK sends beside its own fields reaches the provider."""
    fake.handler = says(completion({"content": "x"}))
    await ask(client, extra_body={"top_k": 4, "nested": {"a": [1]}}, logit_bias={"1": 2})
    sent = fake.requests[0].json()
    assert (sent["top_k"], sent["nested"], sent["logit_bias"]) == (4, {"a": [1]}, {"1": 2})


@pytest.mark.parametrize(
    ("upstream", "kind", "status", "code"),
    [
        (400, openai.BadRequestError, 400, "invalid_request"),
        (422, openai.BadRequestError, 400, "invalid_request"),
        (401, openai.InternalServerError, 502, "upstream_error"),
        (429, openai.RateLimitError, 429, "rate_limit_exceeded"),
        (500, openai.InternalServerError, 502, "upstream_error"),
        (529, openai.InternalServerError, 502, "upstream_error"),
    ],
)
async def test_provider_errors(
    client: AsyncOpenAI, fake: FakeUpstream, upstream: int, kind: Any, status: int, code: str
) -> None:
    """Each is the SDK's own class, with code, type, param and request id."""
    fake.handler = says({"error": {"message": "no", "param": "p", "code": "x"}}, upstream)
    with pytest.raises(kind) as caught:
        await ask(client.with_options(max_retries=0))
    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.request_id.startswith("req_")
    assert error.param == ("p" if status == 400 else None)


async def test_errors_of_the_gateway(client: AsyncOpenAI, gateway: Gateway) -> None:
    """401, 403, 404, 501 and 503 are the SDK's classes too, and hopeless ones are not retried."""
    narrow = await gateway.server.site.services.keys.create("n", allow=["echo"])
    cases: list[tuple[Any, dict[str, Any], Any, str]] = [
        (client.with_options(api_key="no"), {}, openai.AuthenticationError, "authentication_error"),
        (client.with_options(api_key=str(narrow.secret)), {}, openai.PermissionDeniedError,
         "model_not_allowed"),
        (client, {"model": "nope"}, openai.NotFoundError, "model_not_found"),
        (client, {"model": "image-slug"}, openai.InternalServerError, "not_implemented"),
        (client, {"model": "keyless-slug"}, openai.InternalServerError, "no_upstream"),
        (client, {"temperature": 9}, openai.BadRequestError, "invalid_request"),
    ]  # fmt: skip
    for sender, more, kind, code in cases:
        before = calls(gateway)
        with pytest.raises(kind) as caught:
            await ask(sender, **more)
        assert caught.value.code == code
        assert calls(gateway) - before == 1


def calls(gateway: Gateway) -> int:
    """Calls that the gateway has finished."""
    page = gateway.server.site.metrics.render()
    lines = [line for line in page.splitlines() if line.startswith("gateway_calls_total")]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines)


async def test_retries(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The SDK retries what may pass: 429 after its Retry-After, 502 after its own pause."""
    answers = [
        says({"error": {"message": "slow"}}, 429, ("Retry-After", "0")),
        says({"error": {"message": "down"}}, 500),
        says(completion({"content": "third"})),
    ]

    async def handler(exchange: Exchange) -> None:
        await answers[len(fake.requests) - 1](exchange)

    fake.handler = handler
    assert (await ask(client)).choices[0].message.content == "third"
    assert len(fake.requests) == 3


async def test_an_error_in_mid_stream(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """What came is kept, then the SDK raises its APIError."""
    seen = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event(delta({"content": "half"}))))
        await exchange.gate(seen)
        exchange.cut()

    fake.handler = handler
    got = ""
    with pytest.raises(openai.APIError) as caught:  # noqa: PT012 - the loop is what raises
        async for part in await ask(client, stream=True):
            got += part.choices[0].delta.content or ""
            seen.set()
    assert got == "half"
    assert caught.value.code == "upstream_error"


async def test_closing_a_stream(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A stream that the user closes is closed at the provider within a second."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event(delta({"content": "a"}))))
        await exchange.client_closed()

    fake.handler = handler
    stream = await ask(client, stream=True)
    async for _ in stream:
        break
    await stream.close()
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)


async def test_the_offline_model(client: AsyncOpenAI) -> None:
    """`echo` answers without any provider, streamed or not, and misbehaves on request."""
    answer = await ask(client, model="echo", messages=[{"role": "user", "content": "one two"}])
    assert answer.choices[0].message.content == "one two"
    parts = [p async for p in await ask(client, model="echo", stream=True)]
    assert "".join(p.choices[0].delta.content or "" for p in parts) == "hi"
    with pytest.raises(openai.RateLimitError):
        await ask(client.with_options(max_retries=0), model="echo",
                  extra_body={"sim": {"status": 429}})  # fmt: skip
    with pytest.raises(openai.APIError):  # noqa: PT012 - the loop is what raises
        stream = await ask(client, model="echo", stream=True,
                           extra_body={"sim": {"tokens": 9, "cut": 3, "pace": 0.001}})  # fmt: skip
        async for _ in stream:
            pass
