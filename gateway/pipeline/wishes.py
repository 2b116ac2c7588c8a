"""What a client asks of the gateway itself, beside what it asks of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from gateway.core.body import JsonBody, object_body
from gateway.core.money.amounts import nanos_within
from gateway.core.routing.preferences import (
    NO_PREFERENCES,
    PREFERRING,
    Preferences,
    preferences_of,
)
from gateway.errors import invalid
from gateway.pipeline.services import Candidate
from gateway.sdk import with_stream_usage

_OURS = (
    "usage", "max_cost", "fidelity", "provider", "models", "route", "webhook", "webhook_url",
)  # fmt: skip
_OLD_DEFAULT = 16
# Members that any of the other wishes is told by.
_TOLD = frozenset((*_OURS, "stream_options"))
_COUNTED_IN = ("embeddings", "moderations", "rerank")  # what comes out is not counted


# The members that bound an answer's length, and what each of them asks.
Ceilings = tuple[tuple[str, int | None], ...]


class Wishes(Struct, frozen=True, gc=False):
    """How usage is shown, what the call may cost, and how long its answer may be."""

    show_usage: bool = False
    show_cost: bool = False
    max_cost: int | None = None
    answers: int = 1
    max_tokens: int | None = None
    ceilings: Ceilings = (("max_completion_tokens", None),)
    ours: bool = False  # the body says something that is meant for the gateway alone
    asks_usage: bool = False  # of a stream whose usage comes only to who asks
    preferences: Preferences = NO_PREFERENCES
    strict: bool = False  # what cannot be said to the provider is refused, not lost
    webhook: str | None = None  # who is to be told of the end of what goes on by itself


def wishes_of(operation: str, body: JsonBody, known: Any, headers: Mapping[str, str]) -> Wishes:
    """Read them from the decoded request and its headers."""
    length_of = _LENGTH.get(operation)
    wanted, asked = headers.get("x-max-cost"), headers.get("x-gateway-fidelity")
    if wanted is asked is None and length_of is not None and not body.has_any(_TOLD):
        answers, most, ceilings = length_of(known)
        return Wishes(False, False, None, answers, most, ceilings)
    given, faithful = known.max_cost, known.fidelity
    wanted = wanted if given is None else given
    limit = None if wanted is None else _max_cost(wanted)
    strict = False
    if faithful is not None or asked is not None:
        strict = _is_strict(faithful) or _is_strict(asked)
    preferences = preferences_of(body) if body.has_any(PREFERRING) else NO_PREFERENCES
    ours = given is not None or faithful is not None or preferences is not NO_PREFERENCES
    if length_of is None:
        webhook = getattr(known, "webhook", None) or getattr(known, "webhook_url", None)
        return Wishes(
            max_cost=limit,
            answers=getattr(known, "n", None) or 1,
            max_tokens=0 if operation in _COUNTED_IN else None,
            ours=ours or webhook is not None,
            preferences=preferences,
            webhook=webhook,
            strict=strict,
        )
    answers, most, ceilings = length_of(known)
    usage, show_cost = known.usage, False
    if usage is not None:
        ours, show_cost = True, _asks(body, "usage") and usage.include is True
    shows, asks = show_cost, False
    if operation in _STREAM_OPTIONS:
        shows = show_cost or (known.stream_options is not None and _shows_usage(body, known))
        asks = show_cost and known.stream is True
    return Wishes(shows, show_cost, limit, answers, most, ceilings, ours, asks, preferences, strict)


def _shows_usage(body: JsonBody, known: Any) -> bool:
    return _asks(body, "stream_options") and known.stream_options.include_usage is True


Length = tuple[int, int | None, Ceilings]


def _chat_length(known: Any) -> Length:
    """Some hosts know one of the two names, some the other: the larger figure is what may come."""
    newer, older = known.max_completion_tokens, known.max_tokens
    if older is None:
        return known.n or 1, newer, (("max_completion_tokens", newer),)
    if newer is None:
        return known.n or 1, older, (("max_tokens", older),)
    asked = (("max_completion_tokens", newer), ("max_tokens", older))
    return known.n or 1, max(newer, older), asked


def _completions_length(known: Any) -> Length:
    most = _OLD_DEFAULT if known.max_tokens is None else known.max_tokens
    answers = max(known.n or 1, known.best_of or 1) * known.prompts()
    return answers, most, (("max_tokens", most),)


def _messages_length(known: Any) -> Length:
    return 1, known.max_tokens, (("max_tokens", known.max_tokens),)


def _responses_length(known: Any) -> Length:
    most = known.max_output_tokens
    return 1, most, (("max_output_tokens", most),)


_LENGTH: dict[str, Callable[[Any], Length]] = {
    "chat": _chat_length,
    "completions": _completions_length,
    "messages": _messages_length,
    "responses": _responses_length,
}
_STREAM_OPTIONS = ("chat", "completions")


def without_ours(body: JsonBody, wishes: Wishes) -> JsonBody:
    """The body less what is meant for the gateway alone. A cost is shown beside the usage."""
    changes: dict[str, bytes | None] = {name: None for name in _OURS if name in body}
    if wishes.asks_usage:
        changes["stream_options"] = with_stream_usage(body)
    return body.replace(changes) if changes else body


def ceiling(wishes: Wishes, candidate: Candidate) -> int:
    """The most output tokens the call can have, over all its answers."""
    each, most = wishes.max_tokens, candidate.longest_answer
    if each is None:
        each = candidate.usual_answer
    elif each > most:
        each = most
    return each * wishes.answers


def _is_strict(given: str | None) -> bool:
    if given not in (None, "strict", "adapt"):
        raise invalid("'fidelity' must be 'strict' or 'adapt'.", "fidelity")
    return given == "strict"


def _max_cost(given: str | float) -> int:
    try:
        amount = nanos_within(given)
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
