"""Heads that come again: an SDK's differ from one request to the next in the body's length alone.

The parser has read the first of them and found nothing wrong; one that is the same byte for byte,
but for the digits of Content-Length, need not be read again. That holds for usual heads only: a
POST of plain JSON with a key. All else is the parser's.
"""

from __future__ import annotations

import re
from weakref import WeakValueDictionary

from aiohttp import StreamReader, hdrs
from msgspec import Struct
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.domain import digest_of
from gateway.errors import Fault
from gateway.web.reading import JSON_TYPES, Request, secret_of

_UNKNOWN = -1  # and stays so
_SMALL = 1 << 16  # a longer body costs so much that its head does not count
_TRIES = 8  # heads that had to be read, until a client is taken for one that repeats none
_LONGEST = 2048
_MOST_DIGITS = 9
_BLANK = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})\r\n", re.IGNORECASE)
_OFFER = re.compile(rb"\r\nupgrade(?=:[ \t]*h2c[ \t]*\r\n)", re.IGNORECASE)
_UNUSUAL = (hdrs.EXPECT, hdrs.UPGRADE, hdrs.CONTENT_ENCODING, "Idempotency-Key")


class Head(Struct, weakref=True):
    """A head around the digits of its Content-Length, which `request` knows nothing of.

    It ends where its blank line begins.
    """

    before: bytes
    after: bytes
    around: int  # how long both are
    request: Request
    secret: bytes
    digest: bytes


# Those of all connections: a client's say the same.
Heads = WeakValueDictionary[tuple[bytes, bytes], Head]


class Framing:
    """Where one connection's requests begin and end, as long as that is plain to see."""

    __slots__ = ("_shared", "_unlike", "due", "known")

    def __init__(self, shared: Heads) -> None:
        self._shared = shared
        self.known: Head | None = None  # the last that was a usual one
        self.due = 0  # of a body; once that is not known, all that comes is the parser's
        self._unlike = 0

    def repeated(self, data: bytes) -> bytes | None:
        """What came of the body behind the head that is known; None if anything else comes."""
        known = self.known
        if known is None or self.due:
            return None
        head, blank, body = data.partition(_BLANK)
        digits = head.removeprefix(known.before).removesuffix(known.after)
        taken = len(head) - len(digits)
        if taken != known.around or not blank or len(digits) > _MOST_DIGITS or not digits.isdigit():
            return None
        length = int(digits)
        due = length - len(body)
        if due < 0 or not 0 < length <= _SMALL:
            return None
        self.due = due
        self._unlike = 0
        return body

    def follow(self, data: bytes) -> bytes:
        """Keep count of what the parser is given; a head that it is about to see whole."""
        if self.due or not data:
            self.due -= len(data)
            head = b""
        else:
            end = data.find(_BLANK) + 4
            head = data[:end] if end > 3 else b""
            length = _length_after(head)
            self.due = _UNKNOWN if length == _UNKNOWN else end + length - len(data)
        if self.due < 0:
            self._give_up()
            return b""
        return head

    def learn(self, head: bytes, request: Request, body: StreamReader) -> None:
        """Remember a head that may come again, if the parser saw in it what was seen here."""
        length = _length_after(head)
        if (
            request.upgrade
            or request.chunked
            or body.is_eof() != (self.due == 0)
            or int(request.headers.get(hdrs.CONTENT_LENGTH, 0)) != length
        ):
            self._give_up()
            return
        if not length:
            return
        known = self._learnt(head, request)
        if known is not None and known is self.known:
            return  # the same with a long body
        self.known = known
        self._unlike += 1
        if self._unlike == _TRIES:
            self._give_up()

    def _learnt(self, head: bytes, request: Request) -> Head | None:
        """The head as it may come again; None for one that is not usual."""
        found = _LENGTH.search(head)
        if found is None or len(head) > _LONGEST:
            return None
        around = head[: found.start(1)], head[found.end(1) : -4]
        known = self._shared.get(around)
        if known is None:
            known = _usual(*around, request)
            if known is not None:
                self._shared[around] = known
        return known

    def _give_up(self) -> None:
        self.due = _UNKNOWN
        self.known = None


def without_offer(head: bytes, data: bytes) -> bytes:
    """What came, without the offer of HTTP/2 that Java's client makes with each request.

    Whoever is offered it may ignore it; aiohttp's parser cannot, and loses what comes behind it.
    """
    if b"h2c" not in head:
        return data
    return _OFFER.sub(b"\r\nignored", head) + data[len(head) :]


def _length_after(head: bytes) -> int:
    """How long a body the head announces, where it does so in the one plain way."""
    lower = head.lower()
    if head and b"content-length" not in lower:
        return 0
    found = _LENGTH.search(lower)
    return int(found[1]) if found else _UNKNOWN


def _usual(before: bytes, after: bytes, request: Request) -> Head | None:
    """What stands around a length, as it may come again; None if it is not usual."""
    headers = request.headers
    if (
        request.method != "POST"
        or headers.get(hdrs.CONTENT_TYPE) not in JSON_TYPES
        or any(name in headers for name in _UNUSUAL)
    ):
        return None
    try:
        secret = secret_of(request)
    except Fault:
        return None
    if secret is None:
        return None
    rest = CIMultiDict(headers)
    del rest[hdrs.CONTENT_LENGTH]
    again = request._replace(headers=CIMultiDictProxy(rest), raw_headers=())
    return Head(before, after, len(before) + len(after), again, secret, digest_of(secret))
