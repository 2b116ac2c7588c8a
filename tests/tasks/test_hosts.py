"""Every host that makes videos or music, through the whole gateway: begun, asked, kept, charged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from gateway.domain import Credential, Provider
from gateway.sdk import Adapter
from gateway.store.verify import verify
from tests.adapters.jobs.hosts import FILM, FILMS, TUNE, TUNES, Host
from tests.adapters.jobs.scripts import Provider as Scripted
from tests.adapters.jobs.scripts import at_home, script
from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import catalog_text, running
from tests.money import charges, entries
from tests.tasks.studio import QUICK, Client

KINDS = {"videos": "video", "music": "music"}


class LoggedIn:
    """A login that has been done."""

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    async def secrets(
        self, adapter: Adapter, provider: Provider, credential: Credential, now: float
    ) -> Credential:
        return structs.replace(self._credential, name=credential.name)


@asynccontextmanager
async def gateway_of(host: Host, fake: FakeUpstream, folder: Path) -> AsyncIterator[Client]:
    """A gateway whose one model is the host's."""
    region = f", region: {host.region}" if host.region else ""
    text = catalog_text(fake.url + "/v1") + (
        f"\n  made: {{name: Made, vendor: Fake, kind: {KINDS[host.operation]}, routes: "
        f'{{made: {{provider: fake, upstream: "{host.upstream}"{region}, '
        'price: {per_second: "0.1", per_request: "0.02", at_size: {"1080p": '
        '{per_second: "0.2", per_request: "0.02"}}}}}}\n'
    )
    adapters = {"openai-compatible": host.adapter}
    async with running(folder, text=text, pace=QUICK, adapters=adapters) as gateway:
        gateway.server.site.services.logins = LoggedIn(host.credential)
        yield Client(gateway.server.port, gateway.key)
    assert verify(folder / "gateway.sqlite").problems == []


def charged(folder: Path) -> int:
    """What the one call cost, in cents."""
    (charge,) = charges(entries(folder / "gateway.sqlite"))
    return charge // 10_000_000


@pytest.mark.parametrize("name", FILMS)
async def test_a_film(tmp_path: Path, fake: FakeUpstream, name: str) -> None:
    """With the seeds' own request: over an outage, to a file, at the price of its seconds."""
    host = FILMS[name]
    fake.handler = Scripted(script(name, fake.url, at_home(host.ends, fake.url)))
    async with gateway_of(host, fake, tmp_path) as client:
        body: dict[str, Any] = {"model": "made", "prompt": "Rain.", "aspect_ratio": "16:9"}
        body |= {"duration_seconds": 8, "resolution": "1080p"}
        begun = await client("POST", "videos/generations", body)
        assert begun.status == 200, begun.body
        done = await client.ended(begun.json()["id"])
        assert done["status"] == "succeeded", done["error"]
        assert (await client.file(done)).body == FILM
        assert charged(tmp_path) in [seconds * 20 + 2 for seconds in (5, 6, 8)]
        begins = [request for request in fake.requests if request.method == "POST"]
        assert len([one for one in begins if "fetchPredict" not in one.path]) == 1


@pytest.mark.parametrize("name", FILMS)
async def test_a_film_that_fails(tmp_path: Path, fake: FakeUpstream, name: str) -> None:
    """It says why, and costs nothing."""
    host = FILMS[name]
    fake.handler = Scripted(script(name, fake.url, host.fails))
    async with gateway_of(host, fake, tmp_path) as client:
        body = {"model": "made", "prompt": "Rain."}
        done = await client.ended((await client("POST", "videos/generations", body)).json()["id"])
        assert (done["status"], done["cost"]) == ("failed", "0")
        assert done["error"]["message"]
        assert charged(tmp_path) == 0


@pytest.mark.parametrize("name", TUNES)
async def test_a_tune(tmp_path: Path, fake: FakeUpstream, name: str) -> None:
    """It comes with the answer, which its client does not wait for."""
    host = TUNES[name]

    async def handler(exchange: Exchange) -> None:
        await exchange.send_json(200, host.begins)

    fake.handler = handler
    async with gateway_of(host, fake, tmp_path) as client:
        body = {"model": "made", "prompt": "A waltz."}
        begun = (await client("POST", "music/generations", body)).json()
        assert begun["status"] == "pending"
        done = await client.ended(begun["id"], "music/generations")
        assert done["status"] == "succeeded", done["error"]
        assert (await client.file(done)).body == TUNE
        assert charged(tmp_path) >= 2
        assert len(fake.requests) == 1
