"""Websockets to providers: what is asked, what is believed, and who waits for whom."""

from __future__ import annotations

import asyncio
import base64
import ssl

import pytest
import trustme

from gateway.core.websocket import Closed
from gateway.domain import UpstreamRequest
from gateway.errors import Fault
from gateway.upstream import HttpUpstream
from tests.fake_upstream import FakeUpstream
from tests.sockets import PING, PONG, TEXT, accept, encode, upgrade
from tests.upstream.fake_proxy import FakeProxy
from tests.upstream.helpers import channel, fault_of, turns
from tests.upstream.talking import Heard, echo, opened, wants

CA = trustme.CA()


async def test_what_is_asked_and_what_passes(http):
    sockets = []

    async def handler(exchange):
        sockets.append(await upgrade(exchange))
        await sockets[0].send(await sockets[0].text())

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        heard.socket.send(b'{"a":"\xc3\xa9"}')
        assert await heard.message() == b'{"a":"\xc3\xa9"}'
        request = fake.requests[0]
        assert (request.method, request.path) == ("GET", "/v1/secret?k=1")
        assert request.header("authorization") == "Bearer sk-canary"
        assert request.header("upgrade") == "websocket"
        assert request.header("connection") == "Upgrade"
        assert request.header("sec-websocket-version") == "13"
        assert request.header("sec-websocket-extensions") is None
        assert len(base64.b64decode(request.header("sec-websocket-key"))) == 16
        assert sockets[0].frames.masks == [True]
        assert http.stats()["p"].active == 1
    await heard.end()
    assert "p" not in http.stats()


async def test_each_frame_has_a_mask_of_its_own(http):
    async with FakeUpstream(echo, keep_raw=True) as fake:
        heard = await opened(http, fake)
        for _ in range(2):
            heard.socket.send(b"aaaa")
            assert await heard.message() == b"aaaa"
        frames = bytes(fake.connections[0].raw).partition(b"\r\n\r\n")[2]
        assert frames[:10] != frames[10:20]
        heard.socket.abort()


async def test_pings_are_answered(http):
    async def handler(exchange):
        socket = await upgrade(exchange)
        await socket.frame(PING, b"there?")
        answered.append(await socket.frames.next())
        await socket.send(b"{}")
        answered.append(await socket.frames.next())

    answered = []
    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        await heard.message()
        heard.socket.ping()
        await turns(lambda: len(answered) == 2)
        assert answered == [(PONG, b"there?"), (PING, b"")]
        heard.socket.abort()


async def test_a_provider_may_speak_first(http):
    """In the same bytes as its agreement, and before anybody listens."""

    async def handler(exchange):
        key = exchange.request.header("sec-websocket-key")
        await exchange.send(
            b"HTTP/1.1 101 Yes\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept(key)}\r\n\r\n".encode()
            + encode(TEXT, b"1")
            + encode(TEXT, b"2")[:2]
        )
        await exchange.send(encode(TEXT, b"2")[2:] + encode(TEXT, b"3"))
        exchange.close()

    async with FakeUpstream(handler) as fake:
        socket = await http.connect(wants(fake), channel())
        await turns(fake.connections[0].transport.is_closing)
        heard = Heard(socket)
        assert (await heard.end()).code == 1006
        assert heard.messages == [b"1", b"2", b"3"]


async def test_the_agreement_may_come_byte_by_byte(http):
    async def handler(exchange):
        key = exchange.request.header("sec-websocket-key")
        answer = (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Accept: {accept(key)}\r\n\r\n"
        ).encode() + encode(TEXT, b"hello")
        for place in range(len(answer)):
            await exchange.send(answer[place : place + 1])
            await asyncio.sleep(0)

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        assert await heard.message() == b"hello"
        heard.socket.abort()


async def test_a_provider_that_does_not_answer(http):
    async def handler(exchange):
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        fault = await fault_of(http.connect(wants(fake), channel(first_byte=0.05)))
        assert (fault.cause, fault.kind.status) == ("first_byte_timeout", 504)
        await turns(lambda: not fake.open_connections)


async def test_a_provider_that_hangs_up(http):
    async def handler(exchange):
        exchange.cut()

    async with FakeUpstream(handler) as fake:
        assert (await fault_of(http.connect(wants(fake), channel()))).cause == "reset"
    assert (await fault_of(http.connect(wants(fake), channel()))).cause == "connect"
    assert "p" not in http.stats()


async def test_there_is_a_most(http):
    async with FakeUpstream(echo) as fake:
        first = await opened(http, fake, max_connections=1)
        fault = await fault_of(http.connect(wants(fake), channel(max_connections=1)))
        assert fault.cause == "pool_exhausted"
        other = await opened(http, fake, max_connections=1, credential="second")
        other.socket.abort()
        first.socket.close(1000)
        await first.end()
        await turns(lambda: "p" not in http.stats())
        (await opened(http, fake, max_connections=1)).socket.abort()


async def test_goodbye_from_us(http):
    async with FakeUpstream(echo) as fake:
        heard = await opened(http, fake)
        heard.socket.close(1001, "going")
        assert await heard.end() == Closed(1001, "", True)
        await turns(lambda: not fake.open_connections)


async def test_goodbye_from_the_provider(http):
    async def handler(exchange):
        socket = await upgrade(exchange)
        await socket.close(4004, "session over")
        assert await socket.ended() == (4004, "")
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        assert await heard.end() == Closed(4004, "session over", True)


async def test_a_provider_that_never_says_goodbye_is_dropped(http, monkeypatch):
    monkeypatch.setattr("gateway.upstream.websocket.GOODBYE_SECONDS", 0.02)

    async def handler(exchange):
        await upgrade(exchange)
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        heard.socket.close(1000)
        assert (await heard.end()).code == 1006


BREACHES = {
    "masked": (encode(TEXT, b"{}", mask=b"abcd"), 1002),
    "reserved bits": (b"\xf1\x00", 1002),
    "too large": (b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), 1009),
    "no UTF-8": (encode(TEXT, b"\xff\xfe"), 1007),
}


@pytest.mark.parametrize("case", BREACHES)
async def test_a_provider_that_breaks_the_protocol_is_left(http, case):
    breach, code = BREACHES[case]

    async def handler(exchange):
        socket = await upgrade(exchange)
        await socket.raw(encode(TEXT, b"1") + breach + encode(TEXT, b"2"))
        told.append((await socket.ended())[0])
        await exchange.client_closed()

    told = []
    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        ended = await heard.end()
        assert (ended.code, ended.clean) == (code, False)
        assert heard.messages == [b"1"]
        await turns(lambda: told == [code])


async def test_a_cut_in_the_middle_of_a_frame(http):
    async def handler(exchange):
        socket = await upgrade(exchange)
        await socket.raw(encode(TEXT, b"hello")[:-1])
        exchange.close()

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        assert await heard.end() == Closed(1006)
        assert heard.messages == []


async def test_who_does_not_listen_holds_the_provider(http):
    """What has been read is bounded, whatever the provider sends."""
    sent = 0

    async def handler(exchange):
        nonlocal sent
        socket = await upgrade(exchange)
        for _ in range(400):
            await socket.frame(TEXT, b"x" * 65_536)
            sent += 1

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        await heard.message()
        heard.socket.pause()
        held = -1
        while held != sent:
            held = sent
            for _ in range(200):
                await asyncio.sleep(0)
        assert sent < 400
        heard.socket.resume()
        await turns(lambda: sent == 400 and len(heard.messages) == 399)
        heard.socket.abort()


async def test_a_provider_that_does_not_read_is_told_of(http):
    go_on = asyncio.Event()

    async def handler(exchange):
        socket = await upgrade(exchange)
        exchange.connection.transport.pause_reading()
        await go_on.wait()
        exchange.connection.transport.resume_reading()
        await socket.ended()

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        told = []
        heard.socket.on_congestion(lambda: told.append("hold"), lambda: told.append("go on"))
        while not told:
            heard.socket.send(b"x" * 65_536)
            await asyncio.sleep(0)
        go_on.set()
        await turns(lambda: told == ["hold", "go on"])
        heard.socket.abort()


async def test_closing_the_client_cuts_them():
    async with FakeUpstream(echo) as fake:
        http = HttpUpstream({})
        heard = await opened(http, fake)
        await http.close()
        assert (await heard.end()).code == 1006
        assert (await fault_of(http.connect(wants(fake), channel()))).cause == "closed"


@pytest.mark.parametrize(
    "request_",
    [
        UpstreamRequest("POST", "ws://127.0.0.1:9/", ()),
        UpstreamRequest("GET", "http://127.0.0.1:9/", ()),
        UpstreamRequest("GET", "ws://127.0.0.1:9/", (("Sec-WebSocket-Key", "x"),)),
        UpstreamRequest("GET", "ws://127.0.0.1:9/", (("Upgrade", "x"),)),
        UpstreamRequest("GET", "ws://127.0.0.1:9/", (("A", "b\r\nC: d"),)),
    ],
)
async def test_requests_that_are_none(http, request_):
    with pytest.raises(Fault):
        await http.connect(request_, channel())


async def test_through_a_tunnel_also_without_tls():
    async with FakeProxy() as proxy, FakeUpstream(echo) as fake:
        http = HttpUpstream({"http_proxy": proxy.url})
        heard = await opened(http, fake)
        heard.socket.send(b"{}")
        assert await heard.message() == b"{}"
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{fake.port} ".encode())
        await http.close()


async def test_under_tls(http, tmp_path):
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    async with FakeUpstream(echo, tls=context) as fake:
        assert (await fault_of(http.connect(wants(fake), channel()))).cause == "tls"
        heard = await opened(http, fake, ca_file=str(tmp_path / "ca.pem"))
        heard.socket.send(b"{}")
        assert await heard.message() == b"{}"
        heard.socket.close(1000)
        await heard.end()
        await turns(lambda: not fake.open_connections)


async def test_who_listens_may_change(http):
    """The second hears what comes from then on, and of an end that has been."""
    go_on = asyncio.Event()

    async def handler(exchange):
        socket = await upgrade(exchange)
        await socket.send(b"1")
        await go_on.wait()
        await socket.send(b"2")
        await socket.close(1000)

    async with FakeUpstream(handler) as fake:
        heard = await opened(http, fake)
        assert await heard.message() == b"1"
        second = Heard(heard.socket)
        go_on.set()
        assert await second.end() == Closed(1000, "", True)
        assert (second.messages, heard.messages) == ([b"2"], [])
        third = Heard(heard.socket)
        assert third.closed == [Closed(1000, "", True)]
