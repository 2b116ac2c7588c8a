"""What each film and tune of the shipped catalog costs, through the whole gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.store.verify import verify
from tests.adapters.jobs.hosts import FILMS, TUNES, Host
from tests.adapters.jobs.scripts import Provider as Scripted
from tests.adapters.jobs.scripts import at_home, script
from tests.fake_upstream import FakeUpstream
from tests.harness import catalog_text, running
from tests.money import charges, entries
from tests.tasks.studio import QUICK, Client
from tests.tasks.test_hosts import KINDS, LoggedIn

SHIPPED = yaml.safe_load((Path(__file__).parents[2] / "catalog.yaml").read_text())["models"]
ROUTES = {
    slug: (model["kind"], route)
    for model in SHIPPED.values()
    for slug, route in model["routes"].items()
    if model["kind"] in KINDS.values() and route["provider"] != "sim"
}
HOSTS = {"google": "studio", "vertex": "cloud", "minimax": "hailuo", "zhipu": "cog"}
CENT = 10_000_000

# What eight seconds cost at each resolution that has a price, in cents. Hailuo makes six of them,
# CogVideoX five.
FILMED: dict[str, dict[str, int]] = {
    "veo-3.1": {"": 320, "4k": 480},
    "vertex-veo-3.1": {"": 320, "4k": 480},
    "veo-3.1-fast": {"": 80, "1080p": 96, "4k": 240},
    "vertex-veo-3.1-fast": {"": 80, "1080p": 96, "4k": 240},
    "minimax-hailuo-2.3": {"": 24},
    "minimax-hailuo-2.3-fast": {"": 18},
    "cogvideox": {"": 100},
    "cogvideox-flash": {"": 0},
}
SUNG = {"vertex-lyria-3-pro": 8, "minimax-music-1.5": 3}


def test_every_price_is_here() -> None:
    """Of each route, and of each size that has one of its own."""
    priced = {slug: {"", *route["price"].get("at_size", ())} for slug, (_, route) in ROUTES.items()}
    assert priced == {slug: set(labels) for slug, labels in FILMED.items()} | {
        slug: {""} for slug in SUNG
    }


async def charged(
    folder: Path, fake: FakeUpstream, slug: str, host: Host, body: dict[str, Any]
) -> int:
    """The one charge of a task at this host, at the shipped route's price."""
    kind, route = ROUTES[slug]
    region = {} if host.region is None else {"region": host.region}
    made = {"provider": "fake", "upstream": host.upstream, "price": route["price"], **region}
    model = {"name": "Made", "vendor": "Fake", "kind": kind, "routes": {slug: made}}
    text = catalog_text(fake.url + "/v1") + f"\n  made: {json.dumps(model)}\n"
    adapters = {"openai-compatible": host.adapter}
    async with running(folder, text=text, pace=QUICK, adapters=adapters) as gateway:
        gateway.server.site.services.logins = LoggedIn(host.credential)
        client = Client(gateway.server.port, gateway.key)
        path = f"{host.operation}/generations"
        begun = await client("POST", path, {"model": slug, **body})
        assert begun.status == 200, begun.body
        done = await client.ended(begun.json()["id"], path)
        assert done["status"] == "succeeded", done["error"]
    assert verify(folder / "gateway.sqlite").problems == []
    (charge,) = charges(entries(folder / "gateway.sqlite"))
    assert float(done["cost"]) * 100 * CENT == charge
    return charge


@pytest.mark.parametrize(
    ("slug", "label", "cents"),
    [(slug, label, cents) for slug, row in FILMED.items() for label, cents in row.items()],
)
async def test_a_film_costs(
    tmp_path: Path, fake: FakeUpstream, slug: str, label: str, cents: int
) -> None:
    """By its seconds, at its resolution, to the nanodollar."""
    name = HOSTS[ROUTES[slug][1]["provider"]]
    host = FILMS[name]
    fake.handler = Scripted(script(name, fake.url, at_home(host.ends, fake.url)))
    body: dict[str, Any] = {"prompt": "Rain.", "aspect_ratio": "16:9", "duration_seconds": 8}
    body |= {"resolution": label} if label else {}
    assert await charged(tmp_path, fake, slug, host, body) == cents * CENT


@pytest.mark.parametrize("slug", SUNG)
async def test_a_tune_costs(tmp_path: Path, fake: FakeUpstream, slug: str) -> None:
    """By the piece, to the nanodollar."""
    host = TUNES["lyria" if ROUTES[slug][1]["provider"] == "vertex" else "singer"]
    fake.handler = lambda exchange: exchange.send_json(200, host.begins)
    body = {"prompt": "A waltz for two.", "lyrics": "One two three, one two three"}
    assert await charged(tmp_path, fake, slug, host, body) == SUNG[slug] * CENT
