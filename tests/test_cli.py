"""The command line, as an operator and as a script meets it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway import cli, plugins
from gateway.arguments import state_of
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


# What a server says on a new database, and nothing else ever.
ADMIN_KEY = r"(Admin key, shown this once: sk-maas-\w{40}\nIt calls every model [^\n]+\n)?"


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
    [("30d", ""), ("12h", ""), ("90m", ""), ("2w", ""), ("2999-01-01", "2999-01-01 00:00"),
     ("2999-01-01T10:00+02:00", "2999-01-01 08:00"), ("2999-01-01T10:00Z", "2999-01-01 10:00"),
     ("9999-12-31T23:59", "9999-12-31 23:59")],
)  # fmt: skip
def test_expiry(db: str, when: str, state: str) -> None:
    """Dates, times and spans are understood; where no zone is given, as UTC."""
    assert invoke("keys", "create", "k", "--expires", when, "--db", db).exit_code == 0
    assert f"until {state}" in invoke("keys", "list", "--db", db).output


def test_states_of_keys() -> None:
    """The list can show any moment a database may hold."""
    key: dict[str, Any] = {"revoked_at": None, "expires_at": None}
    assert state_of(key) == "active"
    assert state_of(key | {"expires_at": 1}) == "expired 1970-01-01 00:00"
    assert state_of(key | {"expires_at": 1 << 62}) == "until 9999-12-31 23:59"
    assert state_of(key | {"revoked_at": 1}) == "revoked"


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "create", "k", "--expires", "someday"],
        ["keys", "create", "k", "--expires", "999999999d"],
        ["keys", "create", "k", "--expires", "99999999999d"],
        ["keys", "create", "k", "--expires", ""],
        ["keys", "create", "k", "--expires", "0d"],
        ["keys", "create", "k", "--expires", "-3d"],
        ["keys", "create", "k", "--expires", "5s"],
        ["keys", "create", "k", "--expires", "\u0663d"],
        ["keys", "create", "k", "--expires", "2001-01-01"],
        ["keys", "create", "k", "--expires", "0001-01-01"],
        ["keys", "create", "k", "--expires", "9999-12-31T23:59-23:00"],
        ["keys", "create", "k", "--allow", ""],
        ["keys", "create", "two\nlines"],
        ["keys", "create", "\x1b[31mred"],
        ["keys", "create", "\udcff"],
        ["keys", "revoke", "\udcff"],
        ["keys", "revoke", ""],
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
    assert DEFAULT_PREFIX not in result.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["servve"], "Did you mean 'serve'?"),
        (["keys", "creat"], "Did you mean 'create'?"),
        (["serve", "--prot", "1"], "'--port'"),
        (["serve", "--port", "99999"], "99999 is not in the range"),
        (["serve", "--port", "http"], "'http' is not a valid integer"),
        (["serve", "--drain", "nan"], "'nan' is not a number"),
        (["serve", "--drain", "-1"], "-1"),
        (["serve", "--host", ""], "0.0.0.0"),
        (["serve", "--log-format", "xml"], "'xml'"),
        (["serve", "--db", "."], "is a directory"),
        (["keys", "list", "--db", ""], "does not name a file"),
        (["keys", "list", "--db", "/"], "is a directory"),
        (["check", "--catalog", ""], "does not name a file"),
        (["check", "--catalog", "/"], "is a directory"),
        (["keys", "create", "k", "--prefix", ""], "1 to 32"),
        (["keys", "create", "k", "--prefix", "a\nb"], "1 to 32"),
        (["keys", "create", "k", "--prefix", "cl\u00e9"], "1 to 32"),
        (["keys", "create"], "NAME"),
        (["call", "echo"], "PROMPT"),
    ],
)
def test_misspelt_commands(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be meant is refused with exit code 2 and a word on what can; nothing is made."""
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert told in result.output
    assert list(tmp_path.iterdir()) == []


def test_check(catalog: str, tmp_path: Path) -> None:
    """A good file is summed up; of a bad one every problem is told, with its line."""
    good = invoke("check", "--catalog", catalog)
    assert good.exit_code == 0
    assert "No credential yet for: keyless." in good.output
    assert "'not-installed' is not installed: no installed package offers it." in good.output
    assert "Provider foreign: 1 routes answer 501." in good.output
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


def test_check_names_adapters_that_do_not_load(
    catalog: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an adapter died of is told to the operator; two claims to one name are a problem."""
    (tmp_path / "broken_adapter.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [EntryPoint("not-installed", "broken_adapter:ADAPTER", "gateway.providers")]
    monkeypatch.setattr(plugins.Plugins.__init__, "__defaults__", (lambda: entries,))
    told = invoke("check", "--catalog", catalog)
    assert told.exit_code == 0
    assert "'not-installed' did not load: ModuleNotFoundError" in told.output
    assert "no_such_library" in told.output
    entries.append(EntryPoint("not-installed", "other:ADAPTER", "gateway.providers"))
    told = invoke("check", "--catalog", catalog)
    assert told.exit_code == 1
    assert "'not-installed' is offered by 2 packages" in told.output
    assert len(told.output.splitlines()) == 1
    told = invoke("check", "--catalog", catalog, "--json")
    assert (told.exit_code, json.loads(told.stdout)["ok"]) == (1, False)


def test_two_packages_with_one_adapter(catalog: str, db: str, tmp_path: Path) -> None:
    """A server that finds two claims to one name says so and does not start."""
    for package in ("one", "two"):
        folder = tmp_path / "site" / f"{package}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(
            f"[gateway.providers]\nnot-installed = {package}_adapter:ADAPTER\n"
        )
    environ = {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path / 'site'}"}
    for command in (["serve", "--db", db, "--port", "0"], ["check"]):
        done = run(*command, "--catalog", catalog, environ=environ)
        assert done.returncode == 1
        assert "'not-installed' is offered by 2 packages" in done.stderr
        assert "one_adapter:ADAPTER, two_adapter:ADAPTER" in done.stderr


def test_a_running_server_obeys(catalog: str, db: str) -> None:
    """Keys made and revoked by command take effect in the server at once."""
    with serving("--catalog", catalog, "--db", db, "--port", "0") as url:
        made = json.loads(run("keys", "create", "app", "--db", db, "--json").stdout)
        narrow = json.loads(
            run("keys", "create", "n", "--allow", "fake-*", "--db", db, "--json").stdout
        )
        base = ["--url", f"{url}/v1", "--key", made["key"]]
        assert invoke("call", "echo", "one two three", *base).output == "one two three\n"
        refused = invoke("call", "echo", "hi", *base[:3], narrow["key"])
        assert (refused.exit_code, refused.output[:4]) == (1, "403:")
        listed = json.loads(run("keys", "list", "--db", db, "--json").stdout)
        assert [row["name"] for row in listed] == ["admin", "app", "n"]
        assert [row["allow"] for row in listed] == [[], [], ["fake-*"]]
        taken = run("serve", "--db", db, "--catalog", catalog, "--port", "0")
        assert taken.returncode == 1
        assert "in use by another gateway process" in taken.stderr
        run("keys", "revoke", "app", "--db", db)
        revoked = time.monotonic()
        refused = invoke("call", "echo", "hi", *base)
        assert (refused.exit_code, refused.output[:4]) == (1, "401:")
        assert time.monotonic() - revoked < 1
    assert len(json.loads(invoke("keys", "list", "--db", db, "--json").stdout)) == 3


def test_call(catalog: str, db: str) -> None:
    """`call` streams text or prints the whole JSON, and says in a line why it could not."""
    secret = json.loads(invoke("keys", "create", "app", "--db", db, "--json").stdout)["key"]
    with serving("--catalog", catalog, "--db", db, "--port", "0") as url:
        base = ["--url", f"{url}/v1"]
        good = run("call", "echo", "grüße, 世界", *base, "--key", secret)
        assert (good.returncode, good.stdout, good.stderr) == (0, "grüße, 世界\n", "")
        narrow = {"PYTHONIOENCODING": "ascii", "GATEWAY_KEY": secret}
        assert run("call", "echo", "é", *base, environ=narrow).stdout == "\\xe9\n"
        whole = json.loads(run("call", "echo", "hi", *base, "--key", secret, "--json").stdout)
        assert whole["choices"][0]["message"]["content"] == "hi"
        for arguments, told in (
            (["call", "nope", "hi", "--key", secret], "404: The model 'nope'"),
            (["call", "nope", "hi", "--key", secret, "--json"], "404: The model 'nope'"),
            (["call", "keyless-slug", "hi", "--key", secret], "503: "),
            (["call", "foreign-slug", "hi", "--key", secret], "501: "),
            (["call", "echo", "hi", "--key", "sk-wrong"], "401: "),
            (["call", "echo", "\udcff", "--key", secret], "400: "),
            (["call", "echo", "hi"], "Give a key with --key or GATEWAY_KEY."),
            (["call", "echo", "hi", "--key", "two\nlines"], "Copy it again."),
            (["call", "echo", "hi", "--key", "clé"], "Copy it again."),
        ):
            done = invoke(*arguments, *base)
            assert (done.exit_code, done.stdout) == (1, "")
            assert told in done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert secret not in done.output


class _Foreign(BaseHTTPRequestHandler):
    """Some other server; what it answers stands in the path."""

    ANSWERS = {  # noqa: RUF012
        "/html": ("text/html", b"<h1>hello</h1>"),
        "/empty": ("text/event-stream", b""),
        "/half": ("text/event-stream", b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'),
        "/junk": ("text/event-stream", b"data: [1\n\n"),
        "/odd": ("text/event-stream", b'data: {"choices":[{"delta":null}]}\n\ndata: [DONE]\n\n'),
        "/error": ("text/event-stream", b'data: {"error":{"message":"the roof fell in"}}\n\n'),
        "/whole": ("application/json", b'{"choices":[{"message":{"content":"all"}}]}'),
        "/short": ("application/json", b'{"choi'),
    }

    def do_POST(self) -> None:
        kind, body = self.ANSWERS[self.path.removesuffix("/chat/completions")]
        self.send_response(200)
        self.send_header("Content-Type", kind)
        short = 100 if self.path.startswith("/short") else 0
        self.send_header("Content-Length", str(len(body) + short))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_call_to_something_else() -> None:
    """Whatever answers, `call` prints text that came and says what was wrong."""
    with HTTPServer(("127.0.0.1", 0), _Foreign) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            for path, code, out, told in (
                ("html", 1, "", "was not one of the gateway's"),
                ("empty", 1, "\n", "broke before"),
                ("half", 1, "half\n", "broke before"),
                ("junk", 1, "\n", "was not one of the gateway's"),
                ("odd", 0, "\n", ""),
                ("error", 1, "\n", "the roof fell in"),
                ("whole", 0, "all\n", ""),
                ("short", 1, "", "broke before"),
            ):
                url = f"http://127.0.0.1:{server.server_port}/{path}"
                done = invoke("call", "m", "hi", "--url", url)
                assert (path, done.exit_code, done.stdout) == (path, code, out)
                assert told in done.stderr
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://", "ftp://x/", "http://127.0.0.1:99999/v1", "http://a..b/v1",
     "http://me:sk-maas-secret@127.0.0.1:1/v1", "http://no-such-host.invalid/v1", ""],
)  # fmt: skip
def test_call_to_nowhere(url: str) -> None:
    """An address that cannot be one is one sentence, without what may be a secret in it."""
    done = invoke("call", "m", "hi", "--url", url)
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert len(done.output.strip().splitlines()) == 1
    assert "sk-maas-secret" not in done.output


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
            (["--catalog", str(tmp_path / "none.yaml"), "--db", db], "none.yaml"),
            (["--catalog", catalog, "--db", db, "--port", port], port),
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


def test_a_pipe_that_closes(db: str) -> None:
    """A reader that has seen enough is no error worth a traceback."""
    with subprocess.Popen(
        [*GATEWAY, "models"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRON
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of scripts/run whose set-up is already done, by this environment."""
    root = tmp_path / "check out"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "run", root / "scripts")
    (root / "scripts" / "setup").write_text("#!/bin/sh\n")
    (root / "scripts" / "setup").chmod(0o755)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").write_text(f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")
    (root / ".venv" / "bin" / "python").chmod(0o755)
    shutil.copy(ROOT / "catalog.yaml", root)
    return root


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
