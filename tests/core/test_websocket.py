"""Frames come out whole however they were cut, and what breaks the protocol ends it at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core import websocket as ws
from gateway.core.websocket import Closed, Frame, FrameReader, Peer

KEY = b"\x01\x82\x7f\xfe"

# As RFC 6455 5.7 has them.
EXAMPLES = {
    "hello": (False, bytes.fromhex("810548656c6c6f"), [Frame(ws.TEXT, b"Hello")]),
    "masked hello": (
        True,
        bytes.fromhex("818537fa213d7f9f4d5158"),
        [Frame(ws.TEXT, b"Hello")],
    ),
    "fragments": (
        False,
        bytes.fromhex("010348656c80026c6f"),
        [Frame(ws.TEXT, b"Hello")],
    ),
    "ping": (False, bytes.fromhex("890548656c6c6f"), [Frame(ws.PING, b"Hello")]),
    "masked pong": (True, bytes.fromhex("8a8537fa213d7f9f4d5158"), [Frame(ws.PONG, b"Hello")]),
}

BROKEN = {
    "reserved bit": (b"\xc1\x00", 1002),
    "unknown data opcode": (b"\x83\x00", 1002),
    "unknown control opcode": (b"\x8b\x00", 1002),
    "masked by a server": (b"\x81\x80" + KEY, 1002),
    "a control frame in pieces": (b"\x09\x00", 1002),
    "a long control frame": (b"\x89\x7e\x00\x7e", 1002),
    "continuation of nothing": (b"\x80\x00", 1002),
    "a message inside a message": (b"\x01\x01a\x81\x01b", 1002),
    "a length in too many bytes": (b"\x81\x7e\x00\x05Hello", 1002),
    "a length in far too many bytes": (b"\x81\x7f" + (5).to_bytes(8, "big"), 1002),
    "a length that is negative": (b"\x81\x7f" + b"\xff" * 8, 1002),
    "too long": (b"\x81\x7e\x04\x01", 1009),
    "too long in pieces": (b"\x01\x7e\x04\x00" + b"a" * 1024 + b"\x80\x01", 1009),
    "no UTF-8": (b"\x81\x02\xc3\x28", 1007),
    "half a character": (b"\x81\x01\xc3", 1007),
    "binary that is no text": (b"\x82\x01\xff", 1003),
}


class Reader(FrameReader):
    """Remembers what it found."""

    __slots__ = ("found",)


def found(pieces: Sequence[bytes], *, masked: bool = False, limit: int = 1024) -> Reader:
    reader = Reader(masked=masked, limit=limit)
    reader.found = [one for piece in pieces for one in reader.feed(piece)]
    return reader


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_of_the_rfc_at_every_split(name: str) -> None:
    """One cut anywhere changes nothing, nor do single bytes."""
    masked, wire, expected = EXAMPLES[name]
    assert found([wire[i : i + 1] for i in range(len(wire))], masked=masked).found == expected
    for cut in range(len(wire) + 1):
        reader = found([wire[:cut], wire[cut:]], masked=masked)
        assert reader.found == expected
        assert reader.violation is None


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_the_protocol_is_named(name: str) -> None:
    """What came before is kept, what comes after is not looked at."""
    wire, code = BROKEN[name]
    hello = EXAMPLES["hello"][1]
    reader = found([hello + wire, hello])
    assert reader.found == [Frame(ws.TEXT, b"Hello")]
    assert reader.violation is not None
    assert reader.violation.code == code
    singly = found([(hello + wire)[i : i + 1] for i in range(len(hello + wire))])
    assert singly.violation == reader.violation
    assert singly.found == reader.found


def test_a_client_must_mask() -> None:
    """An unmasked frame of a client ends the session."""
    violation = found([b"\x81\x00"], masked=True).violation
    assert violation is not None
    assert violation.code == 1002


def test_a_length_is_refused_before_its_bytes_come() -> None:
    """Nobody waits for what is too long."""
    reader = FrameReader(masked=False)
    assert reader.feed(b"\x81\x7f" + (ws.MAX_MESSAGE + 1).to_bytes(8, "big")) == []
    assert reader.violation is not None
    assert reader.violation.code == 1009
    whole = FrameReader(masked=False)
    assert whole.feed(b"\x81\x7f" + ws.MAX_MESSAGE.to_bytes(8, "big")) == []
    assert whole.violation is None


TEXTS = st.one_of(
    st.text(max_size=40), st.sampled_from([0, 125, 126, 127, 65_535, 65_536]).map("x".__mul__)
)
MESSAGES = st.lists(st.tuples(TEXTS, st.integers(1, 4), st.booleans()), max_size=6)


@given(MESSAGES, st.booleans(), st.binary(min_size=4, max_size=4), st.integers(1, 70_000))
def test_what_is_written_is_read(
    messages: list[tuple[str, int, bool]], masked: bool, key: bytes, step: int
) -> None:
    """Whole or in fragments, with pings in between, masked or not, cut at any step."""
    wire = bytearray()
    expected = []
    for text, parts, pinged in messages:
        payload = text.encode()
        size = -(-len(payload) // parts) or 1
        pieces = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
        for place, piece in enumerate(pieces):
            last = place == len(pieces) - 1
            opcode = ws.CONTINUATION if place else ws.TEXT
            wire += ws.frame(opcode, piece, key if masked else None, final=last)
            if pinged and not last:
                wire += ws.frame(ws.PING, b"!", key if masked else None)
                expected.append(Frame(ws.PING, b"!"))
        expected.append(Frame(ws.TEXT, payload))
    cut = [bytes(wire[i : i + step]) for i in range(0, len(wire), step)]
    reader = found(cut, masked=masked, limit=1 << 20)
    assert reader.violation is None
    assert reader.found == expected


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_survived(data: bytes, masked: bool) -> None:
    """And how they are cut makes no difference."""
    at_once = found([data], masked=masked)
    singly = found([data[i : i + 1] for i in range(len(data))], masked=masked)
    assert at_once.found == singly.found
    assert at_once.violation == singly.violation


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_is_its_own_inverse(data: bytes, key: bytes) -> None:
    """And each byte is mixed with its byte of the key."""
    mixed = ws.masked(data, key)
    assert mixed == bytes(byte ^ key[place % 4] for place, byte in enumerate(data))
    assert ws.masked(mixed, key) == data


def test_the_handshake_of_the_rfc() -> None:
    """RFC 6455 1.3."""
    assert ws.accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert ws.is_key("dGhlIHNhbXBsZSBub25jZQ==")
    assert not ws.is_key("dGhlIHNhbXBsZQ==")
    assert not ws.is_key("not base64!")


def test_a_reason_is_cut_between_characters() -> None:
    """A close frame holds 123 bytes of it."""
    payload = ws.close_payload(1008, "é" * 100)
    assert len(payload) <= 125
    assert payload[2:].decode() == "é" * 61


class End:
    """A peer, and what it said and heard."""

    def __init__(self, *, server: bool = True, limit: int = ws.MAX_MESSAGE) -> None:
        self.wire = bytearray()
        self.peer = Peer(self.wire.extend, None if server else (lambda: KEY), limit)
        self.messages: list[bytes] = []
        self.closed: list[Closed] = []
        self.peer.on_message = self.messages.append
        self.peer.on_close = self.closed.append
        self._reader = FrameReader(masked=not server)

    def said(self) -> list[Frame]:
        """The frames it wrote since this was last asked."""
        frames = self._reader.feed(bytes(self.wire))
        self.wire.clear()
        return frames


def test_pings_are_answered_in_turn() -> None:
    """With what they hold."""
    end = End()
    end.peer.feed(ws.frame(ws.PING, b"one", KEY) + ws.frame(ws.TEXT, b"{}", KEY))
    assert end.said() == [Frame(ws.PONG, b"one")]
    assert end.messages == [b"{}"]


def test_of_pings_that_nobody_reads_the_answers_of_the_last_is_answered() -> None:
    """Once there is room again; nothing piles up."""
    end = End()
    end.peer.hold()
    for number in range(100):
        end.peer.feed(ws.frame(ws.PING, b"%d" % number, KEY))
    assert end.said() == []
    end.peer.go_on()
    end.peer.go_on()
    assert end.said() == [Frame(ws.PONG, b"99")]


def test_the_other_side_closes() -> None:
    """Its code goes back, its reason does not; nothing is heard or said after that."""
    end = End()
    end.peer.feed(ws.frame(ws.CLOSE, ws.close_payload(4001, "bye"), KEY))
    end.peer.feed(ws.frame(ws.TEXT, b"late", KEY))
    end.peer.send(b"late")
    end.peer.ping()
    end.peer.lost()
    assert end.said() == [Frame(ws.CLOSE, ws.close_payload(4001))]
    assert end.closed == [Closed(4001, "bye", True)]
    assert end.messages == []


def test_a_close_without_a_code() -> None:
    """Is answered as a normal one."""
    end = End()
    end.peer.feed(ws.frame(ws.CLOSE, b"", KEY))
    assert end.said() == [Frame(ws.CLOSE, ws.close_payload(1000))]
    assert end.closed == [Closed(1005, "", True)]


def test_we_close() -> None:
    """What is still on its way is let pass unheard until the other side agrees."""
    end = End(server=False)
    end.peer.close(1001, "going")
    end.peer.close(1000)
    end.peer.feed(ws.frame(ws.TEXT, b"late") + ws.frame(ws.PING, b"?"))
    assert end.closed == []
    end.peer.feed(ws.frame(ws.CLOSE, ws.close_payload(1001)))
    assert end.said() == [Frame(ws.CLOSE, ws.close_payload(1001, "going"))]
    assert end.closed == [Closed(1001, "", True)]
    assert end.messages == []


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x03\xee", b"\x00\x01", b"\x13\x88"])
def test_codes_that_nobody_may_send(payload: bytes) -> None:
    """1005 and 1006 among them."""
    end = End()
    end.peer.feed(ws.frame(ws.CLOSE, payload, KEY))
    assert end.said()[0].payload[:2] == (1002).to_bytes(2, "big")
    assert end.closed[0].clean is False


def test_a_reason_must_be_text() -> None:
    """1007 otherwise."""
    end = End()
    end.peer.feed(ws.frame(ws.CLOSE, b"\x03\xe8\xff", KEY))
    assert end.said()[0].payload[:2] == (1007).to_bytes(2, "big")


def test_a_violation_is_told_and_ends_it() -> None:
    """With its code, once."""
    end = End(limit=10)
    end.peer.feed(ws.frame(ws.TEXT, b"hello", KEY) + ws.frame(ws.TEXT, b"hello world", KEY))
    end.peer.feed(b"more")
    assert end.messages == [b"hello"]
    assert [one.opcode for one in end.said()] == [ws.CLOSE]
    assert [one.code for one in end.closed] == [1009]


def test_a_listener_that_closes_hears_no_more() -> None:
    """Of what came in the same bytes."""
    end = End()
    end.peer.on_message = lambda message: (end.messages.append(message), end.peer.close(1008))
    end.peer.feed(ws.frame(ws.TEXT, b"1", KEY) + ws.frame(ws.TEXT, b"2", KEY))
    assert end.messages == [b"1"]


def test_a_connection_that_is_lost() -> None:
    """Ended abnormally."""
    end = End()
    end.peer.feed(b"\x81")
    end.peer.lost()
    assert end.closed == [Closed(1006, "", False)]
