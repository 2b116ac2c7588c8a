"""Who may ask for what a route has no price for: whoever is billed afterwards, and has no limit.

A charge is made of tokens. What a provider bills beside them the operator would pay for all whose
money is counted, unless the catalog says that a route's `extras` are the operator's to give.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import structs

from gateway.core.extras import STORED, TELLING, places_of
from gateway.domain import Route
from gateway.errors import INVALID_REQUEST, Fault
from gateway.pipeline.candidates import Wanted
from gateway.pipeline.desk import Standing
from gateway.pipeline.services import Candidate


def within_price(
    standing: Standing, wanted: Wanted, found: list[Candidate]
) -> tuple[Wanted, list[Candidate]]:
    """Those of the candidates that give a limited key what it asks for; a refusal if none does."""
    if not wanted.body.has_any(TELLING):
        return wanted, found
    places = places_of(wanted.operation, wanted.body)
    if not places:
        return wanted, found
    if not standing.key.n:
        name, place = next(iter(places.items()))
        raise _refusal(f"{_what(name, place)} needs an API key. Leave it out, or send one.", place)
    wanted = structs.replace(wanted, extras=tuple(places))
    giving = [one for one in found if one.route.gives(wanted.extras)]
    if not giving:
        raise _not_given(found[0].route, places)
    return wanted, giving


def _not_given(route: Route, places: Mapping[str, str]) -> Fault:
    name = next(one for one in places if one not in route.extras)
    what, place = _what(name, places[name]), places[name]
    why = "lies in the provider's account, which others share" if name == STORED else ""
    why = why or f"has no price on the route '{route.slug}', and this key's money is limited"
    return _refusal(
        f"{what} {why}. Leave it out, or ask the gateway's operator, who may allow it in the "
        f"catalog (extras: [{name}]).",
        place,
    )


def _what(name: str, place: str) -> str:
    return f"'{place}'" if name in (place, STORED) else f"'{place}' ({name})"


def _refusal(message: str, place: str) -> Fault:
    return Fault(INVALID_REQUEST, message, param=place, cause="unpriced_extra")
