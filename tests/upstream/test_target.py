"""What is remembered of requests that were sent before changes none that follow."""

from __future__ import annotations

import asyncio

import pytest

from gateway.domain import UpstreamRequest
from gateway.errors import Fault
from gateway.upstream.pool import TICK
from gateway.upstream.target import HeadWriter
from tests.fake_upstream import FakeUpstream
from tests.upstream.helpers import channel, fetch, post

START = "POST /x HTTP/1.1\r\nHost: h\r\n"


def test_a_remembered_head_is_the_same_but_for_its_length() -> None:
    """First and later, with and without a body, and for a method that needs no length."""
    writer = HeadWriter()
    headers = (("A", "1"), ("B", "é"))
    block = f"{START}A: 1\r\nB: é\r\n".encode("latin-1")
    for _ in range(2):
        assert writer.write(START, "POST", headers, 12) == block + b"Content-Length: 12\r\n\r\n"
        assert writer.write(START, "POST", headers, 0) == block + b"Content-Length: 0\r\n\r\n"
        assert writer.write(START, "GET", headers, 0) == block + b"\r\n"
        assert writer.write(START, "GET", headers, 3) == block + b"Content-Length: 3\r\n\r\n"
    assert writer.write(START, "POST", (("A", "2"),), 0).count(b"A: 2") == 1
    assert writer.write("GET / HTTP/1.1\r\n", "GET", headers, 0).startswith(b"GET / ")


def test_headers_in_lists_are_headers_as_well() -> None:
    """Adapters owe tuples; lists were always taken."""
    lists = [["A", "1"], ["B", "2"]]
    for headers in (lists, tuple(lists), [("A", "1"), ("B", "2")]):
        head = HeadWriter().write(START, "POST", headers, 1)  # type: ignore[arg-type]
        assert head == f"{START}A: 1\r\nB: 2\r\nContent-Length: 1\r\n\r\n".encode()


def test_what_is_refused_is_refused_again() -> None:
    """A head that is not written is not remembered."""
    writer = HeadWriter()
    for _ in range(2):
        for bad in (("A", "1\r\nB: 2"), ("Host", "x"), ("a b", "1"), ("A", "€")):
            with pytest.raises(Fault):
                writer.write(START, "POST", (bad,), 0)


def test_no_more_than_some_are_remembered() -> None:
    """Headers that differ from call to call are no leak."""
    writer = HeadWriter()
    for number in range(2_000):
        head = writer.write(START, "POST", (("Signature", str(number)),), 0)
        assert f"Signature: {number}\r\n".encode() in head
    assert len(writer._heads) <= 256


async def test_one_way_is_not_anothers(http):
    """Method, URL, provider and credential each have their own."""
    async with FakeUpstream() as fake:
        for kind in ({}, {"credential": "spare"}, {}, {"provider": "q"}):
            for path in ("/a", "/b"):
                await (await http.send(post(fake.url + path), channel(**kind))).read(9)
                get = UpstreamRequest("GET", fake.url + path, ())
                await (await http.send(get, channel(**kind))).read(9)
        sent = [(request.method, request.path) for request in fake.requests]
        assert sent == [("POST", "/a"), ("GET", "/a"), ("POST", "/b"), ("GET", "/b")] * 4
        assert len(fake.connections) == 3


async def test_a_pool_that_is_gone_is_not_asked(http):
    """What has forgotten itself is made anew, and counted."""
    async with FakeUpstream() as fake:
        await fetch(http, fake)
        http.sweep(asyncio.get_running_loop().time() + 100)
        async with asyncio.timeout(5):
            while http.stats():  # noqa: ASYNC110 - the empty pool forgets itself at its next tick
                await asyncio.sleep(TICK / 4)
        assert await fetch(http, fake) == b"{}"
        assert http.stats()["p"].idle == 1
        await http.close()
        with pytest.raises(Fault, match="closed its connections"):
            await fetch(http, fake)
