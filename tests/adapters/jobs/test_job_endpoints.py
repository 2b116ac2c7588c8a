"""Clients before hosts that speak otherwise: OpenAI's own, a form, the seeds' script with Node."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError

from gateway.pipeline.tasks import Pace
from tests.adapters.jobs.hosts import FILM, FILMS, PIXEL
from tests.adapters.jobs.scripts import Provider, at_home, script
from tests.fake_upstream import FakeUpstream
from tests.harness import Gateway, running
from tests.rawclient import Answer, ask, request
from tests.recorded import CORPUS

QUICK = Pace(first=0.01, longest=0.03, soon=0.01, lazily=0.0, patience=5.0, grace=0.0, storage=0.01)
# OpenAI ends its own videos; its client says so of every call, wherever it goes.
ENDING = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
# The slugs of seed 001 by the host that serves them, and one of OpenAI's.
SLUGS = {
    "veo-3.1": "studio",
    "veo-3.1-fast": "studio",
    "vertex-veo-3.1": "cloud",
    "vertex-veo-3.1-fast": "cloud",
    "minimax-hailuo-2.3": "hailuo",
    "minimax-hailuo-2.3-fast": "hailuo",
    "cogvideox": "cog",
    "cogvideox-flash": "cog",
    "sora": "sora",
}
ADAPTERS = {
    "studio": "google", "cloud": "vertex", "hailuo": "minimax", "cog": "zhipu", "sora": "openai",
}  # fmt: skip


def catalog(url: str) -> str:
    """All hosts behind one address, in rooms of their own."""
    lines = ["version: 1", 'surfaces: {"/v1": {style: openai}}', "providers:"]
    for name, adapter in ADAPTERS.items():
        lines.append(
            f'  {name}: {{adapter: {adapter}, base_url: "{url}/{name}/v1", '
            'credentials: [{name: main, api_key: "sk-upstream-secret-0001"}]}'
        )
    lines.append("models:")
    for slug, name in SLUGS.items():
        lines.append(
            f"  {slug}: {{name: {slug}, vendor: V, kind: video, routes: {{{slug}: {{provider: "
            f'{name}, upstream: {FILMS[name].upstream}, price: {{per_second: "0.1"}}}}}}}}'
        )
    return "\n".join(lines) + "\n"


def answers(url: str) -> dict[str, list[tuple[int, Any]]]:
    """Every host's answers; an express key has neither project nor place."""
    made: dict[str, list[tuple[int, Any]]] = {}
    for name in ADAPTERS:
        end = at_home(FILMS[name].ends, f"{url}/{name}")
        for path, waiting in script(name, f"{url}/{name}", end).items():
            method, _, rest = path.partition(" /")
            if name == "cloud":
                rest = rest.replace("projects/p-1/locations/us-central1/", "")
            made[f"{method} /{name}/{rest}"] = waiting
    return made


@asynccontextmanager
async def house(tmp_path: Path) -> AsyncIterator[tuple[Gateway, FakeUpstream]]:
    async with FakeUpstream() as fake:
        fake.handler = Provider(answers(fake.url))
        async with running(tmp_path, text=catalog(fake.url), pace=QUICK) as gateway:
            yield gateway, fake


async def called(gateway: Gateway, method: str, path: str, body: Any = None) -> Answer:
    raw = b"" if body is None else json.dumps(body).encode()
    return await ask(
        gateway.server.port, request(raw, gateway.key, path=path, method=method, headers={})
    )


async def test_what_is_refused_and_what_is_lost(tmp_path: Path) -> None:
    """Before anything is begun, by the name of the member; a loss is in the answer's header."""
    async with house(tmp_path) as (gateway, fake):
        body = {"model": "veo-3.1", "prompt": "Rain.", "aspect_ratio": "1:1"}
        refused = await called(gateway, "POST", "/v1/videos/generations", body)
        assert (refused.status, refused.json()["error"]["param"]) == (400, "aspect_ratio")
        assert fake.requests == []
        body = {"model": "cogvideox", "prompt": "Rain.", "duration_seconds": 8, "seed": 1}
        lossy = await called(gateway, "POST", "/v1/videos/generations", body)
        assert lossy.status == 200
        told = lossy.header("x-gateway-fidelity") or ""
        assert "duration_seconds" in told
        assert "seed" in told
        strict = {**body, "fidelity": "strict"}
        refused = await called(gateway, "POST", "/v1/videos/generations", strict)
        assert refused.status == 400


@ENDING
async def test_openais_own_client(tmp_path: Path) -> None:
    """`client.videos` with OpenAI's words, also before hosts that have others; and with a file."""
    async with (
        house(tmp_path) as (gateway, fake),
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key, max_retries=0) as client,
    ):
        for slug in ("sora", "veo-3.1", "minimax-hailuo-2.3"):
            fake.handler = Provider(answers(fake.url))
            video = await client.videos.create_and_poll(
                model=slug,
                prompt="Rain.",
                seconds="8" if slug != "minimax-hailuo-2.3" else "6",  # type: ignore[arg-type]
                poll_interval_ms=10,
                **({"size": "1280x720"} if slug != "minimax-hailuo-2.3" else {}),  # type: ignore[arg-type]
            )
            assert (video.status, video.error, video.progress) == ("completed", None, 100)
            content = await client.videos.download_content(video.id)
            assert await content.aread() == FILM
        fake.handler = Provider(answers(fake.url))
        begun = await client.videos.create(
            model="sora", prompt="Rain.", input_reference=("a.png", b"\x89PNG", "image/png")
        )
        sent = next(one for one in reversed(fake.requests) if one.method == "POST")
        assert b'name="input_reference"; filename="a.png"' in sent.body
        assert begun.status == "queued"
        with pytest.raises(BadRequestError):
            await client.videos.create(model="sora", prompt="x", seconds="x")  # type: ignore[arg-type]


@ENDING
async def test_a_picture_in_a_form(tmp_path: Path) -> None:
    """A file of a form reaches a host that wants JSON as base64."""
    async with (
        house(tmp_path) as (gateway, fake),
        AsyncOpenAI(base_url=gateway.base, api_key=gateway.key, max_retries=0) as client,
    ):
        await client.videos.create(
            model="veo-3.1", prompt="Rain.", input_reference=("a.png", b"\x89PNG", "image/png")
        )
        sent = next(one for one in fake.requests if one.method == "POST").json()
        assert sent["instances"][0]["image"] == {
            "bytesBase64Encoded": "iVBORw==", "mimeType": "image/png",
        }  # fmt: skip
        body = {"model": "cogvideox", "image": {"url": PIXEL}}
        assert (await called(gateway, "POST", "/v1/videos/generations", body)).status == 200


# --- the seeds' own script, as it is written ---

SEED = next(iter((CORPUS.parent / "seeds").glob("001_*.txt")), None)
SEEDED = [slug for slug in SLUGS if slug != "sora"]
# Its pauses of five seconds are shortened, and what it fetches is told; nothing else is changed.
BEFORE = """
const wait = globalThis.setTimeout, get = globalThis.fetch, seen = [];
globalThis.setTimeout = (work, pause, ...more) => wait(work, pause === 5000 ? 20 : pause, ...more);
globalThis.fetch = async (...asked) => {
  const answer = await get(...asked);
  const told = answer.clone();
  seen.push([asked[0], answer.status, (await told.arrayBuffer()).byteLength]);
  return answer;
};
process.on("exit", () => console.log(JSON.stringify(seen)));
"""


def seeds_script(slug: str) -> str:
    """What stands under a model's name in seed 001."""
    assert SEED is not None
    text = SEED.read_text()
    start = re.search(rf"(?m)^{re.escape(slug)}·", text)
    assert start is not None
    found = re.compile(r"(?ms)^// Start a generation.*?^if \(task\.status.*?^}").search(
        text, start.start()
    )
    assert found is not None
    assert f"model: '{slug}'" in found[0]
    return found[0]


@pytest.mark.skipif(SEED is None, reason="the seeds are not here")
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
async def test_the_seeds_own_script(tmp_path: Path) -> None:
    """Start, poll, download, with Node, against every model that the seed has it for."""
    async with house(tmp_path) as (gateway, fake):
        for slug in SEEDED:
            written = seeds_script(slug).replace("https://api.miavo.xyz", gateway.root)
            (tmp_path / f"{slug}.mjs").write_text(written)
        main = "".join(f'await import("./{slug}.mjs");\n' for slug in SEEDED)
        (tmp_path / "main.mjs").write_text(main)
        (tmp_path / "before.mjs").write_text(BEFORE)
        node = await asyncio.create_subprocess_exec(
            "node", "--import", str(tmp_path / "before.mjs"), str(tmp_path / "main.mjs"),
            env={**os.environ, "MACAW_API_KEY": gateway.key},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(node.communicate(), 60)
        submitted = [
            one for one in fake.requests if one.method == "POST" and "fetch" not in one.path
        ]
    assert node.returncode == 0, err.decode()
    seen = json.loads(out)
    assert all(status == 200 for _, status, _ in seen)
    begun = [url for url, _, _ in seen if url.endswith("/v1/videos/generations")]
    films = [size for url, _, size in seen if url.endswith("/content")]
    assert len(begun) == len(submitted) == len(SEEDED)
    assert films == [len(FILM)] * len(SEEDED)
