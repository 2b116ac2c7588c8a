"""The seeds' script as it is written, and the official SDK."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.core.sound.length import length_of
from gateway.store.verify import verify
from tests.harness import Gateway, catalog_text, running
from tests.tasks.studio import FILM, QUICK, Client, Studio

# A fetch of the product's promise: https there is http here, and five seconds are few.
SCRIPT = """
const start = await fetch('https://api.miavo.xyz/v1/videos/generations', {
  method: 'POST',
  headers: {
    authorization: `Bearer ${process.env.MACAW_API_KEY}`,
    'content-type': 'application/json',
  },
  body: JSON.stringify({
    model: 'cogvideox',
    prompt: 'A close-up of raindrops on a window, soft focus, slow motion.',
    aspect_ratio: '16:9',
    duration_seconds: 8,
  }),
}).then(r => r.json());

// Poll until done — usually 1–3 minutes
let task = start;
while (task.status === 'pending' || task.status === 'running') {
  await new Promise(r => setTimeout(r, 5000));
  task = await fetch(`https://api.miavo.xyz/v1/videos/generations/${start.id}`, {
    headers: { authorization: `Bearer ${process.env.MACAW_API_KEY}` },
  }).then(r => r.json());
}

if (task.status === 'succeeded') {
  // Download the file
  const video = await fetch(`https://api.miavo.xyz${task.video_url}`, {
    headers: { authorization: `Bearer ${process.env.MACAW_API_KEY}` },
  });
  // → pipe video.body to disk or play in a <video> tag
"""
# What the test adds to see what came of it.
SEEN = """
  const bytes = Buffer.from(await video.arrayBuffer());
  console.log(JSON.stringify({ start, task, type: video.headers.get('content-type'),
    file: bytes.toString('base64') }));
}
"""
SIM = """
  clip: {name: Clip, vendor: Isthmus, kind: video, routes: {cogvideox: {provider: sim, upstream: "clip?takes=0.05", price: {per_second: "0.2"}}}}
  tune: {name: Tune, vendor: Isthmus, kind: music, routes: {tune: {provider: sim, upstream: "tune?takes=0", price: {per_second: "0.01"}}}}
"""  # noqa: E501


async def test_the_script(tmp_path: Path) -> None:
    """Start, poll, download, with Node as it is written; the simulator's film plays."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    async with running(tmp_path, text=catalog_text("http://127.0.0.1:9") + SIM, pace=QUICK) as g:
        script = SCRIPT.replace("https://api.miavo.xyz", g.root).replace("5000", "20") + SEEN
        (tmp_path / "video.mjs").write_text(script)
        process = await asyncio.create_subprocess_exec(
            node, "video.mjs", cwd=tmp_path, stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "MACAW_API_KEY": g.key},
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    found = json.loads(out)
    assert found["start"]["status"] == "pending"
    assert found["task"]["status"] == "succeeded"
    assert found["task"]["cost"] == "1.6"
    assert found["type"] == "video/mp4"
    film = base64.b64decode(found["file"])
    assert _length(film) == 8_000
    assert verify(tmp_path / "gateway.sqlite").problems == []


async def test_music_of_the_simulator(tmp_path: Path) -> None:
    """A tone as long as was asked for."""
    async with running(tmp_path, text=catalog_text("http://127.0.0.1:9") + SIM, pace=QUICK) as g:
        client = Client(g.server.port, g.key)
        body = {"model": "tune", "prompt": "a", "duration_seconds": 3}
        begun = (await client("POST", "music/generations", body)).json()
        done = await client.ended(begun["id"], "music/generations")
        assert (done["status"], done["cost"]) == ("succeeded", "0.03")
        answer = await client.file(done)
        assert answer.header("content-type") == "audio/wav"
        assert _length(answer.body) == 3_000
        failing = body | {"sim": {"fails": "out_of_tune"}}
        begun = (await client("POST", "music/generations", failing)).json()
        done = await client.ended(begun["id"], "music/generations")
        assert (done["error"]["code"], done["cost"]) == ("out_of_tune", "0")


async def test_the_simulator_as_it_is_shipped(tmp_path: Path) -> None:
    """Its film and its tone can be fetched, wherever the catalog says that it is."""
    shipped = (Path(__file__).parents[2] / "catalog.yaml").read_text()
    text = shipped.replace("video?takes=10", "video?takes=0").replace(
        "music?takes=5", "music?takes=0"
    )
    assert text.count("takes=0") == 2
    async with running(tmp_path, text=text, pace=QUICK, adapter_wait=5.0) as g:
        client = Client(g.server.port, g.key)
        for path, model in (
            ("videos/generations", "sim/video"),
            ("music/generations", "sim/music"),
        ):
            begun = (await client("POST", path, {"model": model, "prompt": "a"})).json()
            done = await asyncio.wait_for(client.ended(begun["id"], path), 10)
            assert done["status"] == "succeeded", done["error"]
            assert (await client.file(done)).status == 200


@pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")
async def test_the_official_sdk(gateway: Gateway, studio: Studio, tmp_path: Path) -> None:
    """Create with a picture, poll, list, download, delete: as for OpenAI's own videos."""
    client = openai.AsyncOpenAI(base_url=gateway.base, api_key=gateway.key, max_retries=0)
    made: Any = {"model": "film", "prompt": "rain", "seconds": "8", "size": "1280x720"}
    async with client:
        begun = await client.videos.create(
            **made, input_reference=("a.png", b"\x89PNG", "image/png")
        )
        assert (begun.object, begun.status, begun.model) == ("video", "queued", "film")
        assert (begun.seconds, begun.size, begun.prompt) == ("8", "1280x720", "rain")
        done = await client.videos.poll(begun.id, poll_interval_ms=10)
        assert (done.status, done.progress) == ("completed", 100)
        assert done.completed_at is not None
        assert done.expires_at is not None
        film = await client.videos.download_content(done.id)
        assert film.content == FILM
        other = await client.videos.create_and_poll(**made, poll_interval_ms=10)
        listed = [video.id async for video in client.videos.list(limit=1)]
        assert listed == [other.id, begun.id]
        gone = await client.videos.delete(begun.id)
        assert (gone.deleted, gone.object) == (True, "video.deleted")
        with pytest.raises(openai.NotFoundError):
            await client.videos.retrieve(begun.id)
        with pytest.raises(openai.APIStatusError) as refused:
            await client.videos.remix(other.id, prompt="snow")
        assert refused.value.status_code == 501
        studio.tell = lambda _name, _times: {
            "state": "failed", "code": "unsafe", "message": "no rain"
        }  # fmt: skip
        failed = await client.videos.create_and_poll(**made, poll_interval_ms=10)
        assert failed.status == "failed"
        assert failed.error is not None
        assert (failed.error.code, failed.error.message) == ("unsafe", "no rain")


def _length(data: bytes) -> int:
    return length_of(
        data[: 256 << 10], data[-(64 << 10) :], len(data), lambda at, n: data[at : at + n]
    )
