"""Starting, pinning and ending the bench's own processes."""

from __future__ import annotations

import os
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench_lib import measure

Cores = tuple[int, int]
WAKEFUL = Path("/dev/cpu_dma_latency")


def cores() -> Cores:
    """The core of the proxy under test and the core of everything else.

    The proxy is where the disk's interrupts go: for whoever is elsewhere each sync takes half as
    long again, and that is not the proxy's doing.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("bench: needs two cores: one for the proxy, one for load and upstream")
    first, second, *_ = usable
    return (first, second) if sync_ms(first) <= sync_ms(second) else (second, first)


def sync_ms(core: int) -> float:
    """How long the disk takes to sync, seen from a core."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as name, pinned(core):
        return measure.sync_ms(Path(name))


def raise_limits() -> int:
    """As many open files as the hard limit allows; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


_handed_out: set[int] = set()


def free_port() -> int:
    """A local TCP port that nobody listens on and that this run has not used."""
    for _ in range(100):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = int(sock.getsockname()[1])
        if port not in _handed_out:
            _handed_out.add(port)
            return port
    raise RuntimeError("no free port")


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes started inside inherit this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def awake() -> Iterator[bool]:
    """Idle cores spin instead of sleeping, until the end; False where that is not allowed.

    A virtual machine's core that sleeps is woken by its host, which takes some 30 us each time:
    longer than much of what is to be measured. The kernel forgets the wish when the file closes.
    """
    try:
        wish = WAKEFUL.open("wb", buffering=0)
    except OSError:
        yield False
        return
    with wish:
        wish.write(struct.pack("i", 0))
        yield True


@dataclass
class Process:
    """A running child with its own process group and its log."""

    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def tail(self) -> str:
        """The last words of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return " | ".join(text.strip().splitlines()[-3:])[-400:]


@dataclass
class Nursery:
    """Starts children and ends them all when the run is over, however it ends."""

    directory: Path
    alive: list[Process] = field(default_factory=list)
    started: int = 0

    def start(
        self,
        argv: Sequence[str],
        core: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Start a child pinned to one core."""
        self.started += 1
        log = self.directory / f"{self.started:03d}-{Path(argv[0]).name}.log"
        with pinned(core), log.open("wb") as out:
            popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        process = Process(popen, log)
        self.alive.append(process)
        return process

    def stop(self, process: Process, patience: float = 3.0) -> None:
        """End one child and its process group: politely, then by force."""
        if process in self.alive:
            self.alive.remove(process)
        for number, wait in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            if process.popen.poll() is not None:
                break
            _signal_group(process.pid, number)
            try:
                process.popen.wait(wait)
            except subprocess.TimeoutExpired:
                continue
        _signal_group(process.pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """End every child that is still alive."""
        for process in list(self.alive):
            self.stop(process, patience=1.0)


def _signal_group(pid: int, number: signal.Signals) -> None:
    """Signal what is left of a child's own process group."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def wait_port(port: int, seconds: float) -> bool:
    """Whether something listens on a port within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return True
    return False
