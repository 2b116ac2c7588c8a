"""What a client asks of the gateway itself, beside what it asks of the model."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from gateway.core.body import JsonBody, object_body
from gateway.core.money.amounts import nanos_of
from gateway.domain import Route
from gateway.errors import invalid

_OURS = ("usage", "max_cost")
_USUAL_CEILING = 16_384
_MOST_EVER = 1_000_000
_OLD_DEFAULT = 16


class Wishes(Struct, frozen=True):
    """How usage is shown, what the call may cost, and how long its answer may be."""

    show_usage: bool = False
    show_cost: bool = False
    max_cost: int | None = None
    answers: int = 1
    max_tokens: int | None = None
    ceiling_name: str = "max_completion_tokens"
    ours: bool = False  # the body says something that is meant for the gateway alone


def wishes_of(operation: str, body: JsonBody, known: Any, max_cost: str | None) -> Wishes:
    """Read them from the decoded request and the `x-max-cost` header."""
    given = known.max_cost
    wanted = max_cost if given is None else given
    limit = None if wanted is None else _max_cost(wanted)
    if operation == "embeddings":
        return Wishes(max_cost=limit, max_tokens=0, ours=given is not None)
    show_cost = known.usage is not None and _asks(body, "usage") and known.usage.include is True
    options = known.stream_options
    shows = options is not None and _asks(body, "stream_options") and options.include_usage is True
    ours = given is not None or known.usage is not None
    name = "max_tokens"
    if operation == "chat":
        if known.max_completion_tokens is not None or known.max_tokens is None:
            name = "max_completion_tokens"
        most = known.max_completion_tokens or known.max_tokens
        answers = known.n or 1
    else:
        most = _OLD_DEFAULT if known.max_tokens is None else known.max_tokens
        answers = max(known.n or 1, known.best_of or 1)
    return Wishes(shows or show_cost, show_cost, limit, answers, most, name, ours)


def without_ours(body: JsonBody) -> JsonBody:
    """The body less what is meant for the gateway alone."""
    mine = [name for name in _OURS if name in body]
    return body.replace(dict.fromkeys(mine)) if mine else body


def ceiling(wishes: Wishes, route: Route) -> int:
    """The most output tokens the call can have, over all its answers."""
    known = route.max_output or route.model.max_output
    if wishes.max_tokens is None:
        each = known or _USUAL_CEILING
    else:
        each = min(wishes.max_tokens, known or route.context or route.model.context or _MOST_EVER)
    return each * wishes.answers


def _max_cost(given: str | float) -> int:
    try:
        amount = nanos_of(given)
    except ValueError:
        amount = -1
    if amount < 0:
        raise invalid("'max_cost' must be an amount in dollars, such as 0.05.", "max_cost")
    return amount


def _asks(body: JsonBody, name: str) -> bool:
    options = body.get(name)
    if options is None or options == b"null":
        return False
    object_body(options, name)
    return True
