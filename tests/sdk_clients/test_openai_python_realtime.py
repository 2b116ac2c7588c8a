"""Realtime sessions with the official Python client."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from tests.fake_upstream import Exchange, FakeUpstream
from tests.money import charges, payer
from tests.realtime.stage import IN, OUT, SAID, over, spoken, stage, usage
from tests.sockets import upgrade

SESSION = {"type": "realtime", "object": "realtime.session", "id": "sess_1", "model": "up"}
ITEM = {
    "id": "item_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [],
}
RESPONSE = {"object": "realtime.response", "id": "resp_1", "output": [], "status": "in_progress"}


async def converses(exchange: Exchange) -> None:
    """A provider that answers each `response.create` with a word and a second of sound."""
    socket = await upgrade(exchange)
    await socket.send({"type": "session.created", "event_id": "event_1", "session": SESSION})
    while True:
        event = await socket.event()
        if event["type"] == "session.update":
            await socket.send(
                {"type": "session.updated", "event_id": "e", "session": SESSION | event["session"]}
            )
        if event["type"] != "response.create":
            continue
        where = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0,
            "content_index": 0, "event_id": "e"}  # fmt: skip
        for answer in (
            {"type": "response.created", "event_id": "e", "response": RESPONSE},
            {"type": "response.output_text.delta", "delta": "Hello", **where},
            {**spoken(1_000), **where},
            {"type": "response.output_text.done", "text": "Hello", **where},
            {
                "type": "response.done",
                "event_id": "e",
                "response": RESPONSE
                | {"status": "completed", "output": [ITEM]}
                | {"usage": usage(text_in=12, text_out=3, audio_out=20)},
            },
        ):
            await socket.send(answer)


async def test_a_conversation(tmp_path: Path) -> None:
    """Typed events in, typed events out, and a charge at the end."""
    async with (
        FakeUpstream(converses) as fake,
        stage(tmp_path, fake) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
    ):
        async with client.realtime.connect(model="talker") as connection:
            assert (await connection.recv()).type == "session.created"
            await connection.session.update(
                session={"type": "realtime", "model": "talker", "output_modalities": ["text"]}
            )
            updated: Any = await connection.recv()
            assert (updated.type, updated.session.model) == ("session.updated", "up/talker 1")
            await connection.input_audio_buffer.append(audio=base64.b64encode(bytes(4800)).decode())
            for _ in range(2):
                await connection.response.create()
                text, said, used = "", 0, None
                async for event in connection:
                    if event.type == "response.output_text.delta":
                        text += event.delta
                    elif event.type == "response.output_audio.delta":
                        said += len(base64.b64decode(event.delta))
                    elif event.type == "response.done":
                        used = event.response.usage
                        break
                assert (text, said) == ("Hello", 48_000)
                assert used is not None
                assert used.total_tokens == 35
        rows = await over(gateway)
        assert charges(rows) == [2 * (12 * IN + 3 * OUT + 1_000 * SAID)]


async def test_an_ephemeral_secret(tmp_path: Path) -> None:
    """Made with the key, used without it."""
    async with (
        FakeUpstream(converses) as fake,
        stage(tmp_path, fake) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
    ):
        made = await client.realtime.client_secrets.create(
            expires_after={"anchor": "created_at", "seconds": 30},
            session={"type": "realtime", "model": "talker", "instructions": "Be brief."},
        )
        assert made.session.type == "realtime"
        async with (
            AsyncOpenAI(base_url=gateway.base, api_key=made.value) as browser,
            browser.realtime.connect(model="talker") as connection,
        ):
            assert (await connection.recv()).type == "session.created"
            updated: Any = await connection.recv()
            assert updated.session.instructions == "Be brief."


async def test_refusals_are_http(tmp_path: Path) -> None:
    """With the status of every other call."""
    async with FakeUpstream(converses) as fake, stage(tmp_path, fake) as gateway:
        for key, model, status in (
            ("sk-maas-wrong", "talker", 401),
            (gateway.key, "nobody", 404),
            (gateway.key, "chatter", 400),
        ):
            async with AsyncOpenAI(base_url=gateway.base, api_key=key) as client:
                with pytest.raises(InvalidStatus) as caught:
                    await client.realtime.connect(model=model).enter()
                assert caught.value.response.status_code == status


async def test_money_that_runs_out(tmp_path: Path) -> None:
    """An error event, then a close with a code."""
    async with FakeUpstream(converses) as fake, stage(tmp_path, fake) as gateway:
        mine = await payer(gateway.server.store, 33_000_000)
        async with (
            AsyncOpenAI(base_url=gateway.base, api_key=mine.secret) as client,
            client.realtime.connect(model="talker") as connection,
        ):
            for _ in range(9):
                await connection.response.create()
            while (event := await connection.recv()).type != "error":
                pass
            assert event.error.code == "insufficient_quota"
            with pytest.raises(ConnectionClosedError) as caught:
                await connection.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1008


async def test_a_provider_that_says_goodbye(tmp_path: Path) -> None:
    """Is a clean end."""

    async def brief(exchange: Exchange) -> None:
        socket = await upgrade(exchange)
        await socket.send({"type": "session.created", "event_id": "event_1", "session": SESSION})
        await socket.close(1000)

    async with (
        FakeUpstream(brief) as fake,
        stage(tmp_path, fake) as gateway,
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client,
        client.realtime.connect(model="talker") as connection,
    ):
        assert (await connection.recv()).type == "session.created"
        with pytest.raises(ConnectionClosedOK):
            await connection.recv()
