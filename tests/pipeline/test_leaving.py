"""Who leaves a stream pays for what they had of it, whatever the provider had counted by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.domain import FLAGS
from tests.fake_upstream import Exchange, FakeUpstream, chunk, event_bytes, head
from tests.harness import catalog_text, running
from tests.money import IN, OUT, entries, payer, sound, tokens_in
from tests.rawclient import RawClient, ask, chat, request

TEXT = "so many words for nothing " * 400  # about 2,600 tokens by their bytes


def event(text: str, usage: object) -> dict[str, object]:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice], "usage": usage}


def used(prompt: int, completion: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


@pytest.mark.parametrize(
    ("first", "last", "charged"),
    [
        # Counted once, at the beginning: the input is known, the output is what passed.
        (used(50, 0), None, (50, len(TEXT) // 4, "abandoned")),
        (used(0, 0), None, (None, len(TEXT) // 4, "abandoned")),
        # Counted along the way: the provider's word, though it has another idea of a token.
        (used(50, 0), used(50, 2_000), (50, 2_000, None)),
    ],
)
async def test_a_count_from_the_beginning(
    tmp_path: Path,
    first: object,
    last: object,
    charged: tuple[int | None, int, str | None],
) -> None:
    """It never makes free what passed after it."""

    async def handler(exchange: Exchange) -> None:
        lines = [("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        await exchange.send(head(200, lines) + chunk(event_bytes(event("", first))))
        await exchange.send(chunk(event_bytes(event(TEXT, last))))
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        who = await payer(gateway.server.store, 10**12)
        raw = request(chat(stream=True, max_tokens=50_000), who.secret)
        client = await RawClient.open(gateway.server.port)
        client.send(raw)
        await client.head()
        await client.reader.readuntil(TEXT[-20:].encode())
        client.abort()
        await gateway.idle()
        await gateway.server.store.ledger.flush()
        rows = entries(gateway.server.store.database.path, who.account)
    sound(rows, {who.account: 0})
    tokens, made, flag = charged
    body = raw.partition(b"\r\n\r\n")[2]
    row = rows[-1]
    assert row["input"] == (tokens_in(body) if tokens is None else tokens)
    assert abs(row["output"] - made) <= 10
    assert row["revenue"] == row["input"] * IN + row["output"] * OUT
    assert row["flag"] == (FLAGS[flag] if flag else 0)


async def test_thoughts_that_nobody_sees(tmp_path: Path) -> None:
    """A stream that says little and thinks much is asked for no more than its key can pay."""

    async def think(exchange: Exchange) -> None:
        most = exchange.request.json().get("max_tokens", 50_000)
        end = event("", used(20, most))
        end["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        await exchange.sse([event("42", None), end])

    text = "capabilities: [streaming, reasoning]"
    async with FakeUpstream(think) as fake:
        catalog = catalog_text(fake.url + "/v1")
        thinking = catalog.replace("capabilities: [streaming, tools, vision]", text)
        assert thinking != catalog
        async with running(tmp_path, text=thinking) as gateway:
            who = await payer(gateway.server.store, 3_000 * OUT)
            raw = request(chat(stream=True, max_tokens=50_000), who.secret)
            answer = await ask(gateway.server.port, raw)
            await gateway.server.store.ledger.flush()
            rows = entries(gateway.server.store.database.path, who.account)
    assert answer.status == 200
    most = int(answer.header("x-gateway-max-tokens") or 0)
    assert 2_900 < most < 3_000
    assert fake.requests[0].json()["max_tokens"] == most
    sound(rows, {who.account: 0})
    assert (rows[-1]["flag"], rows[-1]["revenue"]) == (0, 20 * IN + most * OUT)
