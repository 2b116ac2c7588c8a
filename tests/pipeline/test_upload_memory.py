"""A long recording goes through a gateway without ever lying in its memory.

Measured on a gateway in a process of its own: the most that it had resident at any time during the
upload (VmHWM, set back before it) against what it had before. The provider keeps nothing.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

SIZE = 100 << 20
MOST_GROWN = 16 << 20
CHUNK = bytes(range(256)) * 1024
ROOT = Path(__file__).parents[2]
CHILD = """
import asyncio, sys
from pathlib import Path
from tests.harness import running

async def main():
    async with running(Path(sys.argv[1]), sys.argv[2]) as gateway:
        print(gateway.server.port, gateway.key, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""
HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nears-slug\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n'
    b"Content-Type: audio/mpeg\r\n\r\n"
)
TAIL = b"\r\n--b--\r\n"


class Provider:
    """Reads all that it is sent, and remembers how much that was."""

    def __init__(self) -> None:
        self.got: list[int] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        left = int(length)
        while left:
            left -= len(await reader.read(min(left, 1 << 20)))
        self.got.append(int(length))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     b'Content-Length: 12\r\nConnection: close\r\n\r\n{"text":"x"}')  # fmt: skip
        await writer.drain()
        writer.close()


async def upload(port: int, key: str, size: int) -> bytes:
    """Send a form of that size piece by piece, and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = len(HEAD) + size + len(TAIL)
    writer.write(
        b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: g\r\nConnection: close\r\n"
        b"Authorization: Bearer %b\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: %d\r\n\r\n" % (key.encode(), length)
    )
    writer.write(HEAD)
    for _ in range(size // len(CHUNK)):
        writer.write(CHUNK)
        await writer.drain()
    writer.write(TAIL)
    answer = await reader.read()
    writer.close()
    return answer


def resident(pid: int, name: str) -> int:
    """A figure of /proc/PID/status, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) << 10


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    """The provider and its address."""
    made = Provider()
    server = await asyncio.start_server(made, "127.0.0.1", 0, limit=1 << 20)
    async with server:
        yield made, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
async def test_a_hundred_megabytes(tmp_path: Path, provider: tuple[Provider, str]) -> None:
    """They arrive whole, and the process has grown by less than 16 MB."""
    upstream, url = provider
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(tmp_path), url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        port, key = (await asyncio.wait_for(child.stdout.readline(), 20)).decode().split()
        small = await upload(int(port), key, 4 << 20)  # what every call needs is there
        assert small.startswith(b"HTTP/1.1 200")
        Path(f"/proc/{child.pid}/clear_refs").write_text("5")
        before = resident(child.pid, "VmRSS")
        answer = await asyncio.wait_for(upload(int(port), key, SIZE), 30)
        most = resident(child.pid, "VmHWM")
    finally:
        child.stdin.close()
        await child.wait()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b'{"text":"x"}')
    assert upstream.got[-1] > SIZE
    assert most - before < MOST_GROWN, f"{(most - before) >> 20} MB"
