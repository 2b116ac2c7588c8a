"""Declared adapters change what they say and not one byte more: golden pairs."""

from __future__ import annotations

import pytest

from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk import Adapter, Call, JsonBody
from providers_plugins import (
    alibaba,
    compatible,
    deepseek,
    groq,
    minimax,
    mistral,
    moonshot,
    openrouter,
    zhipu,
)
from providers_plugins.openai import ADAPTER as OPENAI
from providers_plugins.xai import ADAPTER as XAI

KEY = Credential("main", {"api_key": "sk-secret"})
ALL = [
    OPENAI,
    compatible.GENERIC,
    compatible.OLLAMA,
    compatible.VLLM,
    XAI,
    alibaba.ADAPTER,
    deepseek.ADAPTER,
    groq.ADAPTER,
    minimax.ADAPTER,
    mistral.ADAPTER,
    moonshot.ADAPTER,
    openrouter.ADAPTER,
    zhipu.ADAPTER,
]
BY_NAME = {adapter.name: adapter for adapter in ALL}
OLD_CEILING = ["alibaba", "deepseek", "mistral", "moonshot", "ollama", "zhipu"]
SYSTEM_ONLY = [*OLD_CEILING, "groq", "minimax", "vllm"]
# What is added to every conversation, and who tells usage without being asked.
ADDED = {"minimax": b',"reasoning_split":true'}
UNASKED = {"mistral"}
MESSAGES = rb'[ {"content":"\u00e9 \/ \n","role":"user" } , {"role" : "user", "x":1.0e0} ]'
STYLED = (
    b'{ "temperature" : 1.0 ,\n "model"\t: "client/model", "z":1e0,"messages":'
    + MESSAGES
    + b" ,\r\n"
    rb' "metadata" : { "a" : [ 1.50 , 2E3 ] }, "unk\u006eown":"\ud83d\ude00", "n":1 }' + b"\n"
)
STYLED_OUT = STYLED.replace(b'"client/model"', b'"up/stream"')


# Who wants contents of text alone as strings.
FLAT = {"deepseek", "minimax", "moonshot"}


# What goes through with another model and no other change.
PLAIN = ("chat", "completions", "embeddings", "moderations", "responses")
OWN_EMBEDDINGS = {"alibaba", "zhipu"}


def plain(adapter: Adapter) -> list[str]:
    own = {"embeddings"} if adapter.name in OWN_EMBEDDINGS else set()
    return [name for name in adapter.operations if name in PLAIN and name not in own]


def with_added(name: str, body: bytes) -> bytes:
    added = ADDED.get(name)
    return body if added is None else body[:-1].rstrip() + added + b"}"


def call(body: bytes, *, stream: bool = False, operation: str = "chat") -> Call:
    return Call(operation, "up/stream", "https://host.example/v1", JsonBody.parse(body), stream)


def sent(adapter: Adapter, body: bytes, *, stream: bool = False, operation: str = "chat") -> bytes:
    return (
        adapter.operations[operation]
        .build(call(body, stream=stream, operation=operation), KEY)
        .body
    )


@pytest.mark.parametrize("adapter", ALL, ids=BY_NAME)
def test_only_the_model_changes(adapter: Adapter) -> None:
    """Key order, spelling of numbers, escapes and whitespace stay the client's."""
    for operation in plain(adapter):
        expected = STYLED_OUT
        if operation == "chat" and adapter.name in ADDED:
            expected = STYLED_OUT.replace(b" }\n", ADDED[adapter.name] + b"}\n")
        assert sent(adapter, STYLED, operation=operation) == expected


@pytest.mark.parametrize("adapter", ALL, ids=BY_NAME)
def test_the_request_is_addressed(adapter: Adapter) -> None:
    """URL, method, key and content type are as the host wants them; what else vendors make has
    tests of its own."""
    paths = {
        "chat": "/chat/completions",
        "completions": "/completions",
        "embeddings": "/embeddings",
        "moderations": "/moderations",
        "responses": "/responses",
    }
    for name in plain(adapter):
        operation = adapter.operations[name]
        request = operation.build(call(STYLED, operation=name), KEY)
        assert request.method == "POST"
        assert request.url == "https://host.example/v1" + paths[name]
        headers = dict(request.headers)
        assert headers.pop("Accept-Language", "en-US,en") == "en-US,en"
        assert headers == {"Content-Type": "application/json", "Authorization": "Bearer sk-secret"}
        keyless = operation.build(call(STYLED, operation=name), Credential("none"))
        assert "Authorization" not in dict(keyless.headers)


@pytest.mark.parametrize("adapter", ALL, ids=BY_NAME)
@pytest.mark.parametrize("stream", [False, True])
def test_building_is_pure(adapter: Adapter, stream: bool) -> None:
    """Twice the same call gives equal requests, and the client's body is as it was."""
    body = (
        b'{"model":"m","max_completion_tokens":5,"user":"u","temperature":9,'
        b'"messages":[{"role":"developer"}]}'
    )
    asked = call(body, stream=stream)
    first = adapter.operations["chat"].build(asked, KEY)
    assert adapter.operations["chat"].build(asked, KEY) == first
    assert asked.body.raw == body
    assert asked.body.names() == [
        "model",
        "max_completion_tokens",
        "user",
        "temperature",
        "messages",
    ]


@pytest.mark.parametrize("adapter", ALL, ids=BY_NAME)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'{"model": "m"}', b'{"model": "up/stream","stream_options":{"include_usage":true}}'),
        (
            b'{"stream_options" : null , "model":"m"}',
            b'{"stream_options" : {"include_usage":true} , "model":"up/stream"}',
        ),
        (
            b'{"stream_options":{ "x": 1.0 },"model":"m"}',
            b'{"stream_options":{ "x": 1.0,"include_usage":true},"model":"up/stream"}',
        ),
        (
            b'{"stream_options":{"include_usage" : false , "x":[ ]},"model":"m"}',
            b'{"stream_options":{"include_usage" : true , "x":[ ]},"model":"up/stream"}',
        ),
        (
            b'{"stream_options":{"include_usage":true },"model":"m"}',
            b'{"stream_options":{"include_usage":true },"model":"up/stream"}',
        ),
        (
            b'{"stream_options":{},"model":"m"}',
            b'{"stream_options":{"include_usage":true},"model":"up/stream"}',
        ),
    ],
)
def test_usage_is_asked_for_beside_what_was_asked(
    adapter: Adapter, given: bytes, expected: bytes
) -> None:
    """A stream asks for usage and keeps the client's other stream options."""
    if adapter.name in UNASKED:
        assert (
            sent(adapter, given, stream=True).replace(b'": "', b'":"') == b'{"model":"up/stream"}'
        )
        return
    if adapter.name in ADDED:
        expected = expected[:-1] + ADDED[adapter.name] + b"}"
    assert sent(adapter, given, stream=True) == expected
    assert b"include_usage" not in sent(adapter, b'{"model":"m"}')


def test_doubled_stream_options_are_refused() -> None:
    """Two members of one name inside stream_options are a 400."""
    with pytest.raises(Fault) as caught:
        sent(OPENAI, b'{"model":"m","stream_options":{"a":1,"a":2}}', stream=True)
    assert caught.value.kind.status == 400


@pytest.mark.parametrize("name", SYSTEM_ONLY)
def test_roles_are_renamed_and_nothing_else(name: str) -> None:
    """A developer message becomes a system message; its other bytes, and other messages, stay."""
    before = (
        rb'{"model":"m","messages":[{"content":"a \"developer\" \u00e9" , "role" : "developer" },'
        rb'{"role":"user","content":[{"type":"text","text":"developer"}], "f":1.0}]}'
    )
    after = before.replace(b'"m"', b'"up/stream"')
    after = after.replace(b'"role" : "developer"', b'"role" : "system"')
    if name in FLAT:
        after = after.replace(b'[{"type":"text","text":"developer"}]', b'"developer"')
    assert sent(BY_NAME[name], before) == with_added(name, after)


@pytest.mark.parametrize("name", sorted(set(BY_NAME) - set(SYSTEM_ONLY)))
def test_roles_stay_where_the_host_knows_them(name: str) -> None:
    """Hosts that know the developer role get it."""
    body = b'{"model":"m","messages":[{"role":"developer"}]}'
    assert sent(BY_NAME[name], body) == body.replace(b'"m"', b'"up/stream"')


def test_a_message_with_two_roles_is_refused() -> None:
    """Where the gateway rewrites a role it must know which one counts."""
    with pytest.raises(Fault) as caught:
        sent(deepseek.ADAPTER, b'{"model":"m","messages":[{"role":"developer","role":"user"}]}')
    assert caught.value.kind.status == 400


@pytest.mark.parametrize("name", OLD_CEILING)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            b'{"model":"m","max_completion_tokens":5,"x":1.0}',
            b'{"model":"up/stream","max_tokens":5,"x":1.0}',
        ),
        (
            b'{"max_tokens":7,"max_completion_tokens":5,"model":"m"}',
            b'{"max_tokens":7,"model":"up/stream"}',
        ),
        (
            b'{"max_completion_tokens":5,"max_tokens":7,"model":"m"}',
            b'{"max_tokens":7,"model":"up/stream"}',
        ),
        (b'{"model":"m","max_tokens": 7}', b'{"model":"up/stream","max_tokens": 7}'),
    ],
)
def test_the_old_ceiling(name: str, given: bytes, expected: bytes) -> None:
    """Hosts that know max_tokens alone get it once; one the client itself wrote wins."""
    assert sent(BY_NAME[name], given) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b'{"model":"m","user":"u1"}', b'{"model":"up/stream","user_id":"u1"}'),
        (b'{"user_id":"a","user":"b","model":"m"}', b'{"user_id":"a","model":"up/stream"}'),
    ],
)
def test_zhipu_users(given: bytes, expected: bytes) -> None:
    """This host calls the end user by another name."""
    assert sent(zhipu.ADAPTER, given) == expected


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("zhipu", b"1.5", b"1.0"),
        ("minimax", b"0", b"0.01"),
        ("minimax", b"0.0", b"0.01"),
        ("minimax", b"1.50", b"1.0"),
        ("minimax", b"2", b"1.0"),
        ("minimax", b"0.50", b"0.50"),
        ("minimax", b"1", b"1"),
        ("minimax", b"1.00", b"1.00"),
        ("minimax", b"null", b"null"),
        ("moonshot", b"2", b"1.0"),
        ("moonshot", b"0", b"0"),
        ("moonshot", b"1e0", b"1e0"),
        ("openai", b"2", b"2"),
        ("deepseek", b"2.0", b"2.0"),
    ],
)
def test_clamped_temperatures(name: str, given: bytes, expected: bytes) -> None:
    """A value out of the host's range moves to its edge; one within keeps its spelling."""
    body = b'{"model":"m", "temperature" : ' + given + b" }"
    told = b'{"model":"up/stream", "temperature" : ' + expected + b" }"
    assert sent(BY_NAME[name], body) == with_added(name, told)


def test_upstream_names_are_written_as_json() -> None:
    """An upstream name with quotes or controls cannot break out of its string."""
    asked = Call("chat", 'a"b\\\n', "https://x", JsonBody.parse(b'{"model":"m"}'))
    assert OPENAI.operations["chat"].build(asked, KEY).body == rb'{"model":"a\"b\\\n"}'
