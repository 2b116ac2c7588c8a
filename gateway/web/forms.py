"""Forms off the wire: fields as a JSON object, files where any number of tries can read them.

Short files stay in memory; longer ones go to a temporary file without a name, which is gone
with its last reader, however the process ends. Who sends a file where a field of text belongs is
refused: it would be sent on under that name, and some hosts would read it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from secrets import randbits, token_hex
from typing import Any

import msgspec
from aiohttp import EMPTY_PAYLOAD, StreamReader, web

from gateway.core.body import JsonBody, decode_as
from gateway.core.multipart import Event, Parser, PartBegun, PartData, PartEnded, boundary_of
from gateway.core.sound.length import HEAD, TAIL, length_of
from gateway.domain import File
from gateway.errors import NO_UPSTREAM, REQUEST_TOO_LARGE, Fault, invalid
from gateway.pipeline.attempt import Form
from gateway.store.disk import check_spare
from gateway.web.connection import Connection
from gateway.web.reading import Request, announced, answer_expectation

_IN_MEMORY = 256 << 10
_CHUNK = 128 << 10
_MOST_TEXT = 1 << 20
_LOOK_EVERY = 16 << 20  # bytes between two looks at how much room the disk has


class Hold:
    """The bytes of all of a form's files, one after the other: however many there are, they take no
    more memory than this, and one descriptor.
    """

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._file: int | None = None
        self._looked_at = 0

    def write(self, data: bytes) -> None:
        """Take more of them."""
        self.size += len(data)
        if self._file is None:
            self._memory += data
            if len(self._memory) <= _IN_MEMORY:
                return
            with tempfile.TemporaryFile(buffering=0) as opened:
                self._file = os.dup(opened.fileno())
            data = bytes(self._memory)
            self._memory = bytearray()
        if self.size >= self._looked_at:
            self._looked_at = self.size + _LOOK_EVERY
            check_spare(self._file)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def read(self, at: int, size: int) -> bytes:
        """A stretch of them."""
        if self._file is None:
            return bytes(self._memory[at : at + size])
        return os.pread(self._file, size, at)

    def close(self) -> None:
        """Let go of them."""
        self._memory = bytearray()
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Spool:
    """The bytes of one file, which nothing comes between; a `domain.Source`."""

    def __init__(self, hold: Hold) -> None:
        self.size = 0
        self._hold = hold
        self._start = hold.size
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Take more of them."""
        self.size += len(data)
        self._digest.update(data)
        self._hold.write(data)

    def read(self, at: int, size: int) -> bytes:
        """A stretch of them."""
        return self._hold.read(self._start + at, max(0, min(size, self.size - at)))

    def chunks(self) -> Iterator[bytes]:
        """All of them, some at a time."""
        at = 0
        while chunk := self.read(at, _CHUNK):
            at += len(chunk)
            yield chunk

    @property
    def digest(self) -> str:
        """What tells them from any others."""
        return self._digest.hexdigest()


class FormReader:
    """Reads one request's form and owns its files until `close`."""

    def __init__(
        self,
        request: Request,
        connection: Connection,
        limit: int,
        decoder: Any,
        pictures: frozenset[str] = frozenset(),
    ) -> None:
        self._request = request
        self._connection = connection
        self._limit = limit
        self._decoder = decoder
        self._pictures = pictures  # known fields that may come as files as well
        self._hold = Hold()
        self._fields: dict[str, list[str]] = {}
        self._files: list[tuple[PartBegun, Spool]] = []
        self._text: bytearray | None = None
        self._part: PartBegun | None = None
        self._text_size = 0

    async def read(self) -> Form:
        """The whole form, once it has come."""
        request = self._request
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise invalid("A form is not taken with a content encoding; send it as it is.")
        parser = Parser(boundary_of(request.headers.get("Content-Type", "")))
        if announced(request) > self._limit:
            raise self._too_large()
        answer_expectation(request, self._connection)
        content = self._connection.content
        assert isinstance(content, StreamReader)  # only JSON comes whole
        self._connection.reading_body(content)
        size = 0
        try:
            while piece := await content.readany():
                size += len(piece)
                if size > self._limit:
                    raise self._too_large()
                for event in parser.feed(piece):
                    self._take(event)
        except web.RequestPayloadError:
            raise invalid("The request body's framing is broken; it was not processed.") from None
        except OSError:
            raise Fault(
                NO_UPSTREAM,
                "The gateway has no room to hold this file just now. Retry in a moment.",
                retry_after=5,
                cause="no_room",
            ) from None
        finally:
            self._connection.reading_body(None)
        self._connection.content = EMPTY_PAYLOAD  # what comes from now on is the next one's head
        parser.end()
        return Form(self._body(), tuple(_file(*one) for one in self._files), token_hex(24))

    @property
    def digest(self) -> bytes:
        """What tells this form's files from any others."""
        told = [f"{part.name} {part.filename} {spool.digest}" for part, spool in self._files]
        return "\n".join(told).encode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Let go of the files."""
        self._hold.close()

    def _take(self, event: Event) -> None:
        if isinstance(event, PartBegun):
            self._part = event
            self._text = bytearray() if event.filename is None else None
            if event.filename is not None:
                self._files.append((event, Spool(self._hold)))
        elif isinstance(event, PartData):
            if self._text is None:
                self._files[-1][1].write(event.data)
                return
            self._text_size += len(event.data)
            if self._text_size > _MOST_TEXT:
                raise Fault(
                    REQUEST_TOO_LARGE, f"The form's text fields are larger than {_MOST_TEXT} bytes."
                )
            self._text += event.data
        elif isinstance(event, PartEnded) and self._part is not None and self._text is not None:
            name = self._part.name
            try:
                self._fields.setdefault(name, []).append(self._text.decode())
            except UnicodeDecodeError:
                raise invalid(f"The field '{name[:100]}' is not UTF-8 text.", name[:100]) from None

    def _body(self) -> JsonBody:
        """The fields as JSON, those that are known in the types that they have."""
        told: dict[str, Any] = {}
        for name, values in self._fields.items():
            many = name.endswith("[]")
            plain = name.removesuffix("[]")
            if plain in told or (len(values) > 1 and not many):
                raise invalid(f"The field '{plain[:100]}' appears twice in the form.", plain[:100])
            told[plain] = values if many else values[0]
        raw = msgspec.json.encode(told)
        try:
            known = decode_as(raw, self._decoder)
        except Fault:  # said anew once the model is known: it may belong to another endpoint
            return JsonBody.parse(raw)
        for name in known.__struct_fields__:
            value = getattr(known, name)
            if name in told and not isinstance(value, msgspec.Raw):
                told[name] = value
        self._check_files({*told, *known.__struct_fields__} - (self._pictures - told.keys()))
        return JsonBody.parse(msgspec.json.encode(told))

    def _check_files(self, texts: set[str]) -> None:
        for part, _ in self._files:
            plain = part.name.removesuffix("[]")
            if plain in texts:
                raise invalid(f"The field '{plain[:100]}' is text here, not a file.", plain[:100])

    def _too_large(self) -> Fault:
        return Fault(
            REQUEST_TOO_LARGE,
            f"The request body is larger than this endpoint's limit of {self._limit} bytes.",
        )


def _file(part: PartBegun, spool: Spool) -> File:
    tail = spool.read(max(0, spool.size - TAIL), TAIL)
    return File(
        field=part.name,
        name=part.filename or "",
        content_type=part.content_type,
        size=spool.size,
        source=spool,
        milliseconds=length_of(spool.read(0, HEAD), tail, spool.size, spool.read, randbits(64)),
    )
