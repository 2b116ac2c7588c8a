"""What a scripted provider says on OpenAI's wire, and how its SDK is asked."""

from __future__ import annotations

import json
from typing import Any

from openai import AsyncOpenAI

from tests.fake_upstream import Exchange
from tests.harness import Gateway

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
HELLO: list[Any] = [{"role": "user", "content": "hi"}]


def completion(message: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    head_ = {"id": "c1", "object": "chat.completion", "created": 1, "model": "fake-upstream"}
    return {**head_, "choices": [choice], "usage": USAGE}


def delta(change: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": change, "finish_reason": finish}
    head_ = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "fake-upstream"}
    return {**head_, "choices": [choice]}


def usage_event() -> dict[str, Any]:
    return {**delta({}), "choices": [], "usage": USAGE}


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def says(body: dict[str, Any], status: int = 200, *headers: tuple[str, str]) -> Any:
    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(status, body, headers)

    return handler


def streams(*events: dict[str, Any]) -> Any:
    async def handler(exchange: Exchange) -> None:
        await exchange.sse([event(body) for body in events])

    return handler


async def ask(client: AsyncOpenAI, **more: Any) -> Any:
    return await client.chat.completions.create(
        **({"model": "fake-slug", "messages": HELLO} | more)
    )


def calls(gateway: Gateway) -> int:
    """Calls that the gateway has finished."""
    page = gateway.server.site.metrics.render()
    lines = [line for line in page.splitlines() if line.startswith("gateway_calls_total")]
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines)
