"""What a provider may do to the wire, and what the caller must see (reliability B 23-29, 31)."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib

import pytest

from tests.fake_upstream import LAST_CHUNK, Connection, FakeUpstream, chunk, head
from tests.upstream.helpers import channel, fault_of, fetch, post, raw_fake, turns

CHUNKED = ("Transfer-Encoding", "chunked")
OK = b"HTTP/1.1 200 OK\r\n"
EVENTS = [b'data: {"n": 1}\n\n', "data: grüße\n\n".encode(), b": ping\n\n", b"data: [DONE]\n\n"]
GOLDEN = head(200, [CHUNKED]) + b"".join(chunk(event) for event in EVENTS) + LAST_CHUNK


async def test_stream_split_at_every_byte_is_the_same_body(http):
    """The client tells (through the pump and a poke) when it has parsed the first part."""
    offset = 0
    parsed = asyncio.Event()

    async def handler(exchange):
        await exchange.send(GOLDEN[:offset])
        await exchange.gate(parsed)
        await exchange.send(GOLDEN[offset:])

    async with FakeUpstream(handler) as fake:
        for offset in range(1, len(GOLDEN)):
            parsed.clear()
            task = asyncio.create_task(fetch(http, fake))
            await turns(lambda: len(fake.requests) == offset)  # noqa: B023
            seen = fake.connections[0]
            await turns(lambda: not seen.transport.get_write_buffer_size())  # noqa: B023
            for _ in range(3):
                await asyncio.sleep(0)
            parsed.set()
            assert await task == b"".join(EVENTS)
        assert len(fake.connections) == 1


async def test_every_split_of_the_bytes_parses_alike():
    """The same without a socket: exact by construction."""
    from gateway.upstream.parsing import ResponseParser

    for offset in range(len(GOLDEN) + 1):
        parser = ResponseParser()
        for part in (GOLDEN[:offset], GOLDEN[offset:]):
            assert parser.feed(part) is None
        assert parser.complete
        assert parser.reusable
        assert b"".join(parser.pieces) == b"".join(EVENTS)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_cut_at_every_byte_is_a_fault(http, framing):
    body = b'{"a": 1}'
    golden = (
        head(200, [("Content-Length", str(len(body)))]) + body
        if framing == "length"
        else head(200, [CHUNKED]) + chunk(body) + LAST_CHUNK
    )
    head_ends = golden.index(b"\r\n\r\n") + 4
    offset = 0

    async def handler(exchange):
        await exchange.send(golden[:offset])
        exchange.close()

    async with FakeUpstream(handler) as fake:
        for offset in range(len(golden)):
            fault = await fault_of(fetch(http, fake))
            assert fault.cause == ("truncated" if offset >= head_ends else "reset")
            assert fault.kind.status == 502
        assert len(fake.requests) == len(golden)  # a fresh connection is never retried


async def test_reset_in_the_body_is_truncation_and_keeps_what_came_before(http):
    arrived = asyncio.Event()

    async def handler(exchange):
        await exchange.send(head(200, [CHUNKED]) + chunk(b"first"))
        await exchange.gate(arrived)
        exchange.cut()

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())
        got = []

        def receive(data):
            got.append(data)
            arrived.set()

        fault = await fault_of(reply.pump(receive))
        assert (fault.cause, got) == ("truncated", [b"first"])


async def test_body_without_length_ends_at_eof_but_says_so(http):
    async with raw_fake(OK + b"\r\nhello", close=True) as fake:
        reply = await http.send(post(fake.url), channel())
        assert await reply.read(100) == b"hello"
        assert reply.delimited is False
        assert http.stats()["p"].idle == 0


async def test_body_without_length_that_is_reset_is_truncated(http):
    arrived = asyncio.Event()

    async def handler(exchange):
        await exchange.send(OK + b"\r\nhello")
        await exchange.gate(arrived)
        exchange.cut()

    async with FakeUpstream(handler) as fake:
        reply = await http.send(post(fake.url), channel())
        fault = await fault_of(reply.pump(lambda data: arrived.set()))
        assert fault.cause == "truncated"


BAD = {
    "chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n",
    "negative chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhi\r\n0\r\n\r\n",
    "huge chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\nhi",
    "chunk end": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n",
    "length and chunked": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "signed length": OK + b"Content-Length: +2\r\n\r\nhi",
    "list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "NUL in a header": OK + b"A: b\0c\r\nContent-Length: 2\r\n\r\nhi",
    "bare CR": OK + b"A: b\rc\r\nContent-Length: 2\r\n\r\nhi",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
    "folded header": OK + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
    "space before colon": OK + b"Content-Length : 2\r\n\r\nhi",
    "one large header": OK + b"A: " + b"x" * 40_000 + b"\r\nContent-Length: 2\r\n\r\nhi",
    "one endless header": OK + b"A: " + b"x" * 80_000,
    "many headers": OK + b"A: b\r\n" * 201 + b"Content-Length: 2\r\n\r\nhi",
    "many trailers": head(200, [CHUNKED]) + chunk(b"x") + b"0\r\n" + b"A: b\r\n" * 201 + b"\r\n",
    "junk": b"hello there\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\n\r\nhi",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\nhi",
    "other coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked on 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "status 999": b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
    "status 600": b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
    "status 099": b"HTTP/1.1 099 X\r\nContent-Length: 0\r\n\r\n",
    "status 1000": b"HTTP/1.1 1000 X\r\nContent-Length: 0\r\n\r\n",
    "101": b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "101 bare": b"HTTP/1.1 101 X\r\n\r\n",
    "nine interim answers": b"HTTP/1.1 103 X\r\nA: b\r\n\r\n" * 9,
    "brotli": head(200, [("Content-Encoding", "br"), ("Content-Length", "2")]) + b"hi",
}


@pytest.mark.parametrize("name", BAD)
async def test_malformed_answers_are_refused_and_cut(http, name):
    async with raw_fake(BAD[name]) as fake:
        fault = await fault_of(fetch(http, fake))
        assert (fault.cause, fault.kind.status) == ("bad_response", 502)
        assert fault.detail == f"127.0.0.1:{fake.port}"
        assert "127.0.0.1" not in fault.message
        await fake.connections[0].closed.wait()
        assert len(fake.requests) == 1
        assert http.stats()["p"].idle == 0


async def test_interim_answers_are_skipped(http):
    interim = b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 8
    async with raw_fake(interim + head(200, [("Content-Length", "2")]) + b"hi") as fake:
        reply = await http.send(post(fake.url), channel())
        assert await reply.read(9) == b"hi"
        assert "link" not in reply.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_204_and_304_have_no_body(http, status):
    async with raw_fake(head(status)) as fake:
        reply = await http.send(post(fake.url), channel())
        assert (reply.status, await reply.read(9), reply.delimited) == (status, b"", True)
        assert http.stats()["p"].idle == 1


@pytest.mark.parametrize("surplus", [b"hi", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"])
@pytest.mark.parametrize("status", [200, 204])
async def test_surplus_in_the_same_segment_reaches_nobody(http, status, surplus):
    whole = head(status, [] if status == 204 else [("Content-Length", "2")])
    whole += b"" if status == 204 else b"ok"
    answers = [whole + surplus, head(200, [("Content-Length", "4")]) + b"mine"]

    async def handler(exchange):
        await exchange.send(answers[len(exchange.connection.fake.requests) - 1])

    async with FakeUpstream(handler) as fake:
        assert await fetch(http, fake) == (b"" if status == 204 else b"ok")
        assert await fetch(http, fake) == b"mine"
        assert len(fake.connections) == 2


async def test_late_bytes_on_a_pooled_connection_reach_nobody(http):
    async with FakeUpstream() as fake:
        await fetch(http, fake)
        fake.connections[0].write(head(200, [("Content-Length", "4")]) + b"evil")
        await fake.connections[0].closed.wait()
        for _ in range(3):
            assert await fetch(http, fake) == b"{}"
        assert len(fake.connections) == 2


async def test_late_bytes_still_in_the_kernel_reach_nobody(http):
    """No turn of the loop lies between the late bytes and the next request."""
    async with FakeUpstream() as fake:
        await fetch(http, fake)
        sock = fake.connections[0].transport.get_extra_info("socket")
        os.write(sock.fileno(), head(200, [("Content-Length", "4")]) + b"evil")
        assert await fetch(http, fake) == b"{}"
        assert len(fake.connections) == 2


async def test_stale_connection_is_retried_exactly_once_on_a_fresh_one(http):
    async def handler(exchange):
        if len(exchange.connection.requests) > 1:
            exchange.cut()
        else:
            await exchange.send_json(200, {})

    async with FakeUpstream(handler) as fake:
        for _ in range(3):
            assert await fetch(http, fake) == b"{}"
        # 1 fresh; 2 stale + fresh; 3 stale + fresh
        assert [len(connection.requests) for connection in fake.connections] == [2, 2, 1]
        fake.handler = _cut
        fault = await fault_of(fetch(http, fake))
        assert fault.cause == "reset"
        assert len(fake.requests) == 7


async def _cut(exchange):
    exchange.cut()


async def test_stale_retry_passes_other_idle_connections(http):
    """Three idle connections, all stale: the second try is a fresh one, not the next stale one."""
    gate = asyncio.Event()

    async def handler(exchange):
        await exchange.gate(gate)
        await exchange.send_json(200, {})

    async with FakeUpstream(handler) as fake:
        tasks = [asyncio.create_task(fetch(http, fake)) for _ in range(3)]
        await turns(lambda: len(fake.requests) == 3)
        gate.set()
        await asyncio.gather(*tasks)

        async def later(exchange):
            if len(exchange.connection.requests) > 1:
                exchange.cut()
            else:
                await exchange.send_json(200, {"fresh": True})

        fake.handler = later
        assert await fetch(http, fake) == b'{"fresh": true}'
        assert len(fake.requests) == 5


async def test_a_reused_connection_that_answered_one_byte_is_not_retried(http):
    async def handler(exchange):
        if len(exchange.connection.requests) > 1:
            await exchange.send(b"H")
            exchange.close()
        else:
            await exchange.send_json(200, {})

    async with FakeUpstream(handler) as fake:
        await fetch(http, fake)
        assert (await fault_of(fetch(http, fake))).cause == "reset"
        assert len(fake.requests) == 2


async def test_provider_that_closed_the_idle_connection_costs_nothing(http):
    async with FakeUpstream() as fake:
        await fetch(http, fake)
        fake.connections[0].close()
        await fake.connections[0].closed.wait()
        await fetch(http, fake)
        assert [len(connection.requests) for connection in fake.connections] == [1, 1]


# --- content encodings ---

TEXT = b'{"text": "' + b"lorem ipsum " * 1000 + b'"}'


def _bare_deflate(data):
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


ENCODED = {
    "gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "deflate bare": _bare_deflate(TEXT),
}


def _encoded(name, data, chunked=False):
    kind = ("Content-Encoding", name.split()[0])
    if chunked:
        pieces = b"".join(chunk(data[i : i + 7]) for i in range(0, len(data), 7))
        return head(200, [kind, CHUNKED]) + pieces + LAST_CHUNK
    return head(200, [kind, ("Content-Length", str(len(data)))]) + data


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("name", ENCODED)
async def test_encoded_bodies_are_decoded(http, name, chunked):
    async with raw_fake(_encoded(name, ENCODED[name], chunked)) as fake:
        assert await fetch(http, fake) == TEXT
        assert http.stats()["p"].idle == 1


async def test_truncated_gzip_is_a_fault_at_every_length(http):
    whole, cut = ENCODED["gzip"], 1

    async def handler(exchange):
        await exchange.send(_encoded("gzip", whole[:-cut]))

    async with FakeUpstream(handler) as fake:
        for cut in (1, 2, 7, 8, 9, 20, len(whole) - 1):  # noqa: B007 - the handler reads it
            assert (await fault_of(fetch(http, fake))).cause == "truncated"


@pytest.mark.parametrize("name", ["garbage", "damaged", "trailing", "second member"])
async def test_bad_gzip_is_a_fault(http, name):
    good = ENCODED["gzip"]
    data = {
        "garbage": b"not gzip at all",
        "damaged": good[:-8] + b"\0" * 8,
        "trailing": good + b"xx",
        "second member": good + good,
    }[name]
    for chunked in (False, True):
        async with raw_fake(_encoded("gzip", data, chunked)) as fake:
            assert (await fault_of(fetch(http, fake))).cause == "bad_response"


async def test_bombs_are_stopped(http):
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with raw_fake(_encoded("gzip", bomb)) as fake:
        assert (await fault_of(fetch(http, fake, limit=1_000_000))).cause == "oversize"
        assert (await fault_of(fetch(http, fake, limit=10**9))).cause == "bad_response"


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_oversize_is_a_fault_and_cuts(http, framing):
    body = b"x" * 1001
    answer = (
        head(200, [("Content-Length", "1001")]) + body[:10]
        if framing == "length"
        else head(200, [CHUNKED]) + chunk(body)
    )
    async with raw_fake(answer) as fake:
        assert (await fault_of(fetch(http, fake, limit=1000))).cause == "oversize"
        await fake.connections[0].closed.wait()
        assert fake.connections[0].ended_by_client


async def test_answer_before_the_whole_request_was_taken_is_given_but_not_pooled(http):
    """An early refusal: what is left of the upload must not become the next request's head."""

    class Early(Connection):
        def data_received(self, data):
            if not self.received:
                self.transport.pause_reading()
                self.write(head(413, [("Content-Length", "2")]) + b"no")
            self.received += len(data)

    async with FakeUpstream() as fake:
        fake.connection_class = Early
        reply = await http.send(post(fake.url, b"x" * 50_000_000), channel())
        assert (reply.status, await reply.read(10)) == (413, b"no")
        assert http.stats()["p"] == (0, 0, 0)
        fake.connections[0].transport.resume_reading()
        await fake.connections[0].closed.wait()
