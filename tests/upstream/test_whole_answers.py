"""An answer that one read brings whole is read without the parser: what comes of it is the same."""

from __future__ import annotations

import asyncio
import itertools
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.domain import Timeouts
from gateway.errors import Fault
from gateway.upstream import connection as module
from gateway.upstream import parsing
from gateway.upstream.connection import Connection
from gateway.upstream.parsing import MAX_HEAD, MAX_HEADERS, ResponseParser, whole_answer
from gateway.upstream.reply import Reply, Whole

NAMES = [
    "Date", "Server", "X-Request-Id", "x-a", "Keep-Alive", "Content-Type", "Connection", "Upgrade",
    "Content-Length", "content-length", "Transfer-Encoding", "Content-Encoding", "Trailer",
    "Proxy-Connection", "Set-Cookie",
]  # fmt: skip
ODD_NAMES = ["", "Content-Length ", " x-a", "x a", "x\0a", "unheard-of", "x-a:", "é"]
VALUES = [
    "", " ", "a", " a", "a ", "a: b", "a:  b", "a:b", "\ta", "a\tb", "a\0b", "a\rb", "a\nb", "é",
    "\x7f", "\xa0", "\xad", "\xff", "keep-alive", "Keep-Alive", "close", "keep-alive, close",
    "upgrade", "chunked", "gzip", "identity", "timeout=5", "0", "2", "+2", "02", "2, 2", "2 ",
    "1_0", "a\r\n b", "a: \nServer", "b\r: \nDate", "x" * 200,
]  # fmt: skip
SEPARATORS = [": ", ":", " : ", ":  ", ": : ", ""]
STARTS = [
    "HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 OK", "HTTP/1.1 204 No",
    "HTTP/1.1 201 OK", "HTTP/1.1 429 OK", "HTTP/1.1 103 Hints", "HTTP/1.1 2000 OK", "HTTP/2 200 OK",
    "http/1.1 200 OK", " HTTP/1.1 200 OK", "\r\nHTTP/1.1 200 OK", "HTTP/1.1 200 OK: Date",
]  # fmt: skip
BODIES = [b"", b"h", b"hi", b"{}\r\n\r\n", b"0\r\n\r\n", b"hi HTTP/1.1 200 OK\r\n\r\n"]
USUAL = (
    "HTTP/1.1 200 OK\r\nServer: x\r\nConnection: keep-alive\r\nx-a: b: é\r\nContent-Length: 2\r\n"
)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Sound ones to which something has been done in a few places."""
    data = USUAL.encode("latin-1") + b"\r\nhi"
    lines = USUAL.encode("latin-1").splitlines(keepends=True)
    pieces = st.sampled_from([b"\r\n", b"\n", b"\r", b":", b" ", b": ", b"2", *BODIES, *lines])
    words = st.sampled_from([*NAMES, *ODD_NAMES, *VALUES]).map(lambda word: word.encode("latin-1"))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        new = draw(pieces | words | st.binary(max_size=2))
        data = data[:at] + new + data[at + draw(st.sampled_from([0, 0, 1, 2, len(new)])) :]
    return data


class Line:
    """A transport that nobody is behind."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def resume_reading(self) -> None: ...


class Clock:
    """The one thing of a loop that a connection asks for, and futures."""

    def time(self) -> float:
        return 7.0

    def create_future(self) -> Any:
        return asyncio.Future(loop=self)  # type: ignore[arg-type]

    def call_soon(self, *_: Any, **__: Any) -> None: ...

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, _: Any) -> None: ...


def outcome(pieces: list[bytes], *, reader: bool) -> object:
    """What an exchange comes to, and what becomes of the connection."""
    freed: list[bool] = []
    found = Connection("h:1", Clock(), lambda _, good: freed.append(good))  # type: ignore[arg-type]
    found.connection_made(Line())  # type: ignore[arg-type]
    results = []
    # A second exchange shows that nothing of the first has stayed in the parser.
    for reads in (pieces, [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-a: b\r\n\r\n", b"ok"]):
        if found.dead:
            break
        waiter = found.begin(b"", Timeouts(), 99.0, 1.0)
        with patch.object(module, "whole_answer", whole_answer if reader else lambda _: None):
            for data in reads:
                found.data_received(data)
        found.eof_received()
        results.append((told(waiter), found.answered, found.dead, found.expires, found.used))
    return results, freed


def told(waiter: asyncio.Future[Reply | Whole]) -> object:
    if not waiter.done():
        return "nothing"
    if waiter.exception() is not None:
        return str(waiter.exception())
    reply = waiter.result()
    reading, body = reply.read(1_000), None
    try:
        reading.send(None)
    except StopIteration as end:
        body = end.value
    except Exception as error:
        body = str(error)
    reading.close()
    return reply.status, list(reply.headers.items()), reply.delimited, body


def learn(names: list[str]) -> None:
    """The parser has met these names before, and no other."""
    parsing._names.clear()
    parsing._harmless.clear()
    for name in names:
        ResponseParser().feed(f"HTTP/1.1 200 OK\r\n{name}: 0\r\nx-a: b\r\n".encode())


def alike(*pieces: bytes) -> bool:
    """Whether it is the same with and without the parser."""
    learn(NAMES)
    return outcome(list(pieces), reader=True) == outcome(list(pieces), reader=False)


@settings(max_examples=1_000)
@given(answers(), st.lists(st.integers(0, 120), max_size=2))
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 2", [])
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 0", [])
@example(b"HTTP/1.1 200 OK\r\nServer: a: Date\r\nx-a\r\nContent-Length: 2\r\n\r\nhi", [])
def test_it_is_what_the_parser_makes_of_it(data: bytes, cuts: list[int]) -> None:
    """Any head, any body, split anywhere: the same answer or fault, and the same connection."""
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert alike(*[data[a:b] for a, b in itertools.pairwise(places) if a < b])


@pytest.mark.parametrize("name", [*NAMES, *ODD_NAMES])
def test_one_line_more(name: str) -> None:
    """Whatever it says, wherever it stands."""
    start, *lines = USUAL.splitlines(keepends=True)
    for separator, value in itertools.product(SEPARATORS, VALUES):
        line = f"{name}{separator}{value}\r\n"
        head = f"{start}{line}{lines[-1]}" if len(value) % 2 else f"{start}{lines[-1]}{line}"
        assert alike(head.encode("latin-1") + b"\r\nhi"), line


@pytest.mark.parametrize("start", STARTS)
def test_other_beginnings_lengths_and_bodies(start: str) -> None:
    """Also lengths that do not say what they should, and bodies of other lengths."""
    for length, body in itertools.product([*VALUES, "1", "8"], BODIES):
        head = f"{start}\r\nx-a: b\r\nContent-Length: {length}\r\n\r\n"
        assert alike(head.encode("latin-1") + body), (head, body)


CODED = "HTTP/1.1 200 OK\r\nx-a: b\r\nTransfer-Encoding: chunked\r\n"
CHUNKED = b"2\r\nhi\r\n0\r\n\r\n"


@settings(max_examples=500)
@given(
    st.sampled_from([CODED, CODED + "Content-Length: 12\r\n", CODED.replace("chunked", "Chunked")]),
    st.integers(0, 40),
    st.sampled_from([b"%x", b"%X", b"0%x", b"%x ", b"+%x", b"0x%x", b"%x;a=b", b"%x\n", b"-%x"]),
    st.integers(-2, 2),
    st.sampled_from([b"\r\n0\r\n\r\n", b"\r\n0\r\n", b"0\r\n\r\n", b"\r\n0\r\nx-a: b\r\n\r\n"]),
    st.sampled_from([b"", b"x", b"\r\n", CHUNKED, b"\r\n0\r\n\r\n"]),
    st.lists(st.integers(0, 120), max_size=2),
)
def test_a_chunk_is_what_the_parser_makes_of_it(
    head: str, size: int, spelling: bytes, off: int, end: bytes, more: bytes, cuts: list[int]
) -> None:
    """However long it says to be, however it says it, whatever follows it, split anywhere."""
    chunk = spelling % max(size + off, 0) + b"\r\n" + b"h" * size + end + more
    data = head.encode() + b"\r\n" + chunk
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    assert alike(*[data[a:b] for a, b in itertools.pairwise(places) if a < b])


def test_one_chunk_is_read() -> None:
    """Of a body in several the parser is asked, and of one that has not come to its end."""
    headers = {"x-a": "b", "transfer-encoding": "chunked"}
    assert read(CODED, CHUNKED) == (headers, b"hi")
    assert read(CODED, b"A\r\n0123456789\r\n0\r\n\r\n") == (headers, b"0123456789")
    assert read(CODED, b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n") is None
    assert [read(CODED, CHUNKED[:size]) for size in range(len(CHUNKED))] == [None] * len(CHUNKED)


def read(head: str, body: bytes = b"hi") -> Any:
    learn(NAMES)
    return whole_answer(head.encode("latin-1") + b"\r\n" + body)


def test_the_usual_is_read() -> None:
    """Else the comparison above would compare the parser with itself."""
    headers = {"server": "x", "connection": "keep-alive", "x-a": "b: é", "content-length": "2"}
    assert read(USUAL) == (headers, b"hi")


@pytest.mark.parametrize(
    "head",
    [
        USUAL.replace("200 OK", "201 Created"),
        USUAL.replace("1.1", "1.0"),
        USUAL.replace("keep-alive", "close"),
        USUAL.replace("keep-alive", "upgrade"),
        USUAL.replace("Length: 2", "Length: 3"),
        USUAL.replace("Length: 2", "Length: 02"),
        USUAL.replace("Content-Length: 2\r\n", ""),
        USUAL.replace("Server: x", "Never-Met-Before: x"),
        USUAL.replace("x\r\n", "x\r\n y\r\n"),
        USUAL.replace("x\r\n", "x\n"),
        USUAL.replace("x\r\n", "x\0\r\n"),
        USUAL + "Content-Length: 2\r\n",
        USUAL + "Server: y\r\n",
        USUAL + "Transfer-Encoding: chunked\r\n",
        USUAL + "Transfer-Encoding: identity\r\n",
        USUAL + "Content-Encoding: gzip\r\n",
        USUAL + "Upgrade: h2c\r\n",
        USUAL + "Date: " + "x" * MAX_HEAD + "\r\n",
    ],
)
def test_the_unusual_is_left_to_the_parser(head: str) -> None:
    """Whatever it then says of it."""
    assert read(head) is None


def test_what_is_not_there_yet_is_left_to_the_parser() -> None:
    """Every beginning of an answer, and one with more behind it."""
    whole = USUAL.encode("latin-1") + b"\r\nhi"
    assert [whole_answer(whole[:size]) for size in range(len(whole))] == [None] * len(whole)
    assert whole_answer(whole + b"x") is None


def test_as_many_headers_as_the_parser_takes() -> None:
    """One more is the parser's to refuse, and it does."""
    names = [f"x-many-{number}" for number in range(MAX_HEADERS)]
    learn(["Content-Length", *names])
    lines = [f"{name}: 1\r\n" for name in names]
    head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
    most = whole_answer(f"{head}{''.join(lines[1:])}\r\nhi".encode())
    assert most is not None
    assert len(most[0]) == MAX_HEADERS
    assert whole_answer(f"{head}{''.join(lines)}\r\nhi".encode()) is None


def test_a_head_without_an_end_is_not_taken_apart() -> None:
    """A provider can send a quarter of a megabyte of lines at once: the loop has better to do."""
    data = USUAL.encode() + b"x-a: b\r\n" * 30_000
    tracemalloc.start()
    assert whole_answer(data) is None
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * len(data)


def result(work: Callable[[], object]) -> object:
    """What comes of it, be it an error; what is to be awaited must be there already."""
    try:
        made = work()
        if isinstance(made, Coroutine):
            made.send(None)
    except StopIteration as end:
        return end.value
    except (Fault, RuntimeError) as error:
        return str(error)
    return made


def used(reply: Reply | Whole, steps: tuple[str, ...]) -> list[object]:
    """What each step gives, and what was pushed."""
    got: list[object] = []
    ways = {
        "at hand": lambda: reply.at_hand(2),
        "read": lambda: reply.read(2),
        "too long": lambda: reply.read(1),
        "pump": lambda: reply.pump(got.append),
        "close": reply.close,
        "pause": reply.pause,
        "resume": reply.resume,
    }
    return [*(result(ways[step]) for step in steps), got]


STEPS = ["at hand", "read", "too long", "pump", "close", "pause", "resume"]


def test_an_answer_in_one_piece_is_used_as_any_finished_one():
    """Whoever takes it, pumps it or closes it finds the same, once and again."""
    loop = asyncio.new_event_loop()
    for steps in itertools.product(STEPS, repeat=3):
        finished = Reply(200, {}, None, "host:1", loop)
        finished.finish(b"hi")
        assert used(Whole({}, b"hi", "host:1"), steps) == used(finished, steps), steps
    loop.close()
