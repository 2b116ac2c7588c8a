"""One request and its answer, as an endpoint sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson
from aiohttp import EMPTY_PAYLOAD
from msgspec import Struct
from multidict import MultiMapping

from gateway.domain import Key, digest_of
from gateway.errors import invalid
from gateway.pipeline.admit import authenticate
from gateway.pipeline.record import Record
from gateway.web.connection import Connection
from gateway.web.reading import Request, Whole, read_json, secret_of
from gateway.web.replays import once
from gateway.web.replying import HttpSink
from gateway.web.site import Site

Given = bytes | Callable[[], Awaitable[bytes]]
JSON = ("Content-Type", "application/json")
MAX_PAGE = 1000


class Exchange(Struct, frozen=True):
    """What an endpoint works with. `rest` is the tail of a path that names an object."""

    site: Site
    request: Request
    connection: Connection
    sink: HttpSink
    record: Record
    rest: str = ""

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.request.path.partition("?")[0]

    @property
    def query(self) -> MultiMapping[str]:
        """What the path's query says."""
        return self.request.url.query

    def secret(self) -> bytes | None:
        """The client's key, if it sent one."""
        return secret_of(self.request)

    def key_and_body(self, limit: int) -> tuple[bytes | None, bytes | None, Given]:
        """The client's key, if it sent one, its digest, and the body or who reads it."""
        content = self.connection.content
        if isinstance(content, Whole):  # which is shorter than any limit
            self.connection.content = EMPTY_PAYLOAD
            return content.secret, content.digest, content.body
        secret = secret_of(self.request)
        return secret, None if secret is None else digest_of(secret), self.body_reader(limit)

    def address(self) -> str | None:
        """Where the call comes from, past the proxies that the operator trusts."""
        return self.site.proxies.client_of(self.connection.peer, self.request.headers)

    async def key(self, scope: str = "") -> Key:
        """The client's key, checked."""
        services, record = self.site.services, self.record
        return await authenticate(services, record, self.secret(), self.address, scope)

    def body_reader(self, limit: int) -> Callable[[], Awaitable[bytes]]:
        """A reader for the body, called once the key is known to be good."""
        return partial(read_json, self.request, self.connection, limit, self.site.bodies)

    async def once(
        self,
        key: Key,
        body: bytes,
        work: Callable[[], Awaitable[None]],
        secret: bytes | None = None,
    ) -> None:
        """Do the work once for each Idempotency-Key, where the client sent one; with its `secret`,
        repeat the answer to nobody else.
        """
        given = self.request.headers.get("Idempotency-Key")
        request = self.path.encode() + b"\n" + body
        call = self.record.number + self.site.services.first_call
        await once(self.sink, self.site.store.replays, key, given, request, call, work, secret)

    def answer(self, value: Any, status: int = 200) -> None:
        """A JSON answer."""
        self.sink.reply(status, (JSON,), orjson.dumps(value))

    def page(self, items: list[dict[str, Any]]) -> None:
        """A page of a list by cursor: `after` or `before` an id, at most `limit` items.

        Clients of the Messages dialect have names of their own for them.
        """
        query = self.query
        after = "after" if "after" in query else "after_id"
        before = "before" if "before" in query else "before_id"
        if after in query and before in query:
            raise invalid(f"Give either '{after}' or '{before}', not both.", before)
        limit = _limit(query.get("limit"))
        if before in query:
            end = _place(items, query[before], before)
            start = max(0, end - limit)
            more = start > 0
        else:
            start = _place(items, query[after], after) + 1 if after in query else 0
            end = min(len(items), start + limit)
            more = end < len(items)
        chosen = items[start:end]
        self.answer(
            {
                "object": "list",
                "data": chosen,
                "has_more": more,
                "first_id": chosen[0]["id"] if chosen else None,
                "last_id": chosen[-1]["id"] if chosen else None,
            }
        )


def _limit(value: str | None) -> int:
    if value is None:
        return MAX_PAGE
    if not (value.isascii() and value.isdigit() and 1 <= len(value) <= 4 and int(value) >= 1):
        raise invalid(f"'limit' must be a number from 1 to {MAX_PAGE}.", "limit")
    return min(int(value), MAX_PAGE)


def _place(items: list[dict[str, Any]], cursor: str, param: str) -> int:
    for place, item in enumerate(items):
        if item["id"] == cursor:
            return place
    raise invalid(f"'{param}' must be the id of an item of this list.", param)
