"""From the checked file to the catalog the gateway serves: immutable, every lookup one dict get."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from decimal import Decimal

from msgspec import Struct
from msgspec.structs import asdict

from gateway import domain
from gateway.catalog import schema
from gateway.catalog.check import given
from gateway.catalog.problems import Report
from gateway.core.extras import BILLED
from gateway.core.money.rows import canonical


class Auto(Struct, frozen=True):
    """A name that stands for a choice, and the routes it may choose from, in file order."""

    name: str
    choose: str
    routes: tuple[domain.Route, ...]


class Group(Struct, frozen=True):
    """What the accounts of a group may do; `routes` is None where it may use every one."""

    name: str
    rpm: int
    tpm: int
    multiplier: Decimal
    routes: frozenset[str] | None = None

    def allows(self, slug: str) -> bool:
        """Whether the group may use this route."""
        return self.routes is None or slug in self.routes


class Anonymous(Struct, frozen=True):
    """What callers without a key may do."""

    group: Group
    rpm: int
    per: str


class Webhooks(Struct, frozen=True):
    """Who may be told of a task's end. `private` hosts may be on the operator's own network."""

    hosts: frozenset[str]
    secret: str
    private: bool = False


class Catalog(Struct, frozen=True):
    """All that the operator's file says. Never changed: a reload makes another one."""

    revision: str
    surfaces: dict[str, str]
    providers: dict[str, domain.Provider]
    models: dict[str, domain.Model]
    routes: dict[str, domain.Route]
    by_name: dict[str, tuple[domain.Route, ...]]
    by_model: dict[str, tuple[domain.Route, ...]]
    groups: dict[str, Group]
    auto: dict[str, Auto]
    anonymous: Anonymous | None = None
    webhooks: Webhooks | None = None

    def candidates(self, name: str) -> tuple[domain.Route, ...]:
        """The routes a model name may be served by, best first as the file has them.

        A slug means that route alone; a model's id or alias means all its routes. Auto models
        are not here: which route they mean depends on the request.
        """
        return self.by_name.get(name, ())


def compile_catalog(file: schema.File, raw: bytes, report: Report) -> Catalog:
    """The served form of a file that passed its checks."""
    providers = {name: _provider(name, it) for name, it in file.providers.items()}
    models = {model_id: _model(model_id, it) for model_id, it in file.models.items()}
    routes: dict[str, domain.Route] = {}
    by_model: dict[str, tuple[domain.Route, ...]] = {}
    for model_id, model in file.models.items():
        mine = {
            slug: _route(slug, route, model, models[model_id], providers)
            for slug, route in model.routes.items()
        }
        routes.update(mine)
        by_model[model_id] = tuple(mine.values())
    by_name = dict(by_model)
    for model_id, model in file.models.items():
        by_name.update(dict.fromkeys(model.aliases, by_model[model_id]))
    by_name.update({slug: (route,) for slug, route in routes.items()})
    groups = {name: _group(name, it, by_name, routes) for name, it in file.groups.items()}
    return Catalog(
        revision=revision_of(raw),
        surfaces={path: surface.style for path, surface in file.surfaces.items()},
        providers=providers,
        models=models,
        routes=routes,
        by_name=by_name,
        by_model=by_model,
        groups=groups,
        auto={
            name: _auto(name, it, file=file, routes=routes, by_name=by_name, report=report)
            for name, it in file.auto.items()
        },
        anonymous=_anonymous(file.anonymous, groups),
        webhooks=_webhooks(file.webhooks),
    )


def revision_of(raw: bytes) -> str:
    """A short name for exactly this text of the file."""
    return hashlib.sha256(raw).hexdigest()[:12]


def _provider(name: str, it: schema.Provider) -> domain.Provider:
    timeouts = {step: value for step, value in asdict(it.timeouts).items() if value is not None}
    return domain.Provider(
        name=name,
        adapter=it.adapter,
        base_url=it.base_url.rstrip("/") if it.base_url.startswith("http") else it.base_url,
        # One without any secret is absent: its variable is unset.
        credentials=tuple(made for entry in it.credentials if (made := _credential(entry)).secrets),
        needs_credential=it.needs_credential,
        timeouts=domain.Timeouts(**timeouts),
        max_connections=it.max_connections,
        ca_file=it.ca_file,
        options=it.options,
        region=it.region,
        data=_data(it.data, it.zdr, domain.UNKNOWN_DATA),
        probe=None if it.probe is None else _probe(it.probe),
    )


def _probe(it: schema.Probe) -> domain.Probe:
    return domain.Probe(it.path or "", it.every, it.timeout)


def _data(
    it: schema.Data | None, zdr: bool | None, otherwise: domain.DataPolicy
) -> domain.DataPolicy:
    """A data policy; what it leaves unsaid another says. Nothing kept is zdr, said or not."""
    training, retention = otherwise.training, otherwise.retention
    if it is not None:
        training = training if it.training is None else it.training
        retention = retention if it.retention is None else _days(it.retention)
    if zdr is None:
        # A route that says how long it keeps data has said whether it does.
        kept = None if it is None or it.retention is None else retention != 0
        zdr = (otherwise.zdr or retention == 0) if kept is None else not kept
    return domain.DataPolicy(training, retention, zdr)


def _days(retention: int | bool) -> int:
    if isinstance(retention, bool):
        return domain.FOR_EVER if retention else 0
    return retention


_OWN_LIMITS = ("rpm", "tpm", "concurrency")


def _credential(it: schema.Credential) -> domain.Credential:
    values = asdict(it)
    plain = {key: values.pop(key) for key in ("name", "weight", "tier", *_OWN_LIMITS)}
    models, regions = values.pop("models"), values.pop("regions")
    secrets = {key: value for key, value in values.items() if value}
    return domain.Credential(secrets=secrets, models=tuple(models), regions=tuple(regions), **plain)


def _model(model_id: str, it: schema.Model) -> domain.Model:
    return domain.Model(
        id=model_id,
        name=it.name,
        vendor=it.vendor,
        kind=it.kind,
        context=it.context,
        max_output=it.max_output,
        capabilities=tuple(it.capabilities),
        tier=it.tier,
        created=_midnight(it.created) if it.created else 0,
        aliases=tuple(it.aliases),
        fallbacks=tuple(it.fallbacks),
    )


def _midnight(date: str) -> int:
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())


def _route(
    slug: str,
    it: schema.Route,
    of: schema.Model,
    model: domain.Model,
    providers: dict[str, domain.Provider],
) -> domain.Route:
    """A route; what it leaves unsaid its model says, or its provider."""
    provider = providers[it.provider]
    return domain.Route(
        slug=slug,
        model=model,
        provider=provider,
        upstream=it.upstream,
        price=_price(it.price),
        region=it.region or provider.region,
        name=it.name or of.name,
        context=it.context or of.context,
        max_output=it.max_output or of.max_output,
        notes=it.notes or of.notes or "",
        sunset=it.sunset or of.sunset,
        successor=it.successor or of.successor,
        options=it.options,
        data=_data(it.data, it.zdr, provider.data),
        extras=_extras(of.extras if it.extras is None else it.extras),
    )


def _extras(it: schema.Extras | None) -> frozenset[str]:
    """`true` is a matter of money alone: what lies in the provider's account must be named."""
    if isinstance(it, list):
        return frozenset(it)
    return BILLED if it else frozenset()


def _lines(it: schema.PriceLines) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in given(it).items()}


def _price(it: schema.Price) -> domain.Price:
    lines = _lines(it)
    tiers = sorted((int(limit), _lines(tier)) for limit, tier in it.above_tokens.items())
    price = domain.Price(
        lines=lines,
        above_tokens=tuple((limit, lines | tier) for limit, tier in tiers),
        at_size={size: lines | _lines(tier) for size, tier in it.at_size.items()},
        unpriced=bool(it.unpriced),
    )
    digest = hashlib.sha256(canonical(price)).hexdigest()
    return domain.Price(price.lines, digest, price.above_tokens, price.at_size, price.unpriced)


def _auto(
    name: str,
    it: schema.Auto,
    *,
    file: schema.File,
    routes: dict[str, domain.Route],
    by_name: dict[str, tuple[domain.Route, ...]],
    report: Report,
) -> Auto:
    among = it.among
    named = None
    if among.models is not None:
        named = {route.slug for target in among.models for route in by_name[target]}
    chosen = tuple(
        route
        for route in routes.values()
        if _eligible(route, file.models[route.model.id], among)
        and (named is None or route.slug in named)
    )
    if not chosen:
        report.add(("auto", name, "among"), "matches no chat route that can be sold")
    return Auto(name=name, choose=it.choose, routes=chosen)


def _eligible(route: domain.Route, model: schema.Model, among: schema.Among) -> bool:
    return (
        model.kind == "chat"
        and model.auto
        and not route.price.unpriced
        and (among.tier is None or model.tier in among.tier)
        and (among.free is None or route.price.free is among.free)
        and (among.capabilities is None or set(among.capabilities) <= set(model.capabilities))
    )


def _group(
    name: str,
    it: schema.Group,
    by_name: dict[str, tuple[domain.Route, ...]],
    routes: dict[str, domain.Route],
) -> Group:
    allowed: frozenset[str] | None = None
    if isinstance(it.routes, schema.FreeOnly):
        allowed = frozenset(slug for slug, route in routes.items() if route.price.free)
    elif isinstance(it.routes, list):
        # An entry in the list may be an auto model: its own name then, the routes go by theirs.
        allowed = frozenset(
            slug
            for entry in it.routes
            for slug in [route.slug for route in by_name.get(entry, ())] or [entry]
        )
    return Group(
        name=name, rpm=it.rpm, tpm=it.tpm, multiplier=Decimal(it.multiplier), routes=allowed
    )


def _anonymous(it: schema.Anonymous | None, groups: dict[str, Group]) -> Anonymous | None:
    return Anonymous(group=groups[it.group], rpm=it.rpm, per=it.per) if it else None


def _webhooks(it: schema.Webhooks | None) -> Webhooks | None:
    return Webhooks(frozenset(it.hosts), it.secret, it.private) if it else None
