"""The example that docs/routing.md tells people to try: each command shows what the page says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import Gateway, running
from tests.rawclient import Answer, ask, request

DOCS = Path(__file__).parents[2] / "docs"
WORDS = "one two three four five"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    text = (DOCS / "examples" / "failover.yaml").read_text()
    async with running(tmp_path, text=text) as made:
        yield made


async def attempt(gateway: Gateway, model: str, *, stream: bool = False) -> Answer:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": WORDS}]}
    return await ask(gateway.server.port, request(body, gateway.key))


@pytest.mark.parametrize(
    ("model", "stream", "route", "attempts"),
    [
        ("try-error-first", False, "try-error-second", "2"),
        ("try-busy-first", False, "try-busy-second", "2"),
        ("try-overload-first", False, "try-overload-second", "2"),
        ("try-crowded-first", True, "try-crowded-second", "2"),
        ("try-long-first", False, "try-long-second", "2"),
        ("try-refused-first", False, "try-refused-second", "2"),
        ("try-slow-first", True, "try-slow-second", "2"),
        ("try-all", False, "try-steady-first", "3"),
    ],
)
async def test_what_is_tried_by_hand(
    gateway: Gateway, model: str, stream: bool, route: str, attempts: str
) -> None:
    answer = await attempt(gateway, model, stream=stream)
    assert answer.status == 200
    assert answer.header("x-gateway-route") == route
    assert answer.header("x-gateway-attempts") == attempts
    assert b"five" in answer.body


async def test_a_busy_route_is_not_asked_again(gateway: Gateway) -> None:
    for attempts in ("2", None):
        answer = await attempt(gateway, "try-busy-first")
        assert answer.header("x-gateway-route") == "try-busy-second"
        assert answer.header("x-gateway-attempts") == attempts


async def test_what_was_shown_is_not_shown_again(gateway: Gateway) -> None:
    answer = await attempt(gateway, "try-cut-first", stream=True)
    assert answer.status == 200
    assert answer.header("x-gateway-route") == "try-cut-first"
    assert answer.body.count(b'"one') == 1
    assert b'"error"' in answer.body
    assert b"[DONE]" not in answer.body


async def test_a_refused_credential_is_in_the_metrics(gateway: Gateway) -> None:
    await attempt(gateway, "try-refused-first")
    page = await ask(gateway.server.port, request(b"", None, path="/metrics", method="GET"))
    assert b'why="refused"' in page.body


@pytest.mark.parametrize("model", ["auto-try", "try-error:floor"])
async def test_a_choice_learns_who_fails(gateway: Gateway, model: str) -> None:
    answers = [await attempt(gateway, model) for _ in range(12)]
    assert {answer.status for answer in answers} == {200}
    assert {answer.header("x-gateway-attempts") for answer in answers[-3:]} == {None}


async def test_the_page_asks_only_what_is_there(gateway: Gateway) -> None:
    told = set(re.findall(r"`try ([a-z:-]+)", (DOCS / "routing.md").read_text()))
    assert len(told) == 12
    for name in told:
        answer = await attempt(gateway, name, stream=True)
        assert answer.status == (400 if name == "try-policy-first" else 200)
