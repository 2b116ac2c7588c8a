"""Requests off the wire: keys, bounded bodies, and the refusals that go with them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import EMPTY_PAYLOAD, StreamReader, hdrs, web
from aiohttp.http import RawRequestMessage
from msgspec import Struct

from gateway import errors
from gateway.errors import Fault, invalid
from gateway.web.bodies import MOST_WITHOUT_KEY, Bodies

if TYPE_CHECKING:
    from gateway.web.connection import Connection

Request = RawRequestMessage  # the head; the body is the connection's `content`


class Whole(Struct):
    """What came at once behind a head that was known already: the body, and the head's key."""

    body: bytes
    secret: bytes
    digest: bytes

    def is_eof(self) -> bool:
        """Nothing more of it is due."""
        return True


Content = StreamReader | Whole

JSON_TYPES = frozenset({"application/json", "application/json; charset=utf-8"})
_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_INFLATE_STEP = 1 << 20


def secret_of(request: Request) -> bytes | None:
    """The client's key from any of the headers SDKs use; None when there is none."""
    headers = request.headers
    given = headers.getall(hdrs.AUTHORIZATION, ())
    if len(given) > 1:
        raise invalid("The request carries more than one Authorization header.")
    if given:
        scheme, _, secret = given[0].partition(" ")
        secret = secret.strip()
        if not secret or scheme.lower() != "bearer":
            raise Fault(
                errors.AUTHENTICATION_ERROR,
                "The Authorization header must read 'Bearer <key>'.",
                cause="bad_scheme",
            )
        return secret.encode("utf-8", "surrogateescape")
    for name in _KEY_HEADERS:
        secret = headers.get(name, "").strip()
        if secret:
            return secret.encode("utf-8", "surrogateescape")
    return None


async def read_json(request: Request, connection: Connection, limit: int, bodies: Bodies) -> bytes:
    """A JSON body within `limit` bytes, decoded from its content encoding."""
    content = connection.content
    if isinstance(content, Whole):
        connection.content = EMPTY_PAYLOAD
        if len(content.body) > limit:
            raise _too_large(limit)
        return content.body
    who = secret_of(request)
    if who is None:
        limit = min(limit, MOST_WITHOUT_KEY)
    headers = request.headers
    media = headers.get(hdrs.CONTENT_TYPE)
    if media not in JSON_TYPES:
        _check_type(media)
    encoding = headers.get(hdrs.CONTENT_ENCODING, "identity")
    if encoding != "identity":
        encoding = _known(encoding)
    if content is EMPTY_PAYLOAD:
        body = b""
    elif content._eof:  # noqa: SLF001 - asking the reader would end another body's pause
        body = b"".join(content._buffer)  # noqa: SLF001 - and it would be five calls more
        if len(body) > limit:
            raise _too_large(limit)
        bodies.weigh(connection, who, len(body))
    else:
        if announced(request) > limit:
            raise _too_large(limit)
        answer_expectation(request, connection)
        body = await _read(
            content, connection, limit, lambda size: bodies.weigh(connection, who, size)
        )
    connection.content = EMPTY_PAYLOAD
    if encoding != "identity":
        body = _inflated(body, encoding, limit)
        bodies.weigh(connection, who, len(body))
    return body


def announced(request: Request) -> int:
    """How long the body is said to be."""
    return int(request.headers.get(hdrs.CONTENT_LENGTH, 0))


def _known(encoding: str) -> str:
    encoding = encoding.strip().lower()
    if encoding != "identity" and encoding not in _WINDOWS:
        raise invalid(
            f"The content encoding '{encoding[:40]}' is not supported; "
            "send the body as it is, or with gzip or deflate."
        )
    return encoding


def _check_type(value: str | None) -> None:
    media = (value or "").partition(";")[0].strip().lower()
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        raise Fault(
            errors.UNSUPPORTED_MEDIA_TYPE,
            "The request body must be JSON: send 'Content-Type: application/json'.",
        )


def answer_expectation(request: Request, connection: Connection) -> None:
    """Tell a client that waits for it to go on."""
    expected = request.headers.get("Expect")
    if expected is None:
        return
    if expected.strip().lower() != "100-continue":
        raise invalid("The Expect header may only be '100-continue'.")
    if connection.transport is not None and request.version >= (1, 1):
        connection.transport.write(_CONTINUE)


async def _read(
    content: StreamReader, connection: Connection, limit: int, weigh: Callable[[int], None]
) -> bytes:
    connection.reading_body(content)
    try:
        pieces: list[bytes] = []
        size = 0
        while piece := await content.readany():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            weigh(size)
            pieces.append(piece)
        return b"".join(pieces)
    except web.RequestPayloadError:
        raise invalid("The request body's framing is broken; it was not processed.") from None
    finally:
        connection.reading_body(None)


def _inflated(body: bytes, encoding: str, limit: int) -> bytes:
    """Decode in bounded steps: a bomb is refused when it passes the limit, not after."""
    inflater = zlib.decompressobj(_WINDOWS[encoding])
    pieces: list[bytes] = []
    size = 0
    pending = body
    try:
        while pending and not inflater.eof:
            piece = inflater.decompress(pending, _INFLATE_STEP)
            pending = inflater.unconsumed_tail
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            pieces.append(piece)
    except zlib.error:
        raise invalid(f"The request body is not valid {encoding}.") from None
    if not inflater.eof or inflater.unused_data:
        raise invalid(f"The request body is not one complete {encoding} stream.")
    return b"".join(pieces)


def _too_large(limit: int) -> Fault:
    return Fault(
        errors.REQUEST_TOO_LARGE,
        f"The request body is larger than this endpoint's limit of {limit} bytes.",
    )
