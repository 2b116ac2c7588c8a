"""POST chat/completions, messages, completions, embeddings: only schema and limit differ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.pipeline.counting import count
from gateway.pipeline.run import Ask, run
from gateway.schemas import chat, completions, embeddings, messages
from gateway.web.exchange import Exchange
from gateway.web.replays import RecordingSink

MIB = 1 << 20
ReadBody = Callable[[], Awaitable[bytes]]


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
            self.ask(exchange, exchange.body_reader(self.limit)),
            exchange.sink,
            exchange.record,
        )

    def ask(self, exchange: Exchange, read_body: ReadBody) -> Ask:
        """The call as the pipeline takes it."""
        return Ask(
            operation=self.operation,
            secret=exchange.secret(),
            decoder=self.decoder,
            read_body=read_body,
            address=exchange.address,
            headers=exchange.request.headers,
        )

    async def _once(self, exchange: Exchange) -> None:
        """Run the call once for its Idempotency-Key; repeat its answer after that."""
        key = await exchange.key("inference")
        body = await exchange.body_reader(self.limit)()
        ask = self.ask(exchange, already(body))
        services, sink, record = exchange.site.services, exchange.sink, exchange.record
        await exchange.once(key, body, lambda: run(services, ask, sink, record))


def already(body: bytes) -> ReadBody:
    """A reader for a body that has been read."""

    async def read() -> bytes:
        return body

    return read


CHAT = Inference("chat", chat.decoder, 32 * MIB)
MESSAGES = Inference("messages", messages.decoder, 32 * MIB)
COMPLETIONS = Inference("completions", completions.decoder, 8 * MIB)
EMBEDDINGS = Inference("embeddings", embeddings.decoder, 16 * MIB)
_COUNT = Inference("count_tokens", messages.count_decoder, 32 * MIB)


async def count_tokens(exchange: Exchange) -> None:
    """POST messages/count_tokens."""
    ask = _COUNT.ask(exchange, exchange.body_reader(_COUNT.limit))
    await count(exchange.site.services, ask, exchange.sink, exchange.record)
