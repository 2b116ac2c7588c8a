"""What a catalog may say of a provider's handling of data, and what it comes to."""

import pytest

from gateway.domain import FOR_EVER, DataPolicy

PROVIDER = 'sim: {adapter: sim, base_url: "sim://local", needs_credential: false}'
ROUTE = (
    'echo: {provider: sim, upstream: echo, price: {input_per_mtok: "0", output_per_mtok: "0.00"}}'
)


def said(good, load, provider="", route=""):
    text = good.replace(PROVIDER, PROVIDER.replace("}", provider + "}"))
    return load(text.replace(ROUTE, ROUTE.replace("}}", "}" + route + "}"))).routes["echo"]


@pytest.mark.parametrize(
    ("provider", "route", "policy"),
    [
        ("", "", DataPolicy(None, None, False)),
        (", data: {training: false}", "", DataPolicy(False, None, False)),
        (", data: {training: false, retention: 30}", "", DataPolicy(False, 30, False)),
        (", data: {retention: true}", "", DataPolicy(None, FOR_EVER, False)),
        (", data: {retention: false}", "", DataPolicy(None, 0, True)),
        (", data: {retention: 0}", "", DataPolicy(None, 0, True)),
        (", zdr: true", "", DataPolicy(None, None, True)),
        (", zdr: true", ", zdr: false", DataPolicy(None, None, False)),
        (", zdr: true", ", data: {retention: 7}", DataPolicy(None, 7, False)),
        (
            ", data: {training: true, retention: 7}",
            ", data: {training: false}",
            DataPolicy(False, 7, False),
        ),
        (", data: {training: true}", ", zdr: true", DataPolicy(True, None, True)),
    ],
)  # fmt: skip
def test_a_route_says_what_its_provider_does_not(good, load, provider, route, policy):
    """What the route leaves unsaid the provider says; what keeps nothing is zdr."""
    assert said(good, load, provider, route).data == policy


def test_a_region_may_stand_on_the_provider(good, load):
    """The route's own goes before it."""
    assert said(good, load, ", region: eu").region == "eu"
    assert said(good, load, ", region: eu", ", region: us").region == "us"


@pytest.mark.parametrize("bad", ["-1", "soon", "40000", "1.5"])
def test_a_bad_retention_is_refused_alone(good, refuse, bad):
    """Next to a good one, which is not reported with it."""
    text = good.replace(PROVIDER, PROVIDER.replace("}", ", data: {retention: " + bad + "}}"))
    text = text.replace(ROUTE, ROUTE.replace("}}", "}, data: {retention: true}}"))
    (problem,) = refuse(text)
    assert "providers.sim.data.retention" in str(problem)
    assert "must be a number of days, true or false" in str(problem)
