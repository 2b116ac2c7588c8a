"""What money is set aside for is the most that a provider is asked for, whatever a client adds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.clients import CLIENTS
from tests.matrix.everyone import Everyone, everyone
from tests.matrix.families import FAMILIES
from tests.money import payer
from tests.rawclient import ask, request

CELLS = [
    (dialect, family)
    for dialect in CLIENTS
    for family in FAMILIES
    if family not in ("bedrock-invoke", dialect)
]
PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
OWN = {"chat": "max_completion_tokens", "messages": "max_tokens", "responses": "max_output_tokens"}
CEILING, MORE = 17, 31_337
AMOUNTS = {
    "best_of", "candidateCount", "maxOutputTokens", "maxTokens", "max_completion_tokens", "n",
    "max_output_tokens", "max_tokens", "budget_tokens", "max_gen_len", "candidate_count",
}  # fmt: skip


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with everyone(tmp_path) as made:
        yield made


def asked(dialect: str, model: str) -> dict[str, Any]:
    """A request with a low ceiling, and all that might raise it in some other dialect."""
    turn = {"role": "user", "content": "hi"}
    said = {"input": [turn]} if dialect == "responses" else {"messages": [turn]}
    sly: dict[str, Any] = {
        name: MORE
        for name in ("best_of", "max_tokens", "max_completion_tokens", "max_output_tokens")
        if dialect != "chat" or not name.startswith("max_") or name == "max_output_tokens"
    }
    if dialect != "chat":
        sly["n"] = MORE
    if dialect == "messages":
        sly["thinking"] = {"type": "enabled", "budget_tokens": MORE}
    else:
        sly["reasoning"] = {"max_tokens": MORE, "effort": "high"}
    sly["generation_config"] = {"maxOutputTokens": MORE, "candidateCount": MORE}
    sly["inferenceConfig"] = {"maxTokens": MORE}
    sly["additionalModelRequestFields"] = {"max_tokens": MORE, "max_gen_len": MORE}
    return {"model": model, **said, **sly, OWN[dialect]: CEILING}


def amounts(value: Any) -> Iterator[tuple[str, int]]:
    """Every member that says how much is to be answered, wherever it stands."""
    if isinstance(value, list):
        for item in value:
            yield from amounts(item)
    if not isinstance(value, dict):
        return
    for name, item in value.items():
        if name in AMOUNTS and isinstance(item, int):
            yield name, item
        yield from amounts(item)


@pytest.mark.parametrize(("dialect", "family"), CELLS)
async def test_no_member_raises_the_ceiling(stage: Everyone, dialect: str, family: str) -> None:
    """What another dialect calls the ceiling, or the number of answers, is lost and named."""
    body = request(asked(dialect, family), stage.gateway.key, path=PATHS[dialect])
    answer = await ask(stage.gateway.server.port, body)
    assert answer.status == 200, answer.body
    sent = json.loads(stage.fakes[family].requests[-1].body)
    foreign = {"generationConfig", "generation_config", "inferenceConfig"}
    if family in ("chat", "responses", "messages"):
        sent = {name: it for name, it in sent.items() if name not in foreign}
        sent.pop("additionalModelRequestFields", None)  # which mean nothing on these wires
    if family == "bedrock":
        sent["additionalModelRequestFields"].pop("generation_config")
    else:
        sent.pop("inferenceConfig", None)
        sent.pop("additionalModelRequestFields", None)
    found = dict(amounts(sent))
    assert MORE not in found.values()
    assert CEILING in found.values()
    assert "adapted" in (answer.header("x-gateway-fidelity") or "")


@pytest.mark.parametrize("first", ["max_tokens", "max_completion_tokens"])
async def test_of_two_ceilings_the_higher_is_paid_for(stage: Everyone, first: str) -> None:
    """Hosts know the one or the other: a short purse lowers both."""
    who = await payer(stage.gateway.server.store, 2_000_000, name="short")
    other = {"max_tokens", "max_completion_tokens"} - {first}
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
    body |= {first: 1, other.pop(): 50_000}
    answer = await ask(stage.gateway.server.port, request(body, who.secret))
    assert answer.status == 200
    sent = stage.fakes["chat"].requests[-1].json()
    assert max(dict(amounts(sent)).values()) == int(answer.header("x-gateway-max-tokens") or 0)
    assert int(answer.header("x-gateway-max-tokens") or 0) * 15_000 < 2_000_000


async def test_what_is_meant_for_the_gateway_is_not_counted(stage: Everyone) -> None:
    """A provider that counts tokens would refuse a field that it does not know."""
    body = {
        "model": "messages",
        "messages": [{"role": "user", "content": "hi"}],
        "fidelity": "strict",
    }
    told = request(body, stage.gateway.key, path="/v1/messages/count_tokens")
    answer = await ask(stage.gateway.server.port, told)
    assert answer.status == 200
    assert "fidelity" not in stage.fakes["messages"].requests[-1].json()
