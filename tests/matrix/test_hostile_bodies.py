"""Bodies that are wrong anywhere: no dialect over any family fails on them, and each says where."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.matrix import bodies
from tests.matrix.everyone import Everyone, everyone
from tests.rawclient import Answer, RawClient, ask, request

AMOUNT = 150  # spoilt bodies of each dialect for each family
VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 1e308, 2**63, 2**64, 10**30, 10**400, "", "x", "a\0b", "\r\nX: y",
    [], {}, [[]], [{}], [None], [1], {"type": "x"}, {"type": None}, {"type": ["x"]},
    [{"type": "text"}], [{"type": "text", "text": None}], "{}", "[1", "data:image/png;base64,",
    "data:;base64,!!", "data:", "gs://x", "none", "any", "adaptive", "assistant", "tool",
]  # fmt: skip
WORDS = {  # JSON that no encoder writes
    "<huge>": "1e999",
    "<surrogate>": '"\\ud800"',
    "<nan>": "NaN",
    "<twice>": '{"type":"text","type":"image_url"}',
    "<deep>": "[" * 100 + "]" * 100,
}
ENDPOINTS = {
    "/v1/chat/completions": bodies.CHAT,
    "/v1/messages": bodies.MESSAGES,
    "/v1/messages/count_tokens": bodies.COUNT,
    "/v1/responses": bodies.RESPONSES,
    "/v1/explain?endpoint=chat": bodies.CHAT,
    "/v1/explain?endpoint=messages": bodies.MESSAGES,
    "/v1/explain?endpoint=responses": bodies.RESPONSES,
}
ALWAYS = ("model", "messages", "input", "max_tokens")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with everyone(tmp_path) as made:
        yield made


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


def spoilt(chance: random.Random, whole: dict[str, Any], model: str) -> bytes:
    """Some of the body, with a few of its values exchanged for others or taken away."""
    body = copy.deepcopy({k: v for k, v in whole.items() if k in ALWAYS or chance.random() < 0.5})
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        holder, key = chance.choice(list(places(body)))
        bad = copy.deepcopy(chance.choice([*VALUES, *WORDS, "<gone>"]))
        if bad == "<gone>":
            holder.pop(key)
        else:
            holder[key] = bad
    body["model"] = model
    text = json.dumps(body)
    for word, raw in WORDS.items():
        text = text.replace(json.dumps(word), raw)
    return text.encode()


def sound(path: str, answer: Answer) -> bool:
    """An answer, or the dialect's own error for a bad request, that names the field at fault."""
    if answer.status == 200:
        return True
    told = answer.json()
    if path.startswith("/v1/messages") and (
        told["type"] != "error" or answer.header("request-id") != told["request_id"]
    ):
        return False
    named = told["error"]["param"] or "not valid JSON" in told["error"]["message"]
    return bool(named) and answer.status in (400, 402, 404)


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_nothing_fails_on_what_is_wrong(stage: Everyone, path: str) -> None:
    """Each family in turn; the seed is the path's, so a failure comes again."""
    chance = random.Random(path)
    port, key = stage.gateway.server.port, stage.gateway.key
    translated = path.endswith(("/messages", "count_tokens", "=messages"))
    client = await RawClient.open(port)
    for family in stage.fakes:
        if family == "bedrock-invoke" and not translated:
            continue  # its fake knows but one body
        for _ in range(AMOUNT):
            body = spoilt(chance, ENDPOINTS[path], family)
            client.send(request(body, key, path=path))
            answer = await client.answer()
            assert sound(path, answer), (family, answer.status, answer.body, body)
    client.close()


async def test_schemas_of_odd_formats_are_adapted(stage: Everyone) -> None:
    """A format that is no word, beside a number past 64 bits: both reach the provider's schema."""
    schema = {"type": "object", "format": ["x"], "properties": {"n": {"enum": [10**30]}}}
    body = {
        "model": "messages",
        "messages": [{"role": "user", "content": "hi"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": schema},
        },
    }
    answer = await ask(stage.gateway.server.port, request(body, stage.gateway.key))
    assert answer.status == 200, answer.body
    told = stage.fakes["messages"].requests[-1].json()
    assert told["output_config"]["format"]["schema"]["properties"] == {"n": {"enum": [10**30]}}


@pytest.mark.parametrize("number", ["1" + "0" * 30, "1" + "0" * 400, "1e999"])
async def test_explain_shows_any_number_as_it_is(stage: Everyone, number: str) -> None:
    """What would be sent is shown to the digit, even where no number type holds it."""
    body = b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"x_odd":%s}'
    told = request(body % number.encode(), stage.gateway.key, path="/v1/explain")
    answer = await ask(stage.gateway.server.port, told)
    assert answer.status == 200, answer.body
    assert b'"x_odd":%s' % number.encode() in answer.body
    assert not stage.fakes["chat"].requests


def full(start: bytes, item: bytes, end: bytes) -> bytes:
    """A body of 31 MiB that is but one item over and over."""
    more = (31 << 20) // (len(item) + 1) - 1
    return start + (item + b",") * more + item + end


@pytest.mark.parametrize(
    ("path", "start", "item", "end"),
    [
        ("/v1/responses", b'{"model":"chat","input":[', b"0", b"]}"),
        ("/v1/responses", b'{"model":"responses","input":[', b"{}", b"]}"),
        ("/v1/chat/completions", b'{"model":"google","messages":[', b'{"role":"user"}', b"]}"),
        (
            "/v1/messages",
            b'{"model":"bedrock","max_tokens":5,"messages":[{"role":"user","content":[',
            b'{"type":""}',
            b"]}]}",
        ),
    ],
    ids=["numbers", "items", "messages", "parts"],
)
async def test_a_flood_of_little_things_is_refused(
    stage: Everyone, path: str, start: bytes, item: bytes, end: bytes
) -> None:
    """Unread: in the form, each would take a hundred times the memory that it takes as JSON."""
    told = request(full(start, item, end), stage.gateway.key, path=path)
    answer = await ask(stage.gateway.server.port, told)
    assert answer.status == 400
    assert "values" in answer.error["message"]


async def test_many_turns_of_one_side_are_joined_in_time(stage: Everyone) -> None:
    """A hundred thousand messages take as long for each as a hundred do."""
    message = b'{"role":"user","content":"x"}'
    body = b'{"model":"messages","messages":[%s]}' % b",".join([message] * 100_000)
    answer = await ask(stage.gateway.server.port, request(body, stage.gateway.key))
    assert answer.status == 200
    (turn,) = stage.fakes["messages"].requests[-1].json()["messages"]
    assert len(turn["content"]) == 100_000
