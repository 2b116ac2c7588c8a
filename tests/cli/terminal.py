"""The command line as it is met: in this process, in one of its own, and as a server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gateway import cli

ROOT = Path(__file__).parents[2]
GATEWAY = [sys.executable, "-m", "gateway.cli"]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}

# What a server says on a new database, and nothing else ever.
ADMIN_KEY = r"(Admin key, shown this once: sk-maas-\w{40}\nIt calls every model [^\n]+\n)?"


def invoke(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), **options)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def run(
    *arguments: str, environ: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; never a traceback."""
    done = subprocess.run(
        [*GATEWAY, *arguments], capture_output=True, text=True, env=ENVIRON | (environ or {}),
        cwd=cwd, check=False, timeout=20,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


@contextmanager
def started(
    command: list[str],
    *,
    environ: dict[str, str] | None = None,
    cwd: Path | None = None,
    until: str = '"event":"listening"',
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[tuple[str, str]]:
    """A server in a process of its own; yields its URL and what it had printed by `until`."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd,
        env=ENVIRON | (environ or {}),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        printed = url = ""
        try:
            for line in process.stdout:
                printed += line
                if '"event":"listening"' in line:
                    url = json.loads(line)["url"]
                if url and until in printed:
                    break
            assert url, process.stderr.read()
            yield url, printed
        finally:
            process.send_signal(stop)
            _, told = process.communicate(timeout=15)
        assert process.returncode == 0
        assert re.fullmatch(ADMIN_KEY, told), told


@contextmanager
def serving(*arguments: str, **options: Any) -> Iterator[str]:
    """`gateway serve`; yields its URL."""
    with started([*GATEWAY, "serve", *arguments, "--log-format", "json"], **options) as (url, _):
        yield url
