"""A gateway before two providers that can fail, one of which has three credentials."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import Gateway, running
from tests.money import charges, entries
from tests.rawclient import Answer, ask, chat, request

CATALOG = """
version: 1
surfaces: {{"/v1": {{style: openai}}}}
providers:
  one:
    adapter: openai-compatible
    base_url: "{one}/v1"
    timeouts: {{first_byte: 5, idle: 5, first_token: 0.3}}
    credentials:
      - {{name: a, api_key: sk-aaaaaaaaaaaaaaaa}}
      - {{name: b, api_key: sk-bbbbbbbbbbbbbbbb}}
      - {{name: c, api_key: sk-cccccccccccccccc}}
  two:
    adapter: openai-compatible
    base_url: "{two}/v1"
    needs_credential: false
    zdr: true
    data: {{training: false}}
groups:
  free: {{rpm: 1000, tpm: 10000000, routes: {{free: true}}}}
anonymous: {{group: free, rpm: 1000, per: ip}}
auto:
  auto-cheap: {{choose: cheapest, among: {{models: [big, small]}}}}
models:
  big:
    name: Big
    vendor: Fake
    kind: chat
    context: 8000
    capabilities: [streaming, tools]
    fallbacks: [small]
    routes:
      big-one:
        provider: one
        upstream: big
        price: {{input_per_mtok: "3.00", output_per_mtok: "15.00"}}
      big-two:
        provider: two
        upstream: big-2
        context: 64000
        price: {{input_per_mtok: "6.00", output_per_mtok: "30.00"}}
  small:
    name: Small
    vendor: Fake
    kind: chat
    context: 8000
    capabilities: [streaming]
    routes:
      small-two:
        provider: two
        upstream: small-2
        price: {{input_per_mtok: "1.00", output_per_mtok: "2.00"}}
  ending:
    name: Ending
    vendor: Fake
    kind: chat
    routes:
      ending-two:
        provider: two
        upstream: ending
        sunset: 2090-12-31
        successor: small
        price: {{input_per_mtok: "1", output_per_mtok: "1"}}
  old:
    name: Old
    vendor: Fake
    kind: chat
    routes:
      old-one:
        provider: one
        upstream: old
        sunset: 2020-01-01
        successor: small
        price: {{input_per_mtok: "1", output_per_mtok: "1"}}
"""
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head_ = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head_, "choices": [choice], "usage": USAGE}


def delta(change: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": change, "finish_reason": finish}
    head_ = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head_, "choices": [choice]}


class Stage:
    """A gateway before two providers, one with three credentials."""

    def __init__(self, gateway: Gateway, one: FakeUpstream, two: FakeUpstream) -> None:
        self.gateway, self.one, self.two = gateway, one, two
        self.calls = 0
        self.patience = 15.0

    async def call(self, model: str = "big-one", **more: Any) -> Answer:
        self.calls += 1  # each is a conversation of its own, unless it says which
        turn = {"role": "user", "content": f"hello {self.calls}"}
        raw = request(chat(**{"model": model, "messages": [turn], **more}), self.gateway.key)
        return await asyncio.wait_for(ask(self.gateway.server.port, raw), self.patience)

    async def charged(self) -> list[int]:
        await self.gateway.idle()
        await self.gateway.server.store.ledger.flush()
        return charges(entries(self.gateway.server.settings.db))


@asynccontextmanager
async def staged(
    tmp_path: Path, edited: Callable[[str], str] = str, **more: Any
) -> AsyncIterator[Stage]:
    """The gateway and both providers, which answer with their names; its catalog may be edited."""
    async with FakeUpstream() as one, FakeUpstream() as two:
        one.handler, two.handler = says("one"), says("two")
        text = edited(CATALOG.format(one=one.url, two=two.url))
        async with running(tmp_path, text=text, **more) as gateway:
            yield Stage(gateway, one, two)


def says(text: str) -> Any:
    async def handler(exchange: Exchange) -> None:
        if exchange.request.json().get("stream"):
            end = {**delta({}), "choices": [], "usage": USAGE}
            await exchange.sse([delta({"content": text}), delta({}, "stop"), end])
        else:
            await exchange.send_json(200, completion(text))

    return handler


def fails(status: int, code: str = "oops", *lines: tuple[str, str]) -> Any:
    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(status, {"error": {"message": "no", "code": code}}, lines)

    return handler


def text_of(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    if answer.body.startswith(b"data:"):
        events = [e[6:] for e in answer.body.split(b"\n\n") if e.startswith(b"data: {")]
        choices = [choice for e in events for choice in json.loads(e)["choices"]]
        return "".join(choice["delta"].get("content", "") for choice in choices)
    return str(answer.json()["choices"][0]["message"]["content"])


def header(answer: Answer, name: str) -> str | None:
    return dict(answer.headers).get(name)
