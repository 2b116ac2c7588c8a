"""`gateway serve`: where it starts, and where it cannot."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.cli.terminal import ADMIN_KEY, ENVIRON, GATEWAY, invoke, run, serving, started


def test_servers_that_cannot_start(catalog: str, db: str, tmp_path: Path) -> None:
    """A bad catalog, a taken port, a file that is no database: text, exit code 1, no traceback."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nproviders: [\n")
    other = tmp_path / "other.sqlite"
    other.write_bytes(b"not a database at all, sorry" * 100)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = str(sock.getsockname()[1])
        for arguments, told in (
            (["--catalog", str(bad), "--db", db], "bad.yaml:"),
            (["--catalog", str(tmp_path / "none.yaml"), "--db", db], "none.yaml"),
            (["--catalog", catalog, "--db", db, "--port", port], "choose another --port"),
            (["--catalog", catalog, "--db", db, "--media", str(bad)], "bad.yaml cannot be used"),
            (["--catalog", catalog, "--db", db, "--host", "no-such-host.invalid"], "no-such-host"),
            (["--catalog", catalog, "--db", db, "--host", "a..b"], "no name of a host"),
            (["--catalog", catalog, "--db", str(other)], "other.sqlite"),
            (["--catalog", catalog, "--db", str(tmp_path / "no" / "x")], "directory"),
        ):
            done = run("serve", *arguments)
            assert done.returncode == 1
            assert told in done.stderr
    assert other.read_bytes().startswith(b"not a database")


def test_flags_by_environment(catalog: str, db: str) -> None:
    """GATEWAY_* variables stand for flags, and a flag wins over its variable."""
    made = invoke("keys", "create", "k", "--json", env={"GATEWAY_KEYS_CREATE_DB": db})
    assert made.exit_code == 0
    assert Path(db).exists()
    environ = {
        "GATEWAY_SERVE_DB": db,
        "GATEWAY_SERVE_CATALOG": catalog,
        "GATEWAY_SERVE_PORT": "1",
        "GATEWAY_SERVE_DRAIN": "1",
    }
    with serving("--port", "0", environ=environ, stop=signal.SIGINT) as url:
        secret = json.loads(made.stdout)["key"]
        called = invoke(
            "call", "echo", "hi", env={"GATEWAY_CALL_URL": f"{url}/v1", "GATEWAY_KEY": secret}
        )
        assert called.output == "hi\n"
    bad = run("serve", environ=environ | {"GATEWAY_SERVE_PORT": "x"})
    assert bad.returncode == 2
    assert "GATEWAY_SERVE_PORT" in bad.stderr or "'--port'" in bad.stderr


FREE = """
groups: {all: {rpm: 9, tpm: 9, routes: {free: true}}}
anonymous: {group: all, rpm: 9, per: ip}
"""


def test_it_says_how_many_routes_need_no_key(catalog: str, db: str) -> None:
    """The operator's own credentials may serve them; those without one serve nobody."""
    command = [*GATEWAY, "serve", "--db", db, "--port", "0", "--log-format", "json"]
    for more, count in (("", 0), (FREE, 1)):
        with Path(catalog).open("a") as file:
            file.write(more)
        with started([*command, "--catalog", catalog]) as (_, printed):
            (line,) = [text for text in printed.splitlines() if '"listening"' in text]
            assert json.loads(line)["routes_without_a_key"] == count


@pytest.mark.parametrize("home", ["home", "/dev/null"])
def test_serving_from_nowhere(tmp_path: Path, home: str) -> None:
    """An empty HOME or none, a bare environment and another directory are enough to start."""
    elsewhere = tmp_path / "else"
    elsewhere.mkdir()
    (tmp_path / "home").mkdir()
    (elsewhere / "gateway").mkdir()  # must not be taken for the package
    bare = {"HOME": str(tmp_path / home), "PATH": "/usr/bin:/bin"}
    code = "import sys, os; os.environ.clear(); os.environ.update(eval(sys.argv.pop(1)));"
    code += "from gateway.cli import main; main(prog_name='gateway')"
    command = [sys.executable, "-P", "-c", code, repr(bare), "serve", "--port", "0"]
    with (
        started([*command, "--log-format", "json"], cwd=elsewhere) as (url, _),
        urllib.request.urlopen(f"{url}/readyz") as reply,
    ):
        assert reply.status == 200
    assert {path.name for path in elsewhere.iterdir()} == {
        "gateway", "gateway.sqlite", "gateway.sqlite.lock"
    }  # fmt: skip


def test_an_admin_key_comes_first(catalog: str, tmp_path: Path) -> None:
    """A new database gets one, shown once; a database without one is not served to others."""
    db = str(tmp_path / "new.sqlite")
    command = [*GATEWAY, "serve", "--catalog", catalog, "--db", db, "--port", "0"]
    with subprocess.Popen(
        [*command, "--host", "0.0.0.0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=ENVIRON,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"].replace("0.0.0.0", "127.0.0.1")
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=15)
    assert url
    assert re.fullmatch(ADMIN_KEY, told)
    assert told
    (admin,) = json.loads(invoke("keys", "list", "--db", db, "--json").stdout)
    assert admin["scopes"] == ["inference", "usage:read", "keys:write", "admin"]
    invoke("keys", "revoke", admin["id"], "--db", db)
    refused = run("serve", "--catalog", catalog, "--db", db, "--host", "0.0.0.0", "--port", "0")
    assert refused.returncode == 1
    assert "no admin key" in refused.stderr
    with serving("--catalog", catalog, "--db", db, "--port", "0") as url:
        assert url
