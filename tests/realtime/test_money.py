"""What a session costs, while it runs and however it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.adapters.live.test_sockets import PRICE as LIVE
from tests.fake_upstream import FakeUpstream
from tests.money import charges, payer
from tests.realtime.stage import (
    CATALOG,
    HEARD,
    IN,
    OUT,
    PATH,
    SAID,
    Provider,
    done,
    hurry,
    logged,
    opened,
    over,
    session,
    sound,
    spoken,
    stage,
    usage,
)
from tests.sockets import Client

MINUTES = "/v1/realtime?model=talker"
TOKENS = "/v1/realtime?model=token-talker"

# What was used, and what it costs by the minute and by the token, in nanodollars.
COSTS: dict[str, tuple[dict[str, Any], int, int]] = {
    "text": ({"text_in": 100, "text_out": 10}, 100 * IN + 10 * OUT, 100 * 4_000 + 10 * 16_000),
    "speech": (
        {"audio_in": 600, "audio_out": 1_200},
        60_000_000 + 240_000_000,
        600 * 32_000 + 1_200 * 64_000,
    ),
    "cached text": (
        {"text_in": 100, "cached": 60},
        100 * IN,
        40 * 4_000 + 60 * 400,
    ),
    # Sound that was cached was not said again: by the minute it is text, by the token it is cheap.
    "cached speech": (
        {"audio_in": 600, "cached": 500, "cached_audio": 500},
        500 * IN + 10_000 * HEARD,
        100 * 32_000 + 500 * 400,
    ),
    "everything": (
        {"text_in": 50, "audio_in": 100, "text_out": 20, "audio_out": 40, "cached": 30,
         "cached_audio": 10},
        60 * IN + 20 * OUT + 9_000 * HEARD + 2_000 * SAID,
        30 * 4_000 + 30 * 400 + 90 * 32_000 + 20 * 16_000 + 40 * 64_000,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COSTS)
@pytest.mark.parametrize("path", [MINUTES, TOKENS])
async def test_what_an_answer_costs(tmp_path: Path, case: str, path: str) -> None:
    """By the minute or by the token, each thing at one price."""
    used, by_minute, by_token = COSTS[case]
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client, path)
            await provider.socket.send(done(usage(**used)))
            await client.event()
            await client.close()
            await client.ended()
        assert charges(await over(gateway)) == [by_minute if path == MINUTES else by_token]


async def test_answers_add_up_to_one_charge_and_one_receipt(tmp_path: Path) -> None:
    """Transcripts too, by their tokens or by their length as tokens."""
    provider = Provider()
    transcribed = "conversation.item.input_audio_transcription.completed"
    tokens = {"type": "tokens", "input_tokens": 30, "output_tokens": 5, "total_tokens": 35}
    async with opened(tmp_path, provider) as (gateway, client):
        for event in (
            {"type": transcribed, "transcript": "a", "usage": tokens},
            done(usage(text_in=10, text_out=2)),
            {"type": transcribed, "transcript": "b", "usage": {"type": "duration", "seconds": 2.5}},
            {"type": transcribed, "transcript": "c"},
            done(usage(audio_in=10, audio_out=4)),
        ):
            await provider.socket.send(event)
            await client.event()
        await client.close()
        await client.ended()
        rows = await over(gateway)
        cost = (30 + 10 + 25) * IN + (5 + 2) * OUT + 1_000 * HEARD + 200 * SAID
        assert charges(rows) == [cost]
        receipt = json.loads(rows[-1]["receipt"])
        assert receipt["charged"] == receipt["total"] == cost
        assert ["audio_input_per_minute", 1_000, "0.06"] in receipt["lines"]
        assert rows[-1]["status"] == 200


@pytest.mark.parametrize("how", ["leaves", "says goodbye"])
async def test_who_ends_it_in_the_middle_of_an_answer(tmp_path: Path, how: str) -> None:
    """Pays for what has passed by the gateway's own measure."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        await client.send({"type": "input_audio_buffer.append", "audio": sound(1_500)})
        await provider.socket.event()
        for event in (
            {"type": "response.created"},
            spoken(2_000),
            {"type": "response.output_audio_transcript.delta", "delta": "x" * 40},
        ):
            await provider.socket.send(event)
            await client.event()
        if how == "leaves":
            client.abort()
        else:
            await client.close()
        rows = await over(gateway)
        assert charges(rows) == [1_500 * HEARD + 2_000 * SAID + 10 * OUT]
        assert json.loads(rows[-1]["receipt"])["note"] == {"flag": "abandoned"}


async def test_who_leaves_before_the_count_pays_for_the_question(tmp_path: Path) -> None:
    """A long question and a short answer are not had for the price of the answer."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        content = [{"type": "input_text", "text": "x" * 40_000}]
        item = {"type": "message", "role": "user", "content": content}
        await client.send({"type": "conversation.item.create", "item": item})
        await provider.socket.event()
        await provider.socket.send({"type": "response.output_text.delta", "delta": "yes!"})
        await client.event()
        client.abort()
        assert charges(await over(gateway)) == [10_000 * IN + OUT]


async def test_a_provider_that_breaks_off_in_the_middle(tmp_path: Path) -> None:
    """What was said is charged, and marked."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        await provider.socket.send(spoken(1_000))
        await client.event()
        provider.socket.exchange.cut()
        assert (await client.event())["error"]["code"] == "upstream_error"
        assert (await client.ended())[0] == 1011
        await client.close()
        rows = await over(gateway)
        assert charges(rows) == [1_000 * SAID]
        assert rows[-1]["status"] == 502
        assert json.loads(rows[-1]["receipt"])["note"] == {"flag": "cut_off"}


@pytest.mark.parametrize("count", [None, usage(), {"input_tokens": -5}])
async def test_answers_that_nobody_counts(tmp_path: Path, count: dict[str, Any] | None) -> None:
    """Are measured as they pass, in the format that the session has."""
    provider = Provider()
    format_ = {"format": {"type": "audio/pcmu"}}
    async with opened(tmp_path, provider) as (gateway, client):
        update = {"type": "session.updated", "session": {"audio": {"output": format_}}}
        for event in (update, {"type": "response.created"}, spoken(100), done(count)):
            await provider.socket.send(event)
            await client.event()
        await client.close()
        rows = await over(gateway)
        assert charges(rows) == [600 * SAID]
        note = json.loads(rows[-1]["receipt"])["note"]
        bad = count is not None and "output_tokens" not in count
        assert note["flag"] == ("bad_usage" if bad else "no_usage")


async def test_what_was_counted_is_not_measured_again(tmp_path: Path) -> None:
    """Answer after answer."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        for _ in range(3):
            for event in ({"type": "response.created"}, spoken(900), done(usage(audio_out=10))):
                await provider.socket.send(event)
                await client.event()
        client.abort()
        assert charges(await over(gateway)) == [3 * 500 * SAID]


async def test_nobody_opens_what_cannot_be_paid(tmp_path: Path) -> None:
    """402 before the provider hears of it."""
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        poor = await payer(gateway.server.store, 1_000_000)
        async with Client(gateway.server.port) as client:
            answer = await client.refused(PATH, poor.secret)
            assert answer.status == 402
            assert "the account's balance has $0.001" in answer.error["message"]
        async with Client(gateway.server.port) as client:
            answer = await client.refused(PATH, gateway.key, {"x-max-cost": "0.001"})
            assert (answer.status, answer.error["param"]) == (402, "max_cost")
        assert not fake.connections


@pytest.mark.parametrize("limit", ["wallet", "budget", "max cost"])
async def test_money_that_runs_out_ends_the_session(tmp_path: Path, limit: str) -> None:
    """Politely, and no more is charged than there was."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        funds = 50_000_000 if limit == "wallet" else 10**12
        budget = 50_000_000 if limit == "budget" else None
        mine = await payer(gateway.server.store, funds, budget=budget)
        headers = {"x-max-cost": "0.05"} if limit == "max cost" else None
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=mine.secret, headers=headers)
            await provider.socket.send(done(usage(audio_out=200)))
            assert (await client.event())["type"] == "response.done"
            await provider.socket.send(done(usage(audio_out=100)))
            assert (await client.event())["type"] == "response.done"
            error = await client.event()
            assert error["type"] == "error"
            assert error["error"]["code"] == "insufficient_quota"
            assert error["error"]["gateway_code"] == "budget_exhausted"
            assert await client.ended() == (1008, "insufficient_quota")
            assert await provider.socket.ended() == (1000, "")
            await client.close()
        rows = await over(gateway)
        assert charges(rows) == [50_000_000]
        assert (await logged(gateway))["cause"] == "no_money:session"


async def test_an_answer_that_is_too_dear_is_ended_while_it_is_said(tmp_path: Path) -> None:
    """Not only when its provider counts it."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        mine = await payer(gateway.server.store, 40_000_000)
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=mine.secret)
            await provider.socket.send({"type": "response.created"})
            for _ in range(11):
                await provider.socket.send(spoken(1_000))
            assert (await client.until("error"))["error"]["code"] == "insufficient_quota"
            await client.ended()
            await client.close()
        rows = await over(gateway)
        assert charges(rows) == [40_000_000]
        assert json.loads(rows[-1]["receipt"])["note"] == {"flag": "stopped"}


async def test_tokens_a_minute_hold_within_a_session(tmp_path: Path) -> None:
    """Each answer counts when it comes; who is over the limit must come again."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        made = await gateway.server.store.keys.create("slow", tpm=1_000)
        async with Client(gateway.server.port) as client:
            await session(gateway, client, key=str(made.secret))
            assert client.answer is not None
            assert client.answer.header("x-ratelimit-limit-tokens") == "1000"
            await provider.socket.send(done(usage(text_in=600)))
            assert (await client.event())["type"] == "response.done"
            await provider.socket.send(done(usage(text_in=600)))
            assert (await client.event())["type"] == "response.done"
            assert (await client.event())["error"]["code"] == "rate_limit_exceeded"
            assert await client.ended() == (1008, "rate_limit_exceeded")
            await client.close()
        assert charges(await over(gateway)) == [1_200 * IN]
        async with Client(gateway.server.port) as client:
            answer = await client.refused(PATH, str(made.secret))
            assert answer.status == 429


async def test_a_session_is_a_call_for_as_long_as_it_lives(tmp_path: Path) -> None:
    """It takes a key's place among those open at once, and one of its requests a minute."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        made = await gateway.server.store.keys.create("one", concurrency=1, rpm=2)
        secret = str(made.secret)
        for _ in range(2):
            async with Client(gateway.server.port) as client:
                await session(gateway, client, key=secret)
                async with Client(gateway.server.port) as other:
                    answer = await other.refused(PATH, secret)
                    assert answer.status == 429
                    assert "Concurrency exceeded" in answer.error["message"]
                await client.close()
                await client.ended()
            await over(gateway)
        async with Client(gateway.server.port) as client:
            answer = await client.refused(PATH, secret)
            assert "RPM exceeded" in answer.error["message"]


async def test_a_client_that_does_not_say_goodbye_is_not_waited_for(tmp_path: Path) -> None:
    """For longer than a moment."""
    provider = Provider()
    async with opened(tmp_path, provider) as (gateway, client):
        hurry(gateway, goodbye=0.01)
        await provider.socket.close(1000)
        assert (await client.ended())[0] == 1000
        assert charges(await over(gateway)) == [0]


def test_these_prices_are_the_shipped_ones() -> None:
    """What is charged here, and of translated sessions, is what the catalog's sessions cost."""
    shipped = yaml.safe_load((Path(__file__).parents[2] / "catalog.yaml").read_text())["models"]
    staged = yaml.safe_load(CATALOG.format(first="http://a", second="http://a"))["models"]
    prices = {
        slug: route["price"]
        for model in shipped.values()
        for slug, route in model["routes"].items()
        if model["kind"] == "realtime" and "unpriced" not in route["price"]
    }
    assert prices == {
        "gpt-realtime": staged["talker"]["routes"]["talker"]["price"],
        "gemini-3.1-flash-live": yaml.safe_load(LIVE),
    }
