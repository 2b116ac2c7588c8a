"""What a client may ask of routing, under the names that are in use for it: `models`, `provider`.

Read strictly: what is not understood is refused by name, since a preference that is passed over in
silence may send data where its owner forbade it to go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, NoReturn

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gateway.core.body import JsonBody, object_body
from gateway.errors import invalid

# What of a request is meant for routing, and what else is the gateway's own: no upstream sees it.
MEMBERS = ("provider", "models", "route")
PREFERRING = frozenset(MEMBERS)
OURS = (*MEMBERS, "usage", "max_cost", "fidelity")

MOST_MODELS = 16
_MOST_NAMES = 64
_MOST_TEXT = 200
_AMOUNT = re.compile(rb'"?(\d{1,20}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,2})?)"?\Z')

ClientSort = Literal["price", "throughput", "latency"]
Collection = Literal["allow", "deny"]


class MaxPrice(Struct, frozen=True):
    """The most that a route may ask: dollars a million tokens, a request, an image."""

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None
    image: Decimal | None = None


class Preferences(Struct, frozen=True):
    """What a request, or the key it came with, wants of routing. None and empty: nothing said.

    `usual_sort` is the key's own, for names that say nothing of how to choose.
    """

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool | None = None
    sort: ClientSort | None = None
    max_price: MaxPrice | None = None
    require_parameters: bool | None = None
    data_collection: Collection | None = None
    zdr: bool | None = None
    regions: tuple[str, ...] = ()
    usual_sort: ClientSort | None = None


NO_PREFERENCES = Preferences()


def preferences_of(body: JsonBody) -> Preferences:
    """What a request asks, or a 400 that names the field at fault."""
    provider, models, route = body.get("provider"), body.get("models"), body.get("route")
    if provider is models is route is None:
        return NO_PREFERENCES
    if route not in (None, b"null", b'"fallback"'):
        raise invalid("'route' must be \"fallback\" or be left out.", "route")
    found = NO_PREFERENCES
    if provider is not None and provider != b"null":
        found = _provider(provider, "provider")
    if models is not None and models != b"null":
        found = replace(found, models=_models(models))
    return found


def defaults_of(raw: bytes) -> Preferences:
    """A key's own preferences, as the same object that a request has under `provider`."""
    return _provider(raw, "provider")


def merged(defaults: Preferences, asked: Preferences) -> Preferences:
    """What a request asks, over what its key has as a rule.

    Member by member the request's goes first, except where the key protects data: a request may
    ask for more protection and never for less.
    """
    if defaults is NO_PREFERENCES:
        return asked
    both = {
        name: getattr(asked, name) or getattr(defaults, name)
        for name in ("models", "order", "only", "ignore", "max_price")
    }
    for name in ("allow_fallbacks", "require_parameters"):
        said = getattr(asked, name)
        both[name] = getattr(defaults, name) if said is None else said
    denied = "deny" in (defaults.data_collection, asked.data_collection)
    return replace(
        asked,
        **both,
        data_collection="deny" if denied else asked.data_collection or defaults.data_collection,
        zdr=True if defaults.zdr or asked.zdr else asked.zdr,
        regions=_both_regions(defaults.regions, asked.regions),
        usual_sort=defaults.sort,
    )


def strip(body: JsonBody) -> JsonBody:
    """The body less all that is the gateway's own."""
    mine = [name for name in OURS if name in body]
    return body.replace(dict.fromkeys(mine)) if mine else body


def within(region: str | None, wanted: str) -> bool:
    """Whether a region is the one wanted, or a part of it: `eu-west-1` lies in `eu`."""
    return region is not None and (region == wanted or region.startswith(wanted + "-"))


NOWHERE = "(none in common)"


def _both_regions(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The regions that lie in both lists; an empty list says nothing, so no region has a name."""
    if not one or not other:
        return one or other
    found = [a for a in one if any(within(a, b) for b in other)]
    found += [b for b in other if any(within(b, a) for a in one) and b not in found]
    return tuple(found) or (NOWHERE,)


# --- decoding, a member at a time so that each has words of its own

Read = Callable[[Any], Any]


class _BadValueError(Exception):
    """The member is not what it must be."""


# A number that nothing can hold is well-formed JSON and still can't be decoded.
_BAD = (_BadValueError, msgspec.DecodeError)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_TEXT:
        raise _BadValueError
    return value


def _folded(value: Any) -> str:
    return _text(value).lower()


def _list_of(read: Callable[[Any], str], most: int) -> Read:
    """A list without repeats, in the order given."""

    def read_list(value: Any) -> tuple[str, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise _BadValueError
        return tuple(dict.fromkeys(read(entry) for entry in value))

    return read_list


def _some(read: Read) -> Read:
    """A list that must not be empty: what allows nothing is a mistake."""

    def read_some(value: Any) -> Any:
        return read(value) or _fail()

    return read_some


def _fail() -> NoReturn:
    raise _BadValueError


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else _fail()


def _one_of(*words: str) -> Read:
    def read(value: Any) -> Any:
        return value if value in words else _fail()

    return read


_NAMES = _list_of(_folded, _MOST_NAMES)
_A_LIST = "must be a list of names of providers or routes, or of 'provider/region'"
_A_BOOLEAN = "must be true or false"

_MEMBERS: Mapping[str, tuple[Read, str]] = {
    "order": (_NAMES, _A_LIST),
    "only": (_some(_NAMES), f"{_A_LIST}, and not empty"),
    "ignore": (_NAMES, _A_LIST),
    "allow_fallbacks": (_boolean, _A_BOOLEAN),
    "sort": (
        _one_of("price", "throughput", "latency"),
        'must be "price", "throughput" or "latency"',
    ),
    "require_parameters": (_boolean, _A_BOOLEAN),
    "data_collection": (_one_of("allow", "deny"), 'must be "allow" or "deny"'),
    "zdr": (_boolean, _A_BOOLEAN),
    "regions": (_some(_NAMES), "must be a list of regions, and not empty"),
}
_KNOWN = (*_MEMBERS, "max_price")


def _provider(raw: bytes, param: str) -> Preferences:
    found: dict[str, Any] = {}
    for name, path, value in _known_members(raw, param, _KNOWN):
        if name == "max_price":
            found[name] = _max_price(value, path)
            continue
        read, must = _MEMBERS[name]
        try:
            found[name] = read(msgspec.json.decode(value))
        except _BAD:
            raise invalid(f"'{path}' {must}.", path) from None
    return Preferences(**found) if found else NO_PREFERENCES


def _max_price(raw: bytes, param: str) -> MaxPrice | None:
    found = {
        name: _amount(value, path)
        for name, path, value in _known_members(raw, param, MaxPrice.__struct_fields__)
    }
    return MaxPrice(**found) if found else None


def _amount(raw: bytes, path: str) -> Decimal:
    """Dollars, as a number or as text: never by way of a float, which is not what was sent."""
    found = _AMOUNT.match(raw)
    if found is None:
        raise invalid(f"'{path}' must be an amount in dollars, such as 1.5.", path)
    return Decimal(found[1].decode())


def _known_members(raw: bytes, param: str, known: tuple[str, ...]) -> list[tuple[str, str, bytes]]:
    """The members of an object that say something: name, path, value. Unknown ones are refused."""
    inner = object_body(raw, param)
    found: list[tuple[str, str, bytes]] = []
    for name in inner.names():
        path = f"{param}.{name[:_MOST_TEXT]}"
        if name not in known:
            raise invalid(
                f"'{path}' is not known to this gateway. '{param}' may have: {', '.join(known)}.",
                path,
            )
        value = inner.get(name)
        if value is not None and value != b"null":
            found.append((name, path, value))
    return found


_read_models = _list_of(_text, MOST_MODELS)


def _models(raw: bytes) -> tuple[str, ...]:
    try:
        return _read_models(msgspec.json.decode(raw))  # type: ignore[no-any-return]
    except _BAD:
        text = f"'models' must be a list of at most {MOST_MODELS} model names."
        raise invalid(text, "models") from None
