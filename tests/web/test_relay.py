"""What passes through passes untouched, both ways."""

from __future__ import annotations

import json

import pytest

from tests.fake_upstream import Exchange, FakeUpstream, chunk, head
from tests.harness import Gateway
from tests.rawclient import ask, chat, request

ANSWER = (
    b'{"id": "c1",  "object":"chat.completion","created":1,"model":"fake-upstream","x_new":{"a":[1.0]},'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"h\\u00e9"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
)
EVENTS = [
    b'data: {"id":"c1","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
    b": a comment\n\n",
    'data: {"id":"c1","choices":[{"index":0,"delta":{"content":"h\u00e9 \\"usage\\":{ data: [DONE]"},'
    '"finish_reason":null}],"usage":null}\r\n\r\n'.encode(),
    b'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
]
USAGE = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n'
DONE = b"data: [DONE]\n\n"


def plain(body: bytes = ANSWER, extra: tuple[tuple[str, str], ...] = ()) -> object:
    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *extra]
        await exchange.send(head(200, lines) + body)

    return handler


def streamed(pieces: list[bytes]) -> object:
    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        for piece in pieces:
            await exchange.send(chunk(piece))
        await exchange.send(b"0\r\n\r\n")

    return handler


async def test_only_the_model_is_replaced(gateway: Gateway, fake: FakeUpstream) -> None:
    """Every other byte of the request reaches the provider as the client wrote it."""
    fake.handler = plain()
    raw = (
        b'{ "messages" : [ {"content":"\\u00e9\xc3\xa9","role":"user"} ] ,\n "temperature":0.70,'
        b'"model" : "fake-slug", "never_heard_of":{"z":1e2,"a":[ ]},"top_p":1.0 }'
    )
    answer = await ask(gateway.server.port, request(raw, gateway.key))
    assert answer.status == 200
    sent = fake.requests[0]
    assert sent.body == raw.replace(b'"fake-slug"', b'"fake-upstream"')
    assert sent.path == "/v1/chat/completions"


async def test_a_body_that_needs_no_change_passes_as_it_is(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """Where slug and upstream name are one, not a byte differs."""
    fake.handler = plain()
    raw = json.dumps(chat(model="same-name"), indent=1).encode()
    await ask(gateway.server.port, request(raw, gateway.key))
    assert fake.requests[0].body == raw


async def test_the_reply_is_the_providers(gateway: Gateway, fake: FakeUpstream) -> None:
    """The body passes byte for byte; of the headers only what the gateway vouches for."""
    secret = (
        ("Set-Cookie", "a=b"),
        ("x-ratelimit-remaining-requests", "9"),
        ("Server", "up"),
        ("openai-organization", "org"),
        ("Keep-Alive", "timeout=5"),
    )
    fake.handler = plain(extra=secret)
    answer = await ask(gateway.server.port, request(chat(), gateway.key))
    assert answer.body == ANSWER
    names = {name.lower() for name, _ in answer.headers}
    assert names == {
        "date", "content-length", "content-type", "x-request-id", "x-gateway-route", "x-gateway-cost"
    }  # fmt: skip


async def test_nothing_of_the_client_but_its_body_goes_upstream(
    gateway: Gateway, fake: FakeUpstream
) -> None:
    """The client's key, cookies, host and own headers stay with the gateway."""
    fake.handler = plain()
    headers = {"Cookie": "session=1", "X-Stainless-Lang": "python", "X-Forwarded-Host": "evil"}
    await ask(gateway.server.port, request(chat(), gateway.key, headers=headers))
    sent = fake.requests[0]
    assert gateway.key.encode() not in sent.raw
    assert sent.header("Authorization") == "Bearer sk-upstream-secret-0001"
    assert sent.header("Host") == f"127.0.0.1:{fake.port}"
    names = {name.lower() for name, _ in sent.headers}
    assert names == {"host", "authorization", "content-type", "content-length", "accept-encoding"}


async def test_request_ids_are_unique(gateway: Gateway, fake: FakeUpstream) -> None:
    """Each answer carries an id of its own, and the log has it."""
    fake.handler = plain()
    ids = [
        (await ask(gateway.server.port, request(chat(), gateway.key))).header("x-request-id")
        for _ in range(5)
    ]
    assert len(set(ids)) == 5


async def test_usage_is_asked_for_and_hidden(gateway: Gateway, fake: FakeUpstream) -> None:
    """A client that did not ask for usage sees every byte but the extra chunk; the meter sees it."""
    fake.handler = streamed([*EVENTS, USAGE, DONE])
    answer = await ask(gateway.server.port, request(chat(stream=True), gateway.key))
    assert json.loads(fake.requests[0].body)["stream_options"] == {"include_usage": True}
    assert answer.clean
    assert answer.body == b"".join([*EVENTS, DONE])
    assert answer.header("content-type") == "text/event-stream"
    await gateway.idle()
    gateway.server.log.close()
    line = [line for line in gateway.logged() if line["event"] == "call"][-1]
    assert (line["input_tokens"], line["output_tokens"]) == (3, 2)


async def test_usage_that_was_asked_for_is_shown(gateway: Gateway, fake: FakeUpstream) -> None:
    """Then the whole stream is the provider's, and the client's options keep their company."""
    fake.handler = streamed([*EVENTS, USAGE, DONE])
    options = {"include_usage": True, "include_obfuscation": False}
    body = chat(stream=True, stream_options=options)
    answer = await ask(gateway.server.port, request(body, gateway.key))
    assert answer.body == b"".join([*EVENTS, USAGE, DONE])
    assert json.loads(fake.requests[0].body)["stream_options"] == options
    body["stream_options"] = {"include_obfuscation": False}
    answer = await ask(gateway.server.port, request(body, gateway.key))
    assert answer.body == b"".join([*EVENTS, DONE])
    assert json.loads(fake.requests[1].body)["stream_options"] == {
        "include_obfuscation": False,
        "include_usage": True,
    }


async def test_a_stream_split_at_every_byte(gateway: Gateway, fake: FakeUpstream) -> None:
    """Wherever the provider's reads fall, the client gets the same bytes."""
    whole = b"".join([*EVENTS, USAGE, DONE])
    expected = b"".join([*EVENTS, DONE])
    for at in range(1, len(whole), 3):
        fake.handler = streamed([whole[:at], whole[at:]])
        answer = await ask(gateway.server.port, request(chat(stream=True), gateway.key))
        assert answer.body == expected, at
    fake.handler = streamed([whole[at : at + 1] for at in range(len(whole))])
    answer = await ask(gateway.server.port, request(chat(stream=True), gateway.key))
    assert answer.body == expected


@pytest.mark.parametrize("operation", ["completions", "embeddings"])
async def test_the_other_operations_pass_too(
    gateway: Gateway, fake: FakeUpstream, operation: str
) -> None:
    """Completions and embeddings go straight through."""
    body = {"model": "fake-slug", "prompt": "x"}
    if operation == "embeddings":
        body = {"model": "embed-slug", "input": ["x"], "encoding_format": "base64"}
    reply = b'{"object":"list","data":[],"usage":{"prompt_tokens":1,"total_tokens":1}}'
    fake.handler = plain(reply)
    raw = request(body, gateway.key, path=f"/v1/{operation}")
    answer = await ask(gateway.server.port, raw)
    assert answer.body == reply
    assert fake.requests[0].path == f"/v1/{operation}"


async def test_a_whole_answer_to_a_streamed_call(gateway: Gateway, fake: FakeUpstream) -> None:
    """A provider that does not stream is answered for as it answers."""
    fake.handler = plain()
    answer = await ask(gateway.server.port, request(chat(stream=True), gateway.key))
    assert (answer.status, answer.body) == (200, ANSWER)
    assert answer.header("content-type") == "application/json"


async def test_an_error_has_the_number_that_is_next(gateway: Gateway) -> None:
    """Events of a Responses stream are counted, the gateway's own after a cut connection too."""
    body = {"model": "echo", "input": "hi", "stream": True, "sim": {"tokens": 9, "cut": 3}}
    answer = await ask(gateway.server.port, request(body, gateway.key, path="/v1/responses"))
    told = [json.loads(line[6:]) for line in answer.body.splitlines() if line[:6] == b"data: "]
    assert told[-1]["type"] == "error"
    assert told[-1]["message"] == "The provider ended its answer too early."
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
