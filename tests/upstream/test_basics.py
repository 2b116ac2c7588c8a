"""Plain requests, reuse, what goes over the wire."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain import UpstreamRequest
from gateway.errors import Fault
from tests.fake_upstream import FakeUpstream, head
from tests.upstream.helpers import channel, post, turns


async def test_request_head_is_exact(http):
    async with FakeUpstream() as fake:
        reply = await http.send(post(f"{fake.url}/v1/x?k=1", b"abc", [("X-A", "é")]), channel())
        assert (reply.status, await reply.read(100), reply.delimited) == (200, b"{}", True)
        assert reply.headers["content-type"] == "application/json"
        assert fake.requests[0].raw == (
            f"POST /v1/x?k=1 HTTP/1.1\r\nHost: 127.0.0.1:{fake.port}\r\n"
            "Accept-Encoding: identity\r\nX-A: é\r\nContent-Length: 3\r\n\r\nabc"
        ).encode("latin-1")


async def test_get_without_body_has_no_length(http):
    async with FakeUpstream() as fake:
        reply = await http.send(UpstreamRequest("GET", fake.url, ()), channel())
        await reply.read(10)
        assert fake.requests[0].path == "/"
        assert fake.requests[0].header("content-length") is None


async def test_one_connection_serves_many_and_stats_say_so(http):
    async with FakeUpstream() as fake:
        for _ in range(5):
            reply = await http.send(post(fake.url), channel())
            assert http.stats()["p"].active + http.stats()["p"].idle == 1
            await reply.read(100)
        assert len(fake.connections) == 1
        assert http.stats()["p"] == (0, 1, 0)


async def test_credentials_providers_and_hosts_never_share_a_connection(http):
    async with FakeUpstream() as fake:
        for kind in ({}, {"credential": "spare"}, {"provider": "q"}):
            await (await http.send(post(fake.url), channel(**kind))).read(100)
        url = fake.url.replace("127.0.0.1", "localhost")
        await (await http.send(post(url), channel())).read(100)
        assert len(fake.connections) == 4


async def test_answer_in_one_piece_frees_the_connection_before_it_is_read(http):
    async with FakeUpstream() as fake:
        first = await http.send(post(fake.url), channel())
        second = await http.send(post(fake.url), channel())
        assert await first.read(100) == await second.read(100) == b"{}"
        first.close()
        assert http.stats()["p"].idle == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-A", "a\r\nX-B: c"), ("X-A", "a\nb"), ("X-A", "a\rb"), ("X-A", "a\0b"), ("X-A", "\u20ac"),
     ("X-A\r\nB", "c"), ("X A", "b"), ("", "b"), ("X:A", "b"), ("Host", "evil"),
     ("Content-Length", "0"), ("transfer-encoding", "chunked"), ("Connection", "close")],
)  # fmt: skip
async def test_headers_that_could_split_a_request_are_refused(http, name, value):
    async with FakeUpstream() as fake:
        with pytest.raises(Fault) as caught:
            await http.send(post(fake.url, headers=[("Ok", "1"), (name, value)]), channel())
        assert "evil" not in caught.value.message
        assert not fake.connections


@pytest.mark.parametrize(
    "url",
    ["ftp://h/", "http://", "http://u:p@h/", "http://h/a b", "http://h/a\r\nX: y", "http://h:99999/",
     "http://h/é", "http://[::1/", "//h/"],
)  # fmt: skip
async def test_urls_that_cannot_be_sent_are_refused(http, url):
    with pytest.raises(Fault) as caught:
        await http.send(post(url), channel())
    assert caught.value.cause == "bad_request"


async def test_connection_close_and_http_1_0_are_honoured(http):
    answers = [
        head(200, [("Connection", "close"), ("Content-Length", "1")]) + b"a",
        b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nb",
        head(200, [("Content-Length", "1")]) + b"c",
    ]

    async def handler(exchange):
        await exchange.send(answers[len(exchange.connection.fake.requests) - 1])

    async with FakeUpstream(handler) as fake:
        bodies = [await (await http.send(post(fake.url), channel())).read(9) for _ in answers]
        assert bodies == [b"a", b"b", b"c"]
        assert len(fake.connections) == 3


async def test_repeated_headers_are_joined(http):
    async def handler(exchange):
        await exchange.send(head(200, [("A", "1"), ("a", "2"), ("Content-Length", "0")]))

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())
        assert reply.headers["a"] == "1, 2"
        assert await reply.read(1) == b""


async def test_large_body_up_and_down(http):
    async def handler(exchange):
        body = exchange.request.body
        await exchange.send(head(200, [("Content-Length", str(len(body)))]) + body)

    async with FakeUpstream(handler) as fake:
        body = bytes(range(256)) * 20_000
        reply = await http.send(post(fake.url, body), channel())
        assert await reply.read(len(body)) == body


async def test_body_is_taken_once(http):
    async with FakeUpstream() as fake:
        reply = await http.send(post(fake.url), channel())
        await reply.read(100)
        with pytest.raises(RuntimeError):
            await reply.read(100)


async def test_redirects_are_not_followed(http):
    async with FakeUpstream() as other:

        async def handler(exchange):
            await exchange.send_json(307, {}, [("Location", other.url)])

        async with FakeUpstream(handler) as fake:
            reply = await http.send(post(fake.url), channel())
            assert reply.status == 307
            assert await reply.read(10) == b"{}"
            assert not other.connections


async def test_idle_connections_expire_by_hint_and_by_our_own_limit(http):
    async def handler(exchange):
        await exchange.send_json(200, {}, [("Keep-Alive", "timeout=5, max=100")])

    async with FakeUpstream(handler) as fake:
        loop = asyncio.get_running_loop()
        await (await http.send(post(fake.url), channel())).read(10)
        http.sweep(loop.time() + 3.5)
        assert http.stats()["p"].idle == 1
        http.sweep(loop.time() + 4.5)
        assert http.stats()["p"].idle == 0
        await fake.connections[0].closed.wait()


async def test_closing_the_client_ends_everything():
    from gateway.upstream import HttpUpstream

    http = HttpUpstream({})

    async def handler(exchange):
        await exchange.client_closed()

    async with FakeUpstream(handler) as fake:
        task = asyncio.create_task(http.send(post(fake.url), channel()))
        await turns(lambda: fake.requests)
        await http.close()
        with pytest.raises(Fault) as caught:
            await task
        assert caught.value.cause == "closed"
        with pytest.raises(Fault):
            await http.send(post(fake.url), channel())
        await fake.connections[0].closed.wait()
