"""Frames are read exactly however they are split, agree with the vendor's parser, or are faults."""

from __future__ import annotations

import struct
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from providers_plugins.bedrock.eventstream import MAX_MESSAGE, Message, Messages
from tests.adapters.bedrock import frames

TEXT = st.text(max_size=40)
NAMES = st.text(min_size=1, max_size=20, alphabet="abcdefghij:-")
VALUES = st.one_of(
    st.tuples(st.just(0), st.booleans()),
    st.tuples(st.just(2), st.integers(-128, 127)),
    st.tuples(st.just(3), st.integers(-(2**15), 2**15 - 1)),
    st.tuples(st.just(4), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(5), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(6), st.binary(max_size=60)),
    st.tuples(st.just(7), TEXT),
    st.tuples(st.just(8), st.integers(0, 2**62)),
    st.tuples(st.just(9), st.binary(min_size=16, max_size=16)),
)
MESSAGES = st.lists(
    st.tuples(st.dictionaries(NAMES, VALUES, max_size=5), st.binary(max_size=300)), max_size=5
)


def read(pieces: list[bytes]) -> tuple[list[Message], Messages]:
    found = Messages()
    return [message for piece in pieces for message in found.feed(piece)], found


@settings(max_examples=150, deadline=None)
@given(MESSAGES, st.data())
def test_any_split_yields_what_the_vendors_parser_reads(sent, data) -> None:
    raw = b"".join(frames.message(headers, payload) for headers, payload in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    pieces = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    ours, parser = read(pieces)
    theirs = EventStreamBuffer()
    theirs.add_data(raw)
    expected = list(theirs)
    assert [m.payload for m in ours] == [m.payload for m in expected]
    assert [m.headers for m in ours] == [m.headers for m in expected]
    assert [m.payload for m in ours] == [payload for _, payload in sent]
    assert [m.headers for m in ours] == [{n: v for n, (_, v) in h.items()} for h, _ in sent]
    assert not parser.broken
    assert not parser.partial


def test_a_byte_at_a_time_is_no_different() -> None:
    raw = frames.event("a", {"x": 1}) + frames.event("b", {"y": "é"})
    one, _ = read([raw])
    many, _ = read([raw[i : i + 1] for i in range(len(raw))])
    assert one == many
    assert [m.header(":event-type") for m in one] == ["a", "b"]


@pytest.mark.parametrize("at", range(len(frames.event("a", {"x": 1}))))
def test_every_wrong_byte_is_noticed_and_never_told(at: int) -> None:
    raw = bytearray(frames.event("a", {"x": 1}))
    good = bytes(raw)
    raw[at] ^= 0x20
    found, parser = read([bytes(raw), good])
    assert found == []
    assert parser.broken


def test_what_came_before_a_broken_message_stands() -> None:
    good, bad = frames.event("a", {}), bytearray(frames.event("b", {}))
    bad[-1] ^= 1
    found, parser = read([good + bytes(bad) + good])
    assert [m.header(":event-type") for m in found] == ["a"]
    assert parser.broken


def prelude(total: int, headers: int) -> bytes:
    raw = struct.pack(">II", total, headers)
    return raw + struct.pack(">I", crc32(raw))


@pytest.mark.parametrize(
    ("total", "headers"),
    [(0, 0), (15, 0), (MAX_MESSAGE + 1, 0), (2**32 - 1, 0), (100, 85), (16, 1), (2**20, 2**18)],
)
def test_impossible_lengths_are_refused_at_the_prelude(total: int, headers: int) -> None:
    _, parser = read([prelude(total, headers)])
    assert parser.broken
    assert not parser.partial


@pytest.mark.parametrize(
    "block",
    [b"\x05ab", b"\x01a\x0a", b"\x01a\x07\x00\x05ab", b"\x01a", b"\x01\xff\x00", b"\x01a\x09abc"],
)
def test_headers_that_lie_are_a_fault(block: bytes) -> None:
    head = prelude(16 + len(block), len(block)) + block
    found, parser = read([head + struct.pack(">I", crc32(head))])
    assert found == []
    assert parser.broken


def test_an_unfinished_message_is_partial() -> None:
    found, parser = read([frames.event("a", {})[:-1]])
    assert found == []
    assert parser.partial


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_noise_never_raises(pieces: list[bytes]) -> None:
    read(pieces)
