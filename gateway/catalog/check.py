"""What the parts of a catalog must be to each other: references, names, prices, addresses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date
from urllib.parse import urlsplit

from gateway.catalog.problems import Path, Report, near_miss
from gateway.catalog.schema import Auto, File, Model, Price, PriceLines, Route

RESERVED_PATHS = ("/api/status", "/healthz", "/readyz", "/metrics", "/admin")
# First words of the operations below a surface: a surface inside another must not shadow one.
_OPERATIONS = frozenset({
    "chat", "completions", "embedding-models", "embeddings", "files", "images", "audio", "keys",
    "messages", "models", "moderations", "music", "providers", "quote", "realtime", "receipts",
    "rerank", "responses", "transcription-models", "usage", "videos",
})  # fmt: skip
_SURFACE = re.compile(r"(?:/[A-Za-z0-9][A-Za-z0-9._~-]*)+\Z")
_SCHEMES = ("http", "https", "sim")

# Any one of these sets of lines is enough to settle a call of the kind.
_ENOUGH: dict[str, tuple[tuple[str, ...], ...]] = {
    "chat": (("input_per_mtok", "output_per_mtok"),),
    "image": (("per_image",), ("input_per_mtok", "image_output_per_mtok")),
    "video": (("per_second",), ("per_request",)),
    "speech": (("per_mchar",), ("per_minute",), ("input_per_mtok", "audio_output_per_mtok")),
    "transcription": (("per_minute",), ("audio_input_per_mtok", "output_per_mtok")),
    "music": (("per_request",), ("per_second",), ("per_minute",)),
    "realtime": (
        ("audio_input_per_minute", "audio_output_per_minute"),
        ("audio_input_per_mtok", "audio_output_per_mtok"),
    ),
    "embedding": (("input_per_mtok",),),
    "moderation": (("per_request",), ("input_per_mtok",)),
    "rerank": (("per_request",), ("input_per_mtok",)),
}


def check(file: File, report: Report) -> None:
    """Add every broken relation to the report."""
    _surfaces(file, report)
    for name, provider in file.providers.items():
        _base_url(provider.base_url, ("providers", name, "base_url"), report)
        names = [credential.name for credential in provider.credentials]
        if len(names) != len(set(names)):
            report.add(("providers", name, "credentials"), "two credentials have the same name")
    _names(file, report)
    targets = set(_targets(file))
    for model_id, model in file.models.items():
        _model(model, ("models", model_id), file.providers, targets, report)
    for name, auto in file.auto.items():
        _auto(auto, ("auto", name), targets, report)
    _groups(file, targets | file.auto.keys(), report)


def _targets(file: File) -> Iterator[str]:
    """Every name a client may send, auto models apart."""
    for model_id, model in file.models.items():
        yield model_id
        yield from model.aliases
        yield from model.routes


def _surfaces(file: File, report: Report) -> None:
    if not file.surfaces:
        report.add(("surfaces",), "must have at least one surface")
    for path in file.surfaces:
        here: Path = ("surfaces", path)
        if not _SURFACE.match(path):
            report.add(here, "must be a path such as /v1: it starts with /, does not end with /")
            continue
        for reserved in RESERVED_PATHS:
            if _inside(path, reserved) or _inside(reserved, path):
                report.add(here, f"overlaps {reserved}, which the gateway itself answers")
        for other in file.surfaces:
            rest = path.removeprefix(other + "/")
            if rest != path and rest.split("/")[0] in _OPERATIONS:
                report.add(here, f"lies on an operation of the surface {other}")


def _inside(path: str, outer: str) -> bool:
    return path == outer or path.startswith(outer + "/")


def _base_url(url: str, path: Path, report: Report) -> None:
    if report.has(path):
        return
    try:
        parts = urlsplit(url)
        bad_port = parts.port == 0
    except ValueError:
        report.add(path, "is not a URL")
        return
    if parts.scheme not in _SCHEMES:
        report.add(path, "must start with http://, https:// or sim://")
    elif bad_port or not (parts.hostname or parts.scheme == "sim"):
        report.add(path, "names no host")
    elif "@" in parts.netloc or parts.query or parts.fragment or re.search(r"[\s\x00-\x1f]", url):
        report.add(path, "must be scheme, host and path alone: no login, query, fragment or blanks")


def _names(file: File, report: Report) -> None:
    """No name may mean two things, whatever kind of name it is."""
    owners = {model_id: f"the model {model_id}" for model_id in file.models}

    def claim(name: str, path: Path, owner: str, own: str = "") -> None:
        known = owners.get(name, own)
        if known != own:
            report.add(path, f"the name {name} is already that of {known}")
        owners[name] = owner

    for model_id, model in file.models.items():
        here: Path = ("models", model_id)
        for slug in model.routes:
            # A route may bear its own model's id: that is the model's first-hand route.
            claim(slug, (*here, "routes", slug), f"a route of {model_id}", f"the model {model_id}")
    for model_id, model in file.models.items():
        for at, alias in enumerate(model.aliases):
            claim(alias, ("models", model_id, "aliases", at), f"an alias of {model_id}")
    for name in file.auto:
        claim(name, ("auto", name), f"the auto model {name}")


def _model(
    model: Model, here: Path, providers: Collection[str], targets: set[str], report: Report
) -> None:
    if not model.routes:
        report.add((*here, "routes"), "must have at least one route")
    _date(model.created, (*here, "created"), report)
    _ending(model, here, targets, report)
    for at, name in enumerate(model.fallbacks):
        _known(name, "model or route", targets, (*here, "fallbacks", at), report)
    for slug, route in model.routes.items():
        path = (*here, "routes", slug)
        _known(route.provider, "provider", providers, (*path, "provider"), report)
        _ending(route, path, targets, report)
        _price(route.price, model.kind, (*path, "price"), report)


def _ending(of: Model | Route, path: Path, targets: set[str], report: Report) -> None:
    _date(of.sunset, (*path, "sunset"), report)
    if of.successor is not None:
        _known(of.successor, "model or route", targets, (*path, "successor"), report)


def _known(name: str, what: str, known: Collection[str], path: Path, report: Report) -> None:
    if name not in known:
        report.add(path, f"there is no {what} {name}{near_miss(name, known)}")


def _date(text: str | None, path: Path, report: Report) -> None:
    try:
        date.fromisoformat(text or "2000-01-01")
    except ValueError:
        report.add(path, "is not a day of the calendar")


def given(lines: PriceLines) -> dict[str, str]:
    """The lines of a price row that are written."""
    return {
        name: value
        for name in PriceLines.__struct_fields__
        if (value := getattr(lines, name)) is not None
    }


def _price(price: Price, kind: str, path: Path, report: Report) -> None:
    lines = given(price)
    if price.unpriced:
        if lines or price.above_tokens or price.at_size:
            report.add(path, "is both unpriced and priced")
        return
    enough = _ENOUGH.get(kind, ())
    # A line that is there but bad has been reported; asking for it again would mislead.
    bad = any(report.has((*path, name)) for names in enough for name in names)
    if enough and not bad and not any(all(name in lines for name in names) for names in enough):
        wanted = ", or ".join(" and ".join(names) for names in enough)
        report.add(path, f"a {kind} route needs {wanted}; or say unpriced: true")
    if price.above_tokens and price.at_size:
        report.add(path, "has both above_tokens and at_size; a row may have one of them")
    for key, tiers in (("above_tokens", price.above_tokens), ("at_size", price.at_size)):
        for label, tier in tiers.items():
            _tier(lines, given(tier), (*path, key, label), report)


def _tier(lines: dict[str, str], tier: dict[str, str], path: Path, report: Report) -> None:
    if not tier:
        report.add(path, "changes no price")
    for name in tier:
        if name not in lines:
            report.add((*path, name), "has no base price in this row to change")


def _auto(auto: Auto, path: Path, targets: set[str], report: Report) -> None:
    among = auto.among
    said = (among.tier, among.free, among.capabilities, among.models)
    if all(part is None for part in said):
        report.add((*path, "among"), "must say among which: tier, free, capabilities or models")
    for at, name in enumerate(among.models or ()):
        _known(name, "model or route", targets, (*path, "among", "models", at), report)


def _groups(file: File, names: set[str], report: Report) -> None:
    for group_name, group in file.groups.items():
        if isinstance(group.routes, list):
            for at, entry in enumerate(group.routes):
                here = ("groups", group_name, "routes", at)
                _known(entry, "model or route", names, here, report)
    if file.anonymous:
        path = ("anonymous", "group")
        _known(file.anonymous.group, "group", file.groups, path, report)
