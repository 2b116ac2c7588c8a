"""RFC 6455 without a socket: frames, messages, and one end's side of the protocol. No extensions.

Text messages must be UTF-8, and so must binary ones, since all that is spoken over them here is
JSON. Every length is checked before its bytes are waited for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

MAX_MESSAGE: Final = 16 << 20

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED: Final = 1003
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
NOT_UTF8: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
FAILED: Final = 1011

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_CONTROL = 125
_MAX_REASON = 123
_SPOKEN = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015), *range(3000, 5000)})


class Closed(NamedTuple):
    """How a websocket ended. `clean` where a close frame came; code 1006 where none did."""

    code: int
    reason: str = ""
    clean: bool = False


class Frame(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    payload: bytes


class Violation(NamedTuple):
    """What the other side did against the protocol, as a close frame tells it."""

    code: int
    reason: str


def accept_of(key: str) -> str:
    """The answer to a Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324


def is_key(key: str) -> bool:
    """Whether this is a Sec-WebSocket-Key: sixteen bytes in base64."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def masked(data: bytes | memoryview, key: bytes) -> bytes:
    """Mask or unmask: the same either way. As one number, since it is audio that passes here."""
    size = len(data)
    stretched = (key * (size // 4 + 1))[:size]
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(stretched, "little")
    return mixed.to_bytes(size, "little")


def frame(opcode: int, payload: bytes, key: bytes | None = None, *, final: bool = True) -> bytes:
    """One frame; masked where a key is given, as all must be that a client sends."""
    first = opcode | 0x80 if final else opcode
    size = len(payload)
    bit = 0 if key is None else 0x80
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 1 << 16:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    if key is None:
        return head + payload
    return head + key + masked(payload, key)


def close_payload(code: int, reason: str = "") -> bytes:
    """What a close frame holds; a reason that is too long is cut between two characters."""
    said = reason.encode()[:_MAX_REASON].decode("utf-8", "ignore")
    return code.to_bytes(2, "big") + said.encode()


class FrameReader:
    """Bytes in, messages and control frames out, however the bytes are cut.

    After `feed`, `violation` tells of what broke the protocol: what came before it was returned,
    and nothing comes after it.
    """

    __slots__ = ("_buffer", "_fragments", "_kind", "_limit", "_masked", "_whole", "violation")

    def __init__(self, *, masked: bool, limit: int = MAX_MESSAGE) -> None:
        self._masked = masked
        self._limit = limit
        self._buffer = bytearray()
        self._fragments: list[bytes] = []
        self._whole = 0  # bytes of the message whose fragments are coming in
        self._kind = 0
        self.violation: Violation | None = None

    def broken(self) -> bool:
        """Whether the protocol was broken: nothing more is to be had."""
        return self.violation is not None

    def feed(self, data: bytes) -> list[Frame]:
        """The messages that are complete with these bytes."""
        found: list[Frame] = []
        if self.broken():
            return found
        buffer = self._buffer
        buffer += data
        start = 0
        while not self.broken():
            end, whole = self._take(start)
            if end == start:
                break
            start = end
            if whole is not None:
                found.append(whole)
        if self.broken():
            buffer.clear()
        elif start:
            del buffer[:start]
        return found

    def _take(self, start: int) -> tuple[int, Frame | None]:
        """One frame from the buffer: where it ends, and the message that it completes."""
        buffer = self._buffer
        have = len(buffer) - start
        if have < 2:
            return start, None
        first, second = buffer[start], buffer[start + 1]
        size = second & 0x7F
        at = start + 2
        if size > _MAX_CONTROL:
            wide = 2 if size == 126 else 8
            if self._is_wrong(first, second, size) or have < 2 + wide:
                return start, None
            size = int.from_bytes(buffer[at : at + wide], "big")
            at += wide
            if size < (126 if wide == 2 else 1 << 16) or size >> 63:
                self._break(PROTOCOL_ERROR, "A length is not written as it must be.")
                return start, None
        if self._is_wrong(first, second, size):
            return start, None
        key = b""
        if self._masked:
            key = bytes(buffer[at : at + 4])
            at += 4
        end = at + size
        if len(buffer) < end:
            return start, None
        with memoryview(buffer) as view, view[at:end] as piece:
            payload = masked(piece, key) if self._masked else bytes(piece)
        return end, self._add(first & 0x0F, bool(first & 0x80), payload)

    def _is_wrong(self, first: int, second: int, size: int) -> bool:
        """Judge a frame by its head, before any more of it is waited for."""
        opcode = first & 0x0F
        if first & 0x70:
            self._break(PROTOCOL_ERROR, "No extension was agreed on.")
        elif bool(second & 0x80) is not self._masked:
            self._break(
                PROTOCOL_ERROR,
                "Frames of a client must be masked."
                if self._masked
                else "Frames of a server must not be masked.",
            )
        elif opcode & 0x08:
            if opcode > PONG:
                self._break(PROTOCOL_ERROR, "There is no such opcode.")
            elif not first & 0x80 or size > _MAX_CONTROL:
                self._break(PROTOCOL_ERROR, "Control frames are short and whole.")
        elif opcode > BINARY:
            self._break(PROTOCOL_ERROR, "There is no such opcode.")
        elif (opcode == CONTINUATION) is not bool(self._kind):
            self._break(PROTOCOL_ERROR, "A fragment is out of place.")
        elif self._whole + size > self._limit:
            self._break(TOO_BIG, f"A message may have {self._limit} bytes.")
        return self.violation is not None

    def _add(self, opcode: int, final: bool, payload: bytes) -> Frame | None:
        if opcode & 0x08:
            return Frame(opcode, payload)
        if opcode:
            self._kind = opcode
        if not final:
            self._fragments.append(payload)
            self._whole += len(payload)
            if len(self._fragments) > 1 << 16:
                self._break(POLICY, "A message has too many fragments.")
            return None
        kind, self._kind = self._kind, 0
        if self._fragments:
            payload = b"".join((*self._fragments, payload))
            self._fragments.clear()
            self._whole = 0
        if not payload.isascii() and not _is_utf8(payload):
            code = NOT_UTF8 if kind == TEXT else UNSUPPORTED
            self._break(code, "Messages are JSON in UTF-8.")
            return None
        return Frame(kind, payload)

    def _break(self, code: int, reason: str) -> None:
        self.violation = Violation(code, reason)


class Peer:
    """One end of a websocket that is open: answers pings, closes as it should, hands over messages.

    `write` takes the bytes for the wire. `key` gives four random bytes for each frame of a client;
    without it this is the server's end. `on_close` is told once, by whichever side it ended.
    """

    __slots__ = (
        "_full", "_key", "_owed", "_reader", "_write", "closing", "on_close", "on_message", "over",
    )  # fmt: skip

    def __init__(
        self,
        write: Callable[[bytes], object],
        key: Callable[[], bytes] | None = None,
        limit: int = MAX_MESSAGE,
    ) -> None:
        self._write = write
        self._key = key
        self._reader = FrameReader(masked=key is None, limit=limit)
        self.on_message: Callable[[bytes], None] = _ignore
        self.on_close: Callable[[Closed], None] = _ignore
        self._full = False
        self._owed: bytes | None = None  # the ping that is to be answered once there is room
        self.closing = False  # our close frame is out
        self.over = False

    def feed(self, data: bytes) -> None:
        """Take bytes off the wire."""
        if self.over:
            return
        for opcode, payload in self._reader.feed(data):
            if not self._take(opcode, payload):
                return
        violation = self._reader.violation
        if violation is not None:
            self.close(*violation)
            self._end(Closed(*violation))

    def _take(self, opcode: int, payload: bytes) -> bool:
        """Act on a frame; False when it was the last."""
        if opcode == CLOSE:
            self._closed(payload)
        elif not self.closing:
            if opcode == PING and self._full:
                self._owed = payload
            elif opcode == PING:
                self._send(PONG, payload)
            elif opcode != PONG:
                self.on_message(payload)
        return not self.over

    def hold(self) -> None:
        """The other side does not read: of its pings the last alone will be answered."""
        self._full = True

    def go_on(self) -> None:
        """It reads again."""
        self._full = False
        owed, self._owed = self._owed, None
        if owed is not None and not self.closing:
            self._send(PONG, owed)

    def send(self, message: bytes) -> None:
        """A text message; nothing once the end has begun."""
        if not self.closing:
            self._send(TEXT, message)

    def ping(self) -> None:
        """Ask whether anybody is there."""
        if not self.closing:
            self._send(PING, b"")

    def close(self, code: int, reason: str = "") -> None:
        """Say that this is the end; `on_close` follows when the other side has agreed."""
        if not self.closing:
            self._send(CLOSE, close_payload(code, reason))
            self.closing = True

    def lost(self) -> None:
        """The connection has ended, whatever was agreed."""
        self._end(Closed(ABNORMAL))

    def _closed(self, payload: bytes) -> None:
        ended = _close_of(payload)
        if isinstance(ended, Violation):
            self.close(*ended)
            self._end(Closed(*ended))
            return
        self.close(NORMAL if ended.code == NO_STATUS else ended.code)
        self._end(ended)

    def _end(self, ended: Closed) -> None:
        if not self.over:
            self.over = self.closing = True
            self.on_close(ended)

    def _send(self, opcode: int, payload: bytes) -> None:
        self._write(frame(opcode, payload, None if self._key is None else self._key()))


def _close_of(payload: bytes) -> Closed | Violation:
    if not payload:
        return Closed(NO_STATUS, "", True)
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _SPOKEN:
        return Violation(PROTOCOL_ERROR, "That is no close code.")
    try:
        return Closed(code, payload[2:].decode(), True)
    except UnicodeDecodeError:
        return Violation(NOT_UTF8, "A reason is UTF-8.")


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _ignore(_: object) -> None:
    """Nobody listens yet."""
