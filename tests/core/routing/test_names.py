"""What names stand for: suffixes, the latest of a family, auto models, and the end of a model."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.routing.names import family, resolve
from gateway.core.routing.plan import Plans
from gateway.errors import Fault
from tests.core.routing.made import catalog, route, slugs

TODAY = date(2026, 5, 1)
SHOP = catalog(
    route("big-1", model="big-1"),
    route("big-2", model="big-2"),
    route("other-big-2", model="big-2", provider="other", cost="0"),
    route("big-mini-9", model="big-mini-9"),
    route("big-3", model="big-3", unpriced=True),
    route("odd:free", model="odd"),
    aliases={"acme/big": "big-2"},
    auto={"auto-x": "cheapest", "auto-y": "fastest"},
)


def found(name, shop=SHOP, today=TODAY):
    it = resolve(name, shop, today)
    return slugs(it.routes), it.sort, it.choice


@pytest.mark.parametrize(
    ("name", "routes", "sort"),
    [
        ("big-1", ["big-1"], None),
        ("acme/big", ["big-2", "other-big-2"], None),
        ("acme/big:floor", ["big-2", "other-big-2"], "price"),
        ("acme/big:nitro", ["big-2", "other-big-2"], "throughput"),
        ("acme/big:free", ["other-big-2"], None),
        ("acme/big:free:nitro", ["other-big-2"], "throughput"),
        ("acme/big:floor:free", ["other-big-2"], "price"),
        ("odd:free", ["odd:free"], None),
        ("odd:free:floor", ["odd:free"], "price"),
        ("big-latest", ["big-2", "other-big-2"], None),
        ("big-latest:free", ["other-big-2"], None),
        ("big-mini-latest", ["big-mini-9"], None),
    ],
)
def test_names_mean_routes(name, routes, sort):
    """What the catalog has goes before what a suffix would make of it."""
    assert found(name) == (routes, sort, False)


@pytest.mark.parametrize(
    "name",
    ["none", "big-1:", "big-1:fast", ":free", "big-1:free:free", "big-1:floor:nitro",
     "big-1:floor:floor", "latest", "-latest", "odd-latest", "none-latest", ""],
)  # fmt: skip
def test_other_names_mean_nothing(name):
    """And are refused with where to look."""
    with pytest.raises(Fault) as caught:
        resolve(name, SHOP, TODAY)
    assert caught.value.kind.status == 404
    assert "GET /v1/models" in caught.value.message


def test_nothing_free_is_said():
    """By name, with what to send instead."""
    with pytest.raises(Fault) as caught:
        resolve("big-1:free", SHOP, TODAY)
    assert (caught.value.cause, caught.value.kind.code) == ("no_free_route", "model_not_found")
    assert "'big-1'" in caught.value.message


def test_auto_models_choose_by_what_they_say_unless_a_suffix_does():
    """They are choices: what lacks a need is none."""
    assert found("auto-x")[1:] == ("price", True)
    assert found("auto-y")[1:] == ("throughput", True)
    assert found("auto-x:nitro")[1:] == ("throughput", True)
    assert found("auto-x:free")[0] == ["other-big-2"]


@pytest.mark.parametrize(
    ("model_id", "of", "version"),
    [
        ("big-3-5-mini", "big-mini", ((3, 5), 0)),
        ("big-mini-3.5", "big-mini", ((3, 5), 0)),
        ("big-k2.6", "big", ((2, 6), 0)),
        ("big-v4-pro", "big-pro", ((4,), 0)),
        ("big-4-20250514", "big", ((4,), 20250514)),
        ("big-4o", "big-4o", ((), 0)),
        ("o4-mini", "o4-mini", ((), 0)),
    ],
)
def test_families(model_id, of, version):
    """Ids differ in their versions, wherever those stand."""
    assert family(model_id) == (of, version)


@given(st.permutations(["c-4-20250514", "c-4-8", "c-4-10", "c-3-99", "c-4-8-20260101"]))
def test_the_latest_is_the_highest_version(ids):
    """Whatever the order of the file, and ten is more than eight."""
    shop = catalog(*(route(one, model=one) for one in ids))
    assert found("c-latest", shop)[0] == ["c-4-10"]


ENDING = catalog(
    route("old", model="old", sunset="2026-05-25", successor="mid"),
    route("mid", model="mid", sunset="2026-04-30", successor="new"),
    route("new", model="new"),
    route("twice-a", model="twice", sunset="2026-04-01"),
    route("twice-b", model="twice", sunset="2026-05-20"),
    route("round-1", model="round-1", sunset="2026-04-01", successor="round-2"),
    route("round-2", model="round-2", sunset="2026-04-01", successor="round-1"),
    route("late-a", model="late", sunset="2026-05-10"),
    route("late-b", model="late", sunset="2026-05-20"),
    route("half-a", model="half", sunset="2026-05-02"),
    route("half-b", model="half"),
    auto={"auto-x": "best"},
)


@pytest.mark.parametrize(
    ("today", "warned"), [("2026-04-24", False), ("2026-04-25", True), ("2026-05-25", True)]
)
def test_a_month_before_its_end_a_model_warns(today, warned):
    """With where to go: the first successor that is still there."""
    it = resolve("old", ENDING, date.fromisoformat(today))
    assert (it.warning is not None) is warned
    if it.warning:
        # On the first of these days `mid` was still there.
        wanted = "mid" if today < "2026-05" else "new"
        assert it.warning.text == (
            f"'old' is due to be switched off on 2026-05-25. Use '{wanted}' instead."
        )
        assert it.warning.header == f'299 - "{it.warning.text}"'


def test_the_day_after_it_is_refused():
    """The day itself was the last."""
    with pytest.raises(Fault) as caught:
        resolve("old", ENDING, date(2026, 5, 26))
    fault = caught.value
    assert (fault.kind.code, fault.kind.status, fault.cause) == ("model_not_found", 404, "sunset")
    assert fault.message == "'old' was switched off on 2026-05-25. Use 'new' instead."


def test_only_the_routes_that_ended_go():
    """A model lives as long as any of its routes, and warns by the last."""
    it = resolve("twice", ENDING, TODAY)
    assert slugs(it.routes) == ["twice-b"]
    assert it.warning is not None
    assert "2026-05-20" in it.warning.text
    late = resolve("late", ENDING, TODAY)
    assert late.warning is not None
    assert "2026-05-20" in late.warning.text
    half = resolve("half", ENDING, TODAY)
    assert slugs(half.routes) == ["half-a", "half-b"]
    assert half.warning is None


def test_a_circle_of_successors_ends():
    """And points nowhere."""
    with pytest.raises(Fault, match=r"'round-1' was switched off on 2026-04-01\.$"):
        resolve("round-1", ENDING, TODAY)


def test_auto_models_leave_out_what_ended():
    """They go on by themselves, so they do not warn."""
    it = resolve("auto-x", ENDING, TODAY)
    assert slugs(it.routes) == ["old", "new", "twice-b", "late-a", "late-b", "half-a", "half-b"]
    assert it.warning is None


def test_plans_are_kept_for_a_day():
    """What a name means may change at midnight, and not before."""
    plans = Plans(ENDING)
    noon = 1_779_710_400.0  # 25 May 2026, 12:00 UTC
    midnight = noon + 12 * 3600
    kept = plans.of("old", noon)
    assert plans.of("old", midnight - 1) is kept
    with pytest.raises(Fault, match="switched off"):
        plans.of("old", midnight)


def test_plans_leave_out_what_cannot_be_used():
    """Unless that is all of it: then admitting says why."""
    plans = Plans(ENDING, usable=lambda one: one.slug != "half-a")
    assert slugs(plans.of("half", 1_779_710_400.0).routes) == ["half-b"]
    assert slugs(plans.of("half-b", 1_779_710_400.0).routes) == ["half-b"]
    none = Plans(ENDING, usable=lambda one: False)
    assert slugs(none.of("new", 1_779_710_400.0).routes) == ["new"]
