"""The adapter: what is sent where, and what passes through untouched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.core.talk.messages import Writer, read_request, write_answer
from gateway.core.talk.model import Losses, Media, Message, Talk, Text
from gateway.domain import Credential
from gateway.errors import Fault
from gateway.sdk import PASSTHROUGH, Call
from gateway.sdk.talk import Dialect, MessagesMeter, MessagesReader, translated
from providers_plugins.anthropic import ADAPTER

KEY = Credential("k", {"api_key": "secret"})
BASE = "https://api.anthropic.com"


def call(operation: str, body: bytes, **more: Any) -> Call:
    return Call(operation, "claude-x", BASE, JsonBody.parse(body), **more)


@pytest.mark.parametrize(
    ("operation", "path"),
    [("messages", "/v1/messages"), ("count_tokens", "/v1/messages/count_tokens")],
)
def test_a_client_of_the_same_dialect_passes_through(operation: str, path: str) -> None:
    raw = b'{ "model":"ours", "odd": 1.0,\n "messages":[{"role":"user","content":"\\u00e9"}] }'
    request = ADAPTER.operations[operation].build(call(operation, raw), KEY)
    assert request.url == BASE + path
    assert request.body == raw.replace(b'"ours"', b'"claude-x"')
    assert dict(request.headers) == {
        "Content-Type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "secret",
    }
    assert ADAPTER.operations[operation].parse is PASSTHROUGH
    assert not request.translated


def test_version_and_betas_are_the_clients() -> None:
    heard = {"anthropic-version": "2099-01-01", "anthropic-beta": "a,b"}
    operation = ADAPTER.operations["messages"]
    assert set(operation.hears) == heard.keys()
    headers = dict(operation.build(call("messages", b"{}", headers=heard), KEY).headers)
    assert headers["anthropic-version"] == "2099-01-01"
    assert headers["anthropic-beta"] == "a,b"


@pytest.mark.parametrize(
    ("secrets", "name", "value"),
    [
        ({"api_key": "a"}, "x-api-key", "a"),
        ({"auth_token": "t"}, "Authorization", "Bearer t"),
        ({"auth_token": "t", "api_key": "a"}, "Authorization", "Bearer t"),
    ],
)
def test_logins(secrets: dict[str, str], name: str, value: str) -> None:
    build = ADAPTER.operations["messages"].build
    headers = dict(build(call("messages", b"{}"), Credential("k", secrets)).headers)
    assert headers[name] == value
    assert len({"x-api-key", "Authorization"} & headers.keys()) == 1


def spoken(talk: Talk, **options: str) -> tuple[dict[str, Any], dict[str, str]]:
    assert ADAPTER.wire is not None
    made = ADAPTER.wire.build(call("chat", b"{}", options=options), KEY, talk, Losses())
    assert made.url == BASE + "/v1/messages"
    return json.loads(made.body), dict(made.headers)


@pytest.mark.parametrize(
    ("said", "ceiling"),
    [("1234", 1_234), ("", 8_192), ("0", 8_192), ("-5", 8_192), ("x", 8_192), ("9" * 5_000, 8_192)],
)
def test_how_long_an_answer_may_be_where_the_client_says_nothing(said: str, ceiling: int) -> None:
    talk = Talk("chat", model="claude-x", messages=[Message("user", [Text("hi")])])
    body, headers = spoken(talk, max_output=said)
    assert body["max_tokens"] == ceiling
    assert body["model"] == "claude-x"
    assert "anthropic-beta" not in headers


def test_files_are_asked_for_in_beta() -> None:
    talk = Talk("chat", messages=[Message("user", [Media("document", file_id="file_1")])])
    assert spoken(talk)[1]["anthropic-beta"] == "files-api-2025-04-14"


def test_answers_are_read_and_errors_in_them_raised() -> None:
    wire = ADAPTER.wire
    assert wire is not None
    asked = call("chat", b"{}")
    answer = wire.read(asked, {}, b'{"id":"i","content":[{"type":"text","text":"a"}]}')
    assert answer.parts == [Text("a")]
    with pytest.raises(Fault) as caught:
        wire.read(asked, {}, b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}')
    assert caught.value.cause == "provider_overloaded"
    with pytest.raises(Fault):
        wire.read(asked, {}, b"<html>")
    assert isinstance(wire.reader(asked), MessagesReader)


def test_streams_are_metered() -> None:
    stream = ADAPTER.operations["messages"].stream
    assert stream is not PASSTHROUGH
    assert isinstance(stream(call("messages", b"{}")), MessagesMeter)


def test_the_dialect_over_the_wire_is_an_operation() -> None:
    """Both halves together, as the gateway runs them for any pair."""
    assert ADAPTER.wire is not None
    dialect = Dialect("messages", read_request, write_answer, Writer)
    operation = translated(dialect, ADAPTER.wire)
    raw = b'{"model":"ours","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}'
    asked = call("messages", raw, stream=True)
    request = operation.build(asked, KEY)
    assert request.translated
    assert request.adapted == ()
    assert json.loads(request.body) == {
        "model": "claude-x",
        "max_tokens": 5,
        "stream": True,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    }
    assert operation.parse is not PASSTHROUGH
    answer = (
        b'{"id":"i","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"'
    )
    usage = b',"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":2}}'
    reply = operation.parse(asked, 200, {}, answer + usage)
    assert reply.usage is not None
    assert (reply.usage.input, reply.usage.cached) == (7, 4)
    assert json.loads(reply.body)["usage"]["input_tokens"] == 3
