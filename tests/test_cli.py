"""The command line, as an operator and as a script meets it."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import cli, first_run
from gateway.store.keys import DEFAULT_PREFIX
from tests.harness import catalog_text

ROOT = Path(__file__).parents[1]
GATEWAY = [sys.executable, "-m", "gateway.cli"]
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT)}


def invoke(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(cli.main, list(arguments), **options)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def db(tmp_path: Path) -> str:
    return str(tmp_path / "gateway.sqlite")


@pytest.fixture
def catalog(tmp_path: Path) -> str:
    path = tmp_path / "catalog.yaml"
    path.write_text(catalog_text("http://127.0.0.1:9/v1"))
    return str(path)


@contextmanager
def serving(*arguments: str, module: str = "gateway.cli") -> Iterator[tuple[str, str]]:
    """A server in a process of its own; yields its URL and what it printed before listening."""
    command = [sys.executable, "-m", module, *(["serve"] if module == "gateway.cli" else [])]
    process = subprocess.Popen(
        [*command, *arguments, "--log-format", "json"],
        stdout=subprocess.PIPE, text=True, env=ENVIRON,
    )  # fmt: skip
    printed = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if '"event":"listening"' in line:
                yield json.loads(line)["url"], printed
                break
            printed += line
    finally:
        process.terminate()
        process.communicate(timeout=15)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "command",
    [[], ["serve"], ["check"], ["models"], ["providers"], ["keys"], ["keys", "create"],
     ["keys", "list"], ["keys", "revoke"], ["call"]],
)  # fmt: skip
def test_help(command: list[str]) -> None:
    """Every command explains itself."""
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_keys_from_birth_to_death(db: str) -> None:
    """Create prints the secret once; list and revoke never do."""
    made = json.loads(invoke("keys", "create", "app", "--db", db, "--json").stdout)
    assert made["key"].startswith(DEFAULT_PREFIX)
    assert made["id"].startswith("key_")
    plain = invoke("keys", "create", "other", "--db", db)
    assert plain.stdout.strip().startswith(DEFAULT_PREFIX)
    listed = invoke("keys", "list", "--db", db, "--json")
    assert [row["name"] for row in json.loads(listed.stdout)] == ["app", "other"]
    table = invoke("keys", "list", "--db", db)
    assert "active" in table.output
    revoked = invoke("keys", "revoke", "app", "--db", db)
    assert "revoked" in revoked.output
    again = json.loads(invoke("keys", "revoke", made["id"], "--db", db, "--json").stdout)
    assert again["revoked_at"] is not None
    for result in (listed, table, revoked):
        assert made["key"] not in result.output


@pytest.mark.parametrize(
    ("when", "state"),
    [("30d", "until"), ("12h", "until"), ("2999-01-01", "until"), ("2001-01-01", "expired"),
     ("2999-01-01T10:00+02:00", "until")],
)  # fmt: skip
def test_expiry(db: str, when: str, state: str) -> None:
    """Dates, times and spans are understood."""
    assert invoke("keys", "create", "k", "--expires", when, "--db", db).exit_code == 0
    assert state in invoke("keys", "list", "--db", db).output


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "create", "k", "--expires", "someday"],
        ["keys", "create", "k", "--expires", "99999999999d"],
        ["keys", "create", "  "],
        ["keys", "create", "n" * 300],
        ["keys", "revoke", "nobody"],
    ],
)
def test_mistakes_are_explained(db: str, arguments: list[str]) -> None:
    """A mistake is one sentence and exit code 1, never a traceback."""
    result = invoke(*arguments, "--db", db)
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert len(result.output.strip().splitlines()) == 1


def test_misspelt_commands() -> None:
    """An unknown command or flag is named."""
    assert "servve" in invoke("servve").output
    assert "--colour" in invoke("serve", "--colour").output


def test_check(catalog: str, tmp_path: Path) -> None:
    """A good file is summed up; of a bad one every problem is told, with its line."""
    good = invoke("check", "--catalog", catalog)
    assert good.exit_code == 0
    assert "No credential yet for: keyless." in good.output
    assert "'not-installed' is not installed" in good.output
    summary = json.loads(invoke("check", "--catalog", catalog, "--json").stdout)
    assert (summary["ok"], summary["without_credential"]) == (True, ["keyless"])
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\nsurprise: 1\nproviders: {}\nmodels: {}\n")
    result = invoke("check", "--catalog", str(bad))
    assert result.exit_code == 1
    assert "bad.yaml:1" in result.output
    assert "bad.yaml:2" in result.output
    told = json.loads(invoke("check", "--catalog", str(bad), "--json").stdout)
    assert told["ok"] is False
    assert len(told["problems"]) >= 2
    missing = invoke("check", "--catalog", str(tmp_path / "none.yaml"))
    assert missing.exit_code == 1
    assert "none.yaml" in missing.output


def test_models_and_providers(catalog: str) -> None:
    """Both lists, for people and for scripts."""
    rows = json.loads(invoke("models", "--catalog", catalog, "--json").stdout)
    assert rows[0]["id"] == "fake-slug"
    assert rows[0]["price"]["input_per_mtok"] == "3.00"
    assert "fake-slug" in invoke("models", "--catalog", catalog).output
    rows = json.loads(invoke("providers", "--catalog", catalog, "--json").stdout)
    assert {row["id"]: row["credentials"] for row in rows}["keyless"] == 0
    assert "keyless" in invoke("providers", "--catalog", catalog).output


def test_the_shipped_catalog_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --catalog, and away from any catalog.yaml, the shipped file is used."""
    monkeypatch.chdir(tmp_path)
    assert len(json.loads(invoke("models", "--json").stdout)) > 100


def test_a_running_server_obeys(catalog: str, db: str) -> None:
    """Keys made and revoked by command take effect in the server at once; `call` uses it."""
    with serving("--catalog", catalog, "--db", db, "--port", "0") as (url, _):
        made = json.loads(invoke("keys", "create", "app", "--db", db, "--json").stdout)
        base = ["--url", f"{url}/v1", "--key", made["key"]]
        assert invoke("call", "echo", "one two three", *base).output == "one two three\n"
        whole = json.loads(invoke("call", "echo", "hi", *base, "--json").output)
        assert whole["choices"][0]["message"]["content"] == "hi"
        unknown = invoke("call", "nope", "hi", *base)
        assert (unknown.exit_code, unknown.output[:4]) == (1, "404:")
        by_environment = invoke("call", "echo", "hi", *base[:2], env={"GATEWAY_KEY": made["key"]})
        assert by_environment.output == "hi\n"
        taken = subprocess.run(
            [*GATEWAY, "serve", "--db", db, "--catalog", catalog, "--port", "0"],
            capture_output=True, text=True, env=ENVIRON, check=False,
        )  # fmt: skip
        assert taken.returncode == 1
        assert "in use by another gateway process" in taken.stderr
        assert "Traceback" not in taken.stderr
        started = time.monotonic()
        invoke("keys", "revoke", "app", "--db", db)
        refused = invoke("call", "echo", "hi", *base)
        assert (refused.exit_code, refused.output[:4]) == (1, "401:")
        assert time.monotonic() - started < 1
    assert [row["name"] for row in json.loads(invoke("keys", "list", "--db", db, "--json").stdout)]


def test_nobody_there() -> None:
    """`call` says so when no gateway answers."""
    result = invoke("call", "echo", "hi", "--url", f"http://127.0.0.1:{free_port()}/v1")
    assert result.exit_code == 1
    assert "gateway serve" in result.output


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
            (["--catalog", catalog, "--db", db, "--port", port], port),
            (["--catalog", catalog, "--db", str(other)], "other.sqlite"),
            (["--catalog", catalog, "--db", str(tmp_path / "no" / "x")], "directory"),
        ):
            done = subprocess.run(
                [*GATEWAY, "serve", *arguments], capture_output=True, text=True, env=ENVIRON,
                check=False, timeout=20,
            )  # fmt: skip
            assert done.returncode == 1
            assert told in done.stderr
            assert "Traceback" not in done.stderr
    assert other.read_bytes().startswith(b"not a database")


def test_flags_by_environment(db: str) -> None:
    """GATEWAY_* variables stand for flags."""
    made = invoke("keys", "create", "k", "--json", env={"GATEWAY_KEYS_CREATE_DB": db})
    assert made.exit_code == 0
    assert Path(db).exists()


def test_the_first_run(tmp_path: Path) -> None:
    """It prints a URL, a key, and a curl line that works as it stands; once."""
    db, port = str(tmp_path / "gateway.sqlite"), str(free_port())
    arguments = ["--db", db, "--port", port]
    with serving(*arguments, module=first_run.__name__) as (url, printed):
        assert f"http://127.0.0.1:{port}/v1" in printed
        assert url == f"http://127.0.0.1:{port}"
        curl = printed[printed.index("  curl") : printed.index("\n\nModels:")]
        done = subprocess.run(["bash", "-c", curl], capture_output=True, check=True)
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Hello, isthmus"
    key = re.search(r"sk-maas-\w+", printed)
    assert key is not None
    with serving(*arguments, module=first_run.__name__) as (_, printed):
        assert "already has keys" in printed
        assert key[0] not in printed
