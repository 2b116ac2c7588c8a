"""The official Node SDK with pictures, sound, videos and moderation, as its users write it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.harness import running
from tests.sdk_clients.hearing_stage import form_of, shipped
from tests.sdk_clients.test_openai_node import sdk
from tests.tasks.studio import QUICK

SOUND = bytes(300_000)
SCRIPT = """
import fs from "node:fs";
import OpenAI, { toFile } from "openai";
const client = new OpenAI({ baseURL: process.env.BASE, apiKey: process.env.KEY, maxRetries: 0 });
const file = (text) => toFile(Buffer.from(text), text + ".png", { type: "image/png" });
const types = async (stream) => {
  const seen = [];
  for await (const event of stream) seen.push(event.type);
  return seen;
};
const out = {};
const painted = { model: "gpt-image-1", prompt: "a cat" };
out.picture = (await client.images.generate(painted)).data[0].b64_json;
const image = [await file("one"), await file("two")];
const edited = await client.images.edit({ ...painted, image });
out.edited = edited.data[0].b64_json;
out.painting = await types(await client.images.generate({ ...painted, stream: true }));
const spoken = { model: "tts-1", voice: "alloy", input: "hi", response_format: "wav" };
const speech = await client.audio.speech.create(spoken);
out.speech = [(await speech.arrayBuffer()).byteLength, speech.headers.get("content-type")];
const sound = () => fs.createReadStream(process.env.SOUND);
const heard = await client.audio.transcriptions.create({ model: "whisper-1", file: sound() });
out.heard = heard.text;
out.hearing = await types(await client.audio.transcriptions.create(
  { model: "gpt-4o-transcribe", file: sound(), stream: true }));
out.flagged = (await client.moderations.create({ input: "x" })).results[0].flagged;
const input_reference = await file("a");
const filmed = { model: "sim/video", prompt: "rain", seconds: "4", input_reference };
let video = await client.videos.create(filmed);
out.begun = video.status;
while (video.status === "queued" || video.status === "in_progress") {
  await new Promise((go) => setTimeout(go, 20));
  video = await client.videos.retrieve(video.id);
}
out.done = video.status;
const film = await client.videos.downloadContent(video.id);
out.film = Buffer.from(await film.arrayBuffer()).subarray(4, 8).toString();
out.listed = [];
for await (const one of client.videos.list({ limit: 1 })) out.listed.push(one.id === video.id);
out.deleted = (await client.videos.delete(video.id)).deleted;
const session = { type: "realtime", model: "gpt-realtime" };
out.secret = (await client.realtime.clientSecrets.create({ session })).value.slice(0, 3);
console.log(JSON.stringify(out));
"""
USED = {"total_tokens": 3, "input_tokens": 1, "output_tokens": 2}


async def provider(exchange: Exchange) -> None:
    """OpenAI."""
    request = exchange.request
    path = request.path.removeprefix("/openai")
    if path == "/images/generations" and request.json().get("stream"):
        kinds = ("image_generation.partial_image", "image_generation.completed")
        await exchange.sse([{"type": kind, "b64_json": "aGk=", "usage": USED} for kind in kinds])
    elif path.startswith("/images/"):
        await exchange.send_json(200, {"data": [{"b64_json": "aGk="}], "usage": USED})
    elif path == "/audio/speech":
        lines = [("Content-Type", "audio/wav"), ("Content-Length", "1000")]
        await exchange.send(head(200, lines) + bytes(1000))
    elif path == "/audio/transcriptions":
        fields = dict(form_of(request))
        assert fields["file"] == SOUND
        if fields.get("stream") == b"true":
            kinds = ("transcript.text.delta", "transcript.text.done")
            await exchange.sse([{"type": kind, "text": "hi", "delta": "hi"} for kind in kinds])
        else:
            await exchange.send_json(200, {"text": "hi"})
    else:
        assert path == "/moderations"
        await exchange.send_json(200, {"id": "m", "results": [{"flagged": True}]})


async def test_the_node_sdk_with_media(tmp_path: Path) -> None:
    """Forms with several files and with streams, events, bytes, tasks and secrets: unmodified."""
    folder = await asyncio.to_thread(sdk)
    (folder / "media.mjs").write_text(SCRIPT)
    (tmp_path / "a.wav").write_bytes(SOUND)
    async with FakeUpstream(provider) as fake:
        text = shipped(fake.url).replace("video?takes=10", "video?takes=0")
        async with running(tmp_path, text=text, pace=QUICK, adapter_wait=5.0) as gateway:
            process = await asyncio.create_subprocess_exec(
                "node", "media.mjs", cwd=folder, stdout=asyncio.subprocess.PIPE,
                env={"PATH": os.environ["PATH"], "BASE": gateway.base, "KEY": gateway.key,
                     "SOUND": str(tmp_path / "a.wav")},
            )  # fmt: skip
            out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert json.loads(out) == {
        "picture": "aGk=",
        "edited": "aGk=",
        "painting": ["image_generation.partial_image", "image_generation.completed"],
        "speech": [1000, "audio/wav"],
        "heard": "hi",
        "hearing": ["transcript.text.delta", "transcript.text.done"],
        "flagged": True,
        "begun": "queued",
        "done": "completed",
        "film": "ftyp",
        "listed": [True],
        "deleted": True,
        "secret": "ek_",
    }
    (edit,) = [request for request in fake.requests if request.path.endswith("/images/edits")]
    assert [data for name, data in form_of(edit) if name.startswith("image")] == [b"one", b"two"]
