"""A gateway that is killed in the middle of sessions: what they had cost is not lost."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from gateway.settings import SystemClock
from gateway.store import Store
from gateway.store.verify import verify
from tests.fake_upstream import FakeUpstream
from tests.money import EXTEND, charges, entries, open_calls, until
from tests.money import sound as adds_up
from tests.realtime.stage import CATALOG, PATH, SAID, Provider, done, usage
from tests.sockets import Client

COMMAND = (sys.executable, "-m", "gateway.cli")


async def serving(tmp_path: Path, fake: FakeUpstream) -> tuple[asyncio.subprocess.Process, int]:
    """A gateway in a process of its own, and its port."""
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG.format(first=fake.url, second=fake.url))
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "serve", "--catalog", str(catalog), "--db", str(tmp_path / "gateway.sqlite"),
        "--port", "0", stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
    return process, int(line["url"].rsplit(":", 1)[1])


async def test_a_kill_in_the_middle_of_sessions(tmp_path: Path) -> None:
    """Each is charged once, what it had cost when more was last set aside."""
    path = tmp_path / "gateway.sqlite"
    made = await asyncio.create_subprocess_exec(
        *COMMAND, "keys", "create", "k", "--db", str(path), "--json", stdout=asyncio.subprocess.PIPE
    )
    key = json.loads((await made.communicate())[0])["key"]
    provider = Provider()
    async with FakeUpstream(provider) as fake:
        process, port = await serving(tmp_path, fake)
        async with Client(port) as first, Client(port) as second, Client(port) as third:
            for client in (first, second, third):
                await client.open(PATH, key)
                await client.until("session.created")
            for client, socket in zip((first, second), provider.sockets[:2], strict=True):
                for _ in range(4):
                    await socket.send(done(usage(audio_out=200)))
                    await client.until("response.done")
            # The fourth answer of both has set more aside.
            await until(lambda: sum(row["kind"] == EXTEND for row in entries(path)) >= 8)
            process.send_signal(signal.SIGKILL)
            await process.wait()
        before = entries(path)
        assert len(open_calls(before)) == 3
        store = await Store.open(path, SystemClock())
        await store.serve(lambda _: None)
        assert store.books.recovered == 3
        await store.close()
        rows = entries(path)
        adds_up(rows)
        assert verify(path).problems == []
        spent = 4 * 10_000 * SAID
        assert sorted(charges(rows))[1:] == [spent, spent]
        assert sorted(charges(rows))[0] < 1_000_000  # of the third nothing but its input is known
