"""A film of 200 MB goes through a gateway of its own process that hardly notices."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.fake_upstream import Exchange, FakeUpstream, head
from tests.rawclient import RawClient, request
from tests.tasks.studio import Client, Studio, catalog

ROOT = Path(__file__).parents[2]
SIZE = 200 << 20
PIECE = bytes(range(256)) * 4_096
MOST = 16 << 20


@pytest.mark.parametrize("media", ["kept", "off"])
async def test_a_long_film(tmp_path: Path, fake: FakeUpstream, studio: Studio, media: str) -> None:
    """Fetched, kept and sent, or passed through: its memory grows by less than 16 MB."""

    async def handler(exchange: Exchange) -> None:
        if not exchange.request.path.startswith("/files/"):
            await studio(exchange)
            return
        told = [("Content-Type", "video/mp4"), ("Content-Length", str(SIZE))]
        await exchange.send(head(200, told))
        for _ in range(SIZE // len(PIECE)):
            await exchange.send(PIECE)

    fake.handler = handler
    (tmp_path / "catalog.yaml").write_text(catalog(fake))
    folder = "off" if media == "off" else str(tmp_path / "films")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.tasks.serving", str(tmp_path), folder, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port, key = (await asyncio.wait_for(process.stdout.readline(), 20)).decode().split()
        client = Client(int(port), key)
        before = resident(process.pid)
        done = await client.ended((await client.film())["id"])
        assert done["bytes"] == (None if media == "off" else SIZE)
        await downloaded(client, done["video_url"])
        assert peak(process.pid) - before < MOST
    finally:
        process.terminate()
        await process.wait()


async def downloaded(client: Client, url: str) -> None:
    """All of it, a piece at a time."""
    async with await RawClient.open(client.port) as raw:
        raw.send(request(b"", client.key, path=url, method="GET"))
        answer = await raw.head()
        assert (answer.status, answer.header("content-length")) == (200, str(SIZE))
        left = SIZE
        while left:
            piece = await asyncio.wait_for(raw.reader.read(1 << 20), 10)
            assert piece
            left -= len(piece)


def resident(pid: int) -> int:
    """Bytes in memory now."""
    return figure(pid, "VmRSS:")


def peak(pid: int) -> int:
    """The most there ever were."""
    return figure(pid, "VmHWM:")


def figure(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) << 10
    raise AssertionError(name)
