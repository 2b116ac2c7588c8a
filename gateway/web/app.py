"""The path table and the one handler: find the endpoint, run it, answer for whatever it raised."""

from __future__ import annotations

import asyncio
import sqlite3
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import cast

from aiohttp import hdrs
from msgspec import Struct, structs

from gateway import errors
from gateway.errors import Fault, storage_fault
from gateway.pipeline.record import Record
from gateway.web import admin
from gateway.web.connection import Connection
from gateway.web.endpoints import (
    account,
    explain,
    inference,
    models,
    quote,
    realtime,
    responses,
    status,
    tasks,
)
from gateway.web.envelopes import USUAL, Manner, Style, error_body
from gateway.web.exchange import JSON, Exchange
from gateway.web.reading import Request
from gateway.web.replays import RecordingSink
from gateway.web.replying import HttpSink
from gateway.web.site import Site
from gateway.web.sockets import wants_websocket

Serve = Callable[[Exchange], Awaitable[None]]


class Endpoint(Struct, frozen=True):
    """What a path does.

    `quiet` ones leave no line in the log and answer while draining; `upgrades` are websockets.
    """

    methods: tuple[str, ...]
    operation: str
    serve: Serve
    manner: Manner = USUAL
    quiet: bool = False
    upgrades: bool = False


_GET = ("GET",)
_POST = ("POST",)
_ALL = ("GET", "POST")
_ONE = ("GET", "DELETE", "POST")
_MESSAGES = Manner(dialect="messages")
_RESPONSES = Manner(dialect="responses")

# Below each surface; a name that ends in "/" takes the rest of the path as an object's id.
ON_SURFACES: Mapping[str, Endpoint] = {
    "chat/completions": Endpoint(_POST, "chat", inference.CHAT.serve),
    "messages": Endpoint(_POST, "messages", inference.MESSAGES.serve, _MESSAGES),
    "messages/count_tokens": Endpoint(_POST, "count_tokens", inference.count_tokens, _MESSAGES),
    "responses": Endpoint(_POST, "responses", responses.CREATE.serve, _RESPONSES),
    "responses/": Endpoint(("GET", "DELETE", "POST"), "response", responses.dispatch),
    "completions": Endpoint(_POST, "completions", inference.COMPLETIONS.serve),
    "embeddings": Endpoint(_POST, "embeddings", inference.EMBEDDINGS.serve),
    "images/generations": Endpoint(_POST, "images", inference.IMAGES.serve),
    "images/edits": Endpoint(_POST, "image_edits", inference.IMAGE_EDITS.serve),
    "audio/speech": Endpoint(_POST, "speech", inference.SPEECH.serve),
    "audio/transcriptions": Endpoint(_POST, "transcriptions", inference.TRANSCRIPTIONS.serve),
    "audio/translations": Endpoint(_POST, "translations", inference.TRANSLATIONS.serve),
    "realtime": Endpoint(_GET, "realtime", realtime.connect, upgrades=True),
    "realtime/client_secrets": Endpoint(_POST, "client_secrets", realtime.client_secrets),
    "moderations": Endpoint(_POST, "moderations", inference.MODERATIONS.serve),
    "rerank": Endpoint(_POST, "rerank", inference.RERANK.serve),
    "videos/generations": Endpoint(_ALL, "videos", tasks.VIDEOS.all),
    "videos/generations/": Endpoint(_ONE, "video", tasks.VIDEOS.one),
    "videos": Endpoint(_ALL, "videos", tasks.OPENAI_VIDEOS.all),
    "videos/": Endpoint(_ONE, "video", tasks.OPENAI_VIDEOS.one),
    "music/generations": Endpoint(_ALL, "music", tasks.MUSIC.all),
    "music/generations/": Endpoint(_ONE, "piece", tasks.MUSIC.one),
    "models": Endpoint(_GET, "models", models.models),
    "models/": Endpoint(_GET, "model", models.model),
    "embedding-models": Endpoint(_GET, "embedding_models", models.embedding_models),
    "transcription-models": Endpoint(_GET, "transcription_models", models.transcription_models),
    "providers": Endpoint(_GET, "providers", models.providers),
    "key": Endpoint(_GET, "key", account.key),
    "usage": Endpoint(_GET, "usage", account.usage),
    "balance": Endpoint(_GET, "balance", account.balance),
    "receipts/": Endpoint(_GET, "receipt", account.receipt),
    "explain": Endpoint(_POST, "explain", explain.explain),
    "quote": Endpoint(_POST, "quote", quote.quote),
}

AT_ROOT: Mapping[str, Endpoint] = {
    "/api/status": Endpoint(_GET, "status", status.status, quiet=True),
    "/healthz": Endpoint(_GET, "healthz", status.alive, quiet=True),
    "/readyz": Endpoint(_GET, "readyz", status.ready, quiet=True),
    "/metrics": Endpoint(_GET, "metrics", status.metrics, quiet=True),
}


class App:
    """Serves requests; the only object that the server loop knows."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._exact: dict[str, Endpoint] = {}
        self._below: dict[str, Endpoint] = {}
        self._clock = site.services.clock
        self._ids = _ids(f"req_{site.token}")
        self.mount(site.catalog.current.surfaces)

    def mount(self, surfaces: Mapping[str, str]) -> None:
        """Build the path table for the catalog's surfaces."""
        exact = dict(AT_ROOT)
        below: dict[str, Endpoint] = {}
        for path, (operation, actions) in admin.ROUTES.items():
            table = below if path.endswith("/") else exact
            table[path] = Endpoint(tuple(actions), operation, admin.dispatch(path, actions))
        for prefix, style in surfaces.items():
            for name, endpoint in ON_SURFACES.items():
                table = below if name.endswith("/") else exact
                manner = Manner(cast(Style, style), endpoint.manner.dialect)
                table[f"{prefix}/{name}"] = structs.replace(endpoint, manner=manner)
        self._exact, self._below = exact, below

    def note(self, fault: Fault) -> str:
        """Count and log what was refused before it came to be a request; the id it has there."""
        number, name = next(self._ids)
        now = self._clock.monotonic()
        record = Record(name, now, number, status=fault.kind.status, finished=now)
        record.fault, record.cause = fault, fault.cause
        self.site.metrics.call(record)
        self.site.log.call(record, self._clock.time())
        return name

    async def handle(self, request: Request, connection: Connection) -> bool:
        """Serve one request from its head to the end of its answer; whether more may follow."""
        number, name = next(self._ids)
        record = Record(name, self._clock.monotonic(), number)
        method, headers = request.method, request.headers
        kept = method == "POST" and "Idempotency-Key" in headers
        recorder = RecordingSink(request, connection, record) if kept else None
        sink = recorder or HttpSink(request, connection, record)
        path, rest = request.path, ""
        endpoint = self._exact.get(path)
        if endpoint is None:
            endpoint, rest = self._find(path)
        if endpoint is not None:
            record.operation = endpoint.operation
            if endpoint.manner.dialect == "messages":
                record.headers = (("request-id", record.id),)
        site = self.site
        site.open_calls += 1
        try:
            exchange = Exchange(site, request, connection, sink, record, rest)
            if (
                endpoint is None
                or method not in endpoint.methods
                or site.draining
                or hdrs.UPGRADE in headers
                or request.chunked
                or request.should_close
            ):
                serving = self._checked(endpoint, exchange)
            else:
                serving = endpoint.serve(exchange)
            del exchange, request, headers  # a long stream need not carry what its start needed
            await serving
        except asyncio.CancelledError:
            self._broken_off(connection, sink, record, self._manner_of(path, endpoint))
            raise
        except Exception as error:
            fault = self._fault_of(record, error)
            self._fail(connection, sink, record, fault, self._manner_of(path, endpoint))
        finally:
            try:
                if recorder is not None:
                    await _completed(recorder, record)
            finally:
                self._over(connection, record, endpoint is not None and endpoint.quiet)
        return sink.keep_alive

    def _over(self, connection: Connection, record: Record, quiet: bool) -> None:
        """Let go of what the call had, and tell everybody who counts."""
        site = self.site
        record.finished = self._clock.monotonic()
        site.open_calls -= 1
        if site.bodies.lent:
            site.bodies.give_back(connection)
        if not quiet:
            now = self._clock.time()
            site.metrics.call(record)
            site.log.call(record, now)
            site.health.call(record, now)
        if site.on_idle is not None and site.open_calls == 0:
            site.on_idle()

    def _checked(self, endpoint: Endpoint | None, exchange: Exchange) -> Awaitable[None]:
        """The work of an endpoint, where nothing speaks against it after all."""
        request, sink = exchange.request, exchange.sink
        upgrading = wants_websocket(request)
        if hdrs.UPGRADE in request.headers:
            # Whatever is answered: what follows may be no HTTP, and the parser loses what comes of
            # it in one piece with an upgrade that it does not know.
            sink.close_after()
        _check_target(request, sink)
        if endpoint is None:
            raise Fault(errors.NOT_FOUND, self._hint(exchange))
        if self.site.draining:
            sink.close_after()
            if not endpoint.quiet:
                raise Fault(
                    errors.NO_UPSTREAM,
                    "The gateway is shutting down. Retry in a moment.",
                    retry_after=1,
                    cause="draining",
                )
        if request.method not in endpoint.methods and not (
            request.method == "HEAD" and "GET" in endpoint.methods
        ):
            return self._refuse_method(endpoint, exchange)
        if upgrading and not endpoint.upgrades:
            raise errors.invalid("This endpoint does not speak websocket.")
        return endpoint.serve(exchange)

    def _hint(self, exchange: Exchange) -> str:
        """What to say of a path that leads nowhere; mostly the client's base URL is not ours."""
        path = exchange.path
        none = f"There is no endpoint '{path[:100]}'"
        surfaces = self.site.catalog.current.surfaces
        under = [prefix for prefix in surfaces if path.startswith(f"{prefix}/")]
        prefix = max(under, key=len) if under else next(iter(surfaces), "")
        for name, endpoint in ON_SURFACES.items():
            meant = f"{prefix}/{name}"
            if exchange.request.method in endpoint.methods and f"{path}/".endswith(f"/{name}/"):
                return f"{none}, but '{meant}' is one: check the client's base URL."
        return f"{none}; see /v1/models for a start."

    async def _refuse_method(self, endpoint: Endpoint, exchange: Exchange) -> None:
        allow = ", ".join(endpoint.methods)
        fault = Fault(
            errors.METHOD_NOT_ALLOWED,
            f"This endpoint takes {allow}, not {exchange.request.method[:20]}.",
        )
        exchange.record.cause = fault.cause
        if not exchange.connection.content.is_eof():
            exchange.sink.close_after()
        body = error_body(fault, endpoint.manner, exchange.record.id)
        exchange.sink.reply(405, (JSON, ("Allow", allow), *exchange.record.headers), body)

    def _find(self, raw_path: str) -> tuple[Endpoint | None, str]:
        """The endpoint of a path that has a query, or that names an object."""
        path = raw_path.partition("?")[0]
        endpoint = self._exact.get(path)
        if endpoint is not None:
            return endpoint, ""
        for prefix, candidate in self._below.items():
            if path.startswith(prefix) and len(path) > len(prefix):
                return candidate, path[len(prefix) :]
        return None, ""

    def _fail(
        self, connection: Connection, sink: HttpSink, record: Record, fault: Fault, manner: Manner
    ) -> None:
        record.fault = fault
        record.cause = fault.cause
        fault.forget_frames()
        if manner.dialect == "messages" and not record.headers:  # of a path that leads nowhere
            record.headers = (("request-id", record.id),)
        if not connection.content.is_eof():
            sink.close_after()
        sink.fail(fault, manner, record.headers)

    def _broken_off(
        self, connection: Connection, sink: HttpSink, record: Record, manner: Manner
    ) -> None:
        """The client has left; or the gateway leaves, and says so while it can."""
        if connection.transport is None:
            _has_left(record)
            return
        message = "The gateway was shut down before this call was finished. Retry in a moment."
        fault = Fault(errors.NO_UPSTREAM, message, retry_after=1, cause="shut_down")
        self._fail(connection, sink, record, fault, manner)

    def _manner_of(self, path: str, endpoint: Endpoint | None) -> Manner:
        """An unknown path is answered in the style of the surface it lies under."""
        if endpoint is not None:
            return endpoint.manner
        surfaces = self.site.catalog.current.surfaces
        for prefix in sorted(surfaces, key=len, reverse=True):
            if path.startswith(f"{prefix}/messages/"):
                return Manner(cast(Style, surfaces[prefix]), "messages")
            if path.startswith(prefix + "/"):
                return Manner(cast(Style, surfaces[prefix]))
        return USUAL

    def _fault_of(self, record: Record, error: Exception) -> Fault:
        """A full or damaged disk shows before a call is made; other faults are our own."""
        if isinstance(error, Fault):
            return error
        if type(error) in (sqlite3.OperationalError, sqlite3.DatabaseError):
            return storage_fault()
        return self._unexpected(record, error)

    def _unexpected(self, record: Record, error: Exception) -> Fault:
        """What the gateway did not foresee: the place goes to the log, nothing to the client."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        self.site.log.event(
            "error", "unexpected", id=record.id, error=type(error).__name__, where=where
        )
        return Fault(
            errors.INTERNAL_ERROR,
            f"The gateway failed on this call. Its operator finds it in the log as {record.id}.",
            cause=f"unexpected:{type(error).__name__}",
        )


def _check_target(request: Request, sink: HttpSink) -> None:
    """Refuse what a proxy before us might read as another request than we do."""
    if request.method == "CONNECT" or not request.path.startswith("/"):
        sink.close_after()
        message = "The request line must name a path of this server, such as /v1/models."
        raise Fault(errors.INVALID_REQUEST, message, cause="bad_target")
    codings = request.headers.getall(hdrs.TRANSFER_ENCODING, [])
    if codings and request.version < (1, 1):
        message = "HTTP/1.0 has no Transfer-Encoding; send Content-Length, or speak HTTP/1.1."
        raise Fault(errors.INVALID_REQUEST, message, cause="bad_framing")
    if codings and [coding.strip().lower() for coding in codings] != ["chunked"]:
        sink.close_after()
        message = "'Transfer-Encoding' must be 'chunked' alone; say gzip as Content-Encoding."
        raise Fault(errors.INVALID_REQUEST, message, cause="bad_framing")


def _ids(prefix: str) -> Iterator[tuple[int, str]]:
    """Numbers and the ids made of them; what 256 ids begin with is put together once."""
    begun = f"{prefix}0000"
    ends = [f"{low:02x}" for low in range(256)]
    for number in count(1):
        low = number % 256
        if low == 0:
            begun = f"{prefix}{number // 256:04x}"
        yield number, begun + ends[low]


async def _completed(sink: RecordingSink, record: Record) -> None:
    """Keep the answer; whoever leaves meanwhile has not seen its end."""
    try:
        await sink.complete(_was_done(record))
    except asyncio.CancelledError:
        _has_left(record)
        raise


def _has_left(record: Record) -> None:
    record.cause = errors.CLIENT_CLOSED.code
    record.status = errors.CLIENT_CLOSED.status


def _was_done(record: Record) -> bool:
    """Whether anything may have come of a request, so that it must not be done again."""
    fault = record.fault
    if record.operation.startswith("admin_"):  # what fails on our side may fail after the deed
        return fault is None or fault.kind.status >= 500
    if record.status == errors.CLIENT_CLOSED.status:
        return record.sent_upstream > 0 or record.goes_on
    return record.sent_upstream > 0 or fault is None
