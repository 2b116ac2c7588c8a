"""Reading a process tree: CPU time, memory; and small statistics."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    """The direct children of every thread of `pid`."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found.extend(int(word) for word in task.read_text().split())
        except OSError:
            continue
    return found


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    pids = [pid]
    for each in pids:  # grows while it is walked
        pids.extend(_children(each))
    return pids


def _own_cpu(pid: int) -> float:
    """CPU seconds of all threads of one process, those that ended included.

    The kernel's per-process CPU clock counts in nanoseconds what /proc/PID/stat shows in ticks;
    /proc/PID/schedstat covers the main thread alone.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)  # CPUCLOCK_SCHED of a whole process
    except OSError:
        fields = _stat(pid)
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the command's name, from `state` on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process tree has used, ended and reaped children included."""
    total = 0.0
    for each in tree(pid):
        try:
            fields = _stat(each)
            total += _own_cpu(each) + (int(fields[13]) + int(fields[14])) / _TICKS
        except OSError:
            if each == pid:
                raise
    return total


def memory_kb(pid: int) -> float:
    """Proportional resident memory of a process tree, in KB of 1,024 bytes."""
    return sum(_own_memory(each) for each in tree(pid))


def _own_memory(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        line = next(row for row in text.splitlines() if row.startswith("Pss:"))
    except (OSError, StopIteration):
        text = Path(f"/proc/{pid}/status").read_text()
        line = next(row for row in text.splitlines() if row.startswith("VmRSS:"))
    return int(line.split()[1])


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def sync_ms(directory: Path, times: int = 400) -> float:
    """The median time to write 4 KB over what a file holds and have it on the disk."""
    page, pages = os.urandom(4096), 256
    path = directory / "sync"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(file, page * pages)
        os.fsync(file)
        taken = []
        for number in range(times):
            started = time.perf_counter()
            os.pwrite(file, page, number % pages * len(page))
            os.fdatasync(file)
            taken.append((time.perf_counter() - started) * 1000)
    finally:
        os.close(file)
        path.unlink()
    return quantile(taken, 0.5)


def _jiffies() -> tuple[int, int]:
    """Busy and all ticks of the machine so far."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def others_busy(seconds: float = 1.0) -> float:
    """Share of the machine that is busy while the bench itself rests."""
    busy, total = _jiffies()
    time.sleep(seconds)
    now_busy, now_total = _jiffies()
    return (now_busy - busy) / max(1, now_total - total)
