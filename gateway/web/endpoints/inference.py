"""The endpoints whose answers come from providers: only schema and limit differ."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec
from msgspec import Struct, structs

from gateway.domain import Key
from gateway.pipeline.admission import Ask, Body
from gateway.pipeline.admit import reading_files
from gateway.pipeline.counting import count
from gateway.pipeline.run import run
from gateway.schemas import (
    chat,
    completions,
    embeddings,
    images,
    messages,
    moderations,
    rerank,
    speech,
    transcription,
)
from gateway.web.exchange import Exchange
from gateway.web.forms import FormReader
from gateway.web.replays import RecordingSink

MIB = 1 << 20


class Inference(Struct, frozen=True):
    """An endpoint whose answer comes from a provider. One with a `form` decoder takes files."""

    operation: str
    decoder: msgspec.json.Decoder[Any]
    limit: int
    form: msgspec.json.Decoder[Any] | None = None
    form_limit: int = 0
    only_form: bool = False
    pictures: frozenset[str] = frozenset()  # known fields that may be files in a form

    def serve(self, exchange: Exchange) -> Awaitable[None]:
        """Run the call."""
        if self.form is not None and self._comes_in_parts(exchange):
            return self._with_files(exchange, self.form)
        if isinstance(exchange.sink, RecordingSink):
            return self._once(exchange)
        return run(exchange.site.services, self.ask(exchange), exchange.sink, exchange.record)

    def ask(self, exchange: Exchange, body: Body | None = None) -> Ask:
        """The call as the pipeline takes it, with the body that came or another one."""
        secret, digest, given = exchange.key_and_body(self.limit)
        return Ask(
            operation=self.operation,
            secret=secret,
            decoder=self.decoder,
            body=given if body is None else body,
            address=exchange.address,
            headers=exchange.request.headers,
            digest=digest,
        )

    def _comes_in_parts(self, exchange: Exchange) -> bool:
        given = exchange.request.headers.get("Content-Type", "")
        return self.only_form or given.strip().lower().startswith("multipart/")

    async def _once(self, exchange: Exchange) -> None:
        """Run the call once for its Idempotency-Key; repeat its answer after that."""
        key = await exchange.key("inference")
        raw = await exchange.body_reader(self.limit)()
        await self._repeatable(exchange, key, raw, self.ask(exchange, raw))

    async def _repeatable(self, exchange: Exchange, key: Key, told: bytes, ask: Ask) -> None:
        services, sink, record = exchange.site.services, exchange.sink, exchange.record
        await exchange.once(key, told, lambda: run(services, ask, sink, record))

    async def _with_files(self, exchange: Exchange, decoder: msgspec.json.Decoder[Any]) -> None:
        """The same for a form, whose files are let go of when the call is over."""
        reader = FormReader(
            exchange.request, exchange.connection, self.form_limit, decoder, self.pictures
        )
        try:
            key = None
            if isinstance(exchange.sink, RecordingSink):
                key = await exchange.key("inference")
            if key is not None and key.n:  # nothing is repeated, or read, for whoever has no key
                services = exchange.site.services
                catalog = services.catalog.current
                standing = services.desk.known(key, catalog) or await services.desk.load(
                    key, catalog
                )
                with reading_files(services, standing):
                    form = await reader.read()
                told = form.body.raw + b"\n" + reader.digest
                ask = structs.replace(self.ask(exchange, form), decoder=decoder)
                await self._repeatable(exchange, key, told, ask)
                return
            ask = self.ask(exchange, reader.read)
            ask = structs.replace(ask, decoder=decoder, files=True)
            await run(exchange.site.services, ask, exchange.sink, exchange.record)
        finally:
            reader.close()


CHAT = Inference("chat", chat.decoder, 32 * MIB)
MESSAGES = Inference("messages", messages.decoder, 32 * MIB)
COMPLETIONS = Inference("completions", completions.decoder, 8 * MIB)
EMBEDDINGS = Inference("embeddings", embeddings.decoder, 16 * MIB)
IMAGES = Inference("images", images.decoder, 32 * MIB)
IMAGE_EDITS = Inference(
    "image_edits", images.edit_decoder, 64 * MIB, images.form_decoder, 256 * MIB
)
SPEECH = Inference("speech", speech.decoder, 2 * MIB)
TRANSCRIPTIONS = Inference(
    "transcriptions", transcription.decoder, MIB, transcription.decoder, 512 * MIB, only_form=True
)
TRANSLATIONS = Inference(
    "translations", transcription.decoder, MIB, transcription.decoder, 512 * MIB, only_form=True
)
MODERATIONS = Inference("moderations", moderations.decoder, 32 * MIB)
RERANK = Inference("rerank", rerank.decoder, 16 * MIB)
_COUNT = Inference("count_tokens", messages.count_decoder, 32 * MIB)


async def count_tokens(exchange: Exchange) -> None:
    """POST messages/count_tokens."""
    await count(exchange.site.services, _COUNT.ask(exchange), exchange.sink, exchange.record)
