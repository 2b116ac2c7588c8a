"""Heads that come again are not read again, and nobody can tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, cast
from weakref import WeakValueDictionary

import pytest
from aiohttp import EMPTY_PAYLOAD, StreamReader
from aiohttp.http import HttpVersion11, RawRequestMessage
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from openai import AsyncOpenAI
from yarl import URL

from gateway.errors import Fault
from gateway.web import heads
from gateway.web.connection import Connection, Guards, Room
from gateway.web.reading import Request, Whole, secret_of
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, waiting
from tests.rawclient import RawClient, chat, request

USUAL = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-1\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
HEADS = [
    USUAL.replace(b"sk-1", b"sk-2"),
    USUAL.replace(b": %d", b":%d"),
    USUAL.replace(b": %d", b": 00%d"),
    USUAL.replace(b": %d", b": %d "),
    USUAL.replace(b": %d", b": +%d"),
    USUAL.replace(b": %d", b": 00000000%d"),
    USUAL.replace(b"POST /v1/chat/completions", b"CONNECT x:1"),
    USUAL.replace(b"\r\n\r\n", b"\r\ncontent-length: 1\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nX: content-length\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
    USUAL.replace(b"\r\n\r\n", b"\r\nX: a\nb\r\n\r\n"),
    USUAL.replace(b"\r\nContent-Type", b"\nContent-Type"),
    USUAL.replace(b"HTTP/1.1", b"HTTP/1.0"),
    USUAL.replace(b"Bearer sk-1", b"Basic sk-1"),
    USUAL.replace(b"Authorization: Bearer", b"x-api-key:"),
    USUAL.replace(b"POST", b"PUT"),
    USUAL.replace(b"application/json", b"text/plain"),
    b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"\r\n",
]
BODIES = [
    b"",
    b"{}",
    b'{"model":"m"}',
    USUAL % 2 + b"{}",
    b"\r\n\r\n",
    b"x" * 39,
    b"x" * 41,
    b"\n" * 90,
]


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """What a client sends, as it comes off the wire: first a usual request or two, then more of it
    or worse. Mostly a request comes in a piece of its own.
    """
    pieces = [USUAL % 2 + b"{}"] * draw(st.sampled_from([0, 1, 1, 1, 2]))
    for head in draw(st.lists(st.one_of(st.just(USUAL), st.sampled_from(HEADS)), max_size=6)):
        body = draw(st.sampled_from(BODIES))
        told = max(0, len(body) + draw(st.sampled_from([0, 0, 0, 0, -1, 1])))
        sent = (head % told if b"%d" in head else head) + body
        where = draw(st.sampled_from(["whole", "whole", "whole", "head", "glued", "any"]))
        if where == "glued" and pieces:
            pieces[-1] += sent
            continue
        cut = {"head": len(sent) - len(body), "any": draw(st.integers(0, len(sent)))}.get(where, 0)
        pieces += [piece for piece in (sent[:cut], sent[cut:]) if piece]
    return pieces


class Wire(asyncio.Transport):
    """What a connection writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.paused = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def served(pieces: list[bytes], quick: bool) -> tuple[Any, ...]:
    """What becomes of it, with or without heads that are remembered."""
    seen: list[Any] = []

    async def handle(asked: Request, connection: Connection) -> bool:
        content = connection.content
        try:
            secret = secret_of(asked)
        except Fault as fault:
            secret = fault.cause.encode()
        told = {name: value for name, value in asked.headers.items() if name != "Content-Length"}
        if isinstance(content, Whole):
            assert content.secret == secret
            body = content.body
        else:
            body = b""
            while piece := await content.readany():
                body += piece
        connection.content = EMPTY_PAYLOAD
        seen.append(
            (
                asked.version,
                asked.upgrade,
                asked.chunked,
                str(asked.url),
                asked.method,
                asked.path,
                told,
                secret,
                body,
                asked.should_close,
            )
        )
        return not asked.should_close

    room = Room(Guards(), asyncio.get_running_loop(), handle, nameless)
    connection, wire = Connection(room), Wire()
    if not quick:
        connection._framing.due = heads._UNKNOWN
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.closed:
            connection.data_received(piece)
        for _ in range(6):
            await asyncio.sleep(0)
    outcome = (seen, wire.written, wire.closed)
    connection.connection_lost(None)
    await asyncio.sleep(0)
    return outcome


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """Bodies need not be long to be too long."""
    before, heads._SMALL = heads._SMALL, 40
    yield
    heads._SMALL = before


ONCE = USUAL % 2 + b"{}"


@example([ONCE, HEADS[-2], ONCE, b"0\r\n\r\n"])  # chunks are due, and no head
@example([ONCE, ONCE.replace(b": 2", b": +2")])
@example([ONCE[:3], ONCE[3:], ONCE[3:]])  # half a head is none
@example([ONCE + USUAL % 9 + b"{}", ONCE, ONCE])  # seven bytes of the next are this one's body
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
def test_nobody_can_tell(pieces: list[bytes]) -> None:
    """Whatever is sent, in whatever pieces, is served as if the parser had read it all."""
    assert asyncio.run(served(pieces, quick=True)) == asyncio.run(served(pieces, quick=False))


@pytest.mark.parametrize(
    "line",
    [
        b"Expect: 100-continue",
        b"Content-Encoding: gzip",
        b"Idempotency-Key: 1",
        b"Upgrade: tls",
        b"Authorization: Basic x",
        b"Host: x",
        b"X: " + b"x" * 4096,
    ],
)
async def test_heads_that_ask_for_more(line: bytes) -> None:
    """What has a meaning of its own is the parser's, each time."""
    for head, usual in ((USUAL, True), (USUAL.replace(b"Host: x", b"Host: x\r\n" + line), False)):
        room = Room(Guards(), asyncio.get_running_loop(), ignored, nameless)
        connection = Connection(room)
        connection.connection_made(Wire())
        connection.data_received(head % 2 + b"{}")
        assert (connection._framing.known is not None) is usual
        connection.connection_lost(None)
        await asyncio.sleep(0)


OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEA\r\nUPGRADE: h2c\r\n"


@pytest.mark.parametrize("body", [b"{}", b"x" * 41])
async def test_an_offer_of_http2_is_passed_over(body: bytes) -> None:
    """Java's client makes it with each request: all is served as without it."""
    told = USUAL % len(body)
    plain = [told + body, told, body, told + body]
    offers = [piece.replace(b"Host: x\r\n", b"Host: x\r\n" + OFFER) for piece in plain]
    (seen, _, closed), (without, _, _) = await served(offers, True), await served(plain, True)
    assert (len(seen), closed) == (3, False)
    for one, other in zip(seen, without, strict=True):
        assert (one[:6], one[7:]) == (other[:6], other[7:])


def nameless(fault: Fault) -> str:
    return ""


async def ignored(asked: Request, connection: Connection) -> bool:
    return True


PARSED = RawRequestMessage(
    "POST", "/", HttpVersion11, CIMultiDictProxy(CIMultiDict({"Content-Length": "3"})), (), False,
    None, False, False, URL("/"),
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"upgrade": True},
        {"chunked": True},
        {"headers": CIMultiDictProxy(CIMultiDict({"Content-Length": "4"}))},
        {},
    ],
    ids=["upgrade", "chunked", "length", "end"],
)
def test_the_parser_has_the_last_word(change: dict[str, Any]) -> None:
    """Where it saw anything else than was seen here, nothing is taken past it any more."""
    framing = heads.Framing(WeakValueDictionary())
    body = StreamReader(cast("Any", None), 1, loop=cast("Any", object()))
    head = framing.follow(USUAL % 3 + b"{}")
    assert (head, framing.due) == (USUAL % 3, 1)
    framing.learn(head, PARSED._replace(**change), body if change else EMPTY_PAYLOAD)
    assert (framing.known, framing.due) == (None, heads._UNKNOWN)


@pytest.mark.parametrize(
    ("between", "kept"),
    [
        (b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", True),
        (USUAL % 41 + b"x" * 41, True),  # too long, but for the same
        (USUAL.replace(b"Authorization: Bearer sk-1\r\n", b"") % 2 + b"{}", False),
        (USUAL.replace(b"application/json", b"text/plain") % 2 + b"{}", False),
        (ONCE * 2, False),  # no telling what else comes
    ],
    ids=["get", "long", "no key", "no json", "pipelined"],
)
async def test_what_comes_between(between: bytes, kept: bool) -> None:
    """The last usual head is remembered, unless something else may be meant by what follows."""
    room = Room(Guards(), asyncio.get_running_loop(), ignored, nameless)
    connection = Connection(room)
    connection.connection_made(Wire())
    for piece in (ONCE, *[between] * (heads._TRIES + 1)):
        connection.data_received(piece)
        for _ in range(4):
            await asyncio.sleep(0)
    assert (connection._framing.known is not None) is kept
    connection.connection_lost(None)
    await asyncio.sleep(0)


def test_a_long_body_is_the_parsers() -> None:
    """It knows how to stop reading while nobody takes it."""
    framing = heads.Framing(WeakValueDictionary())
    before, after = USUAL.removesuffix(b"\r\n\r\n").split(b"%d")
    framing.known = heads.Head(before, after, len(before) + len(after), PARSED, b"", b"")
    assert framing.repeated(USUAL % (heads._SMALL + 1)) is None
    assert framing.repeated(USUAL % heads._SMALL + b"{") == b"{"
    assert framing.due == heads._SMALL - 1


@pytest.mark.parametrize(
    "data",
    [
        USUAL.removesuffix(b"\r\n\r\n") % 5,  # its blank line may yet turn out to be a header
        USUAL % 0,
        USUAL.replace(b"%d", b"-5") + b"12345",
        USUAL.replace(b"%d", b"0" * 5_000 + b"5") + b"12345",
        USUAL % 5 + b"123456",
        b"5\r\n\r\n12345",
        b"5" + USUAL.partition(b"%d")[2] + b"12345",
        USUAL.partition(b"%d")[0] + b"5\r\nX: y\r\n\r\n12345",
    ],
)
def test_what_only_looks_like_a_known_head(data: bytes) -> None:
    """Anything but the very head, with another length and no more than its body, is the parser's."""
    framing = heads.Framing(WeakValueDictionary())
    before, after = USUAL.removesuffix(b"\r\n\r\n").split(b"%d")
    framing.known = heads.Head(before, after, len(before) + len(after), PARSED, b"", b"")
    assert framing.repeated(data) is None
    assert framing.due == 0


async def test_what_is_kept_of_a_lost_connection() -> None:
    """Neither its head nor the body that was due: they would hold it, and each other."""
    room = Room(Guards(), asyncio.get_running_loop(), ignored, nameless)
    connection = Connection(room)
    connection.connection_made(Wire())
    connection.data_received(ONCE)
    for _ in range(4):
        await asyncio.sleep(0)
    connection.data_received(ONCE[:-1])
    assert connection._body is not None
    connection.connection_lost(None)
    assert (connection._body, connection._framing.known) == (None, None)
    await asyncio.sleep(0)


async def test_repeated_heads_wait_in_line() -> None:
    """Who sends request after request while the first is served fills the same short queue."""
    gate = asyncio.Event()

    async def handle(asked: Request, connection: Connection) -> bool:
        await gate.wait()
        return True

    room = Room(Guards(), asyncio.get_running_loop(), handle, nameless)
    connection, wire = Connection(room), Wire()
    connection.connection_made(wire)
    sent = 0
    for _ in range(100):
        if not wire.paused:
            connection.data_received(ONCE)
            sent += 1
        await asyncio.sleep(0)
    assert wire.paused
    assert sent == connection._max_msg_queue_size + 1  # the one that is served
    gate.set()
    connection.connection_lost(None)
    await asyncio.sleep(0)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that the parser is given from now on."""
    given: list[bytes] = []
    parse = Connection._parse

    def counting(connection: Connection, data: bytes) -> None:
        given.append(data)
        parse(connection, data)

    monkeypatch.setattr(Connection, "_parse", counting)
    return given


@pytest.mark.parametrize("apart", [False, True], ids=["at once", "head and body apart"])
async def test_a_head_is_read_once(
    gateway: Gateway, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    """Only the first request of a connection is the parser's; each is answered for its own body."""
    monkeypatch.setattr(heads, "_SMALL", 1 << 16)
    given = counted(monkeypatch)
    async with await RawClient.open(gateway.server.port) as client:
        for number in range(4):
            asked = request(chat(max_tokens=10**number), gateway.key)
            head, body = asked.split(b"\r\n\r\n")
            client.send(head + b"\r\n\r\n" if apart else asked)
            if apart:
                await waiting(gateway, "_body_since")
                client.send(body)
            assert (await client.answer()).status == 200
            assert json.loads(fake.requests[-1].body)["max_tokens"] == 10**number
    assert b"".join(given) == request(chat(max_tokens=1), gateway.key)


async def test_clients_share_a_head(gateway: Gateway) -> None:
    """However many connections a client has, what they all say is kept once, and no longer."""
    clients = [await RawClient.open(gateway.server.port) for _ in range(3)]
    for client in clients:
        client.send(request(chat(), gateway.key))
        assert (await client.answer()).status == 200
    kept = {id(one._framing.known) for one in gateway.server.room.connections}
    assert len(kept) == 1 == len(gateway.server.room.heads)
    for client in clients:
        client.close()
    while gateway.server.room.connections:
        await asyncio.sleep(0)
    assert not gateway.server.room.heads


async def test_who_never_repeats_a_head_is_not_followed(gateway: Gateway) -> None:
    """Looking for what does not come would be for nothing."""
    async with await RawClient.open(gateway.server.port) as client:
        for number in range(heads._TRIES + 1):
            client.send(request(chat(), gateway.key, headers={"traceparent": str(number)}))
            assert (await client.answer()).status == 200
        (connection,) = gateway.server.room.connections
        assert connection._framing.known is None
        assert connection._framing.due == heads._UNKNOWN


async def test_the_official_client_repeats_its_heads(
    gateway: Gateway, fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all this were for nothing."""
    monkeypatch.setattr(heads, "_SMALL", 1 << 16)
    given = counted(monkeypatch)
    async with AsyncOpenAI(base_url=gateway.base, api_key=gateway.key) as client:
        for text in ("one", "another", "and one that is longer"):
            await client.chat.completions.create(
                model="same-name", messages=[{"role": "user", "content": text}]
            )
            seen = len(given)
    assert seen == len(given) <= 2
