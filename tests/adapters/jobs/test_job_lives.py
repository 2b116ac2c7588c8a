"""Whole lives over real HTTP, by the gateway's own client: begun, asked after, fetched, failed."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec import structs

from gateway.domain import Channel, File, UpstreamRequest
from gateway.errors import Fault
from gateway.sdk import Progress
from gateway.upstream import HttpUpstream
from tests.adapters.jobs.hosts import (
    CLOUD,
    FILM,
    FILMS,
    HAILUO,
    PICTURE,
    TUNE,
    TUNES,
    Host,
    joined,
)
from tests.adapters.jobs.scripts import Provider, at_home, script
from tests.fake_upstream import FakeUpstream

CHANNEL = Channel("kit", "main")
MOST_STEPS = 12


@pytest_asyncio.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream({})
    yield client
    await client.close()


async def exchanged(client: HttpUpstream, request: UpstreamRequest) -> tuple[int, Any, bytes]:
    """Send it, its files in their places, and read all of the answer."""
    if request.pieces:
        request = structs.replace(request, pieces=(), body=joined(request))
    reply = await client.send(request, CHANNEL)
    return reply.status, reply.headers, await reply.read(1 << 24)


async def lived(
    client: HttpUpstream, host: Host, base_url: str, body: dict[str, Any], *files: File
) -> tuple[Progress, list[str], bytes]:
    """A job from its beginning to its file: the last progress, its states, the bytes."""
    work, call = host.work, host.call(body, *files, base_url=base_url)
    status, headers, answer = await exchanged(client, work.build(call, host.credential))
    if not 200 <= status < 300:
        raise work.fault(status, headers, answer)
    parse, job = work.parse, work.job
    assert callable(parse)
    assert job is not None
    reply = parse(call, status, headers, answer)
    assert reply.progress is not None
    now, states = reply.progress, [reply.progress.state]
    # Later steps are taken by a process that knows what was written down, and no more.
    later = host.call({}, base_url=base_url)
    for _ in range(MOST_STEPS):
        if now.state in ("succeeded", "failed"):
            break
        known = msgspec.json.decode(msgspec.json.encode(now), type=Progress)
        asked = await exchanged(client, job.poll(later, known, host.credential))
        try:
            now = job.polled(later, known, *asked)
        except Fault as fault:
            states.append(fault.cause)
            continue
        states.append(f"{now.state}, soon" if now.soon else now.state)
    if now.state != "succeeded" or now.media:
        return now, states, now.media
    status, _, media = await exchanged(client, job.result(later, now, host.credential))
    assert status == 200
    return now, states, media


@pytest.mark.parametrize("picture", [False, True], ids=["words", "picture"])
@pytest.mark.parametrize("name", FILMS)
async def test_a_film(upstream: HttpUpstream, name: str, picture: bool) -> None:
    """Begun with the seeds' own request, asked after through an outage, and fetched."""
    host, files = FILMS[name], (PICTURE,) if picture else ()
    body = {"prompt": "Rain.", "duration_seconds": 8, "resolution": "1080p"}
    async with FakeUpstream() as fake:
        answers = script(name, fake.url, at_home(host.ends, fake.url))
        fake.handler = Provider(answers)
        done, states, media = await lived(upstream, host, f"{fake.url}/v1", body, *files)
        keyed = {
            request.path: any(
                secret in value
                for _, value in request.headers
                for secret in host.credential.secrets.values()
                if len(secret) > 8
            )
            for request in fake.requests
        }
    assert done.state == "succeeded"
    assert media == FILM
    steps = ["pending", "running", "provider_rate_limit", "running"]
    soon = ["running, soon"] if name == "hailuo" else []
    assert states == [*steps, *soon, "succeeded"]
    # Signed links of another service open without the key; Veo's is at its own origin.
    assert {path for path, shown in keyed.items() if not shown} == (
        {"/film.mp4?Signature=xyz%3D"} if name not in ("studio", "cloud", "sora") else set()
    )
    if name in ("grok", "sora", "wan"):
        assert done.usage is not None
        assert done.usage.size == "1080p"


@pytest.mark.parametrize("name", FILMS)
async def test_a_film_that_fails(upstream: HttpUpstream, name: str) -> None:
    """It comes to nothing, says why, and nothing is fetched."""
    host = FILMS[name]
    async with FakeUpstream() as fake:
        fake.handler = Provider(script(name, fake.url, host.fails))
        done, states, media = await lived(upstream, host, f"{fake.url}/v1", {"prompt": "Rain."})
        paths = [request.path for request in fake.requests]
    assert (done.state, media) == ("failed", b"")
    assert done.message
    assert states[-1] == "failed"
    assert not any("film" in path or "content" in path for path in paths)


@pytest.mark.parametrize("name", FILMS)
async def test_a_film_that_is_refused(upstream: HttpUpstream, name: str) -> None:
    """The host's own 400 is the client's."""
    host = FILMS[name]
    async with FakeUpstream() as fake:
        path = next(iter(script(name, fake.url, host.ends)))
        fake.handler = Provider({path: [(400, {"error": {"message": "No such thing."}})]})
        with pytest.raises(Fault) as caught:
            await lived(upstream, host, f"{fake.url}/v1", {"prompt": "Rain."})
    assert (caught.value.kind.status, caught.value.message) == (400, "No such thing.")


@pytest.mark.parametrize("name", TUNES)
async def test_a_piece_of_music(upstream: HttpUpstream, name: str) -> None:
    """One request, answered with the piece."""
    host = TUNES[name]
    path = {
        "singer": "POST /v1/music_generation",
        "lyria": "POST /v1beta1/projects/p-1/locations/global/interactions",
        "old_lyria": "POST /v1/projects/p-1/locations/us-central1/publishers/google/models/"
        "lyria-002:predict",
    }[name]
    async with FakeUpstream() as fake:
        fake.handler = Provider({path: [(200, host.begins)]})
        done, states, media = await lived(upstream, host, f"{fake.url}/v1", {"prompt": "A waltz."})
        assert len(fake.requests) == 1
    assert (done.state, states, media) == ("succeeded", ["succeeded"], TUNE)


async def test_a_large_film_inside_an_answer(upstream: HttpUpstream) -> None:
    """Some megabytes of base64 are read once."""
    large = bytes(range(256)) * (3 << 12)
    end: dict[str, Any] = json.loads(json.dumps(CLOUD.ends))
    end["response"]["videos"][0]["bytesBase64Encoded"] = b64encode(large).decode()
    async with FakeUpstream() as fake:
        fake.handler = Provider(script("cloud", fake.url, end))
        done, _, media = await lived(upstream, CLOUD, f"{fake.url}/v1", {"prompt": "Rain."})
    assert done.state == "succeeded"
    assert media == large


async def test_a_link_that_is_gone(upstream: HttpUpstream) -> None:
    """Hailuo is asked for a new one by what was written down."""
    async with FakeUpstream() as fake:
        end = at_home(HAILUO.ends, fake.url)
        fake.handler = Provider(script("hailuo", fake.url, end))
        done, _, _ = await lived(upstream, HAILUO, f"{fake.url}/v1", {"prompt": "Rain."})
        job = HAILUO.work.job
        assert job is not None
        again = job.poll(HAILUO.call({}, base_url=f"{fake.url}/v1"), done, HAILUO.credential)
    assert again.url == f"{fake.url}/v1/files/retrieve?file_id={HAILUO.memo}"
