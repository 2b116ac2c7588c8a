"""The official Node SDK, once through its main doors."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fake_upstream import Exchange, FakeUpstream
from tests.harness import running

CACHE = Path(__file__).parents[2] / "build" / "node-sdk"
PACKAGE = "openai@7"

SCRIPT = """
import OpenAI from "openai";
const client = new OpenAI({ baseURL: process.env.BASE, apiKey: process.env.KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];
const out = {};
const plain = await client.chat.completions.create({ model: "fake-slug", messages });
out.plain = plain.choices[0].message.content;
out.requestId = plain._request_id;
const stream = await client.chat.completions.create({ model: "fake-slug", messages, stream: true });
out.streamed = "";
for await (const part of stream) out.streamed += part.choices[0]?.delta?.content ?? "";
const vectors = await client.embeddings.create({ model: "embed-slug", input: "x" });
out.embedding = vectors.data[0].embedding;
out.models = [];
for await (const model of client.models.list()) out.models.push(model.id);
try {
  await client.chat.completions.create({ model: "nope", messages });
} catch (error) {
  out.error = { name: error.constructor.name, status: error.status, code: error.code };
}
console.log(JSON.stringify(out));
"""


def sdk() -> Path:
    """The SDK's folder, fetched once; skip, and say why, where that cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node or npm is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:  # of tests that run side by side one fetches it
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install()
    return CACHE


def _install() -> None:
    if not (CACHE / "node_modules" / "openai" / "package.json").exists():
        (CACHE / "package.json").write_text('{"private": true, "type": "module"}')
        done = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", PACKAGE],
            cwd=CACHE, capture_output=True, check=False, timeout=100,
        )  # fmt: skip
        if done.returncode:
            pytest.skip("npm could not install the SDK")


async def provider(exchange: Exchange) -> None:
    asked = exchange.request.json()
    if exchange.request.path.endswith("/embeddings"):
        packed = base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()
        vector: Any = packed if asked.get("encoding_format") == "base64" else [0.5, -2.0]
        item = {"object": "embedding", "index": 0, "embedding": vector}
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        await exchange.send_json(200, {"object": "list", "data": [item], "usage": usage})
    elif asked.get("stream"):
        choices = [{"delta": {"content": text}, "finish_reason": None} for text in ("he", "llo")]
        choices.append({"delta": {}, "finish_reason": "stop"})
        bodies = [{"id": "c", "choices": [{"index": 0, **choice}]} for choice in choices]
        bodies.append({"id": "c", "choices": [], "usage": {"prompt_tokens": 1}})
        await exchange.sse([b"data: " + json.dumps(body).encode() + b"\n\n" for body in bodies])
    else:
        message = {"role": "assistant", "content": "hello"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await exchange.send_json(200, {"id": "c", "choices": [choice]})


async def test_the_node_sdk(tmp_path: Path) -> None:
    """Plain, streamed, embeddings, lists and errors work unmodified."""
    folder = await asyncio.to_thread(sdk)
    (folder / "client.mjs").write_text(SCRIPT)
    async with FakeUpstream(provider) as fake, running(tmp_path, fake.url + "/v1") as gateway:
        process = await asyncio.create_subprocess_exec(
            "node", "client.mjs", cwd=folder, stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "BASE": gateway.base, "KEY": gateway.key},
        )  # fmt: skip
        out, _ = await asyncio.wait_for(process.communicate(), 30)
    found = json.loads(out)
    assert (found["plain"], found["streamed"]) == ("hello", "hello")
    assert found["requestId"].startswith("req_")
    assert found["embedding"] == [0.5, -2.0]
    assert {"fake-slug", "echo"} <= set(found["models"])
    assert found["error"] == {"name": "NotFoundError", "status": 404, "code": "model_not_found"}
