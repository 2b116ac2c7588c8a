"""Responses that are kept: whose they are, how many, how long, and what they become."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.core.body import JsonBody
from gateway.core.talk.model import Answer, Text, Thinking, ToolUse
from gateway.core.talk.responses import (
    Responses,
    dereferenced,
    expand,
    input_items,
    unknown_response,
    write_answer,
)
from gateway.errors import Fault

MIB = 1 << 20
ASKED = JsonBody(b'{"model":"m","input":"hi","instructions":"short"}')


def answer(name: str = "resp_1", text: str = "hello") -> bytes:
    parts = [
        Thinking("seen", id="rs_1"),
        Thinking("", signature="SEAL", family="responses", id="rs_2"),
        Text(text),
        ToolUse("c", "f", '{"b":1, "a":2}'),
    ]
    return write_answer(ASKED, Answer(name, "m", parts))


def kept(store: Responses, account: str = "a", name: str = "resp_1", at: float = 0.0) -> bool:
    return store.remember(account, ASKED, answer(name), at)


def test_a_conversation_goes_on_from_what_is_kept() -> None:
    """Input, output, new input; ids and instructions of before stay behind."""
    store = Responses()
    assert kept(store)
    stored = store.get("a", "resp_1", 1.0)
    assert stored is not None
    new = JsonBody(b'{"model":"m","previous_response_id":"resp_1","input":"more","x":[1, 2]}')
    body = expand(new, stored)
    said = json.loads(body.raw)
    assert "previous_response_id" not in said
    assert "instructions" not in said
    assert body.get("x") == b"[1, 2]"
    assert [item["type"] for item in said["input"]] == [
        "message",
        "reasoning",
        "message",
        "function_call",
        "message",
    ]
    assert not any("id" in item for item in said["input"])
    assert said["input"][1]["encrypted_content"] == "SEAL"
    assert said["input"][3]["arguments"] == '{"b":1, "a":2}'
    assert said["input"][-1]["content"] == [{"type": "input_text", "text": "more"}]
    assert store.remember("a", body, answer("resp_2"), 2.0)
    third = store.get("a", "resp_2", 3.0)
    assert third is not None
    assert len(json.loads(third.input)) == 5


def test_a_response_is_its_accounts_alone() -> None:
    """Another account's id is refused exactly like one that never was."""
    store = Responses()
    kept(store)
    assert store.get("b", "resp_1", 0.0) is None
    assert not store.delete("b", "resp_1", 0.0)
    assert store.item("b", "rs_2", 0.0) is None
    assert store.get("a", "resp_1", 0.0) is not None
    fault = unknown_response("resp_1", "response_id")
    assert (fault.kind.status, fault.param) == (404, "response_id")
    assert "Send the conversation" in fault.message


def test_what_is_kept_is_bounded() -> None:
    """By bytes and by count, the longest unused first; and by age."""
    one = Responses()
    kept(one)
    size = one.bytes
    store = Responses(max_bytes=3 * size + 10)
    for number in range(3):
        kept(store, name=f"resp_{number}")
    assert store.get("a", "resp_0", 0.0) is not None
    kept(store, name="resp_9")
    assert store.get("a", "resp_1", 0.0) is None
    assert store.get("a", "resp_0", 0.0) is not None
    assert store.bytes <= 3 * size + 10
    few = Responses(max_count=2)
    for number in range(5):
        kept(few, name=f"resp_{number}")
    assert len(few) == 2
    old = Responses(max_age=10.0)
    kept(old)
    assert old.get("a", "resp_1", 11.0) is None
    assert (len(old), old.bytes) == (0, 0)


def test_one_account_does_not_crowd_out_another() -> None:
    store = Responses(max_count=10)
    kept(store, "quiet")
    for number in range(100):
        kept(store, "busy", f"resp_{number}")
    assert store.get("quiet", "resp_1", 0.0) is not None


@pytest.mark.parametrize(
    ("asked", "response"),
    [
        (b'{"input":"x","store":false}', answer()),
        (b'{"input":"x"}', b'{"id":"resp_1","status":"failed"}'),
        (b'{"input":"x"}', b'{"status":"completed"}'),
        (b'{"input":"x"}', b"nonsense"),
    ],
)
def test_what_is_not_to_be_kept_is_not(asked: bytes, response: bytes) -> None:
    store = Responses()
    assert not store.remember("a", JsonBody(asked), response, 0.0)
    assert (len(store), store.bytes) == (0, 0)


def test_forgetting_is_whole() -> None:
    store = Responses()
    kept(store)
    kept(store)  # the same again takes the place of the first
    assert len(store) == 1
    assert store.delete("a", "resp_1", 0.0)
    assert (len(store), store.bytes) == (0, 0)
    assert store.item("a", "rs_2", 0.0) is None


def test_a_reference_is_the_item_it_names() -> None:
    store = Responses()
    kept(store)
    body = JsonBody(b'{"input":[{"type":"item_reference","id":"rs_2"}]}')
    said = json.loads(dereferenced(body, store.finder("a", 0.0)).raw)
    assert said["input"][0]["encrypted_content"] == "SEAL"


@pytest.mark.parametrize("named", ['"id":"no"', '"id":null', '"x":1'])
def test_an_item_that_is_not_kept_is_refused(named: str) -> None:
    """Not passed on: the provider knows items of everybody who shares its credential."""
    store = Responses()
    kept(store)
    body = JsonBody(b'{"input":["x",{"type":"item_reference",%s}]}' % named.encode())
    with pytest.raises(Fault) as caught:
        dereferenced(body, store.finder("a", 0.0))
    assert caught.value.param == "input[1]"
    with pytest.raises(Fault):
        dereferenced(
            JsonBody(b'{"input":[{"type":"item_reference","id":"rs_2"}]}'), store.finder("b", 0.0)
        )


@pytest.mark.parametrize(
    "item",
    [
        b'{"id":"msg_x"}',
        b'{"type":null,"id":"msg_x"}',
        b'{"type":"item\\u005freference","id":"msg_x"}',
        b'{"type":"item_reference","id":"msg_x","role":5,"name":{}}',
    ],
)
def test_a_reference_is_told_however_it_is_spelt(item: bytes) -> None:
    """As the provider would tell it."""
    with pytest.raises(Fault, match="'msg_x' is not among those"):
        dereferenced(JsonBody(b'{"input":[%s]}' % item), Responses().finder("a", 0.0))


def test_references_can_not_be_multiplied_without_end() -> None:
    """One long item, referred to over and over, is not copied over and over."""
    store = Responses()
    item = {
        "type": "message",
        "id": "long",
        "content": [{"type": "output_text", "text": "x" * MIB}],
    }
    response = {"id": "resp_1", "status": "completed", "output": [item]}
    store.remember("a", JsonBody(b"{}"), json.dumps(response).encode(), 0.0)
    one = b'{"type":"item_reference","id":"long"}'
    few = dereferenced(JsonBody(b'{"input":[%s]}' % one), store.finder("a", 0.0))
    assert len(few.raw) > MIB
    with pytest.raises(Fault, match="too long"):
        dereferenced(JsonBody(b'{"input":[%s]}' % b",".join([one] * 30)), store.finder("a", 0.0))


def page(stored: Any, **how: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(input_items(stored, **how))
    return found


def test_input_items_come_in_pages() -> None:
    """Newest first unless asked; each page goes on after the last one's end."""
    store = Responses()
    given = json.dumps({"input": [{"role": "user", "content": str(n)} for n in range(5)]})
    store.remember("a", JsonBody(given.encode()), answer(), 0.0)
    stored = store.get("a", "resp_1", 0.0)
    first = page(stored, limit=2)
    second = page(stored, limit=3, after=first["last_id"])
    assert [item["content"][0]["text"] for item in first["data"] + second["data"]] == list("43210")
    assert (first["has_more"], second["has_more"]) == (True, False)
    up = page(stored, order="asc", limit=100)
    assert [item["id"] for item in up["data"]][::-1] == [
        item["id"] for item in first["data"] + second["data"]
    ]
    for how in ({"limit": 0}, {"limit": 101}, {"after": "item_x"}):
        with pytest.raises(Fault):
            input_items(stored, **how)  # type: ignore[arg-type]
