"""A gateway in a process of its own whose adapter is the studio's: for tests that kill or weigh it.

    python -m tests.tasks.serving FOLDER MEDIA

FOLDER holds catalog.yaml. It prints its port and a key, once it serves.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from gateway.observe.logs import Log
from gateway.server import Server
from gateway.settings import Settings
from tests.tasks.studio import ADAPTERS, QUICK


async def main(folder: Path, media: str) -> None:
    """Serve until SIGTERM."""
    log = Log((folder / "log.jsonl").open("ab").write, "json")
    settings = Settings(
        catalog=folder / "catalog.yaml",
        db=folder / "gateway.sqlite",
        port=0,
        media=None if media == "kept" else media,
        adapter_wait=5.0,
    )
    server = Server(settings, {}, log)
    server.pace = QUICK
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.start()
    server.plugins.adapters.update(ADAPTERS)
    made = await server.store.keys.create("test")
    print(server.port, made.secret, flush=True)
    await server.run_until_stopped()
    log.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
