"""POST responses, and what may be done with a response afterwards."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gateway import errors
from gateway.core.body import JsonBody
from gateway.core.talk.responses.store import Kept, continued
from gateway.domain import Key
from gateway.errors import Fault, invalid
from gateway.pipeline.run import Ask
from gateway.schemas import responses
from gateway.web.endpoints.inference import MIB, Inference, ReadBody
from gateway.web.exchange import JSON, Exchange

_MOST_ITEMS = 100


class Conversation:
    """One call: what it refers to is put in front of it, and its answer is kept for the next."""

    def __init__(self, exchange: Exchange, read_body: ReadBody) -> None:
        self._exchange = exchange
        self._read_body = read_body
        self._key: Key | None = None
        self._asked = JsonBody(b"{}")

    async def read(self) -> bytes:
        """The body, with all that came before it."""
        raw = await self._read_body()
        kept = self._exchange.site.responses
        if not kept.on:
            return raw
        self._key = await self._exchange.key("inference")
        self._asked = JsonBody.parse(raw)
        name = self._asked.get("previous_response_id")
        if name is not None and name[:1] == b'"' and self._key.n:
            found = _found(self._exchange, self._key, msgspec.json.decode(name, type=str))
            self._asked = continued(self._asked, found)
        return self._asked.raw

    def keep(self, response: bytes) -> None:
        """Keep the answer; nobody's are not kept, since anybody could ask for them."""
        key = self._key
        if key is not None and key.n and key.account is not None:
            site = self._exchange.site
            site.responses.keep(key.account.n, self._asked, response, site.services.clock.time())


class Responses(Inference, frozen=True):
    """POST responses."""

    def ask(self, exchange: Exchange, read_body: ReadBody) -> Ask:
        """The call as the pipeline takes it."""
        conversation = Conversation(exchange, read_body)
        return Ask(
            operation=self.operation,
            secret=exchange.secret(),
            decoder=self.decoder,
            read_body=conversation.read,
            address=exchange.address,
            headers=exchange.request.headers,
            keep=conversation.keep,
        )


CREATE = Responses("responses", responses.decoder, 32 * MIB)


async def show(exchange: Exchange) -> None:
    """GET responses/{id}, and responses/{id}/input_items."""
    key = await exchange.key("inference")
    name, _, what = exchange.rest.partition("/")
    if what not in ("", "input_items"):
        raise Fault(errors.NOT_FOUND, "There is no such endpoint.")
    if exchange.request.query.get("stream") == "true":
        raise invalid("A response that is complete cannot be streamed again.", "stream")
    found = _found(exchange, key, name)
    if what:
        _list_items(exchange, found)
    else:
        exchange.sink.reply(200, (JSON,), found.response)


async def delete(exchange: Exchange) -> None:
    """DELETE responses/{id}."""
    key = await exchange.key("inference")
    _found(exchange, key, exchange.rest)
    assert key.account is not None
    exchange.site.responses.drop(key.account.n, exchange.rest)
    exchange.answer({"id": exchange.rest, "object": "response.deleted", "deleted": True})


async def cancel(exchange: Exchange) -> None:
    """POST responses/{id}/cancel: only background work could be, and there is none."""
    key = await exchange.key("inference")
    name, _, what = exchange.rest.partition("/")
    if what != "cancel":
        raise Fault(errors.NOT_FOUND, "There is no such endpoint.")
    _found(exchange, key, name)
    raise invalid(
        "This response is complete: only a response in the background can be cancelled. To stop "
        "one that is streamed, close its connection."
    )


async def dispatch(exchange: Exchange) -> None:
    """By method."""
    acts = {"GET": show, "HEAD": show, "DELETE": delete, "POST": cancel}
    await acts[exchange.request.method](exchange)


def _found(exchange: Exchange, key: Key, name: str) -> Kept:
    site = exchange.site
    account = 0 if key.account is None or not key.n else key.account.n
    kept = site.responses.find(account, name, site.services.clock.time())
    if kept is None:
        raise Fault(
            errors.NOT_FOUND,
            "There is no such response here: it was never kept, or not for so long."
            if site.responses.on
            else "This gateway keeps no responses: its operator has turned that off.",
            param="previous_response_id" if exchange.record.operation == "responses" else None,
            cause="no_response",
        )
    return kept


def _list_items(exchange: Exchange, kept: Kept) -> None:
    """A page of what was asked, newest first unless asked otherwise."""
    query = exchange.request.query
    items = [_numbered(raw, n) for n, raw in enumerate(kept.items)]
    if query.get("order", "desc") != "asc":
        items.reverse()
    after, given = query.get("after"), query.get("limit", "20")
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:5]) <= _MOST_ITEMS):
        raise invalid(f"'limit' must be a number from 1 to {_MOST_ITEMS}.", "limit")
    ids = [msgspec.json.decode(item["id"]) for item in items]
    if after is not None and after not in ids:
        raise invalid("'after' must be the id of an item of this list.", "after")
    start = 0 if after is None else ids.index(after) + 1
    chosen = items[start : start + int(given)]
    page: dict[str, Any] = {
        "object": "list",
        "data": chosen,
        "first_id": ids[start] if chosen else None,
        "last_id": ids[start + len(chosen) - 1] if chosen else None,
        "has_more": start + len(chosen) < len(items),
    }
    exchange.sink.reply(200, (JSON,), msgspec.json.encode(page))


def _numbered(raw: bytes, n: int) -> dict[str, Raw]:
    """An item with an id: the client's own, or its place. Words alone become a part, as SDKs
    expect of what is listed."""
    members = msgspec.json.decode(raw, type=dict[str, Raw])
    if "role" in members:
        members.setdefault("type", Raw(b'"message"'))
    content = bytes(members.get("content", b""))
    if content[:1] == b'"':
        assistant = bytes(members.get("role", b"")) == b'"assistant"'
        kind = "output_text" if assistant else "input_text"
        part = {"type": kind, "text": Raw(content)} | ({"annotations": []} if assistant else {})
        members["content"] = Raw(msgspec.json.encode([part]))
    members.setdefault("id", Raw(b'"item_%d"' % n))
    return members
