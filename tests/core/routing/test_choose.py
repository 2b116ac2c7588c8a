"""The order in which routes are tried: what excludes one, what prefers one, what keeps it so."""

from decimal import Decimal

import pytest

from gateway.core.routing import needs as need
from gateway.core.routing.bands import Figures
from gateway.core.routing.choose import choose, choose_all, rank
from gateway.core.routing.names import Resolved
from gateway.core.routing.needs import NO_NEEDS, Needs
from gateway.core.routing.plan import plan_of, usual_cost
from gateway.core.routing.preferences import NO_PREFERENCES, merged
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


# --- sorts


def test_without_a_word_the_cheaper_comes_first():
    """Among those that work; what is equal stays as in the file."""
    assert tried(PLAIN) == ["b", "c", "a"]
    assert tried(PLAIN, figures={"b": SHAKY}) == ["c", "a", "b"]
    assert tried([route("y"), route("x"), route("z")]) == ["y", "x", "z"]


def test_by_price_only_what_mostly_fails_comes_last():
    """A share of errors is cheaper than a dear route."""
    assert tried(PLAIN, '{"sort":"price"}', figures={"b": SHAKY}) == ["b", "c", "a"]
    assert tried(PLAIN, '{"sort":"price"}', figures={"b": FAILS}) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("sort", "figures", "order"),
    [
        ("throughput", {"a": (1, 90), "b": (1, 20), "c": (1, 50)}, ["a", "c", "b"]),
        ("throughput", {"a": (1, 50), "b": (1, 51), "c": (1, 52)}, ["b", "c", "a"]),
        ("throughput", {"a": (1, 90), "c": (1, 20)}, ["a", "b", "c"]),
        ("latency", {"a": (0.2, 1), "b": (3, 1), "c": (0.9, 1)}, ["a", "c", "b"]),
        ("latency", {"a": (1.0, 1), "b": (1.01, 1), "c": (1.02, 1)}, ["b", "c", "a"]),
        ("latency", {"b": (0.2, 1), "c": (5, 1)}, ["b", "a", "c"]),
        ("latency", {}, ["b", "c", "a"]),
    ],
)
def test_by_speed(sort, figures, order):
    """What is alike goes by price; what nobody knows stands in the middle."""
    live = {slug: Figures(latency, speed) for slug, (latency, speed) in figures.items()}
    assert tried(PLAIN, f'{{"sort":"{sort}"}}', figures=live) == order


@pytest.mark.parametrize("sort", ["throughput", "latency"])
def test_the_quickest_to_fail_is_not_the_quickest(sort):
    """Errors come fast."""
    live = {"a": Figures(0.1, 900, 0.9), "b": Figures(1, 50), "c": Figures(5, 10)}
    assert tried(PLAIN, f'{{"sort":"{sort}"}}', figures=live) == ["b", "c", "a"]


def test_the_best_is_the_highest_tier_in_the_order_of_the_file():
    """Unless it fails."""
    routes = [
        route("fast", tier="fast", cost="0.1"),
        route("dear", tier="frontier", cost="9"),
        route("none"),
        route("cheap", tier="frontier"),
        route("mid", tier="balanced"),
    ]
    assert tried(routes, sort="tier") == ["dear", "cheap", "mid", "fast", "none"]
    assert tried(routes, sort="tier", figures={"dear": FAILS})[-1] == "dear"


def test_the_healthiest_has_the_fewest_errors_then_the_least_to_do():
    """Then the quickest, then the cheapest."""
    live = {"a": Figures(in_flight=1), "b": Figures(in_flight=100), "c": SHAKY}
    assert tried(PLAIN, sort="health", figures=live) == ["a", "b", "c"]
    assert tried(PLAIN, sort="health") == ["b", "c", "a"]
    live = {"a": Figures(0.2), "b": Figures(2.0), "c": Figures(1.0)}
    assert tried(PLAIN, sort="health", figures=live) == ["a", "c", "b"]


def test_whose_sort_goes_first():
    """The request's, the name's, the key's."""
    live = {"a": Figures(0.1, 500), "b": Figures(9, 10), "c": Figures(1, 50)}
    key = asked('{"sort":"latency"}')
    mine = merged(key, asked('{"sort":"price"}'))
    assert slugs(choose(ranked(PLAIN, live, "throughput"), mine)) == ["b", "c", "a"]
    usual = merged(key, NO_PREFERENCES)
    assert slugs(choose(ranked(PLAIN, live, "price"), usual)) == ["b", "c", "a"]
    assert slugs(choose(ranked(PLAIN, live), usual)) == ["a", "c", "b"]


def test_long_calls_go_by_what_long_calls_cost():
    """A threshold that doubles a price turns the order."""
    routes = [route("flat", cost="3"), route("steep", cost="2", above=[(1000, 2)])]
    assert tried(routes) == ["steep", "flat"]
    assert tried(routes, needs=Needs(0, 1000)) == ["steep", "flat"]
    assert tried(routes, needs=Needs(0, 1001)) == ["flat", "steep"]
    assert tried(routes, '{"sort":"price"}', Needs(0, 1001)) == ["flat", "steep"]


def test_what_has_no_price_comes_last():
    """Free is cheapest."""
    routes = [route("none", unpriced=True), route("dear", cost="50"), route("free", cost="0")]
    assert tried(routes) == ["free", "dear", "none"]


def test_other_kinds_compare_by_their_own_units():
    """A picture, a second, a call."""
    cheap = route("a", kind="image", lines={"per_image": "0.04"})
    dear = route("b", kind="image", lines={"per_image": "0.05", "per_request": "0.01"})
    assert usual_cost(cheap) == 40_000_000
    assert usual_cost(dear) == 60_000_000
    tokens = {"input_per_mtok": "5", "image_output_per_mtok": "40"}
    assert usual_cost(route("c", kind="image", lines=tokens)) == 45_000_000
    assert usual_cost(route("t", cost="1")) == 3_000_000 + 4_000_000


# --- what a client wants


def test_the_clients_order_goes_first():
    """By provider, route or region; the others after it."""
    routes = (
        *PLAIN,
        route("d", provider="other", cost="9"),
        route("e", provider="Third", region="eu", cost="7"),
        route("f", provider="Third", region="us", cost="8"),
    )
    assert tried(routes, '{"order":["nobody","OTHER","a"]}') == ["d", "a", "b", "c", "e", "f"]
    assert tried(routes, '{"order":["third/us"]}')[0] == "f"
    assert tried(routes, '{"order":["other","acme"],"sort":"price"}')[:3] == ["d", "b", "c"]
    text = '{"order":["third"],"allow_fallbacks":false}'
    assert tried(routes, text, figures={"e": FAILS}) == ["f", "e"]
    assert tried(routes, '{"allow_fallbacks":false}') == ["b"]


HELD = (
    route("open", training=True, retention=30, region="us"),
    route("quiet", provider="other", training=False, retention=30, region="eu-west-1", cost="2"),
    route("deaf", provider="third", retention=0, zdr=True, region="eu", cost="3"),
    route("dumb", provider="fourth", cost="4"),
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"only":["other","deaf"]}', ["quiet", "deaf"]),
        ('{"ignore":["other","deaf"]}', ["open", "dumb"]),
        ('{"ignore":["nobody"]}', ["open", "quiet", "deaf", "dumb"]),
        ('{"regions":["eu"]}', ["quiet", "deaf"]),
        ('{"regions":["eu-west-1","us"]}', ["open", "quiet"]),
        ('{"data_collection":"deny"}', ["quiet", "deaf"]),
        ('{"data_collection":"allow"}', ["open", "quiet", "deaf", "dumb"]),
        ('{"zdr":true}', ["deaf"]),
        ('{"zdr":false}', ["open", "quiet", "deaf", "dumb"]),
        ('{"max_price":{"prompt":2}}', ["open", "quiet"]),
        ('{"max_price":{"completion":"11.99"}}', ["open", "quiet"]),
        ('{"max_price":{"completion":12}}', ["open", "quiet", "deaf"]),
        ('{"max_price":{"request":0,"image":0}}', ["open", "quiet", "deaf", "dumb"]),
        ('{"max_price":{"prompt":3},"regions":["eu"],"ignore":["other"]}', ["deaf"]),
    ],
)
def test_preferences_exclude(text, left):
    """What is not known of a route counts as the worse answer."""
    assert tried(HELD, text) == left


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ('{"only":["nobody"]}', "only"),
        ('{"ignore":["open","quiet","deaf","dumb"]}', "ignore"),
        ('{"regions":["asia"]}', "regions"),
        ('{"regions":["e"]}', "regions"),
        ('{"max_price":{"prompt":0.5}}', "max_price"),
        ('{"order":["nobody"],"allow_fallbacks":false}', "order"),
        ('{"only":["open"],"zdr":true}', "zdr"),
        ('{"only":["open"],"data_collection":"deny"}', "data_collection"),
    ],
)
def test_the_preference_that_excludes_the_last_is_named(text, param):
    """And those before it that had excluded some."""
    fault = refused(HELD, text)
    assert (fault.kind.status, fault.param) == (400, f"provider.{param}")
    assert f"'provider.{param}' excludes every route of 'x'" in fault.message
    assert ("that 'provider.only' left" in fault.message) is ('"open"],' in text and "only" in text)


def test_a_preference_that_excluded_nothing_is_not_blamed():
    """Only what narrowed the choice is told."""
    assert "left" not in refused(HELD[:2], '{"ignore":["nobody"],"zdr":true}').message
    message = refused(HELD, '{"ignore":["third"],"only":["other","open"],"zdr":true}').message
    assert "that 'provider.only' left" in message


def test_the_highest_price_is_what_the_caller_pays():
    """The group's multiplier and the length of the call included; no price is no price."""
    one = (route("a", cost="1", above=[(1000, 2)]),)
    limit = '{"max_price":{"prompt":1.2}}'
    assert tried(one, limit, multiplier=Decimal("1.2")) == ["a"]
    assert refused(one, limit, multiplier=Decimal("1.21")).param == "provider.max_price"
    assert refused(one, limit, Needs(0, 1001)).param == "provider.max_price"
    assert refused((route("a", unpriced=True),), limit).param == "provider.max_price"


def test_only_what_the_key_may_use():
    """A predicate handed in."""
    assert tried(PLAIN, may=lambda one: one.slug != "b") == ["c", "a"]
    assert refused(PLAIN, may=lambda one: False).kind.code == "model_not_allowed"


# --- what a request needs

SEES = need.VISION | need.STREAMING
ABLE = (
    route("blind", cost="1"),
    route("sees", cost="2", able=("streaming", "vision")),
    route("all", cost="3", able=("streaming", "vision", "tools")),
)


def test_what_lacks_a_need_is_tried_last_and_never_chosen():
    """A model asked for by name may know more than the catalog does."""
    assert tried(ABLE, needs=Needs(SEES)) == ["sees", "all", "blind"]
    assert tried(ABLE, needs=Needs(SEES), sort="price", choice=True) == ["sees", "all"]
    assert tried(ABLE, '{"require_parameters":true}', Needs(SEES)) == ["sees", "all"]
    assert tried(ABLE, '{"sort":"price"}', Needs(SEES), choice=True) == ["sees", "all"]
    assert tried(ABLE, needs=Needs(need.AUDIO)) == ["blind", "sees", "all"]


def test_one_call_leaves_nothing_behind_for_the_next():
    """What was worked out for one need is not for another."""
    it = ranked(ABLE)
    for _ in range(2):
        assert slugs(choose(it, NO_PREFERENCES)) == ["blind", "sees", "all"]
        assert slugs(choose(it, NO_PREFERENCES, Needs(SEES))) == ["sees", "all", "blind"]
        assert slugs(choose(it, NO_PREFERENCES, Needs(need.TOOLS))) == ["blind", "all", "sees"]


def test_a_choice_that_nothing_meets_says_what_is_missing():
    """All of it that not every route has."""
    fault = refused(ABLE, needs=Needs(need.AUDIO | SEES), choice=True)
    assert (fault.kind.status, fault.param) == (400, "model")
    assert "images, audio input." in fault.message
    fault = refused(ABLE, '{"require_parameters":true}', Needs(need.AUDIO))
    assert fault.param == "provider.require_parameters"


def test_no_call_is_refused_for_a_guess_of_its_length():
    """Those with room go first; where none has, the one with the most."""
    routes = (
        route("small", cost="1", context=100),
        route("big", cost="3", context=1000),
        route("mid", cost="2", context=500),
    )
    assert tried(routes, needs=Needs(0, 50, 50)) == ["small", "mid", "big"]
    assert tried(routes, needs=Needs(0, 50, 51)) == ["mid", "big", "small"]
    assert tried(routes, needs=Needs(0, 50, 51), choice=True) == ["mid", "big"]
    for choice in (True, False):
        assert tried(routes, needs=Needs(0, 5000), choice=choice) == ["big", "mid", "small"]


# --- several models


def test_fallback_models_come_after():
    """One that has nothing left is passed over; all are refused as the first."""
    first, second = ranked(HELD[:1]), ranked(HELD[1:3])
    assert slugs(choose_all([first, second], NO_PREFERENCES)) == ["open", "quiet", "deaf"]
    assert slugs(choose_all([first, second], asked('{"zdr":true}'))) == ["deaf"]
    assert slugs(choose_all([second, second], NO_PREFERENCES)) == ["quiet", "deaf"]
    dearer = ranked((route("dear", cost="9", zdr=True),))
    with pytest.raises(Fault, match="zdr"):
        choose_all([first, dearer], asked('{"max_price":{"prompt":5},"zdr":true}'))
    with pytest.raises(Fault, match="max_price"):
        choose_all([dearer, first], asked('{"max_price":{"prompt":5},"zdr":true}'))
    with pytest.raises(Fault, match=r"'provider\.only' excludes"):
        choose_all([first, second], asked('{"only":["nobody"]}'))


# --- shares


def test_alike_routes_share_the_calls_by_the_square_of_their_price():
    """1 to 1/4 to 1/9: of a thousand even draws."""
    firsts = [tried(PLAIN, luck=n / 1000)[0] for n in range(1000)]
    whole = 1 + 1 / 4 + 1 / 9
    for slug, share in (("b", 1), ("c", 1 / 4), ("a", 1 / 9)):
        assert abs(firsts.count(slug) / 1000 - share / whole) < 0.002


def test_luck_moves_one_route_alone():
    """And none that is worse by more than its price."""
    assert tried(PLAIN, luck=0.999) == ["a", "b", "c"]
    assert tried(PLAIN, luck=0.999, figures={"a": SHAKY}) == ["c", "b", "a"]
    assert tried(PLAIN, '{"ignore":["none"]}', luck=0.999) == ["a", "b", "c"]
    assert tried(ABLE, luck=0.999, needs=Needs(SEES)) == ["all", "sees", "blind"]
    tight = (route("a", context=10), route("b"), route("c", context=20))
    assert tried(tight, luck=0.999, needs=Needs(0, 15)) == ["c", "b", "a"]
    assert tried(tight[::2], luck=0.999, needs=Needs(0, 50)) == ["c", "a"]
    free = [route("a", cost="0"), route("b", cost="0"), route("c")]
    assert tried(free, luck=0.999) == ["b", "a", "c"]


@pytest.mark.parametrize("sort", ["price", "tier", "health", "latency", "throughput"])
def test_a_sort_leaves_nothing_to_luck(sort):
    """It says what comes first."""
    assert tried(PLAIN, sort=sort, luck=0.999) == tried(PLAIN, sort=sort)
