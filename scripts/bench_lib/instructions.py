"""Instructions a call and a chunk, counted by callgrind: the same whatever else the machine does.

What the kernel does is not in them, nor what caches that are cold cost; two runs differ by half a
hundredth. A tenth fewer here has been a tenth less CPU by the clock.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from bench_lib import peers, processes, runs, wire

CONNECTIONS, WARM, COUNTED = 64, 20, 60
_TOTAL = re.compile(r"^totals: (\d+)", re.MULTILINE)
_BUSY = 1_000_000  # threads of less have only begun


class Counted(peers.Gateway):
    """The gateway under callgrind, which counts once it is told to."""

    patience = 120.0

    def launch(self, port: int) -> peers.Launch:
        plain = super().launch(port)
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes"]
        out = f"--callgrind-out-file={self.directory}/counts"
        env = {**plain.env, "PYTHONHASHSEED": "0"}
        return peers.Launch([*tool, out, "--", *plain.argv], env, plain.cwd)

    def control(self, pid: int, *what: str) -> None:
        """Say something to callgrind."""
        subprocess.run(["callgrind_control", *what, str(pid)], check=True, capture_output=True)

    def counts(self, run: str) -> tuple[int, int]:
        """Of the loop's thread, and of all others, in the dump with this number."""
        found = []
        for path in sorted(self.directory.glob(f"counts.{run}-*")):
            total = _TOTAL.search(path.read_text())
            found.append(0 if total is None else int(total[1]))
        return found[0], sum(count for count in found[1:] if count > _BUSY)


def measure(root: Path) -> str:
    """A table of what is counted; why there is none, where there is none."""
    for program in ("valgrind", "callgrind_control"):
        if shutil.which(program) is None:
            return f"SKIPPED: {program} is not installed (apt-get install valgrind)"
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as name:
        setting = peers.Setting(Path(name), processes.free_port())
        cores = processes.cores()
        bench = runs.Bench(processes.Nursery(Path(name)), cores, setting, runs.Plan())
        peer = Counted(setting, root)
        try:
            bench.start_upstream()
            peer.prepare()
            running = bench.start(peer)
            rows = [
                ("a plain call", *_count(peer, running, "1", stream=False)),
                ("a streamed chunk", *_count(peer, running, "2", stream=True)),
            ]
        finally:
            bench.nursery.stop_all()
    lines = [f"{'instructions':<18} {'loop thread':>12} {'others':>10}"]
    lines += [f"{title:<18} {loop:>12,} {others:>10,}" for title, loop, others in rows]
    return "\n".join(lines)


def _count(peer: Counted, running: runs.Running, dump: str, *, stream: bool) -> tuple[int, int]:
    request = wire.request(running.port, peer.headers, wire.request_body(stream=stream))
    calls = 2 if stream else COUNTED
    asyncio.run(_drive(running.port, request, 1 if stream else WARM))
    pid = running.process.pid
    peer.control(pid, "--instr=on")
    asyncio.run(_drive(running.port, request, calls))
    peer.control(pid, "--instr=off")
    peer.control(pid, "--dump")
    units = CONNECTIONS * calls * (wire.CHUNKS if stream else 1)
    loop, others = peer.counts(dump)
    return loop // units, others // units


async def _drive(port: int, request: bytes, calls: int) -> None:
    """So many calls on each of so many connections, one after the other."""
    await asyncio.gather(*(_caller(port, request, calls) for _ in range(CONNECTIONS)))


async def _caller(port: int, request: bytes, calls: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(calls):
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200 "):
            raise runs.FailedError(f"not answered as it should be: {head[:80]!r}")
        length = re.search(rb"content-length: (\d+)", head)
        if length is not None:
            await reader.readexactly(int(length[1]))
        else:
            await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
