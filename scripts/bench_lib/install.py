"""Fetching absent peers, only when --install was given, only through package managers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM = Path("/usr/bin/python3")
APT = {"caddy": "caddy", "nginx": "nginx", "wrk": "wrk"}


def _run(*argv: str, cwd: Path | None = None) -> None:
    """Run a package manager; its failure only leaves a peer absent."""
    print("+", " ".join(argv), flush=True)
    try:
        done = subprocess.run(
            argv,
            check=False,
            timeout=900,
            cwd=cwd,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"bench: {argv[0]}: {error}", file=sys.stderr)
        return
    if done.returncode:
        print(f"bench: {argv[0]} ended with status {done.returncode}", file=sys.stderr)


def _apt(names: set[str]) -> None:
    wanted = [
        package
        for program, package in APT.items()
        if program in names
        and shutil.which(program) is None
        and not Path("/usr/sbin", program).exists()
    ]
    if not wanted:
        return
    if os.geteuid() != 0:
        print(f"bench: not root, so not installing: {' '.join(wanted)}", file=sys.stderr)
        return
    _run("apt-get", "update", "-q")
    for package in wanted:
        _run("apt-get", "install", "-y", "-q", "--no-install-recommends", package)


def _system_python(venv: Path, root: Path) -> None:
    """The gateway's dependencies for the interpreter that came with the system."""
    if not SYSTEM.exists() or SYSTEM.resolve() == Path(sys.executable).resolve():
        print("bench: no other Python came with the system", file=sys.stderr)
        return
    _run(str(SYSTEM), "-m", "venv", "--without-pip", str(venv))
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python")]
    _run(*pip, "install", "-q", "--disable-pip-version-check", str(root))


def install(names: set[str], root: Path, system: Path, litellm: Path, portkey: Path) -> None:
    """Install what is absent among the named peers (and wrk)."""
    _apt(names | {"wrk"})
    if "distributed" in names and not (system / "bin/python").exists():
        _system_python(system, root)
    if "litellm" in names and not (litellm / "bin/litellm").exists():
        _run(sys.executable, "-m", "venv", str(litellm))
        _run(str(litellm / "bin/pip"), "install", "-q", "litellm[proxy]")
    if "portkey" in names and not (portkey / "node_modules/@portkey-ai/gateway").exists():
        portkey.mkdir(parents=True, exist_ok=True)
        _run(
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--prefix",
            str(portkey),
            "@portkey-ai/gateway",
        )
