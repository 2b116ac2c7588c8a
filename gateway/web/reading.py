"""Requests off the wire: keys, bounded bodies, and the refusals that go with them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from aiohttp import StreamReader, web

from gateway import errors
from gateway.errors import Fault, invalid

if TYPE_CHECKING:
    from gateway.web.connection import Connection

_KEY_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_INFLATE_STEP = 1 << 20


def secret_of(request: web.BaseRequest) -> bytes | None:
    """The client's key from any of the headers SDKs use; None when there is none."""
    headers = request.headers
    given = headers.getall("Authorization", ())
    if len(given) > 1:
        raise invalid("The request carries more than one Authorization header.")
    if given:
        scheme, _, secret = given[0].partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Fault(
                errors.AUTHENTICATION_ERROR,
                "The Authorization header must read 'Bearer <key>'.",
                cause="bad_scheme",
            )
        return secret.strip().encode("utf-8", "surrogateescape")
    for name in _KEY_HEADERS:
        secret = headers.get(name, "").strip()
        if secret:
            return secret.encode("utf-8", "surrogateescape")
    return None


async def read_json(request: web.BaseRequest, connection: Connection, limit: int) -> bytes:
    """A JSON body within `limit` bytes, decoded from its content encoding."""
    headers = request.headers
    _check_type(headers.get("Content-Type"))
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _WINDOWS:
        raise invalid(
            f"The content encoding '{encoding[:40]}' is not supported; "
            "send the body as it is, or with gzip or deflate."
        )
    content = request.content
    if content.is_eof():  # small bodies come with their head
        body = content.read_nowait()
        if len(body) > limit:
            raise _too_large(limit)
    else:
        length = request.content_length
        if length is not None and length > limit:
            raise _too_large(limit)
        answer_expectation(request, connection)
        body = await _read(content, connection, limit)
    return body if encoding == "identity" else _inflated(body, encoding, limit)


def _check_type(value: str | None) -> None:
    media = (value or "").partition(";")[0].strip().lower()
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        raise Fault(
            errors.UNSUPPORTED_MEDIA_TYPE,
            "The request body must be JSON: send 'Content-Type: application/json'.",
        )


def answer_expectation(request: web.BaseRequest, connection: Connection) -> None:
    """Tell a client that waits for it to go on."""
    expected = request.headers.get("Expect")
    if expected is None:
        return
    if expected.strip().lower() != "100-continue":
        raise invalid("The Expect header may only be '100-continue'.")
    if connection.transport is not None:
        connection.transport.write(_CONTINUE)


async def _read(content: StreamReader, connection: Connection, limit: int) -> bytes:
    connection.reading_body(content)
    try:
        pieces: list[bytes] = []
        size = 0
        while piece := await content.readany():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
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
