"""The official Python SDK, unmodified, against the gateway in front of a scripted provider."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from gateway import errors
from gateway.errors import Fault
from gateway.sdk import Adapter, Operation
from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway, catalog_text, running

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


@pytest.mark.parametrize("base", ["/v1", "/api/gateway", "/api/gateway/v1"])
async def test_every_base_url(gateway: Gateway, fake: FakeUpstream, base: str) -> None:
    """Each surface serves the SDK, plain and streamed, with the same classes of errors."""
    async with AsyncOpenAI(base_url=gateway.root + base, api_key=gateway.key) as client:
        fake.handler = says(completion({"content": "hello"}))
        assert (await ask(client)).choices[0].message.content == "hello"
        fake.handler = streams(delta({"content": "a"}), delta({}, "stop"))
        parts = [part async for part in await ask(client, stream=True)]
        assert parts[0].choices[0].delta.content == "a"
        with pytest.raises(openai.NotFoundError) as caught:
            await ask(client, model="nope")
        assert str(caught.value.code).lower() == "model_not_found"
        assert caught.value.type == "not_found_error"


async def test_the_sync_client(gateway: Gateway, fake: FakeUpstream) -> None:
    """Streams, the helper and errors in the synchronous client."""
    fake.handler = streams(
        delta({"role": "assistant", "content": "a"}), delta({"content": "b"}), delta({}, "stop")
    )

    def call() -> tuple[str, str | None]:
        with OpenAI(base_url=gateway.base, api_key=gateway.key) as client:
            made = client.chat.completions.create(model="fake-slug", messages=HELLO, stream=True)
            text = "".join(part.choices[0].delta.content or "" for part in made)
            with client.chat.completions.stream(model="fake-slug", messages=HELLO) as stream:
                final = stream.get_final_completion().choices[0].message.content
            with pytest.raises(openai.NotFoundError):
                client.models.retrieve("nope")
            return text, final

    assert await asyncio.to_thread(call) == ("ab", "ab")


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


async def test_real_vectors(tmp_path: Any) -> None:
    """Base64 and plain floats are the same vector, for each of several inputs in order."""
    text = catalog_text("http://127.0.0.1:9/v1").replace(
        "embed-slug: {provider: fake", "embed-slug: {provider: sim"
    )
    async with (
        running(tmp_path, text=text) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
    ):
        asked: Any = {"model": "embed-slug", "input": ["a", "b"], "dimensions": 64}
        first = await client.embeddings.create(**asked)
        plain = await client.embeddings.create(**asked, encoding_format="float")
    assert [item.index for item in first.data] == [0, 1]
    for packed, floats in zip(first.data, plain.data, strict=True):
        assert len(packed.embedding) == 64
        assert packed.embedding == pytest.approx(floats.embedding, abs=1e-6)
    assert first.data[0].embedding != first.data[1].embedding


async def test_raw_responses_and_headers(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The raw response shows our request id; a client's own headers stop at the gateway."""
    fake.handler = says(completion({"content": "x"}), 200, ("x-ratelimit-limit-requests", "7"))
    mine = client.with_options(default_headers={"X-Mine": "secret"})
    raw = await mine.chat.completions.with_raw_response.create(model="fake-slug", messages=HELLO)
    assert raw.request_id is not None
    assert raw.request_id.startswith("req_")
    assert raw.headers["x-gateway-route"] == "fake-slug"
    assert "x-ratelimit-limit-requests" not in raw.headers
    assert raw.parse().choices[0].message.content == "x"
    assert fake.requests[0].header("X-Mine") is None
    assert fake.requests[0].header("Authorization") == "Bearer sk-upstream-secret-0001"


CLASSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
}
RETRIED = {"request_timeout", "rate_limit_exceeded", "upstream_error", "no_upstream",
           "upstream_timeout", "idempotency_in_use"}  # fmt: skip


@pytest.mark.parametrize("code", sorted(set(errors.TABLE) - {"client_closed"}))
async def test_every_row_of_the_error_table(
    client: AsyncOpenAI, gateway: Gateway, code: str
) -> None:
    """Each kind is the SDK's class for its status, with all its fields, and retried if worth it."""
    kind = errors.TABLE[code]

    def build(_call: Any, _credential: Any) -> Any:
        raise Fault(kind, "as the test wants it", param="p", retry_after=1)

    adapter = Adapter("thrower", {"chat": Operation(build)})
    gateway.server.plugins.adapters["not-installed"] = adapter
    default = openai.InternalServerError if kind.status >= 500 else openai.APIStatusError
    with pytest.raises(CLASSES.get(kind.status, default)) as caught:
        await ask(client.with_options(max_retries=1), model="foreign-slug")
    error = caught.value
    assert (error.status_code, error.code, error.type) == (kind.status, code, kind.type)
    assert error.param == "p"
    assert error.request_id.startswith("req_")
    assert error.body["message"] == "as the test wants it"
    assert calls(gateway) == (2 if code in RETRIED else 1)


async def test_retry_after_is_honoured(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """The SDK waits as long as the provider said, through the gateway."""
    answers = [
        says({"error": {"message": "slow"}}, 429, ("Retry-After", "2")),
        says(completion({"content": "second"})),
    ]

    async def handler(exchange: Exchange) -> None:
        await answers[len(fake.requests) - 1](exchange)

    fake.handler = handler
    started = time.monotonic()
    assert (await ask(client)).choices[0].message.content == "second"
    assert 2 <= time.monotonic() - started < 4


async def test_the_clients_timeout(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A client that gives up gets its own timeout, and the provider's call is cut at once."""

    async def handler(exchange: Exchange) -> None:
        await exchange.client_closed()

    fake.handler = handler
    with pytest.raises(openai.APITimeoutError):
        await ask(client.with_options(timeout=0.2, max_retries=0))
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)


async def test_a_provider_that_is_too_slow(tmp_path: Any, fake: FakeUpstream) -> None:
    """The gateway's own deadline is a 504 of the SDK's server error class."""

    async def handler(exchange: Exchange) -> None:
        await exchange.client_closed()

    fake.handler = handler
    async with (
        running(tmp_path, fake.url + "/v1", first_byte=0.2) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key, max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await ask(client)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")


async def test_ids_with_slashes(tmp_path: Any) -> None:
    """A model whose id holds a slash is listed, retrieved and called by it."""
    text = catalog_text("http://127.0.0.1:9/v1").replace("routes: {echo:", 'routes: {"us/echo":')
    async with (
        running(tmp_path, text=text) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
    ):
        assert "us/echo" in [model.id async for model in client.models.list()]
        assert (await client.models.retrieve("us/echo")).id == "us/echo"
        assert (await ask(client, model="us/echo")).choices[0].message.content == "hi"


async def test_a_cancelled_task(client: AsyncOpenAI, fake: FakeUpstream) -> None:
    """A task that is cancelled in mid-stream closes the provider's stream within a second."""
    seen = asyncio.Event()

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event(delta({"content": "a"}))))
        await exchange.client_closed()

    async def read() -> None:
        async with await ask(client, stream=True) as stream:
            async for _ in stream:
                seen.set()

    fake.handler = handler
    task = asyncio.create_task(read())
    await asyncio.wait_for(seen.wait(), 5)
    task.cancel()
    await asyncio.wait_for(fake.connections[0].closed.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await task
