"""Events come out whole and byte for byte, however the stream was split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import sse

ENDS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
LINES = (
    b": hello",
    b"",
    b'data: {"a":1}',
    b"",
    b"event: x",
    b"data:no space",
    b"data:  two spaces",
    b"data",
    b"id: 7",
    b"",
    b"",
    b"data: [DONE]",
    b"",
    b"data: after",
    b"",
)
STREAMS = {name: end.join(LINES) + end for name, end in ENDS.items()}
STREAMS |= {f"bom {name}": sse.BOM + stream for name, stream in STREAMS.items()}
STREAMS["mixed"] = b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\rdata: 4\r\n\r\n: c\r\r\ndata: 5\n\n"
STREAMS["utf-8"] = "data: é😀\n\ndata: €\r\n\r\n".encode()
STREAMS["blank lines alone"] = b"\n\n\r\n\r\n\r\r"


def run(*pieces: bytes) -> tuple[list[bytes], bytes]:
    splitter = sse.Splitter()
    events = [event for piece in pieces for event in splitter.feed(piece)]
    return events, splitter.rest()


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_split_at_every_byte(stream: bytes) -> None:
    """Two pieces, and single bytes, give the same events as the whole."""
    events, rest = run(stream)
    assert b"".join(events) + rest == stream
    for at in range(len(stream) + 1):
        assert run(stream[:at], stream[at:]) == (events, rest)
    single, rest_of_single = run(*(stream[at : at + 1] for at in range(len(stream))))
    # A CR at the very end may still become CRLF; both hold it back alike.
    assert (single, rest_of_single) == (events, rest)


@given(st.lists(st.binary(max_size=8) | st.sampled_from([b"\n", b"\r", b"\r\n", b"data: x"])))
def test_any_split_of_any_bytes(pieces: list[bytes]) -> None:
    """Events depend on the bytes alone, not on where reads happened to end."""
    assert run(*pieces) == run(b"".join(pieces))


@given(st.lists(st.sampled_from([b"\n", b"\n\n", b"data: x", b"event: y", b": z", sse.BOM])))
def test_lines_that_end_in_lf_alone(parts: list[bytes]) -> None:
    """What the quick way finds is what stands between blank lines; CR has the other way."""
    stream = b"".join(parts)
    events, rest = run(stream)
    assert b"".join(events) + rest == stream
    assert all(event.find(b"\n\n") == len(event) - 2 for event in events)
    assert b"\n\n" not in rest
    slow, slow_rest = run(stream.replace(b"\n", b"\r\n") + b": ")
    assert [event.replace(b"\r", b"") for event in slow] == events
    assert slow_rest.replace(b"\r", b"") == rest + b": "
    assert list(map(sse.data_of, slow)) == list(map(sse.data_of, events))


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_data_is_what_the_standard_says(end: bytes) -> None:
    """One space after the colon goes, lines join with LF, comments and other fields are no data."""
    stream = end.join(LINES) + end
    events, rest = run(stream)
    if rest:  # a final CR pair waits for a possible LF
        events.append(rest)
    assert [data for data in map(sse.data_of, events) if data is not None] == [
        b'{"a":1}',
        b"no space\n two spaces\n",
        b"[DONE]",
        b"after",
    ]


@given(st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])))
def test_a_written_event_reads_back(text: str) -> None:
    """What `event` writes is one event with that data, whatever the text."""
    events, rest = run(sse.event(text.encode(), "name"))
    assert rest == b""
    assert [sse.data_of(event) for event in events] == [text.encode()]


@pytest.mark.parametrize(
    "size", [sse.MAX_EVENT - 9, sse.MAX_EVENT - 8, sse.MAX_EVENT - 7, 3 * sse.MAX_EVENT]
)
@pytest.mark.parametrize("piece", [1 << 16, (1 << 20) - 1, 1 << 20, 1 << 23])
def test_an_oversize_event_passes_in_pieces(size: int, piece: int) -> None:
    """An event over the limit is handed on unread and whole, and the next one is read again."""
    stream = b"data: " + b"x" * size + b"\n\ndata: next\n\n"
    splitter = sse.Splitter()
    out = b""
    read = []
    for at in range(0, len(stream), piece):
        for event in splitter.feed(stream[at : at + piece]):
            out += event
            if not splitter.oversize:
                read.append(sse.data_of(event))
        assert len(splitter.rest()) <= sse.MAX_EVENT
    assert out == stream
    expected = [b"x" * size] if size + 8 <= sse.MAX_EVENT else []
    assert read == [*expected, b"next"]


@pytest.mark.parametrize("step", [1, 7, 64])
def test_a_limit_of_ones_own(step: int) -> None:
    """Where an event may be longer, or only shorter, what is past it comes in pieces."""
    stream = b"data: " + b"x" * 50 + b"\n\ndata: y\n\n"
    for most, whole in ((20, False), (58, True)):
        splitter = sse.Splitter(most)
        found = []
        for at in range(0, len(stream), step):
            found += [(event, splitter.oversize) for event in splitter.feed(stream[at : at + step])]
        assert b"".join(event for event, _ in found) == stream
        assert found[-1] == (b"data: y\n\n", False)
        assert all(not oversize for _, oversize in found) is whole
