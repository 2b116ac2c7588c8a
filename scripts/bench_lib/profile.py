"""Where the gateway spends its time, when py-spy is installed: a pass after the measuring."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from bench_lib import runs
from bench_lib.peers import Peer


def profile(bench: runs.Bench, peer: Peer, directory: Path) -> str:
    """Record a flame graph under each load; say where they are, or why there are none."""
    spy = shutil.which("py-spy") or shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        return "SKIPPED profile: py-spy is not installed (pip install py-spy)"
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    running = bench.start(peer)
    for name in ("plain", "streams"):
        target = directory / f"profile-{peer.name}-{name}.svg"
        spying = bench.nursery.start(
            [
                spy,
                "record",
                "--pid",
                str(running.process.pid),
                "--rate",
                "500",
                "--duration",
                str(max(2, round(bench.plan.window))),
                "--output",
                str(target),
            ],
            bench.cores[1],
        )
        time.sleep(0.5)
        try:
            runs.MEASURES[name](bench, running)
        except runs.FailedError as problem:
            written.append(f"{name}: {problem}")
        spying.popen.wait(bench.plan.window + 60)
        bench.nursery.stop(spying)
        written.append(str(target) if target.exists() else f"{name}: {spying.tail()}")
    bench.nursery.stop(running.process)
    return "Profiles: " + ", ".join(written)
