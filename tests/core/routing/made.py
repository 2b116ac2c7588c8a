"""Routes and catalogs made up for tests of choosing."""

from decimal import Decimal

from msgspec import Struct

from gateway.core.body import JsonBody
from gateway.core.routing.preferences import preferences_of
from gateway.domain import DataPolicy, Model, Price, Provider, Route


def route(
    slug,
    *,
    provider="acme",
    model="m",
    cost="1",
    able=("streaming", "tools"),
    context=None,
    tier=None,
    region=None,
    training=None,
    retention=None,
    zdr=False,
    kind="chat",
    above=(),
    lines=None,
    unpriced=False,
    **more,
):
    """A route whose input costs `cost` dollars a million tokens, and its output four times that."""
    price = {"input_per_mtok": Decimal(cost), "output_per_mtok": Decimal(cost) * 4}
    price = {} if unpriced else {name: Decimal(it) for name, it in (lines or price).items()}
    tiers = tuple((at, {name: value * by for name, value in price.items()}) for at, by in above)
    return Route(
        slug=slug,
        model=Model(model, model, "Acme", kind, capabilities=tuple(able), tier=tier),
        provider=Provider(provider, "acme", "sim://"),
        upstream=slug,
        price=Price(price, above_tokens=tiers, unpriced=unpriced),
        region=region,
        context=context,
        data=DataPolicy(training, retention, zdr),
        **more,
    )


class Auto(Struct):
    name: str
    choose: str
    routes: tuple[Route, ...]


class Catalog(Struct):
    """As much of a catalog as names are resolved by."""

    by_name: dict[str, tuple[Route, ...]]
    by_model: dict[str, tuple[Route, ...]]
    auto: dict[str, Auto]


def catalog(*routes, aliases=None, auto=None):
    by_model: dict[str, tuple[Route, ...]] = {}
    for one in routes:
        by_model[one.model.id] = (*by_model.get(one.model.id, ()), one)
    by_name = dict(by_model)
    by_name.update({alias: by_model[model] for alias, model in (aliases or {}).items()})
    by_name.update({one.slug: (one,) for one in routes})
    made = {name: Auto(name, choose, routes) for name, choose in (auto or {}).items()}
    return Catalog(by_name, by_model, made)


def asked(text):
    """The preferences of a body whose `provider` is this JSON."""
    return preferences_of(JsonBody.parse(b'{"provider":' + text.encode() + b"}"))


def slugs(routes):
    return [one.slug for one in routes]
