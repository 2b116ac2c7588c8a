"""What the catalog that we ship comes to: every word of it is understood, and chosen by."""

from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from gateway.catalog import schema
from gateway.catalog.load import load
from gateway.core.routing import needs as need
from gateway.core.routing.choose import choose, needs_matter, rank
from gateway.core.routing.names import resolve
from gateway.core.routing.needs import Needs, offers
from gateway.core.routing.plan import plan_of
from gateway.core.routing.preferences import NO_PREFERENCES
from tests.core.routing.made import asked, catalog, route, slugs

DAY = date(2026, 5, 1)


@pytest.fixture(scope="module")
def shipped():
    return load(Path(__file__).parents[3] / "catalog.yaml", {})


def first(shipped, name, wishes=NO_PREFERENCES, needs=need.NO_NEEDS):
    return choose(rank(plan_of(resolve(name, shipped, DAY)), {}), wishes, needs)


def test_every_choice_and_capability_is_understood():
    """A word that the schema takes and choosing does not know would do nothing."""
    for choice in get_args(schema.Choose):
        assert resolve("x", catalog(route("a"), auto={"x": choice}), DAY).sort
    for word in get_args(schema.Capability):
        assert offers(route("a", able=(word,)))


def test_every_name_resolves_or_says_why_not(shipped):
    """On a day on which all but one of them are served."""
    names = [*shipped.by_name, *shipped.auto]
    ended = {name for name in names if not (shipped.auto.get(name) or alive(shipped, name))}
    assert ended == {"claude-3-5-sonnet", "anthropic/claude-3-5-sonnet"}
    for name in set(names) - ended:
        assert first(shipped, name)


def alive(shipped, name):
    return any(one.sunset is None or one.sunset >= str(DAY) for one in shipped.by_name[name])


def test_what_the_auto_models_choose(shipped):
    """Cheapest of the balanced, first of the frontier, and nothing that costs money."""
    balanced = first(shipped, "auto-balanced")
    assert {one.model.tier for one in balanced} <= {"balanced", "frontier"}
    usual = [3 * one.price.lines["input_per_mtok"] + one.price.lines["output_per_mtok"]
             for one in balanced]  # fmt: skip
    assert usual == sorted(usual)
    frontier = first(shipped, "auto-frontier")
    assert frontier[0].slug == next(iter(shipped.auto["auto-frontier"].routes)).slug
    assert all(one.price.free for one in first(shipped, "auto-free"))


def test_an_auto_model_can_do_what_it_is_chosen_for(shipped):
    """With tools, pictures and a long context."""
    wanted = Needs(need.TOOLS | need.VISION | need.STREAMING, 300_000, 1_000)
    found = first(shipped, "auto-balanced", needs=wanted)
    assert found
    assert all(need.lacks(one, wanted) is None for one in found)


def test_the_simulator_keeps_nothing(shipped):
    """It runs in the gateway itself; of the others the operator's contract decides."""
    assert slugs(first(shipped, "auto-free", asked('{"zdr":true,"data_collection":"deny"}'))) == [
        "echo"
    ]


def test_needs_are_not_looked_for_in_vain(shipped):
    """One route and no preferences: whatever is needed, it is the one."""
    one, more = (plan_of(resolve(name, shipped, DAY)) for name in ("gpt-4o", "auto-free"))
    assert not needs_matter(one, NO_PREFERENCES)
    assert needs_matter(one, asked('{"zdr":true}'))
    assert needs_matter(more, NO_PREFERENCES)
    lone = plan_of(resolve("x", catalog(route("a"), auto={"x": "best"}), DAY))
    assert needs_matter(lone, NO_PREFERENCES)
