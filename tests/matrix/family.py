"""Fakes of each family of providers, each on its real wire, and what they read of a request."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from tests.fake_upstream import LAST_CHUNK, Exchange, Request, chunk, head
from tests.matrix.said import Said, Told

SECRET = "sk-upstream-secret-0001"
Event = bytes


class Family(ABC):
    """One wire: what the catalog says of it, its answers, its errors."""

    name: str
    adapter: str
    credentials = f'{{name: main, api_key: "{SECRET}"}}'
    options = "{}"
    route_options = "{}"
    upstream = "up-model"
    media = "text/event-stream"
    thinks = True
    signs = True

    @abstractmethod
    def whole(self, said: Said) -> dict[str, Any]: ...

    @abstractmethod
    def events(self, said: Said) -> list[Event]: ...

    @abstractmethod
    def broken(self) -> Event:
        """A failure inside a stream."""

    @abstractmethod
    def refusal(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Too many requests, to be tried again in 7 seconds."""

    @abstractmethod
    def told(self, request: Request) -> Told: ...

    def base(self, root: str) -> str:
        return root

    async def answer(self, exchange: Exchange, said: Said) -> None:
        """As the request wants it."""
        if self.told(exchange.request).stream:
            await self.stream(exchange, self.events(said))
        else:
            await exchange.send_json(200, self.whole(said))

    async def stream(
        self, exchange: Exchange, events: Sequence[Event], *, end: bool = True
    ) -> None:
        lines = [("Content-Type", self.media), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines))
        for event in events:
            await exchange.send(chunk(event))
        if end:
            await exchange.send(LAST_CHUNK)


def sse(data: dict[str, Any], name: str = "") -> Event:
    line = f"event: {name}\n" if name else ""
    return (line + f"data: {json.dumps(data)}\n\n").encode()


def data_url(url: str) -> str:
    return url.partition("base64,")[2]
