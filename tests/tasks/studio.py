"""A studio that makes films in its own time: its adapter as a third party writes it, and its host.

The host is a fake upstream's handler. It remembers every job that it was given, and tells of each
what the test says: by default it is done at the second question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.pipeline.tasks import Pace
from gateway.sdk import (
    Adapter,
    Call,
    Credential,
    Job,
    Operation,
    Progress,
    Reply,
    UpstreamRequest,
    Usage,
)
from gateway.sdk.compatible import bearer
from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.harness import catalog_text
from tests.money import Payer
from tests.rawclient import Answer, ask, request

QUICK = Pace(
    first=0.02, longest=0.05, soon=0.01, lazily=0.0, patience=5.0, grace=0.0, storage=0.01,
    webhooks=(0.02, 0.02), fetching=5.0,
)  # fmt: skip
SLOW = Pace(first=60.0, longest=60.0, lazily=0.0, grace=0.0, patience=5.0)
FILM = b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40

TWO = '{name: main, api_key: "sk-upstream-secret-0001"}, {name: spare, api_key: "sk-two-0002"}'
MODELS = """
  film: {name: Film, vendor: Fake, kind: video, routes: {film: {provider: fake, upstream: film-1, price: {per_second: "0.2", at_size: {"1080p": {per_second: "0.5"}}}}}}
  song: {name: Song, vendor: Fake, kind: music, routes: {song: {provider: fake, upstream: song-1, price: {per_request: "0.03"}}}}
"""  # noqa: E501


def make(call: Call, credential: Credential) -> UpstreamRequest:
    """Begin a film."""
    return UpstreamRequest("POST", f"{call.base_url}/make", bearer(credential), call.body.raw)


def made(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Its name there."""
    return Reply(progress=Progress(state="pending", id=json.loads(body)["job"]))


def look(call: Call, progress: Progress, credential: Credential) -> UpstreamRequest:
    """How far it is."""
    return UpstreamRequest("GET", f"{call.base_url}/jobs/{progress.id}", bearer(credential))


def looked(
    call: Call, progress: Progress, status: int, headers: Mapping[str, str], body: bytes
) -> Progress:
    """What was said of it."""
    told = json.loads(body)
    usage = Usage(milliseconds=told["ms"]) if "ms" in told else None
    told.pop("ms", None)
    return Progress(id=progress.id, usage=usage, **told)


def fetch(call: Call, progress: Progress, credential: Credential) -> UpstreamRequest:
    """The file, wherever it is said to be."""
    return UpstreamRequest("GET", progress.url, bearer(credential))


def stop(call: Call, progress: Progress, credential: Credential) -> UpstreamRequest:
    """Not any more."""
    return UpstreamRequest("DELETE", f"{call.base_url}/jobs/{progress.id}", bearer(credential))


def expects(call: Call) -> Usage:
    """So many seconds at a size."""
    seconds = call.body.value("duration_seconds") or call.body.value("seconds") or 4
    return Usage(milliseconds=int(seconds) * 1000, size=call.body.value("resolution") or "")


def sing(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """A song comes in one long answer."""
    return Reply(
        progress=Progress(state="succeeded", media=body, content_type=headers["content-type"])
    )


JOB = Job(poll=look, polled=looked, result=fetch, cancel=stop)
ADAPTER = Adapter(
    "openai-compatible",
    {
        "videos": Operation(make, made, expects=expects, job=JOB),
        "music": Operation(make, sing, job=Job(poll=look, polled=looked, result=fetch, waits=True)),
    },
)
ADAPTERS = {"openai-compatible": ADAPTER}


def catalog(fake: FakeUpstream, more: str = "") -> str:
    """The usual one, with a film and a song."""
    one = '{name: main, api_key: "sk-upstream-secret-0001"}'
    return catalog_text(fake.url + "/v1").replace(one, TWO) + MODELS + more


@dataclass
class Studio:
    """The host."""

    fake: FakeUpstream
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    keys: dict[str, set[str | None]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    tell: Callable[[str, int], dict[str, Any]] | None = None

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        asked = exchange.request
        if asked.method == "POST":
            name = f"j{len(self.jobs)}"
            self.jobs[name] = asked.json()
            self.keys[name] = {asked.header("authorization")}
            await exchange.send_json(200, {"job": name})
            return
        name = asked.path.rpartition("/")[2]
        if asked.path.startswith("/files/"):
            await send_file(exchange, self.files.get(asked.path, FILM))
        elif name not in self.jobs:
            await exchange.send_json(404, {"error": {"message": "no such job"}})
        elif asked.method == "DELETE":
            self.stopped.append(name)
            await exchange.send_json(200, {})
        else:
            self.keys[name].add(asked.header("authorization"))
            self.asked[name] = self.asked.get(name, 0) + 1
            told = (self.tell or self.usual)(name, self.asked[name])
            await exchange.send_json(told.pop("status", 200), told)

    def usual(self, name: str, times: int) -> dict[str, Any]:
        """Running at first, then done."""
        if times < 2:
            return {"state": "running", "percent": 40}
        return self.done(name)

    def done(self, name: str, **more: Any) -> dict[str, Any]:
        """It has succeeded."""
        return {"state": "succeeded", "url": f"{self.fake.url}/files/{name}", **more}


async def send_file(exchange: Exchange, data: bytes, kind: str = "video/mp4") -> None:
    """A file, whole or the part that is asked for."""
    wanted = exchange.request.header("range")
    headers = [("Content-Type", kind), ("ETag", '"theirs"')]
    status = 200
    if wanted is not None:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        headers.append(("Content-Range", f"bytes {first}-{last}/{len(data)}"))
        status, data = 206, part
    headers.append(("Content-Length", str(len(data))))
    await exchange.send(head(status, headers) + data)


@dataclass
class Client:
    """Asks a gateway under one key."""

    port: int
    key: str

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request."""
        raw = b"" if body is None else json.dumps(body).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        return await ask(
            self.port, request(raw, self.key, path=f"/v1/{path}", method=method, headers=told)
        )

    async def film(self, **more: Any) -> dict[str, Any]:
        """Begin one; how it stands then."""
        body = {"model": "film", "prompt": "rain", "duration_seconds": 8, **more}
        answer = await self("POST", "videos/generations", body)
        assert answer.status == 200, answer.body
        return answer.json()

    async def shown(self, task: str) -> dict[str, Any]:
        """How it stands now."""
        answer = await self("GET", f"videos/generations/{task}")
        assert answer.status == 200, answer.body
        return answer.json()

    async def ended(self, task: str, path: str = "videos/generations") -> dict[str, Any]:
        """How it has ended."""
        while True:
            found = (await self("GET", f"{path}/{task}")).json()
            if found["status"] not in ("pending", "running"):
                return found

    async def file(self, task: dict[str, Any], **headers: str) -> Answer:
        """Its file."""
        url = task.get("video_url") or task["audio_url"]
        return await self("GET", url.removeprefix("/v1/"), **headers)


def client_of(port: int, payer: Payer) -> Client:
    """One who pays."""
    return Client(port, payer.secret)


def database(folder: Path) -> Path:
    """Where the harness keeps it."""
    return folder / "gateway.sqlite"
