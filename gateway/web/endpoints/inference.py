"""POST chat/completions, completions, embeddings: they differ in schema and limit alone."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
from msgspec import Struct

from gateway.pipeline.run import Ask, run
from gateway.schemas import chat, completions, embeddings
from gateway.web.exchange import Exchange

MIB = 1 << 20


class Inference(Struct, frozen=True):
    """An endpoint whose answer comes from a provider."""

    operation: str
    decoder: msgspec.json.Decoder[Any]
    limit: int

    def __call__(self, exchange: Exchange) -> Awaitable[None]:
        """Run the call."""
        ask = Ask(
            operation=self.operation,
            secret=exchange.secret(),
            decoder=self.decoder,
            read_body=exchange.body_reader(self.limit),
            address=exchange.address,
            max_cost=exchange.request.headers.get("x-max-cost"),
        )
        return run(exchange.site.services, ask, exchange.sink, exchange.record)


CHAT = Inference("chat", chat.decoder, 32 * MIB)
COMPLETIONS = Inference("completions", completions.decoder, 8 * MIB)
EMBEDDINGS = Inference("embeddings", embeddings.decoder, 16 * MIB)
