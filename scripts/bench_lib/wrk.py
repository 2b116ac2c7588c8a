"""Load by wrk, for plain calls: a C load generator leaves more of its core to the upstream."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench_lib import measure, processes, wire

SCRIPT = """wrk.method = "POST"
wrk.body = [==[{body}]==]
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nJSON {{"plain": %d, "faults": %d, "p50_ms": %.4f, "p99_ms": %.4f}}\\n', summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


def program() -> str | None:
    """Where wrk is, if it is here."""
    return shutil.which("wrk")


def write_script(directory: Path, headers: Mapping[str, str]) -> Path:
    """The Lua script of one peer."""
    lines = {"Content-Type": "application/json", **headers}
    path = directory / "plain.lua"
    path.write_text(
        SCRIPT.format(
            body=wire.request_body().decode(),
            headers="\n".join(
                f'wrk.headers["{name}"] = "{value}"' for name, value in lines.items()
            ),
        )
    )
    return path


def _run(script: Path, port: int, connections: int, seconds: int, core: int) -> dict[str, float]:
    argv = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        f"http://127.0.0.1:{port}{wire.PATH}",
    ]
    with processes.pinned(core):
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=seconds + 30, check=False
        )
    rows = [row for row in done.stdout.splitlines() if row.startswith("JSON ")]
    if not rows:
        raise RuntimeError(f"wrk said nothing: {done.stderr.strip()[-300:]}")
    return dict(json.loads(rows[-1][5:]))


def plain(
    directory: Path,
    headers: Mapping[str, str],
    port: int,
    pid: int,
    connections: int,
    warm: float,
    window: float,
    core: int,
) -> dict[str, float]:
    """Warm up, then measure one whole wrk run by the proxy's CPU clock."""
    script = write_script(directory, headers)
    _run(script, port, connections, max(1, round(warm)), core)
    seconds = max(1, round(window))
    cpu = measure.cpu_seconds(pid)
    result = _run(script, port, connections, seconds, core)
    return {
        **result,
        "cpu": measure.cpu_seconds(pid) - cpu,
        "seconds": float(seconds),
        "fault_count": result["faults"],
    }
