"""Responses that are kept: whose they are, over sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.everyone import Everyone, everyone
from tests.money import Payer, payer
from tests.rawclient import Answer, ask, request


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with everyone(tmp_path) as made:
        yield made


async def post(stage: Everyone, who: str | None, **body: Any) -> Answer:
    told = request(body, who, path="/v1/responses")
    return await ask(stage.gateway.server.port, told)


async def at(stage: Everyone, who: str | None, path: str, method: str = "GET") -> Answer:
    told = request(b"", who, path=f"/v1/responses/{path}", method=method)
    return await ask(stage.gateway.server.port, told)


async def two(stage: Everyone) -> tuple[Payer, Payer]:
    store = stage.gateway.server.store
    return await payer(store, 10**12, name="one"), await payer(store, 10**12, name="two")


@pytest.mark.parametrize("family", ["responses", "google"])
async def test_a_response_is_of_its_account_alone(stage: Everyone, family: str) -> None:
    """Where the provider keeps it too, and would tell it to whoever comes with the same key."""
    mine, other = await two(stage)
    second = str((await stage.gateway.server.store.keys.create("second", account="one")).secret)
    made = (await post(stage, mine.secret, model=family, input="hi")).json()
    name, item = made["id"], made["output"][0]["id"]
    reference = [{"type": "item_reference", "id": item}]
    sent = len(stage.fakes[family].requests)
    for who, status in ((other.secret, 404), (None, 401)):
        assert (await at(stage, who, name)).status == status
        assert (await at(stage, who, f"{name}/input_items")).status == status
        assert (await at(stage, who, f"{name}/cancel", "POST")).status == status
        assert (await at(stage, who, name, "DELETE")).status == status
        gone = await post(stage, who, model=family, input="x", previous_response_id=name)
        assert gone.status == status
        told = await post(stage, who, model=family, input=reference)
        assert told.status == (400 if who else 401)
    assert len(stage.fakes[family].requests) == sent
    assert (await at(stage, second, name)).json()["id"] == name
    more = await post(
        stage, second, model=family, input=[*reference, {"role": "user", "content": "?"}]
    )
    assert more.status == 200
    assert b"item_reference" not in stage.fakes[family].requests[-1].body
    assert (await at(stage, second, name, "DELETE")).json()["deleted"] is True
    gone = await at(stage, mine.secret, name)
    assert (gone.status, gone.error["param"]) == (404, "response_id")
    more = await post(stage, mine.secret, model=family, input="?", previous_response_id=name)
    assert (more.status, more.error["param"]) == (404, "previous_response_id")


@pytest.mark.parametrize(
    "path", ["%ff", "a%00b", "a/../b", "x/input_items/", "//", "a%2Finput_items"]
)
async def test_odd_names_are_no_responses(stage: Everyone, path: str) -> None:
    mine, _ = await two(stage)
    answer = await at(stage, mine.secret, path)
    assert answer.status == 404
    assert answer.error["type"] == "not_found_error"


async def test_a_call_of_the_messages_dialect_has_an_id_however_it_fails(stage: Everyone) -> None:
    """Its SDK shows the `request-id`, also where the method or the key is wrong."""
    port, key = stage.gateway.server.port, stage.gateway.key
    for method, who, status in (("GET", key, 405), ("POST", None, 401), ("POST", key, 400)):
        told = request(b"{}", who, path="/v1/messages", method=method)
        answer = await ask(port, told)
        assert answer.status == status
        assert answer.json()["type"] == "error"
        assert answer.header("request-id") == answer.json()["request_id"]


async def test_nothing_that_the_provider_keeps_can_be_named(stage: Everyone) -> None:
    """It keeps what all made under one credential; so also where the gateway keeps nothing."""
    mine, _ = await two(stage)
    fake, site = stage.fakes["responses"], stage.gateway.server.site
    leaning: list[dict[str, Any]] = [
        {"input": "x", "conversation": "conv_x"},
        {"input": "x", "conversation": {"id": "conv_x"}},
        {"input": "x", "previous_response_id": "resp_x"},
        {"input": [{"type": "item_reference", "id": "msg_x"}]},
        {"input": [{"id": "msg_x"}]},
    ]
    for site.keeps_responses in (True, False):
        for body in leaning:
            told = await post(stage, mine.secret, model="responses", **body)
            assert told.status in (400, 404), body
        assert not fake.requests
    plain = await post(stage, mine.secret, model="responses", input="x", conversation=None)
    assert (plain.status, len(fake.requests)) == (200, 1)
    assert (await at(stage, mine.secret, plain.json()["id"])).status == 404  # nothing was kept
