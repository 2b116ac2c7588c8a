"""Whole answers on the chat wire, and the way of a signature through a chat client and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.body import JsonBody
from gateway.core.talk.chat import read_request
from gateway.core.talk.chat.answer import read_answer, write_answer
from gateway.core.talk.model import (
    Answer,
    Citation,
    Losses,
    Media,
    Message,
    Refusal,
    Text,
    Thinking,
    ToolUse,
)
from gateway.core.usage import openai_usage
from gateway.domain import Usage
from gateway.errors import UPSTREAM_ERROR, Fault

BODY = JsonBody.parse(b'{"model":"asked","messages":[]}')


def body(message: Any, finish: str = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json.dumps({"id": "x", "model": "m", "created": 5, "choices": [choice], **more}).encode()


def sent_back(answer: Answer) -> list[Message]:
    """What the gateway reads when a client sends the answer's message again."""
    message = json.loads(write_answer(BODY, answer))["choices"][0]["message"]
    said = {key: value for key, value in message.items() if value is not None}
    again = json.dumps({"messages": [said]}).encode()
    return read_request(JsonBody.parse(again), Losses()).messages


def test_what_an_sdk_expects() -> None:
    usage = Usage(input=10, output=4, cached=3, cache_write=2, cache_write_1h=1, reasoning=1)
    written = json.loads(
        write_answer(BODY, Answer("i", "m", [Text("hi")], "length", usage=usage, created=5))
    )
    assert written == {
        "id": "i",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 4,
            "total_tokens": 14,
            "prompt_tokens_details": {
                "cached_tokens": 3,
                "audio_tokens": 0,
                "cache_write_tokens": 3,
            },
            "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
        },
    }


def test_content_is_null_beside_calls_alone() -> None:
    answer = Answer(parts=[ToolUse("a", "f", "{}")], reason="tool")
    choice = json.loads(write_answer(BODY, answer))["choices"][0]
    assert choice["message"]["content"] is None
    assert choice["finish_reason"] == "tool_calls"
    assert "usage" not in json.loads(write_answer(BODY, answer))


def test_model_as_asked_where_the_wire_names_none() -> None:
    assert json.loads(write_answer(BODY, Answer()))["model"] == "asked"


def test_beside_the_words() -> None:
    source = Citation("https://a.example", "A", "q", 1, 2)
    parts = [Text("hi", citations=[source]), Media("image", mime="image/png", data="QUJD")]
    parts.append(Media("audio", data="QUJD", transcript="t", file_id="a1"))
    parts.append(Refusal("no"))
    again = read_answer(write_answer(BODY, Answer("i", "m", parts)))
    texts = [part for part in again.parts if isinstance(part, Text)]
    assert [(c.url, c.title, c.quote, c.start, c.end) for c in texts[0].citations] == [
        ("https://a.example", "A", "q", 1, 2)
    ]
    assert parts[1] in again.parts
    assert parts[2] in again.parts
    assert parts[3] in again.parts


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "filter"),
        ("sensitive", "filter"),
        ("model_context_window_exceeded", "context"),
        ("network_error", "error"),
        ("no such reason", "stop"),
    ],
)
def test_reasons(finish: str, reason: str) -> None:
    assert read_answer(body({"content": "a"}, finish)).reason == reason


def test_usage_is_the_providers_bytes() -> None:
    usage = '{"total_tokens":3, "prompt_tokens":1,"completion_tokens":2}'
    raw = body({"content": "a"})[:-1] + b',"usage":' + usage.encode() + b"}"
    found = read_answer(raw).usage
    assert found is not None
    assert found.raw == usage.encode()
    assert found == openai_usage(usage.encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":[null]}',
        b'{"choices":[{"message":"hi"}]}',
        b'{"error":{"message":"no"}}',
        b"[" * 100_000,
        b'{"choices":[{"message":{"tool_calls":[5]}}]}',
        b'{"choices":[{"message":{"function_call":{"name":"f","arguments":"\xff"}}}]}',
    ],
)
def test_no_message_is_a_fault(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read_answer(raw)
    assert caught.value.kind is UPSTREAM_ERROR


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)
FAMILIES = st.sampled_from(["messages", "responses", "generate", "chat", "a-hosts-own-v1"])
SIGNED = st.builds(Thinking, WORDS, WORDS, family=FAMILIES)
SEALED = st.builds(Thinking, data=WORDS, family=FAMILIES, id=WORDS)
BOTH = st.builds(Thinking, WORDS, data=WORDS, family=FAMILIES, id=WORDS)
CALLS = st.builds(ToolUse, id=WORDS, name=WORDS, arguments=WORDS, custom=st.booleans())
SIGNED_CALLS = st.builds(
    ToolUse, id=WORDS, name=WORDS, arguments=WORDS, signature=WORDS, family=FAMILIES
)


@given(
    st.lists(SIGNED | SEALED | BOTH, max_size=4), WORDS, st.lists(CALLS | SIGNED_CALLS, max_size=3)
)
def test_signatures_come_back(thoughts: list[Thinking], words: str, calls: list[ToolUse]) -> None:
    """An answer that a client sends back is what it was, thoughts, seals and signatures."""
    answer = Answer(parts=[*thoughts, Text(words), *calls])
    (message,) = sent_back(answer)
    assert message == Message("assistant", [*thoughts, Text(words), *calls])


def test_unsigned_thoughts_come_back_as_one() -> None:
    (message,) = sent_back(Answer(parts=[Thinking("a"), Thinking("b"), Text("c")]))
    assert message.parts == [Thinking("ab"), Text("c")]


def test_foreign_details() -> None:
    """A host's own format is a family of its own; pieces of one index are one thought."""
    details = [
        {"type": "reasoning.text", "text": "a", "format": "h-v1", "index": 0},
        {"type": "reasoning.text", "text": "b", "index": 0},
        {"type": "reasoning.text", "signature": "s", "index": 0},
        {"type": "reasoning.encrypted", "data": "d", "index": 1},
    ]
    found = read_answer(body({"content": None, "reasoning": "ab", "reasoning_details": details}))
    assert found.parts[0] == Thinking("ab", "s", family="h-v1")
    assert found.parts[1] == Thinking(data="d", family="chat")


def test_words_that_details_lack_come_from_beside() -> None:
    details = [{"type": "reasoning.text", "signature": "s", "format": "h-v1", "index": 0}]
    found = read_answer(body({"content": "c", "reasoning": "ab", "reasoning_details": details}))
    assert found.parts == [Thinking("ab", "s", family="h-v1"), Text("c")]
