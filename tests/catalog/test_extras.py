"""What the operator lets be asked for beside what is priced."""

import typing

import pytest

from gateway.core.extras import BILLED, Extra
from tests.catalog.test_docs import DOCS

ROUTE = "sim-big: {provider: sim, upstream: echo, "
MODEL = "    tier: frontier\n"


def said(good, load, model="", route=""):
    text = good.replace(MODEL, MODEL + model, 1).replace(ROUTE, ROUTE + route, 1)
    routes = load(text).routes
    return routes["sim-big"].extras, routes["big"].extras


@pytest.mark.parametrize(
    ("model", "route", "extras"),
    [
        ("", "", (frozenset(), frozenset())),
        ("", "extras: [web_search, stored], ", ({"web_search", "stored"}, frozenset())),
        ("", "extras: true, ", (BILLED, frozenset())),
        ("    extras: [speed]\n", "", ({"speed"}, {"speed"})),
        ("    extras: [speed]\n", "extras: [service_tier], ", ({"service_tier"}, {"speed"})),
        ("    extras: true\n", "extras: [], ", (frozenset(), BILLED)),
    ],
)
def test_a_route_says_it_or_its_model(good, load, model, route, extras):
    assert said(good, load, model, route) == extras


def test_true_is_a_matter_of_money_alone():
    """What lies in the provider's account is opened by its name only."""
    assert set(typing.get_args(Extra)) - BILLED == {"stored"}


@pytest.mark.parametrize(
    ("bad", "path", "message"),
    [
        ("false", "", "must be true, or a list of what may be asked for"),
        ("web_search", "", "must be true, or a list of what may be asked for"),
        ("{web_search: true}", "", "must be true, or a list of what may be asked for"),
        ("[speed, web_serch]", "[1]", 'did you mean "web_search"?'),
        ("[1]", "[0]", "must be service_tier or speed or "),
    ],
)
def test_a_bad_one_is_told_with_its_place(refuse, bad, path, message):
    (problem,) = refuse(ROUTE, f"{ROUTE}extras: {bad}, ")
    assert problem.path == f"models.big.routes.sim-big.extras{path}"
    assert problem.line > 1
    assert message in problem.message


@pytest.mark.parametrize("name", typing.get_args(Extra))
def test_every_name_is_documented(name):
    """In a table of its own."""
    table = DOCS.split("### `extras`\n", 1)[1].split("\n### ", 1)[0]
    assert f"| `{name}` |" in table
