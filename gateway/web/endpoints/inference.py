"""POST chat/completions, completions, embeddings: they differ in schema and limit alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.pipeline.run import Ask, run
from gateway.schemas import chat, completions, embeddings
from gateway.web.exchange import Exchange
from gateway.web.replays import RecordingSink

MIB = 1 << 20


class Inference(Struct, frozen=True):
    """An endpoint whose answer comes from a provider."""

    operation: str
    decoder: msgspec.json.Decoder[Any]
    limit: int

    def __call__(self, exchange: Exchange) -> Awaitable[None]:
        """Run the call."""
        if isinstance(exchange.sink, RecordingSink):
            return self._once(exchange)
        return run(
            exchange.site.services,
            self._ask(exchange, exchange.body_reader(self.limit)),
            exchange.sink,
            exchange.record,
        )

    def _ask(self, exchange: Exchange, read_body: Callable[[], Awaitable[bytes]]) -> Ask:
        return Ask(
            operation=self.operation,
            secret=exchange.secret(),
            decoder=self.decoder,
            read_body=read_body,
            address=exchange.address,
            max_cost=exchange.request.headers.get("x-max-cost"),
            session=exchange.request.headers.get("x-session-id"),
        )

    async def _once(self, exchange: Exchange) -> None:
        """Run the call once for its Idempotency-Key; repeat its answer after that."""
        key = await exchange.key("inference")
        body = await exchange.body_reader(self.limit)()

        async def have_read() -> bytes:
            return body

        ask = self._ask(exchange, have_read)
        services, sink, record = exchange.site.services, exchange.sink, exchange.record
        await exchange.once(key, body, lambda: run(services, ask, sink, record))


CHAT = Inference("chat", chat.decoder, 32 * MIB)
COMPLETIONS = Inference("completions", completions.decoder, 8 * MIB)
EMBEDDINGS = Inference("embeddings", embeddings.decoder, 16 * MIB)
