"""Webhooks: signed, tried again, sent over restarts, nowhere that the operator has not named."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest
from msgspec import structs

from tests.fake_upstream import Exchange, FakeUpstream, Request
from tests.harness import Gateway, running
from tests.money import until
from tests.tasks.studio import ADAPTERS, QUICK, Client, Studio, catalog

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
ALLOWED = f'\nwebhooks: {{hosts: [127.0.0.1, hooks.test], secret: "{SECRET}", private: true}}\n'


@pytest.fixture
async def receiver() -> AsyncIterator[FakeUpstream]:
    """Who is told."""
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
async def told(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> AsyncIterator[Gateway]:
    """A gateway that tells."""
    text = catalog(fake, ALLOWED)
    async with running(tmp_path, text=text, pace=QUICK, adapters=ADAPTERS) as gateway:
        yield gateway


def signature(sent: Request) -> str:
    """What it must be, worked out by hand."""
    name, moment = sent.header("webhook-id"), sent.header("webhook-timestamp")
    content = f"{name}.{moment}.".encode() + sent.body
    return "v1," + base64.b64encode(hmac.new(KEY, content, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("member", ["webhook", "webhook_url"])
async def test_the_end_is_told(
    told: Gateway, studio: Studio, receiver: FakeUpstream, member: str
) -> None:
    """Signed as Standard Webhooks has it, in the form of OpenAI's events; the provider is not told
    of it.
    """
    client = Client(told.server.port, told.key)
    done = await client.ended((await client.film(**{member: f"{receiver.url}/hook?a=1"}))["id"])
    await until(lambda: receiver.requests)
    (sent,) = receiver.requests
    assert (sent.method, sent.path) == ("POST", "/hook?a=1")
    assert sent.header("webhook-signature") == signature(sent)
    event = openai.OpenAI(api_key="x").webhooks.unwrap(sent.body, dict(sent.headers), secret=SECRET)
    assert (event.type, event.data.id) == ("video.completed", done["id"])  # type: ignore[union-attr]
    assert sent.json()["data"] == {
        "id": done["id"], "status": "succeeded", "model": "film", "error": None
    }  # fmt: skip
    assert member not in studio.jobs["j0"]
    tasks = told.server.tasks
    await until(lambda: tasks.notices.delivered == 1)
    assert await tasks.book.due() == []


async def test_failure_is_told(told: Gateway, studio: Studio, receiver: FakeUpstream) -> None:
    """With its reason."""
    studio.tell = lambda _name, _times: {"state": "failed", "code": "unsafe", "message": "no"}
    client = Client(told.server.port, told.key)
    await client.film(webhook=f"{receiver.url}/hook")
    await until(lambda: receiver.requests)
    event = receiver.requests[0].json()
    assert (event["type"], event["data"]["status"]) == ("video.failed", "failed")
    assert event["data"]["error"] == {"code": "unsafe", "message": "no"}


async def test_tried_again(told: Gateway, receiver: FakeUpstream) -> None:
    """Under the same name, until it arrives; a broken receiver is in nobody's way."""
    answers = [500, 302]

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(answers.pop(0) if answers else 204, {})

    receiver.handler = handler
    client = Client(told.server.port, told.key)
    await client.film(webhook=f"{receiver.url}/hook")
    await until(lambda: told.server.tasks.notices.delivered)
    assert len(receiver.requests) == 3
    assert len({sent.header("webhook-id") for sent in receiver.requests}) == 1


@pytest.mark.parametrize("status", [500, 410])
async def test_given_up(told: Gateway, receiver: FakeUpstream, status: int) -> None:
    """After so many tries, or at once where it is told to stop."""
    receiver.handler = lambda exchange: exchange.send_json(status, {})
    client = Client(told.server.port, told.key)
    await client.film(webhook=f"{receiver.url}/hook")
    tasks = told.server.tasks
    await until(lambda: tasks.notices.given_up == 1)
    assert len(receiver.requests) == (1 if status == 410 else 1 + len(QUICK.webhooks))
    assert await tasks.book.due() == []


async def test_sent_after_a_restart(
    tmp_path: Path, fake: FakeUpstream, studio: Studio, receiver: FakeUpstream
) -> None:
    """What could not be delivered by one process is delivered by the next."""
    receiver.handler = lambda exchange: exchange.send_json(500, {})
    text = catalog(fake, ALLOWED)
    pace = structs.replace(QUICK, webhooks=(600.0,))
    async with running(tmp_path, text=text, pace=pace, adapters=ADAPTERS) as gateway:
        client = Client(gateway.server.port, gateway.key)
        begun = await client.film(webhook=f"{receiver.url}/hook")
        await until(lambda: receiver.requests)
        (due,) = await gateway.server.tasks.book.due()
        while not due.webhook_tries:
            (due,) = await gateway.server.tasks.book.due()
        await gateway.server.store.database.write("UPDATE tasks SET webhook_due = 1")
    receiver.handler = lambda exchange: exchange.send_json(200, {})
    async with running(tmp_path, text=text, pace=pace, adapters=ADAPTERS) as gateway:
        await until(lambda: gateway.server.tasks.notices.delivered)
    first, second = receiver.requests
    assert first.json() == second.json()
    assert second.json()["data"]["id"] == begun["id"]
    assert first.header("webhook-id") == second.header("webhook-id")


async def test_not_allowed(told: Gateway, studio: Studio) -> None:
    """Refused before anything is done, with the field that is at fault."""
    client = Client(told.server.port, told.key)
    for url in (
        "http://127.0.0.2/", "https://example.com/", "ftp://127.0.0.1/", "127.0.0.1", "x", "http://[",
        "http://u:p@127.0.0.1/", "http://127.0.0.1:99999/", "http://127.0.0.1/a b", "http://\t/",
        "http://127.0.0.1\\@evil/", "http://hooks.test%2eevil/", "http://hooks.test.x/",
    ):  # fmt: skip
        body = {"model": "film", "prompt": "x", "webhook": url}
        answer = await client("POST", "videos/generations", body)
        assert (answer.status, answer.error["param"]) == (400, "webhook"), url
    assert not studio.jobs
    assert not (await client("GET", "videos/generations")).json()["data"]


async def test_not_without_the_operator(client: Client, studio: Studio) -> None:
    """A gateway whose catalog names no hosts sends nothing."""
    body = {"model": "film", "prompt": "x", "webhook": "https://hooks.test/"}
    answer = await client("POST", "videos/generations", body)
    assert (answer.status, answer.error["param"]) == (400, "webhook")
    assert "names no hosts" in answer.error["message"]


async def test_never_into_a_private_network(
    tmp_path: Path, fake: FakeUpstream, studio: Studio, receiver: FakeUpstream
) -> None:
    """A name that the operator allows, but that means an address of its own network, is not asked;
    and without TLS nobody is.
    """
    allowed = ALLOWED.replace("127.0.0.1", "localhost").replace("private: true", "private: false")
    async with running(
        tmp_path, text=catalog(fake, allowed), pace=QUICK, adapters=ADAPTERS
    ) as gateway:
        client = Client(gateway.server.port, gateway.key)
        url = receiver.url.replace("127.0.0.1", "localhost")
        refused = await client("POST", "videos/generations", {"model": "film", "webhook": url})
        assert "must be an https URL" in refused.error["message"]
        await client.film(webhook=url.replace("http:", "https:"))
        await until(lambda: gateway.server.tasks.notices.given_up == 1)
        assert receiver.connections == []


async def test_a_body_of_its_own(told: Gateway, receiver: FakeUpstream) -> None:
    """It says no more than its receiver needs to ask for the rest."""
    client = Client(told.server.port, told.key)
    await client.film(webhook=f"{receiver.url}/hook", prompt="a secret prompt")
    await until(lambda: receiver.requests)
    body = receiver.requests[0].body
    assert b"secret prompt" not in body
    assert set(json.loads(body)) == {"id", "object", "type", "created_at", "timestamp", "data"}
