"""Sessions at a provider that speaks OpenAI's events: everything passes as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange, FakeUpstream
from tests.money import charges
from tests.rawclient import ask, chat, request
from tests.realtime.stage import (
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
    spoken,
    stage,
    usage,
)
from tests.sockets import BINARY, PING, PONG, TEXT, Client, encode, upgrade


async def test_a_session_from_beginning_to_end(tmp_path: Path) -> None:
    """What is said passes byte for byte; what was counted is charged once."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            asked = b'{"type":  "response.create", "x":1e400}'
            await client.send(asked)
            assert await provider.socket.text() == asked
            answer = json.dumps(spoken(100), indent=3).encode()
            await provider.socket.send(answer)
            assert await client.text() == answer
            used = usage(text_in=40, audio_in=30, text_out=7, audio_out=20)
            await provider.socket.send(done(used))
            assert (await client.event())["type"] == "response.done"
            await client.close(1000)
            assert await client.ended() == (1000, "")
            assert await provider.socket.ended() == (1000, "")
        rows = await over(gateway)
        request = fake.requests[0]
        assert request.path == "/v1/realtime?model=up%2Ftalker%201"
        assert request.header("authorization") == "Bearer sk-upstream-secret-0001"
        assert client.answer is not None
        assert client.answer.header("x-gateway-route") == "talker"
        assert client.answer.header("sec-websocket-protocol") is None
        assert charges(rows) == [40 * IN + 7 * OUT + 3_000 * HEARD + 1_000 * SAID]
        line = await logged(gateway)
        assert (line["status"], line["upstream_status"]) == (101, 101)
        assert (line["input_tokens"], line["output_tokens"]) == (70, 27)
        assert "cause" not in line
        metrics = gateway.server.site.metrics.render()
        assert 'operation="realtime",route="talker",status="101"' in metrics


@pytest.mark.parametrize("beta", [False, True])
async def test_a_browser_brings_its_key_among_the_subprotocols(tmp_path: Path, beta: bool) -> None:
    """It is answered with the one that is none."""
    async with FakeUpstream(Provider()) as fake, stage(tmp_path, fake) as gateway:
        offered = f"realtime, openai-insecure-api-key.{gateway.key}"
        offered += ", openai-beta.realtime-v1" if beta else ""
        async with Client(gateway.server.port) as client:
            headers = {"Sec-WebSocket-Protocol": offered}
            await session(gateway, client, key=None, headers=headers)
            assert client.answer is not None
            assert client.answer.header("sec-websocket-protocol") == "realtime"


REFUSED: dict[str, tuple[str, dict[str, str], int, str]] = {
    "no model": ("/v1/realtime", {}, 400, "Name a model in the query"),
    "unknown model": ("/v1/realtime?model=nobody", {}, 404, "nobody"),
    "other kind": ("/v1/realtime?model=chatter", {}, 400, "/v1/chat/completions"),
    "no upgrade": (PATH, {"Upgrade": ""}, 400, "speaks websocket"),
    "other upgrade": (PATH, {"Upgrade": "h2c"}, 400, "speaks websocket"),
    "no connection": (PATH, {"Connection": "keep-alive"}, 400, "Connection: Upgrade"),
    "other version": (PATH, {"Sec-WebSocket-Version": "8"}, 400, "version 13"),
    "short key": (PATH, {"Sec-WebSocket-Key": "aGVsbG8="}, 400, "sixteen bytes"),
    "no handshake key": (PATH, {"Sec-WebSocket-Key": ""}, 400, "sixteen bytes"),
    "unknown key": (PATH, {"Authorization": "Bearer sk-maas-nobody"}, 401, "not known"),
    "no key": (PATH, {"Authorization": ""}, 401, "No API key"),
    "webrtc": (PATH + "&call_id=rtc_1", {}, 400, "no calls"),
    "transcription": (PATH + "&intent=transcription", {}, 400, "only transcribe"),
    "bad max cost": (PATH, {"x-max-cost": "lots"}, 400, "max_cost"),
    "elsewhere": ("/v1/chat/completions", {}, 405, "takes POST"),
    "elsewhere by GET": ("/v1/models", {}, 400, "does not speak websocket"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_is_plain_http(tmp_path: Path, case: str) -> None:
    """With a clear word, before anything is opened or charged."""
    path, headers, status, words = REFUSED[case]
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            answer = await client.refused(path, gateway.key, headers)
            assert (answer.status, words in answer.error["message"]) == (status, True), answer.body
            if "Upgrade" not in headers:
                assert await client.raw_client.at_end()
        assert not await over(gateway)
        assert not fake.connections


async def test_a_realtime_model_asked_elsewhere_is_sent_here(tmp_path: Path) -> None:
    """By name."""
    async with FakeUpstream() as fake, stage(tmp_path, fake) as gateway:
        answer = await ask(gateway.server.port, request(chat(model="talker"), gateway.key))
        assert answer.status == 400
        assert "/v1/realtime" in answer.error["message"]


UPDATES = {
    "another model": (
        b'{"type": "session.update", "session": {"model":"dearer", "voice":"ash"}}',
        b'{"type": "session.update", "session": {"model":"up/talker 1", "voice":"ash"}}',
    ),
    "written with escapes": (
        b'{"type":"session.update","sess\\u0069on":{"mod\\u0065l":"dearer"}}',
        b'{"type":"session.update","sess\\u0069on":{"mod\\u0065l":"up/talker 1"}}',
    ),
    "no model": (b'{"type":"session.update","session":{"voice":"ash" }}',) * 2,
    "the word in a text": (b'{"type":"conversation.item.create","item":{"a":"session"}}',) * 2,
    "no JSON at all": (b"hello",) * 2,
}


@pytest.mark.parametrize("case", UPDATES)
async def test_the_model_of_a_session_is_the_routes(tmp_path: Path, case: str) -> None:
    """Everything else is the client's."""
    asked, sent = UPDATES[case]
    provider = Provider()
    async with opened(tmp_path, provider) as (_, client):
        await client.send(asked)
        assert await provider.socket.text() == sent


async def test_an_update_that_can_be_read_in_two_ways(tmp_path: Path) -> None:
    """Is not sent on, and that is told; the session goes on."""
    provider = Provider()
    async with opened(tmp_path, provider) as (_, client):
        await client.send(b'{"type":"session.update","session":{},"session":{"model":"dearer"}}')
        error = (await client.event())["error"]
        assert (error["code"], error["param"]) == ("invalid_request", "session")
        await client.send(b'{"type":"response.create"}')
        assert await provider.socket.text() == b'{"type":"response.create"}'


async def test_messages_in_pieces_and_pings(tmp_path: Path) -> None:
    """Fragments become one message, a binary one is text, and pings are answered."""
    provider = Provider()
    async with opened(tmp_path, provider) as (_, client):
        await client.frame(TEXT, b'{"a":', final=False)
        await client.frame(PING, b"there?")
        await client.frame(0, b"1}")
        assert await client.frames.next() == (PONG, b"there?")
        assert await provider.socket.text() == b'{"a":1}'
        await client.frame(BINARY, b"{}")
        assert await provider.socket.text() == b"{}"
        await provider.socket.frame(BINARY, b'{"b":2}')
        assert await client.text() == b'{"b":2}'
        assert client.frames.masks == [False] * 3
        assert set(provider.socket.frames.masks) == {True}


async def test_a_client_that_does_not_wait_for_the_answer(tmp_path: Path) -> None:
    """What it says too early is heard in time."""
    provider = Provider()
    async with (
        FakeUpstream(provider) as fake,
        stage(tmp_path, fake) as gateway,
        Client(gateway.server.port) as client,
    ):
        await client.ask(PATH, gateway.key)
        early = b'{"type":"response.create"}' + b" " * 200_000
        await client.send(early)
        await client.send(b'{"n":2}')
        assert (await client.raw_client.head()).status == 101
        client.read_on()
        assert (await client.event())["type"] == "session.created"
        assert await provider.socket.text() == early
        assert await provider.socket.text() == b'{"n":2}'


async def test_bytes_that_come_one_by_one(tmp_path: Path) -> None:
    """Make the same messages, on either side."""
    provider = Provider()
    async with opened(tmp_path, provider) as (_, client):
        for byte in encode(TEXT, b'{"a":1}', mask=b"abcd"):
            await client.raw(bytes([byte]))
        assert await provider.socket.text() == b'{"a":1}'
        for byte in encode(TEXT, b'{"b":2}'):
            await provider.socket.raw(bytes([byte]))
        assert await client.text() == b'{"b":2}'


BREACHES = {
    "not masked": (encode(TEXT, b"{}"), 1002),
    "reserved bit": (encode(TEXT, b"{}", mask=b"abcd").replace(b"\x81", b"\xc1", 1), 1002),
    "no UTF-8": (encode(TEXT, b"\xff", mask=b"abcd"), 1007),
    "too large": (b"\x81\xff" + (1 << 30).to_bytes(8, "big") + b"abcd", 1009),
}


@pytest.mark.parametrize("case", BREACHES)
async def test_a_client_that_breaks_the_protocol(tmp_path: Path, case: str) -> None:
    """Is told the code, and the provider gets a proper goodbye."""
    breach, code = BREACHES[case]
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            await client.raw(breach)
            assert (await client.ended())[0] == code
            assert await provider.socket.ended() == (1000, "")
        assert (await logged(gateway))["cause"] == f"client_closed:{code}"


async def test_a_client_that_is_gone_without_a_word(tmp_path: Path) -> None:
    """Ends its session; nothing was said, so nothing is charged."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            client.abort()
            assert await provider.socket.ended() == (1000, "")
        assert charges(await over(gateway)) == [0]
        assert (await logged(gateway))["status"] == 499


ENDS: dict[str, tuple[int, str, int, str]] = {
    "done": (1000, "bye", 1000, ""),
    "going": (1001, "restart", 1001, ""),
    "policy": (1008, "org-secret-17 is over its quota", 1011, "upstream_error"),
    "its own code": (4002, "org-secret-17", 1011, "upstream_error"),
    "too big": (1009, "17 bytes", 1009, ""),
}


@pytest.mark.parametrize("case", ENDS)
async def test_a_provider_that_ends_it(tmp_path: Path, case: str) -> None:
    """Its code becomes one of ours; what it says of the operator's account stays here."""
    code, reason, ours, error = ENDS[case]
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            await provider.socket.close(code, reason)
            if error:
                event = await client.event()
                assert (event["type"], event["error"]["code"]) == ("error", error)
                assert "org-secret" not in json.dumps(event)
            told = await client.ended()
            assert told[0] == ours
            assert "org-secret" not in told[1]
        line = await logged(gateway)
        assert line["cause"] == f"provider_closed:{code}"
        assert "org-secret" not in json.dumps(line)


async def cut_in_a_frame(exchange: Exchange) -> None:
    """Cut in the middle of a message."""
    socket = await upgrade(exchange)
    await socket.send({"type": "session.created"})
    await socket.raw(encode(TEXT, b'{"type":"response.created"}')[:-3])
    exchange.close()


async def masks_its_frames(exchange: Exchange) -> None:
    """Speak like a client."""
    socket = await upgrade(exchange)
    await socket.send({"type": "session.created"})
    await socket.raw(encode(TEXT, b"{}", mask=b"abcd"))
    await exchange.client_closed()


async def sends_a_giant(exchange: Exchange) -> None:
    """Announce more than anybody takes."""
    socket = await upgrade(exchange)
    await socket.send({"type": "session.created"})
    await socket.raw(b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + b"{")
    await exchange.client_closed()


@pytest.mark.parametrize("handler", [cut_in_a_frame, masks_its_frames, sends_a_giant])
async def test_a_provider_that_breaks_off(tmp_path: Path, handler: Any) -> None:
    """Is the gateway's to explain."""
    async with FakeUpstream(handler) as fake, stage(tmp_path, fake) as gateway:
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            assert (await client.event())["error"]["code"] == "upstream_error"
            assert await client.ended() == (1011, "upstream_error")
        assert charges(await over(gateway)) == [0]


async def test_a_failure_told_by_the_provider_shows_no_credential(tmp_path: Path) -> None:
    """Its error events pass, masked."""
    provider = Provider()
    async with opened(tmp_path, provider) as (_, client):
        words = "Incorrect key sk-upstream-secret-0001 given."
        await provider.socket.send({"type": "error", "error": {"message": words}})
        event = await client.event()
        assert event["error"]["message"] == "Incorrect key [redacted] given."


async def test_pings_go_both_ways(tmp_path: Path) -> None:
    """So that nobody in between takes a session for dead."""
    provider = Provider()
    async with FakeUpstream(provider) as fake, stage(tmp_path, fake) as gateway:
        hurry(gateway, ping_every=0.01, tick=0.005)
        async with Client(gateway.server.port) as client:
            await session(gateway, client)
            assert await client.frames.next() == (PING, b"")
            assert await provider.socket.frames.next() == (PING, b"")
