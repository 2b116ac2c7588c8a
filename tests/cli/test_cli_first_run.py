"""`scripts/run` in a new checkout: a URL, a key, and a curl line that works."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path

from tests.cli.terminal import ENVIRON, free_port, invoke, started


def curl_in(printed: str) -> str:
    """The command as one would copy it."""
    found = re.search(r"^  curl .*?}'$", printed, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[0]


def test_the_first_run(checkout: Path, tmp_path: Path) -> None:
    """It prints a URL, a key, and a curl line that works as it stands; the second time no key."""
    port = str(free_port())
    command = [str(checkout / "scripts" / "run"), "--port", port, "--log-format", "json"]
    home = {"HOME": str(tmp_path / "home")}
    with started(command, cwd=tmp_path, environ=home, until="make more with") as (url, printed):
        assert url == f"http://127.0.0.1:{port}"
        assert f"serves {url}/v1\n" in printed
        curl = curl_in(printed)
        done = subprocess.run(["bash", "-c", curl], capture_output=True, check=True)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello, isthmus"
        more = printed[printed.index("make more with: ") :].splitlines()[0].partition(": ")[2]
        made = subprocess.run(
            ["bash", "-c", more.replace("NAME", "second --json")],
            capture_output=True, check=True, cwd="/",
        )  # fmt: skip
        second = json.loads(made.stdout)["key"]
    first = re.search(r"sk-maas-\w+", printed)
    assert first is not None
    assert (checkout / "gateway.sqlite").exists()
    with started(command, cwd=tmp_path, environ=home, until="Hello, isthmus") as (url, printed):
        assert "already has keys" in printed
        assert first[0] not in printed
        assert second not in printed
        curl = curl_in(printed).replace("KEY", second)
        done = subprocess.run(["bash", "-c", curl], capture_output=True, check=True)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello, isthmus"


def test_the_first_run_elsewhere(checkout: Path, tmp_path: Path) -> None:
    """Paths are relative to where one is, the port may be any, and every address is reachable."""
    command = [str(checkout / "scripts" / "run"), "--db", "my.sqlite", "--port", "0"]
    command += ["--host", "0.0.0.0", "--log-format", "json"]
    with started(command, cwd=tmp_path, until="make more with") as (url, printed):
        port = url.rpartition(":")[2]
        assert f"curl http://127.0.0.1:{port}/v1/chat/completions" in printed
        assert f"--db {tmp_path}/my.sqlite" in printed
    assert (tmp_path / "my.sqlite").exists()


def test_a_first_run_that_fails(checkout: Path, tmp_path: Path) -> None:
    """A taken port or a bad flag makes no key, and nothing claims to serve."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        for flags, code in (
            (["--port", str(sock.getsockname()[1])], 1),
            (["--prot", "1"], 2),
            (["--catalog", "none.yaml"], 1),
        ):
            done = subprocess.run(
                [checkout / "scripts" / "run", *flags],
                capture_output=True, text=True, check=False, cwd=tmp_path, env=ENVIRON, timeout=20,
            )  # fmt: skip
            assert done.returncode == code
            assert "Traceback" not in done.stderr
            assert "sk-maas-" not in done.stdout + done.stderr
            assert " serves " not in done.stdout
    assert (
        invoke("keys", "list", "--json", "--db", str(checkout / "gateway.sqlite")).stdout == "[]\n"
    )
