"""What holds for every choice: figures do not flap, and whatever is asked is obeyed."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.routing import needs as need
from gateway.core.routing.bands import Figures, settled
from gateway.core.routing.choose import Ranks, choose, order_of, rank
from gateway.core.routing.names import Resolved
from gateway.core.routing.needs import NO_NEEDS, Needs
from gateway.core.routing.plan import plan_of
from gateway.core.routing.preferences import NO_PREFERENCES, Preferences
from gateway.errors import Fault
from tests.core.routing.made import asked, route, slugs

FAILS = Figures(error_share=0.9)
SHAKY = Figures(error_share=0.2)
PLAIN = (route("a", cost="3"), route("b", cost="1"), route("c", cost="2"))


def ranked(routes, figures=None, sort=None, choice=False, before=None):
    plan = plan_of(Resolved("x", tuple(routes), sort, choice))
    return rank(plan, figures or {}, before)


def tried(routes, text="{}", needs=NO_NEEDS, figures=None, sort=None, choice=False, **more):
    return slugs(choose(ranked(routes, figures, sort, choice), asked(text), needs, **more))


def refused(routes, text="{}", needs=NO_NEEDS, **more):
    with pytest.raises(Fault) as caught:
        tried(routes, text, needs, **more)
    return caught.value


HELD = (
    route("open", training=True, retention=30, region="us"),
    route("quiet", provider="other", training=False, retention=30, region="eu-west-1", cost="2"),
    route("deaf", provider="third", retention=0, zdr=True, region="eu", cost="3"),
    route("dumb", provider="fourth", cost="4"),
)


# --- steadiness


@given(st.lists(st.floats(0.95, 1.05), min_size=2, max_size=30), st.sampled_from([0.3, 1.0, 40.0]))
def test_a_figure_about_an_edge_crosses_it_once_at_most(factors, edge):
    """However it wavers."""
    band, crossed = None, 0
    for factor in factors:
        now = settled(edge * factor, (edge / 2, edge, edge * 2), band)
        crossed += band is not None and now != band
        band = now
    assert crossed == 0


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_a_figure_far_over_an_edge_always_crosses(first, second):
    """A band holds on to no figure that is more than a tenth outside of it."""
    edges = (0.1, 0.5, 2.0, 30.0)
    band = settled(second, edges, settled(first, edges, None))
    if band < len(edges):
        assert second <= edges[band] * 1.1
    if band:
        assert second >= edges[band - 1] * 0.9


def test_ranks_do_not_flap():
    """The same two figures, wavering about each other and an edge, keep one order."""
    plan = plan_of(Resolved("x", (route("a"), route("b")), "latency"))
    ranks = Ranks()
    seen = set()
    for turn in range(50):
        shift = 0.03 if turn % 2 else -0.03
        live = {"a": Figures(0.14 * (1 + shift)), "b": Figures(0.14 * (1 - shift))}
        seen.add(tuple(slugs(choose(ranks.of(plan, live, turn), NO_PREFERENCES))))
    assert len(seen) == 1


def test_ranks_are_made_once_a_turn():
    """And anew for another plan of the same name, on what was known before."""
    plan = plan_of(Resolved("x", PLAIN))
    ranks = Ranks()
    first = ranks.of(plan, {}, 1)
    assert ranks.of(plan, {"b": FAILS}, 1) is first
    second = ranks.of(plan, {"b": FAILS}, 2)
    assert slugs(choose(second, NO_PREFERENCES)) == ["c", "a", "b"]
    # 0.28 is within a tenth of 0.3: the band that it was in holds it there.
    again = ranks.of(plan_of(Resolved("x", PLAIN)), {"b": Figures(error_share=0.28)}, 2)
    assert again.bands["b"].failing == 1
    assert slugs(choose(ranks.of(plan_of(Resolved("x", HELD)), {}, 2), NO_PREFERENCES))[0] == "open"


def test_an_order_that_stays_the_same_is_the_very_same():
    """So what was made of it need not be made anew each second; one that changes is another."""
    same = tuple(route(name) for name in "abcd")
    plan = plan_of(Resolved("x", same))
    ranks = Ranks()

    def drawn(turn, figures):
        ranked = ranks.of(plan, figures, turn)
        return [choose(ranked, NO_PREFERENCES, luck=luck) for luck in (0.1, 0.3, 0.6, 0.9)]

    first = drawn(1, {})
    assert [slugs(one)[0] for one in first] == ["a", "b", "c", "d"]
    for turn in (2, 3, 4):
        again = drawn(turn, {"a": Figures(in_flight=turn)})
        assert all(one is other for one, other in zip(first, again, strict=True))
    changed = drawn(5, {"a": FAILS})
    assert [slugs(one)[0] for one in changed] == ["b", "b", "c", "d"]


# --- laws

FIGURES = st.builds(
    Figures,
    st.none() | st.floats(0.01, 60),
    st.none() | st.floats(1, 900),
    st.floats(0, 1),
    st.integers(0, 500),
)
ROUTES = st.lists(
    st.builds(
        route,
        st.sampled_from("abcdefgh"),
        provider=st.sampled_from(["p", "q", "r"]),
        cost=st.sampled_from(["0", "1", "2", "3"]),
        able=st.sampled_from([(), ("tools",), ("tools", "vision")]),
        context=st.none() | st.sampled_from([10, 100, 1000]),
        tier=st.sampled_from([None, "fast", "frontier"]),
        region=st.sampled_from([None, "eu", "us"]),
        zdr=st.booleans(),
        training=st.sampled_from([None, True, False]),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.slug,
)
WISHES = st.builds(
    Preferences,
    order=st.sampled_from([(), ("q", "p"), ("c",)]),
    only=st.sampled_from([(), ("p", "q")]),
    ignore=st.sampled_from([(), ("r",)]),
    allow_fallbacks=st.none() | st.booleans(),
    sort=st.sampled_from([None, "price", "throughput", "latency"]),
    require_parameters=st.none() | st.booleans(),
    data_collection=st.sampled_from([None, "deny"]),
    zdr=st.none() | st.booleans(),
    regions=st.sampled_from([(), ("eu",)]),
)
NEEDS = st.builds(Needs, st.sampled_from([0, need.TOOLS, need.VISION]), st.integers(0, 2000))
LUCK = st.none() | st.floats(0, 1, exclude_max=True)
SORTS = st.sampled_from([None, "price", "throughput", "latency", "tier", "health"])


def outcome(it, wishes, needs, luck=None):
    """The routes, or what is said instead: a 400 that names what is at fault."""
    try:
        return choose(it, wishes, needs, luck=luck)
    except Fault as fault:
        return fault.message if (fault.kind.status, bool(fault.param)) == (400, True) else None


@given(ROUTES, WISHES, NEEDS, st.dictionaries(st.sampled_from("abcdefgh"), FIGURES), LUCK,
       SORTS, st.booleans())  # fmt: skip
def test_choosing_obeys_whatever_it_is_asked(routes, wishes, needs, figures, luck, sort, choice):
    """Every route at most once, none that is forbidden, the same each time; or a Fault."""
    found = outcome(ranked(routes, figures, sort, choice), wishes, needs, luck)
    assert outcome(ranked(routes, figures, sort, choice), wishes, needs, luck) == found
    if isinstance(found, str):
        return
    assert found
    assert len(set(slugs(found))) == len(found)
    for one in found:
        assert not wishes.only or one.provider.name in wishes.only
        assert one.provider.name not in wishes.ignore
        assert not wishes.zdr or one.data.zdr
        assert wishes.data_collection is None or one.data.training is not True
        assert not wishes.regions or one.region == "eu"
        if choice or wishes.require_parameters:
            assert need.lacks(one, Needs(needs.wants)) is None
    if wishes.allow_fallbacks is False:
        assert wishes.order or len(found) == 1
    # Whatever says nothing about who is excluded loses nobody.
    if wishes == NO_PREFERENCES and not choice:
        assert len(found) == len(routes)


@given(ROUTES, NEEDS, st.dictionaries(st.sampled_from("abcdefgh"), FIGURES), LUCK, SORTS,
       st.booleans())  # fmt: skip
def test_the_quick_way_finds_what_the_long_way_does(routes, needs, figures, luck, sort, choice):
    """A preference that excludes nothing changes nothing."""
    it = ranked(routes, figures, sort, choice)
    nothing = Preferences(ignore=("nobody",))
    assert outcome(it, NO_PREFERENCES, needs, luck) == outcome(it, nothing, needs, luck)


@given(ROUTES, WISHES, NEEDS)
def test_order_of_is_all_the_steps(routes, wishes, needs):
    """For who has no plan."""
    found = outcome(rank(plan_of(Resolved("m", tuple(routes))), {}), wishes, needs)
    if isinstance(found, str):
        with pytest.raises(Fault, match=re.escape(found)):
            order_of(tuple(routes), wishes, needs)
    else:
        assert order_of(tuple(routes), wishes, needs) == found
