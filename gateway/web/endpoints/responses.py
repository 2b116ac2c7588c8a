"""POST responses, and what may be done with a response afterwards."""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway import errors
from gateway.core.body import JsonBody, check_values
from gateway.core.talk.responses import (
    Line,
    Stored,
    deleted,
    dereferenced,
    expand,
    input_items,
    unknown_response,
)
from gateway.domain import Key
from gateway.errors import Fault, invalid
from gateway.pipeline.admission import Ask, Body, read
from gateway.schemas import responses
from gateway.web.endpoints.inference import MIB, Inference
from gateway.web.exchange import JSON, Exchange

Owner = tuple[str, Line]
NOBODY: Owner = "", ()


class Conversation:
    """One call: what it refers to is put in front of it, and its answer is kept for the next."""

    def __init__(self, exchange: Exchange, body: Body) -> None:
        self._exchange = exchange
        self._body = body
        self._owner = NOBODY
        self._asked = JsonBody(b"{}")

    async def read(self) -> bytes:
        """The body, with all that came before it."""
        raw = await read(self._body)
        assert isinstance(raw, bytes)
        site = self._exchange.site
        key = await self._exchange.key("inference")
        self._owner = owner = _owner_of(key) if site.keeps_responses else NOBODY
        (account, line), now = owner, site.services.clock.time()
        check_values(raw)
        body = JsonBody.parse(raw)
        if body.get("conversation") not in (None, b"null"):
            raise invalid(
                "The gateway keeps no conversations, and a provider's are those of all who call it "
                "through here; send the whole input.",
                "conversation",
            )
        body = dereferenced(body, site.responses.finder(account, now, line))
        before = body.get("previous_response_id")
        if before is not None and before[:1] == b'"':
            name = msgspec.json.decode(before, type=str)
            body = expand(body, _found(self._exchange, owner, name, "previous_response_id"))
        self._asked = body
        return body.raw

    def keep(self, response: bytes) -> None:
        """Keep the answer; nobody's are not kept, since anybody could ask for them."""
        account, line = self._owner
        if account:
            site = self._exchange.site
            now = site.services.clock.time()
            site.responses.remember(account, self._asked, response, now, line)


class Responses(Inference, frozen=True):
    """POST responses."""

    def ask(self, exchange: Exchange, body: Body | None = None) -> Ask:
        """The call as the pipeline takes it, with the body that came or another one."""
        secret, digest, given = exchange.key_and_body(self.limit)
        conversation = Conversation(exchange, given if body is None else body)
        return Ask(
            operation=self.operation,
            secret=secret,
            decoder=self.decoder,
            body=conversation.read,
            address=exchange.address,
            headers=exchange.request.headers,
            digest=digest,
            keep=conversation.keep,
        )


CREATE = Responses("responses", responses.decoder, 32 * MIB)


async def show(exchange: Exchange) -> None:
    """GET responses/{id}, and responses/{id}/input_items."""
    owner = _owner_of(await exchange.key("inference"))
    name, _, what = exchange.rest.partition("/")
    if what not in ("", "input_items"):
        raise Fault(errors.NOT_FOUND, f"There is no endpoint '{exchange.path[:100]}'.")
    query = exchange.query
    if query.get("stream") == "true":
        raise invalid("A response that is complete cannot be streamed again.", "stream")
    found = _found(exchange, owner, name, "response_id")
    if not what:
        exchange.sink.reply(200, (JSON,), found.response)
        return
    given = query.get("limit", "20")
    if query.get("order", "desc") not in ("asc", "desc"):
        raise invalid("'order' must be 'asc' or 'desc'.", "order")
    order: Literal["asc", "desc"] = "asc" if query.get("order") == "asc" else "desc"
    limit = int(given) if given.isascii() and given.isdigit() and len(given) < 5 else 0
    page = input_items(found, after=query.get("after", ""), limit=limit, order=order)
    exchange.sink.reply(200, (JSON,), page)


async def delete(exchange: Exchange) -> None:
    """DELETE responses/{id}."""
    account, line = _owner_of(await exchange.key("inference"))
    site, name = exchange.site, exchange.rest
    if not site.responses.delete(account, name, site.services.clock.time(), line):
        raise unknown_response(name, "response_id")
    exchange.sink.reply(200, (JSON,), deleted(name))


async def cancel(exchange: Exchange) -> None:
    """POST responses/{id}/cancel: only background work could be, and there is none."""
    owner = _owner_of(await exchange.key("inference"))
    name, _, what = exchange.rest.partition("/")
    if what != "cancel":
        raise Fault(errors.NOT_FOUND, f"There is no endpoint '{exchange.path[:100]}'.")
    _found(exchange, owner, name, "response_id")
    raise invalid(
        "This response is complete: only a response in the background can be cancelled. To stop "
        "one that is streamed, close its connection."
    )


async def dispatch(exchange: Exchange) -> None:
    """By method."""
    acts = {"GET": show, "HEAD": show, "DELETE": delete, "POST": cancel}
    await acts[exchange.request.method](exchange)


def _owner_of(key: Key) -> Owner:
    """Whose responses the caller may see; nobody's without a key, a derived key's own with that."""
    if not key.n or key.account is None:
        return NOBODY
    return key.account.id, tuple(child.id for child in key.children)


def _found(exchange: Exchange, owner: Owner, name: str, param: str) -> Stored:
    site, (account, line) = exchange.site, owner
    found = None
    if account:
        found = site.responses.get(account, name, site.services.clock.time(), line)
    if found is None:
        raise unknown_response(name, param)
    return found
