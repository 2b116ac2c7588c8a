"""kill -9 at any moment: no task is lost, none begun twice, each that succeeds is charged once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from gateway.store.verify import verify
from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.tasks.checking import check
from tests.tasks.studio import FILM, Client, Studio, catalog, send_file

ROOT = Path(__file__).parents[2]
ROUNDS = 4
CLIENTS = 4
FAILING = 5  # one in so many
PRICES = {"videos": 1_600_000_000, "music": 30_000_000}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, Client]]:
    """A gateway of its own process; whoever is left is ended."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.tasks.serving", str(folder), "kept", cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port, key = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()
        yield process, Client(int(port), key)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Evidence:
    """What the provider and the clients know."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.begun: Counter[str] = Counter()
        self.told: dict[str, str] = {}
        self.fails: set[str] = set()
        self.sent = 0
        studio.tell = self.tell

    async def __call__(self, exchange: Exchange) -> None:
        """The provider."""
        asked = exchange.request
        if asked.method == "POST":
            body = asked.json()
            self.begun[body["prompt"]] += 1
            if body["model"] == "song":
                await asyncio.sleep(random.random() * 0.05)
                lines = [("Content-Type", "audio/mpeg"), ("Content-Length", "4")]
                await exchange.send(head(200, lines) + b"song")
                return
        if asked.path.startswith("/files/"):
            await send_file(exchange, FILM)
        else:
            await self.studio(exchange)

    def tell(self, name: str, times: int) -> dict[str, Any]:
        if times < 2:
            return {"state": "running", "percent": 10}
        if self.studio.jobs[name]["prompt"] in self.fails:
            return {"state": "failed", "code": "unsafe", "message": "no"}
        return self.studio.done(name)

    async def clients(self, client: Client) -> None:
        """Begin as much as there is time for."""

        async def one() -> None:
            while True:
                self.sent += 1
                marker = f"m{self.sent}"
                song = self.sent % 3 == 0
                if not song and self.sent % FAILING == 0:
                    self.fails.add(marker)
                path = "music/generations" if song else "videos/generations"
                body = {"model": "song" if song else "film", "prompt": marker}
                try:
                    answer = await client("POST", path, body | {"duration_seconds": 8})
                except (OSError, asyncio.IncompleteReadError):
                    return
                if answer.clean and answer.status == 200:
                    self.told[marker] = answer.json()["id"]

        await asyncio.gather(*(one() for _ in range(CLIENTS)))


async def killed(evidence: Evidence, folder: Path) -> None:
    """One round: some work, and an end in the middle of it."""
    async with serving(folder) as (process, client):
        working = asyncio.ensure_future(evidence.clients(client))
        await asyncio.sleep(0.05 + random.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await working


async def finished(folder: Path) -> None:
    """The last round: all that goes on comes to its end."""
    async with serving(folder) as (process, client):
        for path in ("videos/generations", "music/generations"):
            waiting = True
            while waiting:
                listed = (await client("GET", f"{path}?limit=1000")).json()
                waiting = any(t["status"] in ("pending", "running") for t in listed["data"])
                await asyncio.sleep(0.02)
        process.terminate()
        await asyncio.wait_for(process.wait(), 20)


async def test_killed_at_any_moment(tmp_path: Path, fake: FakeUpstream, studio: Studio) -> None:
    """What is left adds up, and the checker would see it if it did not."""
    evidence = Evidence(studio)
    fake.handler = evidence
    (tmp_path / "catalog.yaml").write_text(catalog(fake))
    for _ in range(ROUNDS):
        await killed(evidence, tmp_path)
    await finished(tmp_path)

    fails = frozenset(evidence.fails)
    problems, counts = check(tmp_path, evidence.begun, evidence.told, fails, PRICES)

    def wrong() -> list[str]:
        return check(tmp_path, evidence.begun, evidence.told, fails, PRICES)[0]

    assert problems == []
    assert counts["videos succeeded"] > ROUNDS
    assert counts["videos unsafe"]
    assert counts["told"] > ROUNDS
    assert verify(tmp_path / "gateway.sqlite").problems == []
    _tampered(tmp_path, evidence, wrong)


def _tampered(folder: Path, evidence: Evidence, wrong: Callable[[], list[str]]) -> None:
    """Each thing that it proves, it can also find broken."""
    database = folder / "gateway.sqlite"
    whole = database.read_bytes()
    told = ", ".join(f"'{name}'" for name in evidence.told.values() if name.startswith("video"))
    done = f"(SELECT n FROM tasks WHERE state = 'succeeded' AND id IN ({told}) LIMIT 1)"
    its_call = f"(SELECT call FROM tasks WHERE n = {done})"
    for statement, complaint in (
        (f"UPDATE tasks SET charged = charged - 1 WHERE n = {done}", "was charged"),
        (f"UPDATE tasks SET media = NULL WHERE n = {done}", "cannot have succeeded"),
        (f"DELETE FROM tasks WHERE n = {done}", "there is None"),
        (f"DELETE FROM entries WHERE kind = 3 AND call = {its_call}", "entries of kinds"),
    ):
        with closing(sqlite3.connect(database, isolation_level=None)) as file:
            file.execute("DROP TRIGGER entries_are_kept")
            file.execute(statement)
        assert any(complaint in problem for problem in wrong()), statement
        database.write_bytes(whole)
    evidence.begun[next(iter(evidence.begun))] += 1
    assert any("2 times" in problem for problem in wrong())
