"""The offline provider does what it is asked, the same way every time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import script, sse
from gateway.core.script import Cut, Script, Send, Wait
from gateway.domain import Credential
from gateway.errors import INVALID_REQUEST, Fault
from gateway.sdk import Call, JsonBody
from providers_plugins.sim import ADAPTER, tokens_of

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}


def play(
    body: dict[str, Any], *, operation: str = "chat", stream: bool = False, upstream: str = "echo"
) -> Script:
    parsed = JsonBody.parse(json.dumps(body).encode())
    call = Call(operation, upstream, "sim://local", parsed, stream)
    request = ADAPTER.operations[operation].build(call, Credential("none"))
    assert ADAPTER.operations[operation].build(call, Credential("other")) == request
    assert request.url == f"sim:{operation}"
    return script.decode(request.body)


def data(answer: Script) -> bytes:
    return b"".join(step.data for step in answer.steps if isinstance(step, Send))


def chunks(answer: Script) -> list[Any]:
    events = [sse.data_of(event) for event in sse.Splitter().feed(data(answer))]
    return [json.loads(event) for event in events if event != b"[DONE]"]


def text_of(answer: Script) -> str:
    found = [c["choices"][0] for c in chunks(answer) if c["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in found)


def test_it_echoes_the_last_user() -> None:
    """The answer is the last user message, counted by words."""
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "image_url"}]},
    ]
    answer = json.loads(data(play({"model": "echo", "messages": messages})))
    assert answer["choices"][0]["message"]["content"] == "a b [image_url]"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}


def test_a_stream_is_the_answer_in_pieces() -> None:
    """Role, tokens, finish, usage and the end mark, one event each."""
    answer = play(HELLO, stream=True)
    assert len(answer.steps) == 1 + 3 + 1 + 1 + 1
    assert text_of(answer) == "one two three"
    assert data(answer).endswith(b"data: [DONE]\n\n")
    assert chunks(answer)[-1]["usage"]["completion_tokens"] == 3
    assert len({chunk["id"] for chunk in chunks(answer)}) == 1


@pytest.mark.parametrize("where", ["body", "route"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "value"), [("status", 429), ("status", 503), ("status", 400)])
def test_status(where: str, stream: bool, name: str, value: int) -> None:
    """A refusal has the status asked for and an error object."""
    body, upstream = (
        (HELLO | {"sim": {name: value}}, "echo")
        if where == "body"
        else (HELLO, f"echo?{name}={value}")
    )
    answer = play(body, stream=stream, upstream=upstream)
    assert answer.status == value
    assert json.loads(data(answer))["error"]["message"]


@pytest.mark.parametrize(
    ("given_", "header"), [(2, "2"), (2.5, "2.5"), ("soon", "soon"), (1234567, "1234567")]
)
def test_retry_after(given_: Any, header: str) -> None:
    """Retry-After is written as asked, in plain digits."""
    answer = play(HELLO | {"sim": {"status": 429, "retry_after": given_}})
    assert dict(answer.headers)["retry-after"] == header


def test_text_and_tokens() -> None:
    """The answer's words or their number can be asked for; a ceiling cuts either short."""
    assert text_of(play(HELLO | {"sim": {"text": "yes  sir "}}, stream=True)) == "yes  sir "
    assert text_of(play(HELLO | {"sim": {"tokens": 3}}, stream=True)) == "word word word"
    assert text_of(play(HELLO | {"sim": {"tokens": 0}}, stream=True)) == ""
    cut = play(HELLO | {"sim": {"tokens": 9}, "max_tokens": 2}, stream=True)
    assert text_of(cut) == "word word"
    assert chunks(cut)[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks(cut)[-1]["usage"]["completion_tokens"] == 2


def test_pace_and_delay() -> None:
    """A delay comes before everything, a pace before each token."""
    answer = play(HELLO | {"sim": {"pace": 0.5, "delay": 2}}, stream=True)
    waits = [(i, step.seconds) for i, step in enumerate(answer.steps) if isinstance(step, Wait)]
    assert waits == [(0, 2.0), (2, 0.5), (4, 0.5), (6, 0.5)]
    refused = play(HELLO | {"sim": {"status": 500, "delay": 2}})
    assert refused.steps[0] == Wait(2.0)


@pytest.mark.parametrize("cut", [None, 0, 2])
def test_an_error_by_its_code(cut: int | None) -> None:
    """Refused with it, or told of it in the stream: before everything, or after so many tokens."""
    refused = json.loads(data(play(HELLO | {"sim": {"status": 400, "code": "too_long"}})))
    assert refused["error"]["code"] == "too_long"
    asked = {"code": "overloaded"} | ({} if cut is None else {"cut": cut})
    *before, last = chunks(play(HELLO | {"sim": asked}, stream=True))
    assert last["error"]["code"] == "overloaded"
    assert len(before) == (0 if cut is None else cut + 1)
    whole = json.loads(data(play(HELLO | {"sim": asked})))
    assert whole["error"]["code"] == "overloaded"


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 99])
def test_cut(cut: int) -> None:
    """The connection dies after that many tokens, before any end mark."""
    answer = play(HELLO | {"sim": {"cut": cut}}, stream=True)
    assert isinstance(answer.steps[-1], Cut)
    assert len(tokens_of(text_of(answer))) == min(cut, 3)
    assert b"[DONE]" not in data(answer)
    assert b'"finish_reason":"stop"' not in data(answer)
    whole = play(HELLO | {"sim": {"cut": cut}})
    assert isinstance(whole.steps[-1], Cut)
    with pytest.raises(ValueError):
        json.loads(data(whole))


@pytest.mark.parametrize("off", [0, False])
def test_no_usage(off: Any) -> None:
    """Usage can be left out, whole and streamed."""
    assert b'"usage"' not in data(play(HELLO | {"sim": {"usage": off}}))
    assert b'"usage"' not in data(play(HELLO | {"sim": {"usage": off}}, stream=True))
    assert b'"usage"' not in data(play(HELLO, upstream="echo?usage=0"))


def test_the_request_wins_over_the_route() -> None:
    """What the body asks for is laid over the route's behaviour."""
    answer = play(HELLO | {"sim": {"tokens": 2}}, stream=True, upstream="echo?tokens=5&pace=1")
    assert text_of(answer) == "word word"
    assert Wait(1.0) in answer.steps
    assert play(HELLO | {"sim": None}) != play(HELLO | {"sim": {"tokens": 1}})


def test_other_bodies_other_ids() -> None:
    """The answer's id depends on the request alone."""
    assert data(play(HELLO)) == data(play(HELLO))
    other = play(HELLO | {"user": "x"})
    assert json.loads(data(other))["id"] != json.loads(data(play(HELLO)))["id"]


@pytest.mark.parametrize(
    "bad",
    [
        5,
        "x",
        [],
        {"nope": 1},
        {"pace": -1},
        {"pace": "fast"},
        {"pace": None},
        {"delay": 1e9},
        {"status": 99},
        {"status": 600},
        {"tokens": -1},
        {"tokens": 20_001},
        {"tokens": 1.5},
        {"cut": -1},
        {"code": "no spaces"},
        {"text": 5},
        {"usage": "maybe"},
        {"retry_after": []},
    ],
    ids=repr,
)
def test_a_bad_behaviour_is_refused(bad: Any) -> None:
    """A behaviour that cannot be is a 400 that names `sim`."""
    with pytest.raises(Fault) as caught:
        play(HELLO | {"sim": bad})
    assert caught.value.kind is INVALID_REQUEST
    assert caught.value.param == "sim"


def test_completions() -> None:
    """A text completion echoes its prompt."""
    answer = json.loads(data(play({"model": "echo", "prompt": "a b"}, operation="completions")))
    assert answer["choices"][0]["text"] == "a b"
    streamed = chunks(
        play({"model": "echo", "prompt": ["a", " b"]}, operation="completions", stream=True)
    )
    assert "".join(c["choices"][0]["text"] for c in streamed if c["choices"]) == "a b"


def test_embeddings() -> None:
    """A vector depends on the text alone, and both encodings agree in size."""
    body = {"model": "echo", "input": ["a b", "c"], "dimensions": 4}
    answer = json.loads(data(play(body, operation="embeddings")))
    assert [len(row["embedding"]) for row in answer["data"]] == [4, 4]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    again = json.loads(data(play(body | {"input": "a b"}, operation="embeddings")))
    assert again["data"][0]["embedding"] == answer["data"][0]["embedding"]
    coded = json.loads(data(play(body | {"encoding_format": "base64"}, operation="embeddings")))
    assert isinstance(coded["data"][0]["embedding"], str)


def test_embeddings_stay_small() -> None:
    """A size no provider has is refused rather than computed."""
    with pytest.raises(Fault) as caught:
        play({"model": "echo", "input": "a", "dimensions": 1 << 31}, operation="embeddings")
    assert caught.value.param == "dimensions"


@given(st.text() | st.text(" \n\ta\u3000", max_size=12))
def test_tokens_join_back(text: str) -> None:
    """Splitting text into tokens loses nothing, and no token is without a word."""
    tokens = tokens_of(text)
    assert "".join(tokens) == text
    if text.strip():
        assert len(tokens) == len(text.split())


@pytest.mark.parametrize("text", [" " * 1_000_000, "a" + " " * 1_000_000 + "b", "a" * 1_000_000])
def test_long_runs_take_no_long_time(text: str) -> None:
    """A million spaces are split in linear time."""
    assert "".join(tokens_of(text)) == text
